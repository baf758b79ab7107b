//! Published files: what was changed after it was published is refused, and what a log knows of
//! them is told. Never trusts a card that was written by hand.

use crate::site::Site;
use serde_json::Value;
use std::fs;

const MODEL: &str = "out/iris/model.safetensors";
const CARD: &str = "out/iris/card.json";

/// Another model: a bit of its last number is turned, which changes it a little.
fn alter(site: &Site) {
    let mut bytes = fs::read(site.path(MODEL)).unwrap();
    let at = bytes.len() - 2;
    bytes[at] ^= 1;
    fs::write(site.path(MODEL), bytes).unwrap();
}

fn digest(site: &Site) -> String {
    blake3::hash(&fs::read(site.path(MODEL)).unwrap()).to_hex().to_string()
}

#[test]
fn a_published_file_is_what_its_card_and_the_log_say() {
    let site = Site::new();
    site.json(&["apply", "iris.yaml", "-o", "json"]);
    for named in ["out/iris", "out/iris/", MODEL, CARD] {
        let said = site.json(&["verify", named, "-o", "json"]);
        assert_eq!((&said["ok"], &said["log"]), (&true.into(), &"settled".into()), "{said}");
        assert_eq!(said["digest"], digest(&site), "{said}");
        assert!(said["lease"].as_str().unwrap().starts_with("run-1/"), "{said}");
    }
    let people = site.run(&["verify", "out/iris"]);
    assert!(people.out().contains("settled as run-1/"), "{}", people.out());

    // A home that knows nothing of it says so, and no more.
    let mut elsewhere = site.command(&["verify", "out/iris", "-o", "json"]);
    let ran = elsewhere.env("OHC_HOME", site.path("other")).output().unwrap();
    let said: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!((ran.status.code(), &said["log"]), (Some(0), &"absent".into()), "{said}");

    // Other metrics than were measured.
    let card = fs::read_to_string(site.path(CARD)).unwrap();
    let accuracy = card.lines().find(|line| line.contains("\"accuracy\"")).unwrap();
    site.write(CARD, &card.replace(accuracy, "    \"accuracy\": 0.5,"));
    let said = site.run(&["verify", "out/iris", "-o", "json"]);
    assert_eq!((said.code(), &said.last()["log"]), (Some(3), &"otherMetrics".into()));
    site.write(CARD, &card);

    // Another model, and a card that was made to fit it.
    let before = digest(&site);
    alter(&site);
    let said = site.run(&["verify", "out/iris"]);
    assert_eq!(said.code(), Some(3), "{}", said.out());
    assert!(said.err().contains("is not what was published"), "{}", said.err());
    site.write(CARD, &card.replace(&before, &digest(&site)));
    let said = site.run(&["verify", "out/iris", "-o", "json"]);
    assert_eq!((said.code(), &said.last()["log"]), (Some(3), &"unknown".into()));
    assert_eq!(site.run(&["verify", "data"]).code(), Some(1));
}

#[test]
fn a_model_that_was_changed_predicts_nothing() {
    let site = Site::new();
    site.json(&["apply", "iris.yaml", "-o", "json"]);
    let predict = |model: &str| site.run(&["predict", model, "data/iris.csv", "--keep", ""]);
    let right = predict("out/iris");
    assert_eq!(right.code(), Some(0), "{}", right.err());
    alter(&site);
    for named in ["out/iris", MODEL] {
        let ran = predict(named);
        assert_eq!((ran.code(), ran.out().as_str()), (Some(3), ""), "{}", ran.err());
        assert!(ran.err().contains("is not what was published"), "{}", ran.err());
        assert!(ran.err().contains("hint: "), "{}", ran.err());
    }
    // Without a card nothing says what it should be; with a broken one neither.
    fs::copy(site.path(MODEL), site.path("alone.safetensors")).unwrap();
    assert_eq!(predict("alone.safetensors").code(), Some(0));
    site.write(CARD, "{");
    let ran = predict("out/iris");
    assert_eq!(ran.code(), Some(3), "{}", ran.err());
    assert!(ran.err().contains("card.json is damaged"), "{}", ran.err());
    // What the advice says helps.
    fs::remove_file(site.path(CARD)).unwrap();
    fs::remove_file(site.path(MODEL)).unwrap();
    site.json(&["apply", "iris.yaml", "-o", "json"]);
    assert_eq!(predict("out/iris").out(), right.out());
}
