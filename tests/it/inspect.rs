//! Looking: what `get`, `describe`, `why` and `ledger` show of a settled run, and that it adds up.
//! Never looks inside: the program is run as people run it.

use crate::site::{SUPPLY_NANO, Site, nano};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// A home in which iris was applied once.
fn applied() -> Site {
    let site = Site::new();
    site.json(&["apply", "iris.yaml", "-o", "json"]);
    site
}

#[track_caller]
fn check(site: &Site, args: &[&str], code: i32, says: &[&str]) {
    let ran = site.run(args);
    let (out, err) = (ran.out(), ran.err());
    assert_eq!(ran.code(), Some(code), "{args:?}\n{out}\n{err}");
    for part in says {
        assert!(out.contains(part) || err.contains(part), "{part:?} is not in:\n{out}\n{err}");
    }
    for line in out.lines().filter(|_| code == 0) {
        assert!(!line.ends_with(' '), "{args:?} ends a line in spaces: {line:?}");
    }
}

fn strings<'a>(items: &'a Value, field: &str) -> Vec<&'a str> {
    items.as_array().unwrap().iter().map(|item| item[field].as_str().unwrap()).collect()
}

#[test]
fn lists_have_every_form_and_pages() {
    let site = applied();
    for kind in ["runs", "stages", "blocks", "jobs", "artifacts", "accounts", "workers"] {
        let list = site.json(&["get", kind, "-o", "json"]);
        let items = list["items"].as_array().unwrap();
        assert!(!items.is_empty() && list["next"].is_null() && list["version"] == 1, "{list}");
        let names = site.run(&["get", kind, "-o", "name"]).out();
        let names: Vec<&str> = names.lines().collect();
        assert!(names.len() >= items.len(), "{kind}");
        for (form, says) in [("table", names[0]), ("wide", names[0]), ("yaml", "version: 1\n")] {
            check(&site, &["get", kind, "-o", form], 0, &[says]);
        }
        // Page by page it is the same list.
        let mut paged: Vec<Value> = Vec::new();
        let mut args = vec!["get".to_owned(), kind.to_owned()];
        args.extend(["-o", "json", "--limit", "2"].map(str::to_owned));
        loop {
            let page = site.json(&args.iter().map(String::as_str).collect::<Vec<_>>());
            paged.extend(page["items"].as_array().unwrap().iter().cloned());
            let Some(next) = page["next"].as_str() else { break };
            args.truncate(6);
            args.extend(["--after".to_owned(), next.to_owned()]);
        }
        assert_eq!(&paged, items, "{kind}");
    }
    check(&site, &["get", "blocks", "--after", "run-9/9"], 1, &["`run-9/9`", "hint: "]);
    check(&site, &["get", "jobs", "run-7"], 1, &["there is no run-7", "hint: `ohc get runs`"]);
    let jobs = site.json(&["get", "jobs", "latest", "-o", "json"]);
    let expect = ["table", "split", "train@width=16,seed=1"];
    assert_eq!(strings(&jobs["items"], "job")[..3], expect);
    let stages = site.json(&["get", "stages", "latest", "-o", "json"]);
    assert_eq!(strings(&stages["items"], "status"), ["done"; 4]);
    let artifacts = site.run(&["get", "artifacts", "-o", "name"]).out();
    assert!(artifacts.contains("run-1/split.train\n"), "{artifacts}");
}

