//! Directions: which folder may use which, and which file of the rules which other.
//! Never guesses: every edge between files of `domain` is in the table, and the table holds no
//! other, so that a new edge is a line in a diff.

use crate::Offence;
use crate::tree::{File, Token, Tree, tokens};
use std::collections::BTreeSet;

/// What each folder of `src` may use besides itself.
const FOLDERS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("domain", &["base"]),
    ("role", &["base", "domain"]),
    ("compute", &["base", "domain"]),
    ("effects", &["base", "domain"]),
    ("node", &["base", "domain", "role", "compute", "effects"]),
    ("cli", &["base", "domain", "node"]),
];

/// What each file (or folder) of `domain` uses of the others: exactly this.
const DOMAIN: &[(&str, &[&str])] = &[
    // Work: these would compile in a project that had never heard of money…
    ("cost", &["job"]),
    ("receipt", &[]),
    // What a worker has, for its bid and the auction; what a condition and a cause are.
    ("terms", &["verdict"]),
    ("verdict", &["beacon"]),
    ("manifest", &["job", "terms", "verdict"]),
    ("graph", &["cost", "job", "manifest", "terms", "verdict"]),
    ("plan", &["command", "graph", "job", "manifest"]),
    // … and these in one that had never heard of learning.
    ("ledger", &[]),
    ("classes", &[]),
    ("auction", &["classes", "terms"]),
    ("beacon", &[]),
    ("bisection", &[]),
    ("poh", &[]),
    ("genesis", &[]),
    // Where they meet.
    ("price", &["genesis", "graph", "verdict"]),
    ("lease", &["classes", "terms"]),
    ("settle", &["genesis", "lease", "ledger"]),
    // The log and its fold.
    ("command", &["beacon", "bisection", "classes", "job", "receipt", "terms", "verdict", "vote"]),
    ("event", &["bisection", "terms", "verdict"]),
    ("vote", &[]),
    ("slot", &["command", "poh", "vote"]),
    ("milestone", &["event", "slot", "vote"]),
    (
        "state",
        &[
            "auction",
            "beacon",
            "bisection",
            "classes",
            "command",
            "event",
            "genesis",
            "graph",
            "job",
            "lease",
            "ledger",
            "manifest",
            "milestone",
            "plan",
            "poh",
            "price",
            "receipt",
            "settle",
            "slot",
            "terms",
            "verdict",
            "vote",
        ],
    ),
    ("revision", &["graph", "job", "manifest", "plan", "terms"]),
    (
        "forecast",
        &[
            "classes", "command", "cost", "event", "graph", "job", "manifest", "plan", "price",
            "state", "terms", "verdict",
        ],
    ),
];

/// What `compute` may know of the rules: what a job is, nothing of markets and money.
const COMPUTE: &[&str] = &["job"];

/// Folders whose files do not know each other; what they share stands in their `mod.rs`.
const STRANGERS: &[&str] = &["role", "effects"];

/// What of them is known by others all the same.
const KNOWN: &[(&str, &str, &[&str])] = &[
    ("effects", "buckets", &["artifacts", "sources"]),
    ("effects", "disk", &["store"]),
    ("effects", "draft", &["artifacts"]),
];

/// Every use of another folder or file that is not in the tables, and every line of the table of
/// `domain` that nothing needs.
pub(crate) fn check(tree: &Tree) -> Vec<Offence> {
    let mut offences = Vec::new();
    let mut used = BTreeSet::new();
    for file in tree.sources() {
        let module = file.module();
        let Some(folder) = module.first().copied() else { continue };
        if !FOLDERS.iter().any(|(name, _)| *name == folder) {
            offences.push(Offence::new(&file.path, 1, format!("`{folder}` is not a layer")));
        }
        for (line, path) in paths(file) {
            let Some(other) = path.first().map(String::as_str) else { continue };
            let inner = path.get(1).map_or("", String::as_str);
            let own = module.get(1).copied().unwrap_or_default();
            if let Some(what) = objection(tree, (folder, own), (other, inner)) {
                offences.push(Offence::new(&file.path, line, what));
            }
            if (folder, other) == ("domain", "domain") && own != inner {
                used.insert((own.to_owned(), inner.to_owned()));
            }
        }
    }
    if used.is_empty() {
        return offences;
    }
    for (from, to) in DOMAIN.iter().flat_map(|(from, tos)| tos.iter().map(move |to| (from, to))) {
        if !used.contains(&((*from).to_owned(), (*to).to_owned())) {
            let what = format!("nothing in domain::{from} uses domain::{to} any more");
            offences.push(Offence::new("tests/tidy/edges.rs", 1, what));
        }
    }
    offences
}

/// Why a file of a folder may not use a thing of a folder.
fn objection(tree: &Tree, from: (&str, &str), to: (&str, &str)) -> Option<String> {
    let allowed = |table: &[(&str, &[&str])], from: &str, to: &str| {
        table.iter().any(|(name, uses)| *name == from && uses.contains(&to))
    };
    let ((folder, own), (other, inner)) = (from, to);
    let is_folder = FOLDERS.iter().any(|(name, _)| *name == other);
    let is_file = is_module(tree, other, inner) && !own.is_empty() && own != inner;
    let sound = if folder != other {
        let below = !is_folder || allowed(FOLDERS, folder, other);
        below && ((folder, other) != ("compute", "domain") || COMPUTE.contains(&inner))
    } else if folder == "domain" {
        !is_file || allowed(DOMAIN, own, inner)
    } else {
        let known = KNOWN
            .iter()
            .any(|(place, file, by)| (*place, *file) == (folder, inner) && by.contains(&own));
        !is_file || known || !STRANGERS.contains(&folder)
    };
    (!sound).then(|| format!("{folder}::{own} must not use {other}::{inner}"))
}

