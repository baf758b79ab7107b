//! Texts through a frozen encoder and a head on it, as a user has them: from a folder as Hugging
//! Face keeps it, through the program. Never brings real weights along:
//! those are fetched.

use crate::site::{Site, python};
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The predictions that a csv has in its last column.
fn said(text: &str) -> Vec<String> {
    let last = |line: &str| line.rsplit(',').next().unwrap().to_owned();
    text.lines().skip(1).map(last).collect()
}

#[test]
fn a_head_on_an_encoder_predicts_raw_texts_where_the_encoder_is_given() {
    let site = Site::of_all();
    let applied = site.json(&["apply", "reviews.yaml", "-o", "json"]);
    assert_eq!(applied["status"], "settled", "{applied}");
    let accuracy = applied["metrics"]["evaluate"]["accuracy"].as_f64().unwrap();
    assert!(accuracy >= 0.85, "{accuracy}");
    assert_eq!(applied["metrics"]["embed"]["columns"], 32.0, "{applied}");
    assert_eq!(site.json(&["apply", "reviews.yaml", "-o", "json"])["status"], "unchanged");

    let args = ["predict", "out/reviews", "data/reviews.csv", "--keep", "id"];
    let given = site.run(&[&args[..], &["--encoder", "data/small-bert"]].concat());
    assert_eq!(given.code(), Some(0), "{}", given.err());
    let truth = said(&fs::read_to_string(site.path("data/reviews.csv")).unwrap());
    let predicted = said(&given.out());
    assert_eq!(predicted.len(), truth.len());
    let right = predicted.iter().zip(&truth).filter(|(a, b)| a == b).count();
    assert!(right * 100 >= truth.len() * 88, "{right} of {}", truth.len());

    let without = site.run(&args);
    assert_eq!(without.code(), Some(1), "{}", without.out());
    assert!(without.err().contains("which is not here"), "{}", without.err());
    assert!(without.err().contains("--encoder FOLDER"), "{}", without.err());

    // Another encoder is another one, whatever its name.
    let config = fs::read_to_string(site.path("data/small-bert/config.json")).unwrap();
    site.write("data/small-bert/config.json", &format!("{config}\n"));
    let other = site.run(&[&args[..], &["--encoder", "data/small-bert"]].concat());
    assert!(other.err().contains("this is encoder"), "{}", other.err());
}

#[test]
fn a_folder_that_cannot_be_run_is_refused_where_it_is_named() {
    let site = Site::of_all();
    let refused = |message: &str| {
        let ran = site.run(&["plan", "reviews.yaml"]);
        assert_ne!(ran.code(), Some(0), "{}", ran.out());
        let told = format!("{}{}", ran.out(), ran.err());
        assert!(told.contains(message) && told.contains("reviews.yaml:"), "{told}");
    };
    let path = site.path("data/small-bert/config.json");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace("\"bert\"", "\"roberta\"")).unwrap();
    refused("\"roberta\"");
    fs::remove_file(&path).unwrap();
    refused("the encoder has no config.json");
    fs::write(&path, config).unwrap();
    let manifest = fs::read_to_string(site.path("reviews.yaml")).unwrap();
    site.write(
        "reviews.yaml",
        &manifest.replace("encoder: sources.encoder", "encoder: sources.reviews"),
    );
    refused("input `encoder` takes an encoder, but `sources.reviews` is a source of rows");
    site.write("reviews.yaml", &manifest.replace("rows: sources.reviews", "rows: sources.encoder"));
    refused("input `rows` takes a source of rows, but `sources.encoder` is an encoder");
    site.write("reviews.yaml", &manifest.replace("length: 48", "length: 48, column: txt"));
    refused("`column` names the column `txt`");
}

/// Sentences of many lengths, one of them longer than the encoder looks at.
fn sentences() -> String {
    let mut text = "id,text\n".to_owned();
    let lines = [
        "A man is playing a guitar on the stage.",
        "Someone plays an instrument, and the crowd is listening.",
        "The quick brown fox jumps over the lazy dog!",
        "Le caf\u{e9} est ferm\u{e9} jusqu'\u{e0} lundi.",
        "Reproducibility matters: 3.14159 is not 3.1416.",
        "",
        "x",
        "Electroencephalographically speaking, antidisestablishmentarianism isn't short.",
    ];
    for (id, line) in lines.iter().enumerate() {
        let _ = writeln!(text, "{id},\"{line}\"");
    }
    let _ = writeln!(text, "8,\"{}\"", "An endless story goes on and on. ".repeat(80));
    text
}

const PIPELINE: &str = r#"apiVersion: ohc/v1alpha1
kind: Pipeline
metadata: { name: sentences }
spec:
  sources:
    texts: { url: texts.csv, format: csv, nulls: [] }
    encoder: { url: ENCODER/, format: huggingface }
  budget: { total: "50.00" }
  stages:
    rows: { uses: ingest, inputs: { rows: sources.texts } }
    embed: { uses: embed, inputs: { table: rows.table, encoder: sources.encoder } }
  outputs:
    vectors: { from: embed.table, to: out/vectors/ }
"#;

#[test]
fn real_weights_give_what_the_paper_says() {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
    let fetched = Command::new(peers.join("minilm")).output().unwrap();
    if !fetched.status.success() {
        println!("skipped: {}", String::from_utf8_lossy(&fetched.stderr));
        return;
    }
    let folder = String::from_utf8(fetched.stdout).unwrap().trim().to_owned();
    let site = Site::new();
    site.write("texts.csv", &sentences());
    site.write("sentences.yaml", &PIPELINE.replace("ENCODER", &folder));
    let applied = site.json(&["apply", "sentences.yaml", "-o", "json"]);
    assert_eq!(applied["status"], "settled", "{applied}");
    assert_eq!(applied["metrics"]["embed"]["columns"], 384.0);
    let mut compare = python("bert.py");
    compare.arg(&folder).arg(site.path("texts.csv")).arg(site.path("out/vectors/table.csv"));
    let compared = compare.output().unwrap();
    assert!(compared.status.success(), "{}", String::from_utf8_lossy(&compared.stderr));
    let told: Value = serde_json::from_slice(&compared.stdout).unwrap();
    assert_eq!((&told["rows"], &told["tokens"]), (&9.into(), &256.into()), "{told}");
    assert!(told["distance"].as_f64().unwrap() < 1e-6, "{told}");
    assert!(told["difference"].as_f64().unwrap() < 1e-5, "{told}");
}
