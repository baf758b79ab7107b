//! `uses: ingest`: its settings, inputs and outputs, and its spec.
//! Never reports a fault: what is read has been checked.

use crate::domain::job::{Ingest, Reading, Spec};
use crate::domain::manifest::form::{Good, Object, Port, StageKind, always_sound};
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
    outputs: Some(&[("table", Good::Table), ("report", Good::Report)]),
    spec: read,
    sound: always_sound,
    metrics: &[],
};

/// How a source is to be read.
pub(in crate::domain::manifest) fn reading(source: &Node) -> Option<Reading> {
    match source.get("format")?.text()? {
        "csv" => Some(Reading::csv()),
        _ => None,
    }
}

/// Columns and chunks come from the pin and the reading from the source, which only the caller
/// knows.
fn read(_: &Node, reading: Option<&Reading>) -> Option<Spec> {
    Some(Spec::Ingest(Ingest::unpinned(reading?.clone())))
}
