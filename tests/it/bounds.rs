//! Bounds of memory, as a user meets them: a job that takes more fails in words, its worker goes
//! on. Never asks how much exactly a job takes.

use crate::site::Site;

/// A perceptron of 4.2 million parameters that takes one step for every 40 rows.
fn pipeline(memory: &str) -> String {
    format!(
        "apiVersion: ohc/v1alpha1
kind: Pipeline
metadata: {{ name: wide }}
spec:
  sources: {{ iris: {{ url: data/iris.csv, format: csv }} }}
  budget: {{ total: \"50.00\" }}
  stages:
    rows: {{ uses: ingest, inputs: {{ rows: sources.iris }} }}
    train:
      uses: train
      inputs: {{ data: rows.table }}
      resources: {{ memory: {memory} }}
      with:
        target: species
        epochs: 1
        batch: 40
        model: {{ kind: mlp, hidden: [2048, 2048] }}
        optimizer: {{ kind: adamw, lr: 0.001 }}
  outputs: {{ model: {{ from: train.model, to: out/ }} }}
"
    )
}

#[test]
fn a_job_that_takes_more_memory_than_its_bound_fails_in_words_and_runs_under_another() {
    let site = Site::new();
    // Less than its parameters, and less than what comes beside them on the way.
    for bound in ["..32MiB", "..80MiB"] {
        site.write("wide.yaml", &pipeline(bound));
        let ran = site.run(&["apply", "wide.yaml", "-o", "json"]);
        assert_eq!(ran.code(), Some(1), "{bound}: {}", ran.err());
        let mib = &bound[2..bound.len() - 3];
        let words = format!("train failed: the job needs more than its {mib} MiB of memory");
        assert!(ran.err().contains(&words), "{bound}: {}", ran.err());
        assert!(ran.err().contains("raise the upper end of `resources.memory`"), "{}", ran.err());
        assert_eq!(ran.last()["status"], "failed");
    }
    // It failed for its bound, not for what it is: that is no part of what it is known by.
    site.write("wide.yaml", &pipeline("..1GiB"));
    let settled = site.json(&["apply", "wide.yaml", "-o", "json"]);
    assert_eq!(settled["status"], "settled", "{settled}");
    assert_eq!(site.json(&["apply", "wide.yaml", "-o", "json"])["status"], "unchanged");
}
