//! Tables beside pyarrow: what it writes, or is hard to read, is read with the same values. Never
//! takes a real for equal unless all its bits are.

use crate::site::{Site, python};
use ohc::compute::table::{ChunkTarget, Surveyor, Table, read_chunks};
use ohc::domain::job::{ColumnKind, Format, Ingest, OnBadRow, Reading};
use serde_json::{Value, json};

/// Reads a file in pieces, in chunks of this target, each by itself.
fn read(reading: &Reading, bytes: &[u8], target: ChunkTarget) -> Table {
    let mut surveyor = Surveyor::new(reading, Some(target));
    surveyor.begin("file").unwrap();
    let mut cuts = Vec::new();
    for piece in bytes.chunks(7) {
        cuts.extend(surveyor.feed(piece).unwrap());
    }
    cuts.extend(surveyor.end().unwrap());
    let columns = surveyor.finish().unwrap().columns;
    let chunks = cuts.iter().flat_map(|cut| cut.chunks.iter().map(move |chunk| (cut, chunk)));
    let tables = chunks.map(|(cut, chunk)| {
        let (columns, chunks) = (columns.clone(), vec![chunk.clone()]);
        let spec = Ingest { columns, chunks, ..Ingest::unpinned(reading.clone()) };
        read_chunks(&spec, &[&cut.bytes]).unwrap().0
    });
    Table::concat(&tables.collect::<Vec<_>>()).unwrap()
}

/// The columns as the peer shows them.
fn shown(table: &Table) -> Vec<Value> {
    let columns = table.schema();
    let column = |name: &str, kind: ColumnKind| {
        let cells = table.column(name).unwrap().texts().into_iter();
        let cells = cells.map(|text| match (kind, text) {
            (_, None) => Value::Null,
            (ColumnKind::Real, Some(text)) => {
                json!(text.parse::<f64>().unwrap().to_bits().to_string())
            }
            (ColumnKind::Truth, Some(text)) => json!(text == "true"),
            (_, Some(text)) => json!(text),
        });
        json!({"name": name, "kind": kind.word(), "cells": cells.collect::<Vec<_>>()})
    };
    columns.iter().map(|each| column(&each.name, each.kind)).collect()
}

#[test]
fn what_is_hard_to_read_is_read_as_pyarrow_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let done = python("tables.py").arg(dir.path()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let answer: Value = serde_json::from_slice(&done.stdout).unwrap();
    let files = answer.as_object().unwrap();
    assert_eq!(files.len(), 14);
    for (name, theirs) in files {
        let bytes = std::fs::read(dir.path().join(name)).unwrap();
        let (format, nulls) = match name.rsplit_once('.').unwrap().1 {
            "csv" => (Reading::csv().format, vec![String::new()]),
            "json" => (Format::Json, Vec::new()),
            "parquet" => (Format::Parquet, Vec::new()),
            _ => (Format::Arrow, Vec::new()),
        };
        let on_bad_row = if name == "ragged.csv" { OnBadRow::Skip } else { OnBadRow::Fail };
        let reading = Reading { format, nulls, columns: Vec::new(), on_bad_row };
        for target in [ChunkTarget::Rows(1), ChunkTarget::Rows(1000)] {
            let ours = shown(&read(&reading, &bytes, target));
            for (mine, other) in ours.iter().zip(theirs.as_array().unwrap()) {
                assert_eq!(mine, other, "{name}");
            }
            assert_eq!(ours.len(), theirs.as_array().unwrap().len(), "{name}");
        }
    }
}

/// A pipeline whose source is read in chunks of ten rows and then divided.
const IN_CHUNKS: &str = "\
apiVersion: ohc/v1alpha1
kind: Pipeline
metadata: { name: chunks }
spec:
  budget: { total: \"5.00\" }
  sources:
    rows: { url: rows.csv, format: csv, csv: { delimiter: \";\" }, onBadRow: skip }
  stages:
    table: { uses: ingest, inputs: { rows: sources.rows }, split: { by: rows, target: 10 } }
    parts:
      uses: split
      inputs: { table: table.table }
      with: { ratios: { most: 0.8, rest: 0.2 }, seed: 1 }
  outputs:
    most: { from: parts.most, to: out/ }
";

fn rows(count: usize) -> String {
    let rows = (0..count).map(|n| format!("{n};\"row {n}\n\"\n"));
    format!("n;text\n{}", rows.collect::<String>())
}

#[test]
fn a_source_in_chunks_is_read_by_a_job_for_each_and_what_is_appended_runs_alone() {
    let site = Site::new();
    site.write("chunks.yaml", IN_CHUNKS);
    site.write("rows.csv", &rows(30));
    let first = site.json(&["apply", "chunks.yaml", "-o", "json"]);
    assert_eq!(first["blocks"], json!({"run": 4, "cached": 0}), "{first}");
    let published = || {
        let bytes = std::fs::read(site.path("out/table.csv")).unwrap();
        read(&Reading::csv(), &bytes, ChunkTarget::Rows(1000)).rows()
    };
    assert_eq!(published(), 24);
    let plan = site.json(&["plan", "chunks.yaml", "-o", "json"]);
    let names: Vec<_> = plan["jobs"].as_array().unwrap().iter().map(|job| &job["job"]).collect();
    assert_eq!(names, ["table#1/3", "table#2/3", "table#3/3", "parts"], "{plan}");

    // A row that cannot be read, and rows that can: the chunks before them are known.
    site.write("rows.csv", &(rows(30) + "30;x;y\n31;x\n32;y\n"));
    let second = site.json(&["apply", "chunks.yaml", "-o", "json"]);
    assert_eq!(second["blocks"], json!({"run": 2, "cached": 3}), "{second}");
    let counted = &second["metrics"]["table"];
    assert_eq!(counted, &json!({"rows": 33.0, "badRows": 1.0}), "{second}");
    assert_eq!(published(), 26);
}
