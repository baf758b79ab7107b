//! The manifests of the project: each does what its comments promise. Never looks inside: the
//! program is run as its reader would run it.

use crate::site::{Site, python};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;

/// Applies one of the manifests, which must settle.
#[track_caller]
fn apply(site: &Site, args: &[&str]) -> Value {
    let result = site.json(&[&["apply"], args, &["-o", "json"]].concat());
    assert_eq!(result["kind"], "RunResult", "{result}");
    result
}

/// A metric of a result.
#[track_caller]
fn metric(result: &Value, stage: &str, name: &str) -> f64 {
    let value = result["metrics"][stage][name].as_f64();
    value.unwrap_or_else(|| panic!("no {stage}.{name} in {result}"))
}

#[test]
fn digits_are_read_as_well_as_promised() {
    let site = Site::of_all();
    let result = apply(&site, &["digits.yaml"]);
    assert_eq!(result["status"], "settled");
    let accuracy = metric(&result, "evaluate", "accuracy");
    assert!(accuracy >= 0.95, "held-out accuracy {accuracy}");
    let model = fs::read(site.path("out/digits/model.safetensors")).unwrap();
    assert_eq!(
        result["outputs"]["model"]["digest"],
        ohc::base::canon::Digest::of(&model).to_string()
    );
    // The comments say that another width works on the same split, and it does.
    let other = apply(&site, &["digits.yaml", "-p", "width=16", "-p", "epochs=2"]);
    assert_eq!(other["blocks"]["cached"], 1, "{other}");
    assert_eq!(apply(&site, &["digits.yaml"])["status"], "unchanged");
}

#[test]
fn digits_are_learned_fast_as_well_as_promised() {
    let site = Site::of_all();
    let result = apply(&site, &["fast.yaml"]);
    assert_eq!(result["status"], "settled");
    let accuracy = metric(&result, "evaluate", "accuracy");
    assert!(accuracy > 0.95, "held-out accuracy {accuracy}");
}

#[test]
fn digits_are_read_better_by_a_network_for_images() {
    let site = Site::of_all();
    let result = apply(&site, &["digits-cnn.yaml"]);
    assert_eq!(result["status"], "settled");
    let accuracy = metric(&result, "evaluate", "accuracy");
    assert!(accuracy >= 0.98, "held-out accuracy {accuracy}");
    let card = fs::read_to_string(site.path("out/digits-cnn/README.md")).unwrap();
    let norms = ["norm of the batch", "norm of 4 groups"];
    for part in [&norms[..], &["images of 8 × 8 × 1 with ReLU", "sliding_window_view"]].concat() {
        assert!(card.contains(part), "{part:?} is not in the card:\n{card}");
    }
    // The code of the card, in numpy, says the same of every row.
    let model = site.path("out/digits-cnn/model.safetensors");
    let said = site.run(&["predict", "out/digits-cnn", "data/digits.csv", "--probabilities"]);
    site.write("said.csv", &said.out());
    let card = site.path("out/digits-cnn/README.md");
    let mut peer = python("forward.py");
    let ran = peer.args([card, model, site.path("said.csv")]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "1797\n");
    let other = apply(&site, &["digits-cnn.yaml", "-p", "filters=4", "-p", "epochs=1"]);
    assert_eq!(other["status"], "settled");
}

#[test]
fn shapes_in_files_are_told_apart() {
    let site = Site::of_all();
    let result = apply(&site, &["shapes.yaml"]);
    assert_eq!(result["status"], "settled");
    let accuracy = metric(&result, "evaluate", "accuracy");
    assert!(accuracy >= 0.9, "held-out accuracy {accuracy}");
    assert_eq!(metric(&result, "table", "rows"), 120.0);
    assert_eq!(apply(&site, &["shapes.yaml"])["status"], "unchanged");
    pictures_are_asked_about_as_they_are(&site);
    // What is no picture is named, or left out where the manifest says so.
    site.write("data/shapes/ring/40.png", "no picture");
    let ran = site.run(&["plan", "shapes.yaml"]);
    let told = format!("{}{}", ran.out(), ran.err());
    assert!(told.contains("ring/40.png: image 121 is no PNG"), "{told}");
    let manifest = fs::read_to_string(site.path("shapes.yaml")).unwrap();
    let skipping = manifest.replace("format: png,", "format: png, onBadRow: skip,");
    site.write("shapes.yaml", &skipping);
    let result = apply(&site, &["shapes.yaml", "-p", "epochs=1"]);
    assert_eq!(metric(&result, "table", "badRows"), 1.0);
}

