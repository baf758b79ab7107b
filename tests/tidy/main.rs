//! The house rules, as tests: what the compiler cannot keep is kept by reading the sources.
//! Never runs the product. A check reports every offender at once, and each check is itself shown
//! a small offender, so that a check that went blind fails.

mod edges;
mod foreign;
mod reach;
mod rules;
mod shape;
mod tree;

use std::fmt;
use tree::Tree;

/// One place that breaks a rule of the house.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Offence {
    path: String,
    line: usize,
    what: String,
}

impl Offence {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// Fails with every offender, one per line.
#[track_caller]
fn check(rule: &str, mut offences: Vec<Offence>) {
    offences.sort();
    offences.dedup();
    let lines: String = offences.iter().map(|offence| format!("\n  {offence}")).collect();
    assert!(offences.is_empty(), "{rule}; {} offenders:{lines}", offences.len());
}

/// A check sees nothing in what is sound, and objects to what is not.
#[cfg(test)]
#[track_caller]
fn objects(offences: &[Offence], expected: &str) {
    let said: Vec<String> = offences.iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|line| line.contains(expected)), "{expected:?} is not in {said:#?}");
}

#[test]
fn folders_use_only_what_lies_below_them() {
    check("use only what tests/tidy/edges.rs allows", edges::check(&Tree::load()));
}

#[test]
fn foreign_crates_and_clocks_stay_in_their_places() {
    check("one file knows one outside thing", foreign::check(&Tree::load()));
}

#[test]
fn every_file_says_what_it_is_and_what_it_never_does() {
    check("two sentences at the top of every file", shape::docs(&Tree::load()));
}

#[test]
fn files_functions_and_lines_are_short_and_clean() {
    check("short files, short functions, no banned words", shape::check(&Tree::load()));
}

#[test]
fn every_rule_that_is_cited_exists_and_every_rule_has_a_test() {
    let (offences, to_come) = rules::check(&Tree::load());
    for rule in to_come {
        println!("a test of R-{rule} comes with the network");
    }
    check("rules, code and tests name each other", offences);
}

#[test]
fn no_file_is_dead() {
    check("every file is part of a build or of a test", reach::check(&Tree::load()));
}
