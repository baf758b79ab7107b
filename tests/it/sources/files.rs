//! Sources of several files, in folders of this machine. Never reads a file that is not asked for.

use super::{from, thirds};
use crate::site::Site;

#[test]
fn a_pattern_and_a_folder_read_their_files_in_the_order_of_names() {
    let site = Site::new();
    thirds(&site, "parts");
    std::fs::remove_file(site.path("parts/notes.txt")).unwrap();
    let whole = site.json(&["plan", "iris.yaml", "-o", "json"]);
    let work = |plan: &serde_json::Value| plan["totals"]["work"].clone();
    for url in ["parts/a-*.csv", "parts/", "parts/a-[123].csv", "parts/{a-1,a-2,a-3}.csv"] {
        from(&site, "parts.yaml", url);
        let plan = site.json(&["plan", "parts.yaml", "-o", "json"]);
        assert_eq!(work(&plan), work(&whole), "{url}: as many rows as in one file");
    }
    let file = format!("file://{}/a-*.csv", site.path("parts").display());
    from(&site, "parts.yaml", &file);
    let first = site.json(&["apply", "parts.yaml", "-o", "json"]);
    assert_eq!(first["status"], "settled");
    let lock: serde_json::Value =
        serde_json::from_slice(&std::fs::read(site.path("ohc.lock")).unwrap()).unwrap();
    let flowers = &lock["pipelines"]["iris"]["flowers"];
    assert_eq!((&flowers["files"], &flowers["rows"]), (&3.into(), &150.into()), "{lock}");
    // The same rows in the same order are the same model, wherever they lie.
    from(&site, "parts.yaml", "parts/");
    assert_eq!(site.json(&["plan", "parts.yaml", "-o", "json"])["changes"], false);
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let site = Site::new();
    thirds(&site, "parts");
    site.write("parts/a-9.csv", "other,columns\n1,2\n");
    from(&site, "parts.yaml", "parts/a-*.csv");
    let ran = site.run(&["plan", "parts.yaml"]);
    assert_eq!(ran.code(), Some(1));
    assert!(ran.err().contains("parts.yaml:21:5"), "{}", ran.err());
    assert!(ran.err().contains("a-9.csv") && ran.err().contains("columns"), "{}", ran.err());
}

#[test]
fn a_file_that_changed_is_read_again_and_one_that_did_not_is_remembered() {
    let site = Site::new();
    site.json(&["apply", "iris.yaml", "-o", "json"]);
    assert_eq!(std::fs::read_dir(site.path("home/pins")).unwrap().count(), 1);
    let table = std::fs::read_to_string(site.path("data/iris.csv")).unwrap();
    // As long as before, and another flower.
    site.write("data/iris.csv", &table.replacen("5.1", "5.2", 1));
    let plan = site.json(&["plan", "iris.yaml", "-o", "json"]);
    assert_eq!(plan["changes"], true);
    assert_eq!(std::fs::read_dir(site.path("home/pins")).unwrap().count(), 1);
    // A record that is damaged is as good as none.
    let record = std::fs::read_dir(site.path("home/pins")).unwrap().next().unwrap().unwrap();
    std::fs::write(record.path(), b"no record").unwrap();
    assert_eq!(site.json(&["plan", "iris.yaml", "-o", "json"]), plan);
}

#[test]
fn credentials_in_an_address_are_refused_before_anybody_is_asked() {
    let site = Site::new();
    from(&site, "secret.yaml", "s3://AKIAEXAMPLE:hunter2@lake/iris.csv");
    let ran = site.run(&["plan", "secret.yaml"]);
    assert_eq!(ran.code(), Some(1));
    for expect in ["secret.yaml:21:5", "a credential stands in the address", "secretRef"] {
        assert!(ran.err().contains(expect), "{}", ran.err());
    }
}
