//! A first manifest: what `ohc init` writes is valid, runs, and learns. Never compares its words:
//! what counts is what the program makes of them.

use crate::site::Site;
use std::fmt::Write as _;
use std::fs;

/// Writes a manifest for a table and applies it; gives the result.
#[track_caller]
fn apply(site: &Site, args: &[&str], name: &str) -> serde_json::Value {
    apply_with(site, args, &[name])
}

/// The same with other words behind the name of the manifest.
#[track_caller]
fn apply_with(site: &Site, args: &[&str], how: &[&str]) -> serde_json::Value {
    let name = how[0];
    let ran = site.run(&[&["init"], args].concat());
    assert_eq!(ran.code(), Some(0), "{}{}", ran.out(), ran.err());
    let manifest = fs::read_to_string(site.path(name)).unwrap();
    assert!(manifest.lines().all(|line| line.chars().count() <= 100), "{manifest}");
    let checked = site.run(&["validate", name]);
    assert_eq!(checked.code(), Some(0), "{}\n{manifest}", checked.out());
    let applied = site.run(&[&["apply", "-o", "json"], how].concat());
    assert_eq!(applied.code(), Some(0), "{}\n{}\n{manifest}", applied.err(), applied.out());
    applied.last()
}

fn accuracy(result: &serde_json::Value) -> f64 {
    let evaluate = &result["metrics"]["evaluate"];
    evaluate["accuracy"].as_f64().unwrap_or_else(|| panic!("{result}"))
}

/// Numbers that look like lots, the same every time.
fn lots() -> impl FnMut(u64) -> u64 {
    let mut state = 7u64;
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) % below
    }
}

#[test]
fn iris_is_predicted_by_what_init_writes() {
    let site = Site::new();
    let result = apply(&site, &["data/iris.csv", "--out", "first.yaml"], "first.yaml");
    assert!(accuracy(&result) >= 0.9, "{result}");
    let again = site.run(&["init", "data/iris.csv", "--out", "first.yaml"]);
    assert_eq!(again.code(), Some(1), "a file is not overwritten");
    assert!(again.err().contains("--force"), "{}", again.err());
    let forced = ["init", "data/iris.csv", "--out", "first.yaml", "--force", "--target", "species"];
    assert_eq!(site.run(&forced).code(), Some(0));
    let shown = site.run(&["init", "data/iris.csv", "--out", "-"]);
    assert!(shown.out().contains("target: species"), "{}", shown.out());
}

#[test]
fn pictures_of_digits_are_told_apart() {
    let site = Site::new();
    let mut draw = lots();
    // Ten patterns of 64 pixels, and noise on them.
    let patterns: Vec<Vec<u64>> = (0..10).map(|_| (0..64).map(|_| draw(17)).collect()).collect();
    let names: Vec<String> =
        (0..64).map(|pixel| format!("pixel_{}_{}", pixel / 8, pixel % 8)).collect();
    let mut csv = format!("{},digit\n", names.join(","));
    for row in 0..400 {
        let digit = row % 10;
        for pixel in &patterns[digit] {
            let _ = write!(csv, "{},", (pixel + draw(5)).min(16));
        }
        let _ = writeln!(csv, "{digit}");
    }
    site.write("digits.csv", &csv);
    let result = apply(&site, &["digits.csv", "--target", "digit"], "digits.yaml");
    assert!(accuracy(&result) >= 0.95, "{result}");
}

#[test]
fn a_messy_table_is_mended_before_anything_is_learned() {
    let site = Site::new();
    let mut draw = lots();
    let mut csv = "customer id,\"age (years)\",yes,plan,note,country,churn\n".to_owned();
    for row in 0..300 {
        let age = 18 + draw(60);
        let shown = if row % 9 == 4 { String::new() } else { age.to_string() };
        let is_online = ["true", "FALSE", ""][usize::try_from(draw(3)).unwrap()];
        let plan = ["basic", "plus, \"yearly\"", "free", ""][usize::try_from(draw(4)).unwrap()];
        let plan = format!("\"{}\"", plan.replace('"', "\"\""));
        let note = format!("called {} times about the bill of month {}", draw(40), draw(12));
        let churn = if row % 50 == 13 {
            ""
        } else if age > 48 {
            "leaves"
        } else {
            "stays"
        };
        let _ = writeln!(csv, "C-{row:05},{shown},{is_online},{plan},{note},CH,{churn}");
    }
    site.write("Customers 2024.csv", &csv);
    let result = apply(&site, &["Customers 2024.csv"], "customers-2024.yaml");
    assert!(accuracy(&result) >= 0.7, "{result}");
    let manifest = fs::read_to_string(site.path("customers-2024.yaml")).unwrap();
    for part in ["drop: [\"customer id\"]", "drop: [country]", "\"age (years)\"", "hash: "] {
        assert!(manifest.contains(part), "{part:?} is not in\n{manifest}");
    }
}

