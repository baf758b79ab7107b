//! What columns are is known before anything is paid: faults of that sort end a plan and an apply.
//! Never counts on what a job would say.

use crate::site::Site;
use std::fmt::Write as _;

const PIPELINE: &str = "apiVersion: ohc/v1alpha1
kind: Pipeline
metadata: { name: orders }
spec:
  sources: { rows: { url: orders.csv, format: csv } }
  budget: { total: \"2.00\" }
  stages:
    table: { uses: ingest, inputs: { rows: sources.rows } }
    features:
      uses: transform
      inputs: { table: table.table }
      with:
        steps:
          - fill: { columns: [amount], with: median }
          - oneHot: { columns: [country] }
    train:
      uses: train
      inputs: { data: features.table }
      with:
        model: { kind: mlp, hidden: [4] }
        target: churned
        epochs: 1
        optimizer: { kind: adamw, lr: 0.01 }
        seed: 1
  outputs: { model: { from: train.model, to: out/ } }
";

fn site() -> Site {
    let site = Site::new();
    let mut rows = "amount,country,churned\n".to_owned();
    for i in 0..60u32 {
        let (country, churned) =
            (["CH", "DE", "FR"][(i % 3) as usize], ["no", "yes"][(i % 2) as usize]);
        writeln!(rows, "{}.5,{country},{churned}", i * 7 % 40).unwrap();
    }
    site.write("orders.csv", &rows);
    site
}

#[test]
fn what_no_job_could_do_with_its_columns_is_told_before_anything_is_paid() {
    let site = site();
    for (old, new, line, message) in [
        (
            "          - oneHot: { columns: [country] }\n",
            "",
            15,
            "features are numbers or true and false, but `country` is text",
        ),
        (
            "target: churned",
            "target: churned, task: regression",
            21,
            "a regression predicts numbers, but `churned` is text",
        ),
        (
            "[amount], with: median",
            "[country], with: median",
            14,
            "`fill: { with: median }` takes numbers, but `country` is text",
        ),
        (
            "fill: { columns: [amount], with: median }",
            "derive: { total: amount * country }",
            14,
            "`derive`: `*` takes numbers, but `country` is text",
        ),
        (
            "{ kind: mlp, hidden: [4] }",
            "{ kind: text, width: 8 }",
            20,
            "a model of texts reads tokens, but the rows have none",
        ),
    ] {
        let new = new.replace(", task", "\n        task");
        assert!(PIPELINE.contains(old), "{old}");
        site.write("orders.yaml", &PIPELINE.replace(old, &new));
        for verb in ["plan", "apply", "diff"] {
            let ran = site.run(&[verb, "orders.yaml"]);
            let (err, place) = (ran.err(), format!("orders.yaml:{line}:"));
            assert!(err.contains(message) && err.contains("hint: "), "{verb}: {err}");
            assert!(err.contains(&place), "{verb}: {place} {err}");
            assert_ne!(ran.code(), Some(0), "{verb}");
        }
    }
    // Nothing was begun, so that nothing was paid; what is right is run.
    assert!(!site.run(&["get", "runs"]).out().contains("run-1"));
    site.write("orders.yaml", PIPELINE);
    let done = site.json(&["apply", "orders.yaml", "-o", "json"]);
    assert_eq!(done["status"], "settled", "{done}");
}