fn is_module(tree: &Tree, folder: &str, name: &str) -> bool {
    let file = format!("src/{folder}/{name}.rs");
    let inside = format!("src/{folder}/{name}/");
    tree.files.iter().any(|f| f.path == file || f.path.starts_with(&inside))
}

/// Every path of the file's code that begins at the crate or at a parent module, made absolute.
fn paths(file: &File) -> Vec<(usize, Vec<String>)> {
    let tokens = tokens(&file.live);
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let before = at.checked_sub(1).and_then(|i| tokens.get(i)).map_or("", |t| t.text);
        let starts = ["crate", "super", "ohc"].contains(&token.text) && before != "::";
        // `pub(in crate::domain)` narrows; it uses nothing.
        if starts && before != "in" && tokens.get(at + 1).is_some_and(|t| t.text == "::") {
            follow(&tokens, &mut at, &[], &mut found);
        } else {
            at += 1;
        }
    }
    let module: Vec<String> = file.module().iter().map(|&part| part.to_owned()).collect();
    found.into_iter().map(|(line, path)| (line, absolute(&module, &path))).collect()
}

/// Reads one path, or a group of them, from `at` on.
fn follow(
    tokens: &[Token<'_>],
    at: &mut usize,
    prefix: &[String],
    found: &mut Vec<(usize, Vec<String>)>,
) {
    let mut path = prefix.to_vec();
    let line = tokens.get(*at).map_or(0, |token| token.line);
    while let Some(token) = tokens.get(*at) {
        *at += 1;
        if token.text == "{" {
            group(tokens, at, &path, found);
            return;
        }
        path.push(token.text.to_owned());
        if tokens.get(*at).is_none_or(|next| next.text != "::") {
            break;
        }
        *at += 1;
    }
    found.push((line, path));
}

fn group(
    tokens: &[Token<'_>],
    at: &mut usize,
    prefix: &[String],
    found: &mut Vec<(usize, Vec<String>)>,
) {
    while let Some(token) = tokens.get(*at) {
        match token.text {
            "}" => {
                *at += 1;
                return;
            }
            "," => *at += 1,
            // `Thing as _`
            "as" => *at += 2,
            _ => follow(tokens, at, prefix, found),
        }
    }
}

fn absolute(module: &[String], path: &[String]) -> Vec<String> {
    let supers = path.iter().take_while(|part| *part == "super").count();
    let base = if supers == 0 { &[] } else { module };
    let base = base.iter().take(module.len().saturating_sub(supers));
    base.chain(path.iter().skip(supers.max(1))).filter(|part| *part != "self").cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects;

    const LEDGER: (&str, &str) = ("src/domain/ledger.rs", "use crate::base::amount::Ohc;");

    #[track_caller]
    fn check_one(path: &str, text: &str, expect: Option<&str>) {
        let event = ("src/domain/event.rs", "");
        let client = ("src/role/client.rs", "");
        let offences = check(&Tree::of(&[LEDGER, event, client, (path, text)]));
        let here: Vec<Offence> = offences.into_iter().filter(|o| o.path == path).collect();
        match expect {
            Some(expect) => objects(&here, expect),
            None => assert_eq!(here, []),
        }
    }

    #[test]
    fn a_use_of_a_higher_layer_is_seen_however_it_is_written() {
        let expect = "src/base/x.rs:2: base::x must not use domain::ledger";
        check_one("src/base/x.rs", "\nuse crate::domain::ledger::Ledger;", Some(expect));
        check_one("src/base/x.rs", "\nuse crate::{domain::{self as d, ledger}};", Some(expect));
        check_one("src/base/x.rs", "\nfn f() { crate::domain::ledger::g() }", Some(expect));
        check_one("src/base/x.rs", "\nuse super::super::domain::ledger;", Some(expect));
        check_one("src/base/x.rs", "//! `crate::domain::ledger` is above.", None);
        check_one("src/role/x.rs", "use crate::domain::ledger::Ledger;", None);
        check_one("src/role/x.rs", "use crate::compute::job::run;", Some("compute::job"));
    }

    #[test]
    fn a_new_edge_between_rules_is_seen() {
        let expect = Some("domain::poh must not use domain::ledger");
        check_one("src/domain/poh.rs", "use super::ledger::Ledger;", expect);
        check_one("src/domain/poh/link.rs", "use super::super::ledger::Ledger;", expect);
        check_one("src/domain/poh/link.rs", "use super::Chain;", None);
    }

    #[test]
    fn an_edge_of_the_table_that_is_gone_is_seen() {
        let state = ("src/domain/settle.rs", "use super::ledger::Ledger;");
        let offences = check(&Tree::of(&[LEDGER, state]));
        objects(&offences, "nothing in domain::settle uses domain::genesis any more");
    }

    #[test]
    fn computation_knows_jobs_only() {
        check_one("src/compute/x.rs", "use crate::domain::job::Spec;", None);
        let text = "use crate::domain::ledger::Ledger;";
        check_one("src/compute/x.rs", text, Some("compute::x must not use domain::ledger"));
    }

    #[test]
    fn roles_do_not_know_each_other() {
        let text = "use super::{Machine, client::Client};";
        check_one("src/role/worker.rs", text, Some("role::worker must not use role::client"));
        check_one("src/role/mod.rs", "use self::client::Client;", None);
        check_one("src/other/x.rs", "", Some("`other` is not a layer"));
    }
}