#[test]
fn a_block_is_explained_from_its_offer_to_its_payment() {
    let site = applied();
    let why = site.json(&["why", "run-1/0", "-o", "json"]);
    let turns = strings(&why["items"], "what");
    let chain = [
        "offered",
        "considered",
        "leased",
        "delivered",
        "stored",
        "drawn",
        "judged",
        "settled",
        "paid",
    ];
    let mut at = 0;
    for word in chain {
        let found = turns[at..].iter().position(|turn| *turn == word);
        at += found.unwrap_or_else(|| panic!("{word} is not where it belongs: {turns:?}"));
    }
    let items = why["items"].as_array().unwrap();
    let heights: Vec<u64> = items.iter().map(|item| item["height"].as_u64().unwrap()).collect();
    assert!(heights.is_sorted(), "{heights:?}");
    let stored = items.iter().find(|item| item["what"] == "stored").unwrap();
    assert!(stored["bytes"].as_u64() > stored["artifacts"].as_u64(), "{stored}");
    let [bytes, read, given, moved] =
        ["bytes", "read", "given", "moved"].map(|field| stored[field].as_u64().unwrap());
    assert!(read > 0 && given > 0 && given <= bytes && moved == read + given, "{stored}");
    // The award follows from what is shown: the least sum of score and queue wins.
    let considered = items.iter().find(|item| item["what"] == "considered").unwrap();
    let leased = items.iter().find(|item| item["what"] == "leased").unwrap();
    assert_eq!(considered["winner"], leased["worker"]);
    assert_eq!(considered["price"], leased["price"]);
    let bids = considered["bids"].as_array().unwrap();
    let rank =
        |bid: &Value| bid["score"].as_str().map(|_| nano(&bid["score"]) + nano(&bid["queue"]));
    let least = bids.iter().filter_map(rank).min();
    let winner = bids.iter().find(|bid| bid["worker"] == considered["winner"]).unwrap();
    assert_eq!(rank(winner), least, "{considered}");
    // What was paid is what was settled.
    let settled = items.iter().find(|item| item["what"] == "settled").unwrap();
    let paid: u128 = items
        .iter()
        .filter(|item| item["what"] == "paid" && item["from"] == "reserve run-1/0")
        .filter(|item| item["to"] != "escrow run-1")
        .map(|item| nano(&item["amount"]))
        .sum();
    assert_eq!(paid, nano(&settled["reward"]) + nano(&settled["gas"]));
    check(&site, &["why", "run-1/0"], 0, &["run-1/0 table+split: worker-", "won by worker-"]);
    check(&site, &["why", "run-1"], 1, &["many blocks", "hint: "]);
}