/// One file, or all below a folder.
fn pictures_are_asked_about_as_they_are(site: &Site) {
    let one = site.run(&["predict", "out/shapes", "data/shapes/ring/00.png"]);
    assert!(one.out().starts_with("file,prediction\n00.png,"), "{}{}", one.out(), one.err());
    let all = site.run(&["predict", "out/shapes", "data/shapes", "-o", "json"]);
    let said: Vec<Value> = all.out().lines().map(|x| serde_json::from_str(x).unwrap()).collect();
    assert_eq!(said.len(), 120, "{}", all.err());
    // The folders come in the order of their names, 40 files each.
    let shown = |row: usize| ["box", "cross", "ring"][row / 40];
    let right = said.iter().enumerate().filter(|(row, said)| said["prediction"] == shown(*row));
    assert!(right.count() >= 108, "{}", all.out());
    assert_eq!(said[41]["file"], "01.png");
    let sure = ["predict", "out/shapes", "data/shapes/box", "--keep", "", "--probabilities"];
    assert!(site.run(&sure).out().starts_with("prediction,p(box),p(cross),p(ring)\n"));

    let refused = |args: &[&str], code: i32, words: &str| {
        let ran = site.run(&[&["predict"], args].concat());
        assert_eq!(ran.code(), Some(code), "{}", ran.out());
        assert!(ran.err().contains(words) && ran.err().contains("hint: "), "{}", ran.err());
    };
    // Two pixels beside each other.
    let two = "89504e470d0a1a0a0000000d4948445200000002000000010800000000d14920560000\
               000b49444154789c631050000000430031eaddb3cd0000000049454e44ae426082";
    let bytes =
        (0..two.len()).step_by(2).map(|at| u8::from_str_radix(&two[at..at + 2], 16).unwrap());
    fs::write(site.path("two.png"), bytes.collect::<Vec<u8>>()).unwrap();
    refused(&["out/shapes", "two.png"], 1, "the picture has 2 values, but the model reads 256");
    site.write("none.png", "no picture");
    refused(&["out/shapes", "none.png"], 1, "none.png: image 1 is no PNG");
    fs::create_dir(site.path("empty")).unwrap();
    refused(&["out/shapes", "empty"], 1, "no PNG file lies below this folder");
    refused(&["out/shapes", "-", "--format", "png"], 64, "--format png");
    site.json(&["apply", "iris.yaml", "-o", "json"]);
    refused(&["out/iris", "two.png"], 1, "not pictures");
}

#[test]
fn many_texts_are_embedded_side_by_side() {
    let site = Site::of_all();
    let result = apply(&site, &["reviews-shares.yaml"]);
    assert_eq!(result["status"], "settled");
    let accuracy = metric(&result, "evaluate", "accuracy");
    assert!(accuracy >= 0.8, "held-out accuracy {accuracy}");
    let run = result["run"].as_str().unwrap();
    let jobs = site.json(&["get", "jobs", run, "-o", "json"]);
    let jobs = jobs["items"].as_array().unwrap().iter().map(|job| job["job"].as_str().unwrap());
    let shares: Vec<&str> = jobs.filter(|job| job.starts_with("embed#")).collect();
    assert_eq!(shares.len(), 8, "{shares:?}");
    let again = apply(&site, &["reviews-shares.yaml", "-p", "mode=fast"]);
    assert_eq!(again["status"], "settled");
    assert_eq!(metric(&again, "evaluate", "accuracy"), accuracy, "without a card it is exact");
}

#[test]
fn who_paid_is_read_from_the_order_of_the_words() {
    let site = Site::of_all();
    let result = apply(&site, &["payments.yaml"]);
    assert_eq!(result["status"], "settled");
    let accuracy = |stage: &str| metric(&result, stage, "accuracy");
    let (order, mean) = (accuracy("by-order"), accuracy("by-mean"));
    assert!(order >= 0.95, "held-out accuracy {order}");
    assert!(mean <= 0.7, "the mean of the words cannot know: {mean}");
    let card = fs::read_to_string(site.path("out/payments/README.md")).unwrap();
    assert!(card.contains("1 blocks with 4 heads, 32 wide, that look at all of a text"), "{card}");
    // The code of the card, in numpy, says the same of the rows that it was trained on.
    let model = site.path("out/payments/model.safetensors");
    let mut peer = python("forward.py");
    let card = site.path("out/payments/README.md");
    let ran = peer.args([card, model, site.path("out/payments/said/table.csv")]).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "480\n");
}

