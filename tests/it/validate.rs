//! `ohc validate` in each of its formats, byte by byte as agreed. `OHC_BLESS=1` rewrites the files.

use crate::site::Site;
use serde_json::Value;
use std::path::Path;

/// Compares what validating `broken.yaml` says with a committed file.
#[track_caller]
fn check(format: &str, ending: &str) -> String {
    let ran = Site::of_all().run(&["validate", "broken.yaml", "--format", format]);
    assert_eq!((ran.code(), ran.err().as_str()), (Some(1), ""), "{}", ran.out());
    let path = format!("{}/tests/data/validate/broken.{ending}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("OHC_BLESS").is_some_and(|value| value == "1") {
        std::fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
        std::fs::write(&path, ran.out()).unwrap();
    }
    let agreed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(agreed == ran.out(), "{path} differs; now:\n{}", ran.out());
    agreed
}

#[test]
fn people_see_each_fault_with_its_line_and_a_hint() {
    let text = check("text", "txt");
    assert!(text.lines().all(|line| line.chars().count() <= 120), "lines fit a terminal");
}

#[test]
fn programs_get_an_object_per_fault() {
    let said: Value = serde_json::from_str(&check("json", "json")).unwrap();
    assert_eq!(
        (&said["kind"], &said["version"], &said["ok"]),
        (&"Findings".into(), &1.into(), &false.into())
    );
    let faults = said["files"][0]["faults"].as_array().unwrap();
    assert!(faults.len() > 10);
    assert!(faults.iter().all(|fault| fault["line"].as_u64().is_some_and(|line| line > 0)));
}

#[test]
fn github_gets_a_command_per_fault() {
    let text = check("github", "github");
    assert!(text.lines().all(|line| line.starts_with("::error file=broken.yaml,line=")));
}

#[test]
fn a_file_that_is_no_manifest_is_a_fault_beside_those_of_the_others() {
    let site = Site::of_all();
    std::fs::write(site.path("binary.yaml"), b"\xff\xfe\0").unwrap();
    site.write("long.yaml", &"a: b\n".repeat(2 << 20));
    let files = ["validate", "none.yaml", "binary.yaml", "long.yaml", "iris.yaml", "broken.yaml"];
    let ran = site.run(&[&files[..], &["-o", "json"]].concat());
    assert_eq!((ran.code(), ran.err().as_str()), (Some(1), ""));
    let said: Value = serde_json::from_str(&ran.out()).unwrap();
    let first = |file: usize| said["files"][file]["faults"][0]["message"].as_str().unwrap();
    assert!(first(0).contains("No such file"), "{said}");
    assert!(first(1).contains("is not UTF-8 text"), "{said}");
    assert!(first(2).contains("has more than 262144 bytes"), "{said}");
    assert_eq!((&said["files"][3]["ok"], &said["files"][4]["ok"]), (&true.into(), &false.into()));
    let ran = site.run(&[&files[..], &["-o", "github"]].concat());
    assert!(ran.out().starts_with("::error file=none.yaml,line=1,col=1::"), "{}", ran.out());
    let ran = site.run(&files);
    assert!(ran.out().contains("iris.yaml: sound\n"), "{}", ran.out());
}
