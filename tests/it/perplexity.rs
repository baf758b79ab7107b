//! Texts that a frozen language model foretells, as a user has them: from a folder as Hugging Face
//! keeps it and from a file of llama.cpp, against the same in numpy. Never learns anything.

use crate::site::{Site, python};
use serde_json::Value;
use std::fs;

/// What numpy says of the model and the texts of a site; the model is written as GGUF too.
fn peer(site: &Site, gguf: &[&str]) -> Value {
    let mut peer = python("llama.py");
    peer.args([site.path("data/small-llama"), site.path("data/reviews.csv")]).args(["32", "16"]);
    let ran = peer.args(gguf.iter().map(|file| site.path(file))).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    serde_json::from_slice(&ran.stdout).unwrap()
}

#[track_caller]
fn same(measured: &Value, peer: &Value) {
    assert_eq!(measured["tokens"].as_f64(), peer["tokens"].as_f64(), "{measured} {peer}");
    for name in ["loss", "perplexity"] {
        let (ours, theirs) = (measured[name].as_f64().unwrap(), peer[name].as_f64().unwrap());
        assert!((ours - theirs).abs() < 1e-5 * theirs, "{name}: {ours} {theirs}");
    }
}

#[test]
fn a_model_is_as_good_as_its_files_say_in_either_form() {
    let site = Site::of_all();
    let whole = peer(&site, &[]);
    let applied = site.json(&["apply", "perplexity.yaml", "-o", "json"]);
    assert_eq!(applied["status"], "settled", "{applied}");
    let measured = &applied["metrics"]["measure"];
    same(measured, &whole);
    let perplexity = measured["perplexity"].as_f64().unwrap();
    assert!((4.5..5.5).contains(&perplexity), "the comments say about five: {perplexity}");
    let report = fs::read(site.path("out/perplexity/report.json")).unwrap();
    let report: Value = serde_json::from_slice(&report).unwrap();
    assert_eq!((&report["perplexity"], &report["length"]), (&measured["perplexity"], &32.into()));
    assert_eq!(site.json(&["apply", "perplexity.yaml", "-o", "json"])["status"], "unchanged");

    let rounded = peer(&site, &["data/small.gguf"]);
    assert_ne!(rounded["loss"], whole["loss"]);
    let manifest = fs::read_to_string(site.path("perplexity.yaml")).unwrap();
    let manifest = manifest.replace("format: huggingface }", "format: gguf }");
    site.write("gguf.yaml", &manifest.replace("data/small-llama/", "data/small.gguf"));
    let applied = site.json(&["apply", "gguf.yaml", "-o", "json"]);
    assert_eq!(applied["status"], "settled", "{applied}");
    same(&applied["metrics"]["measure"], &rounded);

    // Half of a file is no model, and says so where it is named.
    let file = fs::read(site.path("data/small.gguf")).unwrap();
    fs::write(site.path("data/small.gguf"), &file[..file.len() / 2]).unwrap();
    let ran = site.run(&["plan", "gguf.yaml"]);
    let told = format!("{}{}", ran.out(), ran.err());
    assert!(told.contains("the GGUF file are damaged") && told.contains("gguf.yaml:"), "{told}");
}

#[test]
fn a_folder_of_another_family_is_refused_before_anything_is_paid() {
    let site = Site::of_all();
    let refused = |message: &str| {
        let ran = site.run(&["plan", "perplexity.yaml"]);
        assert_ne!(ran.code(), Some(0), "{}", ran.out());
        let told = format!("{}{}", ran.out(), ran.err());
        assert!(told.contains(message) && told.contains("perplexity.yaml:"), "{told}");
    };
    let path = site.path("data/small-llama/config.json");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace("\"llama\"", "\"gemma\"")).unwrap();
    refused("\"gemma\"");
    fs::write(&path, config).unwrap();
    let manifest = fs::read_to_string(site.path("perplexity.yaml")).unwrap();
    site.write("perplexity.yaml", &manifest.replace("small-llama", "small-bert"));
    refused("this is an encoder: it foretells no token");
}