#[test]
fn digits_are_learned_by_four_shards_at_once() {
    let site = Site::of_all();
    let result = apply(&site, &["digits-parallel.yaml"]);
    assert_eq!(result["status"], "settled");
    let accuracy = metric(&result, "evaluate", "accuracy");
    assert!(accuracy >= 0.93, "held-out accuracy {accuracy}");
    assert!(metric(&result, "train", "epochs") > 5.0, "{}", result["metrics"]["train"]);
    assert!(site.path("out/digits-parallel/model.safetensors").exists());
}

#[test]
fn shards_that_say_less_learn_the_digits_as_well_and_move_half_of_the_bytes() {
    let site = Site::of_all();
    let learned = |args: &[&str]| {
        let result = apply(&site, args);
        assert_eq!(result["status"], "settled");
        let accuracy = metric(&result, "evaluate", "accuracy");
        assert!(accuracy >= 0.93, "held-out accuracy {accuracy}");
        let run = result["run"].as_str().unwrap().to_owned();
        let jobs = site.json(&["get", "jobs", &run, "-o", "json"]);
        let jobs = jobs["items"].as_array().unwrap();
        let is_last = |job: &&Value| job["job"] == "train#round 8/8 shard 2/4";
        let block = jobs.iter().find(is_last).unwrap()["block"].as_str().unwrap();
        let why = site.json(&["why", block, "-o", "json"]);
        let items = why["items"].as_array().unwrap();
        let stored = items.iter().find(|item| item["what"] == "stored").unwrap();
        (stored["read"].as_u64().unwrap(), stored["given"].as_u64().unwrap())
    };
    let less = learned(&["digits-deltas.yaml"]);
    let all = learned(&["digits-deltas.yaml", "-p", "deltas=float32"]);
    // Of twelve bytes of a parameter four are given, with what is left over, and eight read: the
    // rows, which both read, are most of the inputs.
    let of_twelve = |bytes: u64| bytes as f64 * 12.0 / all.1 as f64;
    let (given, saved) = (of_twelve(less.1), of_twelve(all.0 - less.0));
    assert!((3.9..4.2).contains(&given) && (3.8..4.0).contains(&saved), "{less:?} of {all:?}");
    assert!(site.path("out/digits-deltas/model.safetensors").exists());
}

#[test]
fn a_sweep_of_a_hundred_cells_is_compared_in_a_chart() {
    let site = Site::of_all();
    let result = apply(&site, &["sweep.yaml"]);
    assert_eq!(result["status"], "settled");
    let epochs = |cell: &str| metric(&result, &format!("train@{cell}"), "epochs");
    assert!(epochs("width=16,lr=0.3,seed=1") < 100.0, "a quick cell ends early");
    assert!(metric(&result, "compare", "instances") >= 100.0, "{}", result["metrics"]["compare"]);
    let best = metric(&result, "compare", "best");
    assert!(best >= 0.95, "the best of a hundred has an accuracy of {best}");
    let last = metric(&result, "judge", "accuracy");
    assert!(last >= 0.9, "on rows that chose nothing it has {last}");
    let chart = fs::read_to_string(site.path("out/sweep/chart/chart.svg")).unwrap();
    for part in ["<svg", "<title>accuracy by lr</title>", "width = 16", "</svg>"] {
        assert!(chart.contains(part), "{part:?} is not in the chart:\n{chart}");
    }
    // A part of the sweep is cached as a whole: only what puts it side by side runs.
    let part = apply(&site, &["sweep.yaml", "-p", "widths=2,4", "-p", "rates=0.01"]);
    assert_eq!(metric(&part, "compare", "instances"), 10.0);
    let plan = site.json(&["plan", "sweep.yaml", "-p", "widths=2", "-o", "json"]);
    let jobs = plan["jobs"].as_array().unwrap();
    let trained = jobs.iter().filter(|job| job["job"].as_str().unwrap().starts_with("train@"));
    assert!(trained.clone().count() == 25 && trained.into_iter().all(|job| job["why"] == "cached"));
}

