//! Keys and money from the command line: made, taken over, shown and spent. Never looks into the
//! ledger: balances are read as people read them.

use crate::site::{SUPPLY_NANO, Site, nano};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

/// A key that was made with `openssl genpkey -algorithm ed25519`.
const FOREIGN: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
    -----END PRIVATE KEY-----\n";
const FOREIGN_PUBLIC: &str = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";

/// Runs the program and compares its exit code and parts of what it says on the standard error.
#[track_caller]
fn check(site: &Site, args: &[&str], code: i32, says: &[&str]) {
    let ran = site.run(args);
    assert_eq!(ran.code(), Some(code), "{args:?}\n{}\n{}", ran.out(), ran.err());
    for part in says {
        assert!(ran.err().contains(part), "{part:?} is not in what {args:?} says:\n{}", ran.err());
    }
}

fn private(site: &Site, name: &str, text: &str) {
    site.write(name, text);
    fs::set_permissions(site.path(name), fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn money_moves_exactly_and_only_where_it_is_covered() {
    let site = Site::new();
    site.json(&["apply", "iris.yaml", "-o", "json"]);
    let made = site.json(&["wallet", "new", "savings", "-o", "json"]);
    let balance = |of: &str| nano(&site.json(&["wallet", "balance", of, "-o", "json"])["balance"]);
    let before = balance("client");
    let paid = site.json(&["wallet", "transfer", "savings", "12.000000001", "-y", "-o", "json"]);
    assert_eq!((&paid["kind"], &paid["to"]), (&"Transfer".into(), &made["key"]));
    assert_eq!(nano(&paid["balance"]), before - 12_000_000_001);
    assert_eq!(balance("savings"), 12_000_000_001);
    assert_eq!(balance(made["key"].as_str().unwrap()), 12_000_000_001);
    let back = ["wallet", "transfer", "client", "2", "--from", "savings", "-y"];
    let said = site.run(&back).out();
    assert!(said.contains("paid 2.00 OhC to client ("), "{said}");
    check(&site, &["wallet", "transfer", "client", "11", "--from", "savings"], 4, &["not covered"]);
    check(&site, &["wallet", "transfer", "savings", "1"], 64, &["nobody is there to ask", "--yes"]);
    check(&site, &["wallet", "transfer", "savings", "0"], 64, &["above 0"]);
    check(&site, &["wallet", "transfer", "client", "1"], 64, &["the payer is the payee"]);
    check(&site, &["wallet", "transfer", "savings", "1e3"], 64, &["decimal"]);
    check(&site, &["wallet", "transfer", "nobody", "1"], 1, &["no key `nobody`", "wallet list"]);
    check(&site, &["wallet", "transfer", &"00".repeat(32), "1"], 1, &["is nobody's key"]);
    assert_eq!((balance("client"), balance("savings")), (before - 10_000_000_001, 10_000_000_001));
    assert_eq!(site.all_money(), SUPPLY_NANO);
    assert_eq!(site.json(&["log", "verify", "-o", "json"])["ok"], true);
    // What is not changed is still known, whoever has been paid since.
    let again = site.json(&["apply", "iris.yaml", "-o", "json"]);
    assert_eq!(again["status"], "unchanged");
}

#[test]
fn keys_are_made_and_taken_over_once_and_their_secrets_are_never_shown() {
    let site = Site::new();
    check(&site, &["wallet", "new", "client"], 64, &["a role of this network"]);
    check(&site, &["wallet", "new", "../x"], 64, &["cannot be the name of a key"]);
    private(&site, "mine.pem", FOREIGN);
    let ran = site.run(&["wallet", "import", "mine.pem", "-o", "json"]);
    let all = ran.out() + &ran.err();
    assert!(!all.contains("MC4CAQ") && !all.contains("d4ee72dbf9"), "{all}");
    let key = ran.last();
    assert_eq!((&key["name"], &key["key"]), (&"mine".into(), &FOREIGN_PUBLIC.into()));
    let file = key["file"].as_str().unwrap();
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    check(&site, &["wallet", "import", "mine.pem"], 1, &["already", "hint: "]);
    check(&site, &["wallet", "new", "mine"], 1, &["already"]);
    fs::set_permissions(site.path("mine.pem"), fs::Permissions::from_mode(0o644)).unwrap();
    check(&site, &["wallet", "import", "mine.pem", "more"], 1, &["mode 644", "chmod 600"]);
    private(&site, "torn.pem", &FOREIGN[..60]);
    check(&site, &["wallet", "import", "torn.pem"], 1, &["torn.pem", "hint: "]);
    check(&site, &["wallet", "import", "iris.yaml"], 1, &["hint: "]);
    check(&site, &["wallet", "import", "-"], 64, &["needs a name"]);
    check(&site, &["wallet", "show", "other"], 1, &["no key `other`"]);
    let names = site.run(&["wallet", "list", "-o", "name"]).out();
    assert_eq!(names, "mine\n", "no network was begun, so nobody else has a key");
}

#[test]
fn a_key_from_the_standard_input_can_own_a_home_from_its_beginning() {
    let site = Site::new();
    let mut command = site.command(&["wallet", "import", "-", "client"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), FOREIGN.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    site.json(&["apply", "iris.yaml", "-o", "json"]);
    let shown = site.json(&["wallet", "show", "-o", "json"]);
    assert_eq!(shown["key"], FOREIGN_PUBLIC);
    let list = site.json(&["wallet", "list", "-o", "json"]);
    let client = &list["items"][0];
    assert_eq!((&client["name"], nano(&client["balance"]) > 0), (&"client".into(), true));
}

#[test]
fn a_key_file_that_is_damaged_is_listed_with_what_is_wrong() {
    let site = Site::new();
    site.json(&["wallet", "new", "savings", "-o", "json"]);
    fs::write(site.path("home/keys/savings.pem"), "no key").unwrap();
    let list = site.json(&["wallet", "list", "-o", "json"]);
    assert!(list["items"][0]["error"].as_str().unwrap().contains("damaged"), "{list}");
    check(&site, &["wallet", "show", "savings"], 1, &["savings.pem is damaged", "hint: "]);
}

#[test]
fn while_an_apply_runs_the_client_can_pay_and_others_must_wait() {
    let site = Site::new();
    site.json(&["wallet", "new", "savings", "-o", "json"]);
    let mut apply = site.spawn_slow(&[]);
    let paid = site.json(&["wallet", "transfer", "savings", "3", "-y", "-o", "json"]);
    assert!(paid["slot"].as_u64().unwrap() > 0 && paid["balance"].is_null(), "{paid}");
    let savings = site.json(&["wallet", "balance", "savings", "-o", "json"]);
    assert_eq!(savings["balance"], "3.00");
    let back = ["wallet", "transfer", "client", "1", "--from", "savings", "-y"];
    check(&site, &back, 1, &["another ohc is at work", "hint: wait"]);
    apply.kill().unwrap();
    apply.wait().unwrap();
    check(&site, &back, 0, &[]);
    assert_eq!(site.all_money(), SUPPLY_NANO);
}