#[test]
fn a_column_of_numbers_is_predicted_as_a_number() {
    let site = Site::new();
    let mut draw = lots();
    let mut csv = "rooms,area,town,rent\n".to_owned();
    for _ in 0..200 {
        let (rooms, area) = (1 + draw(5), 20 + draw(100));
        let town = ["Bern", "Basel"][usize::try_from(draw(2)).unwrap()];
        let _ = writeln!(csv, "{rooms},{area},{town},{}.5", 300 * rooms + 12 * area);
    }
    site.write("rents.csv", &csv);
    let result = apply(&site, &["rents.csv", "--target", "rent"], "rents.yaml");
    let r2 = result["metrics"]["evaluate"]["r2"].as_f64();
    assert!(r2.is_some_and(|r2| r2 > 0.8), "{result}");
    let manifest = fs::read_to_string(site.path("rents.yaml")).unwrap();
    assert!(manifest.contains("task: regression") && manifest.contains("target: rent"));
    let wrong = site.run(&[
        "init",
        "rents.csv",
        "--out",
        "b.yaml",
        "--target",
        "town",
        "--task",
        "regression",
    ]);
    assert_eq!(wrong.code(), Some(1));
    assert!(wrong.err().contains("`town` holds no numbers"), "{}", wrong.err());
}

#[test]
fn numbers_with_decimal_commas_are_learned_from_and_predicted() {
    let site = Site::new();
    let mut draw = lots();
    let mut csv = "nr;Fläche (m²);tag;preis\n".to_owned();
    for row in 0..300 {
        let (tenths, day) = (200 + draw(1_000), 1 + draw(28));
        let price = 50 * tenths;
        let area =
            if row % 20 == 7 { "NA".into() } else { format!("{},{}", tenths / 10, tenths % 10) };
        let shown = format!("{}.{:03},50", price / 1_000, price % 1_000);
        let _ = writeln!(csv, "{row};{area};{day}.{}.2026;{shown}", 1 + row % 12);
    }
    site.write("wohnungen.csv", &csv);
    let result = apply(&site, &["wohnungen.csv", "--target", "preis"], "wohnungen.yaml");
    let r2 = result["metrics"]["evaluate"]["r2"].as_f64();
    assert!(r2.is_some_and(|r2| r2 > 0.8), "{result}");
    let manifest = fs::read_to_string(site.path("wohnungen.yaml")).unwrap();
    assert!(manifest.contains("nulls: [\"\",\"NA\"]"), "{manifest}");
    assert!(manifest.contains("Days or times are text"), "{manifest}");
    let rows = "nr,Fläche (m²),tag\n1,\"20,5\",1.1.2026\n2,\"110,0\",1.1.2026\n";
    site.write("neu.csv", rows);
    let ran = site.run(&["predict", "out/wohnungen", "neu.csv", "-o", "json"]);
    assert_eq!(ran.code(), Some(0), "{}", ran.err());
    let said = |line: &str| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        row["prediction"].as_f64().unwrap()
    };
    let prices: Vec<f64> = ran.out().lines().map(said).collect();
    let is_near = |price: f64, wanted: f64| (price - wanted).abs() < 8_000.0;
    assert!(is_near(prices[0], 10_250.0) && is_near(prices[1], 55_000.0), "{prices:?}");
}

#[test]
fn free_text_is_learned_by_a_model_of_texts() {
    let site = Site::new();
    let mut draw = lots();
    let mut pick = |count: u64| usize::try_from(draw(count)).unwrap();
    // Each team has words of its own among many that tell nothing.
    let kinds = ["bill", "post", "help", "menu", "sale", "data", "tour", "club"];
    let mut csv = "nr,note,team\n".to_owned();
    for row in 0..800 {
        let kind = pick(8);
        let own = ["lo", "ra", "mi", "tek"].map(|end| format!("{}{end}", kinds[kind]));
        let mut note: Vec<String> =
            (0..8).map(|_| format!("w{}{}", ["a", "e", "i", "o"][pick(4)], pick(400))).collect();
        note[pick(8)].clone_from(&own[pick(4)]);
        let _ = writeln!(csv, "{row},{},{}", note.join(" "), kinds[kind]);
    }
    site.write("tickets.csv", &csv);
    let result = apply(&site, &["tickets.csv", "--target", "team"], "tickets.yaml");
    assert!(accuracy(&result) >= 0.9, "{result}");
    let manifest = fs::read_to_string(site.path("tickets.yaml")).unwrap();
    assert!(manifest.contains("- tokenize: { column: note, "), "{manifest}");
    assert!(manifest.contains("kind: text"), "{manifest}");
    site.write("new.csv", "nr,note\n1,we see a billtek here\n");
    let said = site.run(&["predict", "out/tickets", "new.csv", "-o", "json"]).last();
    assert_eq!(said["prediction"], "bill", "{said}");
}