#[test]
fn a_sweep_whose_losers_are_stopped_costs_a_third_and_gives_the_same_model_to_all() {
    let run = |workers: &str| {
        let site = Site::of_all();
        let result = site.json(&["apply", "halving.yaml", "--workers", workers, "-o", "json"]);
        assert_eq!(result["status"], "settled");
        let accuracy = metric(&result, "judge", "accuracy");
        assert!(accuracy >= 0.94, "held-out accuracy {accuracy}");
        (site, result)
    };
    let (site, result) = run("2");
    assert_eq!(run("1").1["outputs"]["model"]["digest"], result["outputs"]["model"]["digest"]);
    let jobs = site.json(&["get", "jobs", "-o", "json"]);
    let trains = jobs["items"].as_array().unwrap().iter().filter(|job| job["stage"] == "train");
    let settled = trains.clone().filter(|job| job["state"] == "settled").count();
    assert_eq!((trains.count(), settled), (27, 13), "9, then 3 of them, then 1");
    // Once it is known who goes on, a plan knows it too: there is nothing left to do.
    let plan = site.json(&["plan", "halving.yaml", "-o", "json"]);
    let why = |job: &&Value| job["why"] != "cached" && job["action"] != "skip";
    assert_eq!(plan["jobs"].as_array().unwrap().iter().filter(why).count(), 0, "{plan}");
    // The same cells trained to their end, planned where nothing is known.
    let site = Site::of_all();
    let text = fs::read_to_string(site.path("halving.yaml")).unwrap();
    site.write("grid.yaml", &text.replace("kind: asha, first: 2, factor: 3", "kind: grid"));
    let high = |name: &str| {
        let plan = site.json(&["plan", name, "-o", "json"]);
        plan["price"]["high"].as_str().unwrap().parse::<f64>().unwrap()
    };
    let (halved, grid) = (high("halving.yaml"), high("grid.yaml"));
    assert!(halved < 0.4 * grid, "{halved} of {grid}");
}

#[test]
fn houses_are_priced_nearly_as_well_as_their_noise_allows() {
    let site = Site::of_all();
    let result = apply(&site, &["houses.yaml"]);
    assert_eq!(result["status"], "settled");
    // The noise is 2.2 % of the variance: nobody who has not seen the test rows gets beyond 0.985.
    let r2 = metric(&result, "evaluate", "r2");
    assert!((0.955..0.985).contains(&r2), "R² is {r2}");
    let rmse = metric(&result, "evaluate", "rmse");
    assert!((15.0..26.0).contains(&rmse), "the noise has a deviation of 18, the error {rmse}");
    let report = fs::read_to_string(site.path("out/houses/report/report.json")).unwrap();
    assert!(report.contains("r2"), "{report}");
}

/// Whether a delivery would be late if there were no chance in it: what `data/make.py` says.
fn is_late(row: &BTreeMap<&str, &str>) -> bool {
    let number = |name: &str| row[name].parse::<f64>().unwrap();
    let zones = ["harbour", "hills", "market", "old-town", "station"];
    let zone = zones.iter().position(|zone| *zone == row["zone"]).unwrap();
    let rush = ["8", "9", "17", "18", "19"].contains(&row["hour"]);
    let strain = 0.55 * number("km") + 0.3 * number("items") + 1.5 * zone as f64;
    strain + 3.5 * f64::from(rush) + 2.0 * f64::from(row["rain"] == "true") > 9.0
}

#[test]
fn deliveries_of_three_files_foretell_those_of_tomorrow() {
    let site = Site::of_all();
    let result = apply(&site, &["deliveries.yaml"]);
    assert_eq!(result["status"], "settled");
    assert_eq!(metric(&result, "features", "rows"), 2400.0, "rows of three files");
    let accuracy = metric(&result, "evaluate", "accuracy");
    assert!(accuracy >= 0.85, "{accuracy}");
    let table = fs::read_to_string(site.path("out/deliveries/forecasts/table.csv")).unwrap();
    let mut lines = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let head = lines.next().unwrap();
    let mut right = 0;
    let rows: Vec<BTreeMap<&str, &str>> =
        lines.map(|line| head.iter().copied().zip(line).collect()).collect();
    for row in &rows {
        let late: f64 = row["p(late)"].parse().unwrap();
        assert_eq!(row["prediction"] == "late", late > 0.5, "{row:?}");
        right += usize::from((row["prediction"] == "late") == is_late(row));
    }
    assert_eq!(rows.len(), 300);
    assert!(right >= 270, "only {right} of 300 are what they would be without chance");
    // Other rows tomorrow: nothing is trained again.
    fs::copy(site.path("data/deliveries/day-1.parquet"), site.path("data/tomorrow.parquet"))
        .unwrap();
    let plan = site.json(&["plan", "deliveries.yaml", "-o", "json"]);
    let jobs = plan["jobs"].as_array().unwrap();
    let run: Vec<&str> = jobs
        .iter()
        .filter(|job| job["action"] != "cached")
        .map(|job| job["stage"].as_str().unwrap())
        .collect();
    assert_eq!(run, ["open", "predict"]);
}

