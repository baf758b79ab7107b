//! `uses: noop`: its settings, inputs and outputs, and its spec.
//! Never reports a fault: what is read has been checked.

use super::wide;
use crate::domain::job::{Noop, Reading, Spec};
use crate::domain::manifest::form::{Good, Object, StageKind, always_sound, default, integer};
use crate::domain::manifest::node::Node;

/// `uses: noop`
pub(super) static NOOP: StageKind = StageKind {
    name: "noop",
    doc: "Computes nothing: measures the market itself.",
    with: Object {
        name: "noop",
        doc: "Tells one no-op from another.",
        fields: &[default(
            "tag",
            integer(0, u64::MAX),
            "0",
            "Two no-ops with the same tag and inputs are the same job.",
            "7",
        )],
    },
    inputs: None,
    outputs: Some(&[("done", Good::Token)]),
    spec: read,
    sound: always_sound,
    metrics: &[],
};

fn read(with: &Node, _: Option<&Reading>) -> Option<Spec> {
    Some(Spec::Noop(Noop { tag: wide(with, "tag", 0)? }))
}
