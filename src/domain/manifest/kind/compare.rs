//! `uses: compare`: its settings, inputs and outputs, and its spec.
//! Never reports a fault: what is read has been checked.

use crate::domain::job::{Compare, Reading, Spec};
use crate::domain::manifest::form::{Good, Object, Port, StageKind, Type, always_sound, optional};
use crate::domain::manifest::node::Node;

/// `uses: compare`
pub(super) static COMPARE: StageKind = StageKind {
    name: "compare",
    doc: "Puts the measures of all instances of a sweep side by side: a table and a chart.",
    with: Object {
        name: "compare",
        doc: "What is compared, and along which axes it is drawn.",
        fields: &[
            optional(
                "metric",
                Type::Text(64),
                "The measure to draw and to rank by, any that the evaluations report; without it, \
                 what the first one selected by.",
                "accuracy",
            ),
            optional(
                "x",
                Type::Text(64),
                "The matrix axis along the chart; without it, the first whose values are numbers.",
                "lr",
            ),
            optional(
                "series",
                Type::Text(64),
                "The matrix axis that tells lines apart; without it, the next with few values.",
                "width",
            ),
        ],
    },
    inputs: Some(&[Port {
        name: "reports",
        good: Good::Report,
        many: true,
        optional: false,
        doc: "Evaluations: `evaluate.report`, or `evaluate.*.report` of all instances.",
    }]),
    outputs: Some(&[("table", Good::Table), ("chart", Good::Chart)]),
    metrics: &[
        ("instances", "Instances that are compared."),
        ("best", "The measure of the best one."),
    ],
    spec: read,
    sound: always_sound,
};

fn read(with: &Node, _: Option<&Reading>) -> Option<Spec> {
    let text = |key: &str| match with.get(key) {
        Some(node) => Some(Some(node.text()?.to_owned())),
        None => Some(None),
    };
    let (metric, x, series) = (text("metric")?, text("x")?, text("series")?);
    Some(Spec::Compare(Compare { metric, x, series }))
}
