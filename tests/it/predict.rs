//! Predictions of rows as they are in the source, by a model that a pipeline trained: through the
//! stage and through the program. Never hands the model a row that somebody prepared.

use crate::site::{Site, python};
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::Stdio;

/// Whether somebody moves follows from the city, and a little from the age.
const PIPELINE: &str = r#"apiVersion: ohc/v1alpha1
kind: Pipeline
metadata: { name: movers }
spec:
  sources:
    people: { url: people.csv, format: csv }
    others: { url: others.csv, format: csv }
  budget: { total: "5.00" }
  stages:
    table: { uses: ingest, inputs: { rows: sources.people } }
    rows: { uses: ingest, inputs: { rows: sources.others } }
    split:
      uses: split
      inputs: { table: table.table }
      with: { ratios: { train: 0.8, test: 0.2 }, by: household, seed: 3 }
    features:
      uses: transform
      inputs: { table: split.train }
      with:
        steps:
          - drop: [id, household]
          - fill: { columns: [age], with: median }
          - oneHot: { columns: [city] }
          - standardise: [age]
    train:
      uses: train
      inputs: { data: features.table }
      with:
        model: { kind: mlp, hidden: [8] }
        target: moves
        epochs: 60
        optimizer: { kind: adamw, lr: 0.02 }
        seed: 1
    evaluate:
      uses: evaluate
      inputs: { models: train.model, data: split.test }
      with: { select: { metric: f1 } }
    predict:
      uses: predict
      when: ${{ metrics.evaluate.rocAuc >= 0.9 && metrics.evaluate.f1 >= 0.9 }}
      inputs: { model: evaluate.best, data: rows.table }
      with: { keep: [id], probabilities: true }
    export:
      uses: export
      inputs: { model: evaluate.best, report: evaluate.report }
      with: { description: "Tells who moves." }
  outputs:
    model: { from: export.model, to: out/model/ }
    predictions: { from: predict.table, to: out/predictions/ }
    columnar: { from: predict.table, to: out/columnar/, format: parquet }
"#;

const OTHERS: &str =
    "city,extra,age,id\nGenf,\"a, b\",30,p\nBern,,40,q\nRom,,35,r\nBern,x,,s\n,,20,t\n";

fn people() -> String {
    let mut text = "id,household,city,age,moves\n".to_owned();
    for i in 0..200u32 {
        let city = ["Bern", "Genf", "Zug"][(i * 7 % 3) as usize];
        let age = if i % 10 == 0 { String::new() } else { (20 + i * 13 % 50).to_string() };
        let moves = if city == "Genf" { "yes" } else { "no" };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{i},{},{city},{age},{moves}", i / 4);
    }
    text
}

fn trained() -> Site {
    let site = Site::new();
    site.write("people.csv", &people());
    site.write("others.csv", OTHERS);
    site.write("movers.yaml", PIPELINE);
    let done = site.json(&["apply", "movers.yaml", "-o", "json"]);
    assert_eq!(done["status"], "settled", "{done}");
    site
}

#[test]
fn a_model_takes_raw_rows_in_the_pipeline_and_on_the_command_line() {
    let site = trained();
    let table = fs::read_to_string(site.path("out/predictions/table.csv")).unwrap();
    let said: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(said[0], ["id", "prediction", "p(no)", "p(yes)"]);
    let of = |row: usize| (said[row][0], said[row][1]);
    assert_eq!([of(1), of(2), of(4)], [("p", "yes"), ("q", "no"), ("s", "no")]);
    let parquet = fs::read(site.path("out/columnar/table.parquet")).unwrap();
    assert!(parquet.starts_with(b"PAR1"));

    // The program says of the file what the stage says of the table.
    let again =
        site.run(&["predict", "out/model", "others.csv", "--keep", "id", "--probabilities"]);
    assert_eq!((again.code(), again.out()), (Some(0), table.clone()), "{}", again.err());

    let all = site.run(&["predict", "out/model/model.safetensors", "others.csv", "-o", "json"]);
    let rows: Vec<Value> =
        all.out().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows.len(), 5);
    assert_eq!((&rows[0]["extra"], &rows[0]["prediction"]), (&"a, b".into(), &"yes".into()));
    assert!(rows[1]["extra"].is_null() && rows[3]["age"].is_null(), "{rows:?}");

    // That all ages of the training were whole is chance.
    site.write("half.csv", "age,city\n30.5,Genf\n3e1,Bern\n");
    let half = site.run(&["predict", "out/model", "half.csv"]);
    let expect = "age,city,prediction\n30.5,Genf,yes\n30.0,Bern,no\n";
    assert_eq!(half.out(), expect, "{}", half.err());

    let people = site.run(&["predict", "out/model", "others.csv", "-o", "table"]);
    assert!(people.out().starts_with("CITY"), "{}", people.out());
    site.write("broken.csv", "age,city,\"two\nlines\"\n30,Bern,x\n");
    let people = site.run(&["predict", "out/model", "broken.csv", "-o", "table"]);
    assert_eq!(people.out().lines().count(), 2, "{}", people.out());
    let file =
        site.run(&["predict", "out/model", "others.csv", "--out", "said.csv", "--keep", "id"]);
    assert_eq!(file.out(), "5 rows predicted: said.csv\n");
    assert_eq!(fs::read_to_string(site.path("said.csv")).unwrap().lines().count(), 6);
    assert!(!site.path("said.csv.part").exists());
}