#[test]
fn a_job_is_explained_by_the_parts_of_its_key() {
    let site = applied();
    check(&site, &["why", "split"], 0, &["run-1/split was computed by", "had no run before"]);
    site.vary("iris.yaml", "lr: 0.01", "lr: 0.02");
    site.json(&["apply", "iris.yaml", "-o", "json"]);
    let cached = site.json(&["why", "run-2/split", "-o", "json"]);
    assert_eq!((&cached["fate"], &cached["against"]), (&json!("cached"), &json!("run-1")));
    assert_eq!(strings(&cached["items"], "is"), ["same", "same"]);
    let ran = site.json(&["why", "train@width=16,seed=1", "-o", "json"]);
    assert_eq!(ran["fate"], "ran");
    assert_eq!(ran["items"][0]["changed"], json!(["optimizer"]));
    assert_eq!(ran["items"][1]["is"], "same");
    let evaluate = site.json(&["why", "latest/evaluate", "-o", "json"]);
    let changed: Vec<&Value> = evaluate["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|item| item["is"] == "changed")
        .collect();
    assert_eq!(changed.len(), 4, "every model is another one: {evaluate}");
    assert!(changed.iter().all(|item| item["before"] != item["now"] && item["now"].is_string()));
    let text = site.run(&["why", "evaluate"]).out();
    assert!(text.contains("compared with run-1: input changed: models["), "{text}");
    check(&site, &["why", "train"], 1, &["`train` has 4 jobs", "train@width=32,seed=2"]);
    check(&site, &["why", "trian"], 1, &["nothing here is called `trian`", "hint: "]);
}

#[test]
fn an_account_is_explained_to_the_last_nano() {
    let site = applied();
    let accounts = site.json(&["get", "accounts", "-o", "json"]);
    for item in accounts["items"].as_array().unwrap() {
        let name = item["name"].as_str().unwrap();
        let why = site.json(&["why", name, "-o", "json"]);
        let turns = why["items"].as_array().unwrap();
        if let Some(last) = turns.last() {
            assert_eq!(last["balance"], item["balance"], "{name}");
        }
        let by_key = site.json(&["why", &item["key"].as_str().unwrap()[..12], "-o", "json"]);
        assert_eq!(by_key, why);
    }
    check(
        &site,
        &["why", "client"],
        0,
        &["client began with 66492272.00 OhC", "locked for run-1 iris"],
    );
    check(&site, &["why", "worker-1"], 0, &["transferred from client to worker-1", "at risk for"]);
}

#[test]
fn the_ledger_is_double_entry_and_adds_up_to_the_supply() {
    let site = applied();
    let ledger = site.json(&["ledger", "-o", "json"]);
    let totals = &ledger["totals"];
    let parts = ["balances", "pending", "stakes", "treasury", "burned"];
    let sum: u128 = parts.iter().map(|part| nano(&totals[*part])).sum();
    assert_eq!((sum, nano(&totals["supply"])), (SUPPLY_NANO, SUPPLY_NANO));
    // A book that is kept apart: what the genesis gave, and every posting since.
    let mut book: BTreeMap<&str, i128> = BTreeMap::from([("client", 66_492_272_000_000_000)]);
    for item in ledger["items"].as_array().unwrap() {
        let amount = i128::try_from(nano(&item["amount"])).unwrap();
        *book.entry(item["from"].as_str().unwrap()).or_default() -= amount;
        *book.entry(item["to"].as_str().unwrap()).or_default() += amount;
    }
    let accounts = site.json(&["get", "accounts", "-o", "json"]);
    for item in accounts["items"].as_array().unwrap() {
        let balance = i128::try_from(nano(&item["balance"])).unwrap();
        assert_eq!(book.remove(item["name"].as_str().unwrap()).unwrap_or(0), balance, "{item}");
    }
    assert_eq!(book.remove("treasury").unwrap_or(0), nano(&accounts["treasury"]) as i128);
    assert!(book.values().all(|amount| *amount == 0), "nothing is pending: {book:?}");
    let csv = site.run(&["ledger", "-o", "csv"]).out();
    assert!(csv.starts_with("height,what,of,state,debit,credit,amount\n"), "{csv}");
    assert_eq!(csv.lines().count(), ledger["items"].as_array().unwrap().len() + 1);
    check(&site, &["ledger"], 0, &["supply 72492272.00 OhC = balances "]);
    let few = site.json(&["ledger", "client", "--run", "latest", "--limit", "1", "-o", "json"]);
    assert_eq!(strings(&few["items"], "what"), ["refund"]);
    assert_eq!(few["left_out"], 1, "the budget came before it");
    check(&site, &["ledger", "nobody"], 1, &["there is no account `nobody`", "hint: "]);
}

#[test]
fn everything_about_one_thing_is_on_one_card() {
    let site = applied();
    let run = site.json(&["describe", "latest", "-o", "json"]);
    assert_eq!(
        (&run["kind"], &run["run"], &run["status"]),
        (&json!("Run"), &json!("run-1"), &json!("settled"))
    );
    assert_eq!(strings(&run["stages"], "stage"), ["table", "split", "train", "evaluate"]);
    assert_eq!(strings(&run["sources"], "source"), ["flowers"]);
    let output = &run["outputs"][0];
    assert_eq!(output["output"], "model");
    assert!(site.path(output["file"].as_str().unwrap()).exists(), "{output}");
    let spent = nano(&run["reward"]) + nano(&run["gas"]) + nano(&run["refunded"]);
    assert_eq!(spent, nano(&run["budget"]));
    let block = site.json(&["describe", "run-1/1", "-o", "json"]);
    assert_eq!((&block["kind"], &block["phase"]), (&json!("Block"), &json!("settled")));
    let tried = &block["tries"][0];
    assert_eq!((&tried["attempt"], &tried["ended"]), (&json!(1), &json!("settled")));
    assert_eq!(tried["receipt"].as_str().unwrap().len(), 64);
    assert_eq!(strings(&block["verdicts"], "finding"), ["agree"]);
    let job = site.json(&["describe", "train@width=32,seed=1", "-o", "json"]);
    assert_eq!(
        (&job["kind"], &job["state"], &job["uses"]),
        (&json!("Job"), &json!("settled"), &json!("train"))
    );
    assert_eq!(job["inputs"][0]["from"], "split.train");
    let split = site.json(&["get", "artifacts", "-o", "json"]);
    let train =
        split["items"].as_array().unwrap().iter().find(|a| a["artifact"] == "run-1/split.train");
    assert_eq!(job["inputs"][0]["digest"], train.unwrap()["digest"]);
    let worker = site.json(&["describe", "worker-1", "-o", "json"]);
    assert_eq!((&worker["kind"], &worker["name"]), (&json!("Worker"), &json!("worker-1")));
    let validator = site.json(&["describe", "validator", "-o", "json"]);
    assert_eq!(
        (&validator["kind"], &validator["stake"]),
        (&json!("Account"), &json!("6000000.00"))
    );
    for subject in ["run-1", "run-1/0", "evaluate", "client", "worker-1"] {
        check(&site, &["describe", subject], 0, &[subject]);
        check(&site, &["describe", subject, "-o", "yaml"], 0, &["kind: "]);
        assert_eq!(site.run(&["describe", subject, "-o", "name"]).out(), format!("{subject}\n"));
    }
    check(&site, &["describe", "run-1/99"], 1, &["run-1 has no block 99", "hint: "]);
}
