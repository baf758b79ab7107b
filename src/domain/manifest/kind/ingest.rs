//! `uses: ingest`: its settings, inputs and outputs, and its spec.
//! Never reports a fault: what is read has been checked.

use crate::domain::job::{Format, Ingest, Spec};
use crate::domain::manifest::form::{Good, Object, Port, StageKind, nothing_more};
use crate::domain::manifest::node::Node;

/// `uses: ingest`
pub(super) static INGEST: StageKind = StageKind {
    name: "ingest",
    doc: "Reads a source into a table.",
    with: Object { name: "ingest", doc: "Takes no settings.", fields: &[] },
    inputs: Some(&[Port {
        name: "rows",
        good: Good::Source,
        many: false,
        optional: false,
        doc: "The source to read: `sources.NAME`.",
    }]),
    outputs: Some(&[("table", Good::Table)]),
    spec: read,
    check: nothing_more,
    metrics: &[],
};

/// The format of a source.
pub(in crate::domain::manifest) fn format(word: &str) -> Option<Format> {
    match word {
        "csv" => Some(Format::Csv),
        _ => None,
    }
}

/// The rows come from the pin and the format from the source, which only the caller knows.
fn read(_: &Node, format: Option<Format>) -> Option<Spec> {
    Some(Spec::Ingest(Ingest { format: format?, rows: 0 }))
}