#[test]
fn a_text_is_learned_by_a_small_language_model() {
    let site = Site::new();
    let mut draw = lots();
    let mut pick = |words: &[&'static str]| words[usize::try_from(draw(4)).unwrap()];
    let mut text = String::new();
    for _ in 0..600 {
        let (who, does) = (
            pick(&["the cat", "a dog", "the old man", "my friend"]),
            pick(&["sees", "hears", "finds", "likes"]),
        );
        let what = pick(&["a bird", "the moon", "some bread", "a song"]);
        let _ = writeln!(text, "{who} {does} {what}, and {who} is glad.");
    }
    site.write("story.txt", &text);
    let result = apply_with(&site, &["story.txt"], &["story.yaml", "-p", "epochs=4"]);
    // Tokens by chance: a line has four places at each of which there are four ways.
    let perplexity = result["metrics"]["evaluate"]["perplexity"].as_f64();
    assert!(perplexity.is_some_and(|found| found < 3.0), "{result}");
    let wrote = site.run(&["generate", "out/story", "--prompt", "the cat"]);
    assert_eq!(wrote.code(), Some(0), "{}", wrote.err());
}

#[test]
fn other_formats_are_read_as_what_they_are() {
    let site = Site::new();
    let mut draw = lots();
    let (mut json, mut semicolons) = (String::new(), "length;width;kind\n".to_owned());
    for row in 0..120u64 {
        let (length, kind) = (10 * (row % 3) + draw(8), ["a", "b", "c"][row as usize % 3]);
        let width = draw(30);
        let _ =
            writeln!(json, "{{\"length\": {length}, \"width\": {width}, \"kind\": \"{kind}\"}}");
        let _ = writeln!(semicolons, "{length};{width};{kind}");
    }
    site.write("rows.jsonl", &json);
    site.write("cells.csv", &semicolons);
    assert!(accuracy(&apply(&site, &["rows.jsonl"], "rows.yaml")) > 0.7);
    assert!(accuracy(&apply(&site, &["cells.csv"], "cells.yaml")) > 0.7);
    let manifest = fs::read_to_string(site.path("cells.yaml")).unwrap();
    assert!(manifest.contains("csv: { delimiter: \";\" }"), "{manifest}");
}

#[test]
fn two_manifests_for_the_same_data_are_two_pipelines() {
    let site = Site::new();
    for out in ["flowers.yaml", "widths.yaml"] {
        assert_eq!(site.run(&["init", "data/iris.csv", "--out", out]).code(), Some(0));
    }
    let both = site.run(&["validate", "flowers.yaml", "widths.yaml"]);
    assert_eq!(both.out(), "flowers.yaml: sound\nwidths.yaml: sound\n");
    let manifest = fs::read_to_string(site.path("widths.yaml")).unwrap();
    assert!(
        manifest.contains("name: widths") && manifest.contains("to: out/widths/"),
        "{manifest}"
    );
}

#[test]
fn where_one_class_is_rare_the_others_do_not_outweigh_it() {
    let site = Site::new();
    let mut draw = lots();
    let mut csv = "a,b,churned\n".to_owned();
    for row in 0..600u64 {
        // One in thirty leaves, of those with high values.
        let leaves = row % 30 == 0;
        let (a, b) = (draw(50) + if leaves { 25 } else { 0 }, draw(50));
        let _ = writeln!(csv, "{a},{b},{}", if leaves { "yes" } else { "no" });
    }
    site.write("churn.csv", &csv);
    let result = apply(&site, &["churn.csv"], "churn.yaml");
    let manifest = fs::read_to_string(site.path("churn.yaml")).unwrap();
    assert!(manifest.contains("classWeights: balanced"), "{manifest}");
    assert!(manifest.contains("metric: f1"), "{manifest}");
    // What whoever learns nothing gets stands beside what the model does.
    let again = site.run(&["apply", "churn.yaml"]);
    assert!(again.out().contains("(baseline 0.9"), "{}", again.out());
    assert!(result["metrics"]["evaluate"]["f1"].is_number(), "{result}");
    let even = site.run(&["init", "data/iris.csv", "--out", "-"]).out();
    assert!(!even.contains("classWeights") && !even.contains("f1"), "{even}");
}

#[test]
fn what_is_no_table_is_refused_with_what_to_do() {
    let site = Site::new();
    let check = |args: &[&str], code, says: &[&str]| {
        let ran = site.run(&[&["init"], args].concat());
        assert_eq!(ran.code(), Some(code), "{args:?}: {}{}", ran.out(), ran.err());
        says.iter().for_each(|part| assert!(ran.err().contains(part), "{part}: {}", ran.err()));
    };
    site.write("ragged.csv", "a,b\n1,2\n1,2,3\n");
    site.write("picture.parquet", "PAR1xxxx");
    check(&["none.csv"], 1, &["cannot read none.csv", "hint: "]);
    check(&["ragged.csv"], 1, &["ragged.csv: ", "line 3", "hint: "]);
    check(&["picture.parquet"], 1, &["picture.parquet: ", "hint: "]);
    check(&["data/iris.csv", "--target", "colour"], 1, &["no column `colour`", "`species`"]);
    check(&["data/iris.csv", "--task", "guess"], 64, &["classification"]);
    assert!(!site.path("iris.yaml.new").exists() && !site.path("ragged.yaml").exists());
}