#[test]
fn tickets_are_given_to_the_team_that_answers_them_and_the_model_takes_raw_text() {
    let site = Site::of_all();
    let result = apply(&site, &["texts.yaml"]);
    assert_eq!(result["status"], "settled");
    let accuracy = metric(&result, "evaluate", "accuracy");
    assert!((0.9..0.99).contains(&accuracy), "{accuracy}");
    assert_eq!(metric(&result, "tokens", "vocabulary"), 384.0);
    let json = fs::read_to_string(site.path("out/texts/vocabulary/tokenizer.json")).unwrap();
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["model"]["vocab"].as_object().unwrap().len(), 384);
    let lines = "good morning - one of the keys is broken\nmy parcel has not arrived yet\n";
    fs::write(site.path("lines.txt"), lines).unwrap();
    let ran = site.run(&["predict", "out/texts/model", "lines.txt", "--keep", ""]);
    assert_eq!(ran.out(), "prediction\nrepair\ndelivery\n", "{}", ran.err());
}

#[test]
fn a_small_model_writes_in_the_manner_of_those_whom_it_has_read() {
    let site = Site::of_all();
    let result = apply(&site, &["writer.yaml"]);
    assert_eq!(result["status"], "settled");
    let perplexity = metric(&result, "evaluate", "perplexity");
    assert!((1.5..7.0).contains(&perplexity), "{perplexity}");
    let text = fs::read_to_string(site.path("out/writer/text/text.txt")).unwrap();
    let texts: Vec<&str> = text.trim_end().split("\n---\n").collect();
    assert!(texts.len() == 3 && texts.iter().all(|text| text.starts_with("my parcel")), "{text}");
    // By itself the program writes the first of them: the same settings, the same text.
    let args = ["--prompt", "my parcel", "--tokens", "120", "--temperature", "0.7", "--line"];
    let ran = site.run(&[&["generate", "out/writer/model"], &args[..], &["--seed", "4"]].concat());
    assert_eq!(ran.out().trim_end_matches('\n'), texts[0], "{}", ran.err());
    let none = site.run(&["generate", "out/writer"]);
    assert_eq!(none.code(), Some(1), "{}", none.out());
}

#[test]
fn sums_are_made_learned_asked_and_counted() {
    let site = Site::of_all();
    // What it learns of three digits takes a release build: see docs/benchmarks.md.
    let args = ["sums.yaml", "-p", "digits=1", "-p", "rows=100", "-p", "epochs=2"];
    assert_eq!(apply(&site, &args)["status"], "settled");
    let table = fs::read_to_string(site.path("out/sums/answers/table.csv")).unwrap();
    let rows: Vec<&str> = table.lines().skip(1).collect();
    let is_right = |row: &&&str| {
        let (question, said) = row.split_once(',').unwrap();
        let (a, b) = question.trim_end_matches('=').split_once('+').unwrap();
        let number = |text: &str| text.parse::<u32>().unwrap();
        said == format!("{:02}", number(a) + number(b))
    };
    let right = rows.iter().filter(is_right).count();
    let score = fs::read_to_string(site.path("out/sums/score/table.csv")).unwrap();
    let exact = score.lines().nth(1).and_then(|row| row.strip_prefix("2,")).unwrap();
    assert_eq!((rows.len(), exact.parse::<f64>()), (2, Ok(right as f64 / 2.0)), "{score}");
    // The same rows are made again.
    let plan = site.json(&[&["plan"], &args[..], &["-o", "json"]].concat());
    let jobs = plan["jobs"].as_array().unwrap();
    assert!(jobs.iter().all(|job| job["action"] == "cached"), "{plan}");
}

#[test]
fn what_is_broken_on_purpose_cannot_be_applied() {
    let site = Site::of_all();
    let ran = site.run(&["apply", "broken.yaml"]);
    assert_eq!(ran.code(), Some(1));
    assert!(ran.err().contains("broken.yaml: 17 faults"), "{}", ran.err());
    assert!(!site.path("home").exists(), "nothing was begun");
}
