//! `uses: ingest`: its settings, inputs and outputs, and its spec.
//! Reports only a column that is kept twice: all else has been checked before it is read.

use crate::base::limits::{COLUMNS_MAX, TEXT_BYTES_MAX};
use crate::domain::job::{Ingest, Reading, Spec};
use crate::domain::manifest::diagnostic::Faults;
use crate::domain::manifest::form::{Good, Object, Port, StageKind, Type, integer, optional};
use crate::domain::manifest::node::Node;
use std::collections::BTreeSet;

/// `uses: ingest`
pub(super) static INGEST: StageKind = StageKind {
    name: "ingest",
    doc: "Reads a source into a table.",
    with: Object {
        name: "ingest",
        doc: "What of a source becomes the table.",
        fields: &[
            optional(
                "columns",
                Type::List { of: &Type::Text(TEXT_BYTES_MAX), min: 1, max: COLUMNS_MAX },
                "The columns to keep, in this order; all of them if it is not given.",
                "[petal_length, species]",
            ),
            optional(
                "limit",
                integer(1, u64::MAX),
                "How many rows to look at, from the first on; all of them if it is not given.",
                "100000",
            ),
        ],
    },
    inputs: Some(&[Port {
        name: "rows",
        good: Good::Source,
        many: false,
        optional: false,
        doc: "The source to read: `sources.NAME`.",
    }]),
    outputs: Some(&[("table", Good::Table), ("report", Good::Report)]),
    spec: read,
    sound: each_once,
    metrics: &[
        ("rows", "Rows that were looked at."),
        ("badRows", "Those of them that could not be read."),
    ],
};

/// Columns and chunks come from the pin and the reading from the source, which only the caller
/// knows.
fn read(with: &Node, reading: Option<&Reading>) -> Option<Spec> {
    let names = |node: &Node| {
        node.items().iter().map(|item| Some(item.text()?.to_owned())).collect::<Option<_>>()
    };
    Some(Spec::Ingest(Ingest {
        keep: match with.get("columns") {
            Some(node) => Some(names(node)?),
            None => None,
        },
        limit: match with.get("limit") {
            Some(node) => Some(u64::try_from(node.integer()?).ok()?),
            None => None,
        },
        ..Ingest::unpinned(reading?.clone())
    }))
}

fn each_once(with: &Node, _: &Node, faults: &mut Faults) {
    let columns = with.get("columns").map(Node::items).unwrap_or_default();
    let mut seen = BTreeSet::new();
    for item in columns {
        if let Some(name) = item.text()
            && !seen.insert(name)
        {
            faults.advise(item.place, "a column is kept twice", "name each once".to_owned());
        }
    }
}