#[test]
fn rows_come_through_a_pipe_in_any_number_and_form() {
    let site = trained();
    let mut text = "age,city\n".to_owned();
    for i in 0..700_000u32 {
        let _ = writeln!(text, "{},{}", 20 + i % 50, if i % 2 == 0 { "Genf" } else { "Bern" });
    }
    let mut command = site.command(&["predict", "out/model", "-", "--keep", ""]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let done = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let out = String::from_utf8(done.stdout).unwrap();
    let mut lines = out.lines();
    assert_eq!(lines.next(), Some("prediction"));
    assert!(lines.clone().step_by(2).all(|line| line == "yes"));
    assert!(lines.skip(1).step_by(2).all(|line| line == "no"));
    assert_eq!(out.lines().count(), 700_001);

    site.write("rows.jsonl", "{\"city\":\"Genf\",\"age\":30}\n{\"age\":31,\"city\":\"Zug\"}\n");
    let json = site.run(&["predict", "out/model", "rows.jsonl"]);
    assert_eq!(json.out(), "city,age,prediction\nGenf,30,yes\nZug,31,no\n", "{}", json.err());
    assert_eq!(json.err(), "");
    site.write("rows.jsonl", "{\"city\":\"Rom\",\"age\":30}\n{\"age\":31,\"city\":\"Oslo\"}\n");
    let new = site.run(&["predict", "out/model", "rows.jsonl"]).err();
    assert!(new.starts_with("note: 2 rows with a value in `city` that no row "), "{new}");
}

#[test]
fn rows_are_read_as_the_command_line_says_that_they_are_written() {
    let site = trained();
    let said = |rows: &str, args: &[&str]| {
        site.write("rows.csv", rows);
        site.run(&[&["predict", "out/model", "rows.csv"], args].concat())
    };
    let plain = said("age,city\n30,Genf\n,Bern\n", &[]);
    assert_eq!(plain.out(), "age,city,prediction\n30,Genf,yes\n,Bern,no\n", "{}", plain.err());
    let same = [
        ("age;city\n30;Genf\nNA;Bern\n", vec!["--delimiter", ";", "--nulls", "NA"]),
        ("age\tcity\n30\tGenf\nnan\tBern\n", vec!["--delimiter", "tab", "--nulls=-,nan"]),
    ];
    for (rows, args) in &same {
        let ran = said(rows, args);
        assert_eq!((ran.code(), ran.out()), (Some(0), plain.out()), "{}", ran.err());
        // Without that, what to write is said.
        let wrong = said(rows, &args[..2]);
        assert!(
            wrong.err().contains("hint: ") && wrong.err().contains("--nulls"),
            "{}",
            wrong.err()
        );
        let wrong = said(rows, &[]);
        let hint = if rows.contains(';') { "--delimiter ';'" } else { "--delimiter tab" };
        assert!(wrong.code() == Some(1) && wrong.err().contains(hint), "{}", wrong.err());
    }
    assert_eq!(said("", &["--delimiter", "ab"]).code(), Some(64));
    assert_eq!(said("", &["--delimiter", ";", "--format", "json"]).code(), Some(64));
}

#[test]
fn what_cannot_be_predicted_is_said_with_its_place_and_leaves_nothing() {
    let site = trained();
    let check = |rows: &str, args: &[&str], words: &[&str]| {
        site.write("rows.csv", rows);
        let model = ["predict", "out/model", "rows.csv"];
        let ran = site.run(&[&model, args].concat());
        assert_eq!(ran.code(), Some(1), "{}", ran.out());
        for word in words.iter().chain(&["hint: "]) {
            assert!(ran.err().contains(word), "{word}: {}", ran.err());
        }
    };
    check("age\n30\n", &[], &["rows.csv", "no column \"city\""]);
    let advice = "correct the cell; --nulls says";
    check("age,city\nold,Bern\n", &[], &["rows.csv", "line 2", "age", advice]);
    check("age,city\n30,Bern\n", &["--keep", "nmae"], &["no column \"nmae\""]);
    check("age,city,prediction\n30,Bern,1\n", &[], &["column \"prediction\" already"]);
    check("age,city\n30,Bern\n4,B,c\n", &["--out", "said.csv"], &["line 3"]);
    assert!(!site.path("said.csv").exists() && !site.path("said.csv.part").exists());
    let none = site.run(&["predict", "out", "rows.csv"]);
    assert!(none.err().contains("model.safetensors"), "{}", none.err());
    let wrong = site.run(&["predict", "people.csv", "rows.csv"]);
    assert!(wrong.err().contains("this is not a model"), "{}", wrong.err());
    assert_eq!(site.run(&["predict", "out/model", "gone.csv"]).code(), Some(1));
}

#[test]
fn an_exported_model_explains_itself_and_does_in_numpy_what_it_does_here() {
    let site = trained();
    let card = fs::read_to_string(site.path("out/model/README.md")).unwrap();
    for part in ["Tells who moves.", "one-hot `city`: `Bern`, `Genf`, `Zug`", "| f1 | "] {
        assert!(card.contains(part), "{part}: {card}");
    }
    // The code of the card runs as it stands, on features that the test makes itself.
    let iris = fs::read_to_string(site.path("iris.yaml")).unwrap();
    for activation in ["relu", "tanh", "gelu"] {
        let bent = format!("kind: mlp, activation: {activation},");
        site.write("bent.yaml", &iris.replace("kind: mlp,", &bent));
        site.json(&["apply", "bent.yaml", "-o", "json"]);
        let said = site.run(&["predict", "out/iris", "data/iris.csv", "--probabilities"]);
        site.write("said.csv", &said.out());
        let mut peer = python("forward.py");
        let peer =
            peer.args([site.path("out/model/README.md"), site.path("out/iris/model.safetensors")]);
        let ran = peer.arg(site.path("said.csv")).output().unwrap();
        assert!(ran.status.success(), "{activation}: {}", String::from_utf8_lossy(&ran.stderr));
        assert_eq!(String::from_utf8_lossy(&ran.stdout), "150\n");
    }
}

/// A tensor of F32 in a file of safetensors: its dimensions and numbers.
fn tensor(file: &[u8], name: &str) -> (Vec<usize>, Vec<f32>) {
    let head = usize::try_from(u64::from_le_bytes(file[..8].try_into().unwrap())).unwrap();
    let header: Value = serde_json::from_slice(&file[8..8 + head]).unwrap();
    let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    let numbers = |key: &str| -> Vec<usize> {
        header[name][key].as_array().unwrap().iter().map(number).collect()
    };
    assert_eq!(header[name]["dtype"], "F32", "{header}");
    let bytes = &file[8 + head..];
    let of = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
    let at = numbers("data_offsets");
    (numbers("shape"), bytes[at[0]..at[1]].chunks(4).map(of).collect())
}

#[test]
fn a_model_file_is_what_its_page_says() {
    let site = Site::new();
    let applied = site.run(&["apply", "iris.yaml"]);
    assert_eq!(applied.code(), Some(0), "{}", applied.err());
    let file = fs::read(site.path("out/iris/model.safetensors")).unwrap();
    let row = [5.9f32, 3.0, 4.2, 1.5];
    let (mean, scale) = (tensor(&file, "scaling.mean").1, tensor(&file, "scaling.scale").1);
    let mut x: Vec<f32> = (0..4).map(|at| (row[at] - mean[at]) * scale[at]).collect();
    for layer in ["layers.00", "layers.01"] {
        let (shape, weight) = tensor(&file, &format!("{layer}.weight"));
        let bias = tensor(&file, &format!("{layer}.bias")).1;
        assert_eq!((shape[0], shape[1]), (x.len(), bias.len()), "inputs × outputs");
        let unit = |out: usize| {
            let products = x.iter().enumerate().map(|(at, x)| x * weight[at * bias.len() + out]);
            bias[out] + products.sum::<f32>()
        };
        let is_last = layer == "layers.01";
        x = (0..bias.len()).map(unit).map(|y| if is_last { y } else { y.max(0.0) }).collect();
    }
    let sum: f32 = x.iter().map(|y| y.exp()).sum();
    site.write(
        "row.csv",
        &format!(
            "sepal_length,sepal_width,petal_length,petal_width\n{},{},{},{}\n",
            row[0], row[1], row[2], row[3]
        ),
    );
    let ran = site.run(&["predict", "out/iris", "row.csv", "--probabilities", "-o", "json"]);
    let said: Value = serde_json::from_str(ran.out().trim()).unwrap();
    for (class, y) in ["setosa", "versicolor", "virginica"].iter().zip(&x) {
        let told = said[format!("p({class})")].as_f64().unwrap_or_else(|| panic!("{said}"));
        assert!((told - f64::from(y.exp() / sum)).abs() < 1e-5, "{class}: {said} {x:?}");
    }
}
