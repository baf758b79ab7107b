//! Rules: `docs/rules.md`, the code that cites a rule, and the tests that are named after one.
//! Never reads this folder's own files, which cite rules that do not exist to test the test.

use crate::Offence;
use crate::tree::{File, Tree, tokens};
use std::collections::{BTreeMap, BTreeSet};

const BOOK: &str = "docs/rules.md";
/// The mark of a rule that needs more than one validator to be tested.
const NETWORK: &str = "(network)";

/// A rule as the book has it.
struct Rule {
    line: usize,
    network: bool,
    text: String,
}

/// Citations of rules that do not exist, rules without a test, tests that the book does not name;
/// and the rules whose tests come with the network.
pub(crate) fn check(tree: &Tree) -> (Vec<Offence>, Vec<u32>) {
    let book = tree.get(BOOK).map(read).unwrap_or_default();
    let mut offences = Vec::new();
    if book.is_empty() {
        offences.push(Offence::new(BOOK, 1, "there are no rules"));
    }
    let mut tests: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    let mut names = BTreeSet::new();
    for file in tree.files.iter().filter(|file| !file.path.starts_with("tests/tidy/")) {
        for (line, rule) in cited(file) {
            if !book.contains_key(&rule) {
                let what = format!("R-{rule} is not in {BOOK}");
                offences.push(Offence::new(&file.path, line, what));
            }
        }
        for name in test_names(file) {
            names.insert(name.clone());
            for rule in numbers(&name) {
                tests.entry(rule).or_default().push(name.clone());
            }
        }
    }
    let mut to_come = Vec::new();
    for (number, rule) in &book {
        let proofs = tests.get(number).map(Vec::as_slice).unwrap_or_default();
        match (proofs.is_empty(), rule.network) {
            (true, true) => to_come.push(*number),
            (true, false) => {
                let what = format!("R-{number} has no test whose name contains `r{number}_`");
                offences.push(Offence::new(BOOK, rule.line, what));
            }
            (false, true) => {
                let what = format!("R-{number} has a test: it is not {NETWORK} any more");
                offences.push(Offence::new(BOOK, rule.line, what));
            }
            (false, false) if !proofs.iter().any(|proof| rule.text.contains(proof.as_str())) => {
                let what = format!("R-{number} does not name its test `{}`", proofs.join("`, `"));
                offences.push(Offence::new(BOOK, rule.line, what));
            }
            (false, false) => {}
        }
        offences.extend(stale(tree, rule, &names));
    }
    (offences, to_come)
}

/// The rules of the book: a heading `## R-n …` each, with its text.
fn read(book: &File) -> BTreeMap<u32, Rule> {
    let mut rules: BTreeMap<u32, Rule> = BTreeMap::new();
    let mut last = None;
    for (line, text) in (1..).zip(book.text.lines()) {
        if let Some(heading) = text.strip_prefix("## ") {
            last = references(heading).first().copied();
            if let Some(number) = last {
                let network = heading.contains(NETWORK);
                rules.insert(number, Rule { line, network, text: String::new() });
            }
        } else if let Some(rule) = last.and_then(|number| rules.get_mut(&number)) {
            rule.text.push_str(text);
            rule.text.push('\n');
        }
    }
    rules
}

/// Files and tests that a rule names and that are not there.
fn stale(tree: &Tree, rule: &Rule, tests: &BTreeSet<String>) -> Vec<Offence> {
    let quoted = rule.text.split('`').skip(1).step_by(2);
    let is_gone = |name: &&str| {
        let is_path = name.starts_with("src/") || name.starts_with("tests/");
        let is_test = name.starts_with('r') && !numbers(name).is_empty();
        (is_path && tree.get(name).is_none()) || (is_test && !tests.contains(*name))
    };
    let gone = quoted.filter(is_gone);
    gone.map(|name| Offence::new(BOOK, rule.line, format!("`{name}` does not exist"))).collect()
}

/// The rules that a file cites, in prose or in a name.
fn cited(file: &File) -> Vec<(usize, u32)> {
    let mut cited = Vec::new();
    for (line, text) in (1..).zip(file.text.lines()) {
        cited.extend(references(text).into_iter().map(|rule| (line, rule)));
    }
    let names = tokens(&file.code);
    let names = names.iter().filter(|token| token.text.len() > 8);
    cited.extend(names.flat_map(|token| numbers(token.text).into_iter().map(|n| (token.line, n))));
    cited
}

/// `R-7` in a text gives 7.
fn references(text: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("R-") {
        let (before, after) = text.split_at(at);
        let digits: String = after.chars().skip(2).take_while(char::is_ascii_digit).collect();
        if !before.ends_with(|c: char| c.is_alphanumeric() || c == '-') {
            found.extend(digits.parse::<u32>());
        }
    }
    found
}

/// `r7_no_two_slots` and `no_two_slots_r7_here` give 7.
fn numbers(name: &str) -> Vec<u32> {
    let parts: Vec<&str> = name.split('_').collect();
    let rules = parts.iter().take(parts.len().saturating_sub(1));
    rules.filter_map(|part| part.strip_prefix('r')?.parse().ok()).collect()
}

/// The functions of a file that stand under `#[test]`.
fn test_names(file: &File) -> Vec<String> {
    let tokens = tokens(&file.code);
    let words: Vec<&str> = tokens.iter().map(|token| token.text).collect();
    let mut names = Vec::new();
    for (at, window) in words.windows(4).enumerate() {
        if window == ["#", "[", "test", "]"] {
            let mut rest = words.iter().skip(at + 4).skip_while(|word| **word != "fn");
            names.extend(rest.nth(1).map(|name| (*name).to_owned()));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects;

    const CODE: (&str, &str) = ("src/a.rs", "// R-1\n#[test]\nfn r1_money_stays() {}");

    #[track_caller]
    fn check_book(book: &str, code: &str, expect: Option<&str>) -> Vec<u32> {
        let (offences, to_come) = check(&Tree::of(&[(BOOK, book), CODE, ("src/b.rs", code)]));
        match expect {
            Some(expect) => objects(&offences, expect),
            None => assert_eq!(offences, []),
        }
        to_come
    }

    const ONE: &str = "## R-1 Money stays\n`r1_money_stays` in `src/a.rs`\n";

    #[test]
    fn a_rule_that_does_not_exist_is_seen() {
        check_book(ONE, "", None);
        check_book(ONE, "\n// see R-2", Some("src/b.rs:2: R-2 is not in docs/rules.md"));
        check_book(ONE, "fn r3_is_tested() {}", Some("src/b.rs:1: R-3 is not"));
        check_book(ONE, "// ISO-R-9, xR-9, r1", None);
        check_book("", "", Some("there are no rules"));
    }

    #[test]
    fn a_rule_without_a_test_is_seen() {
        let two = format!("{ONE}## R-2 Nobody owes\n");
        check_book(&two, "fn r2_not_a_test() {}", Some("docs/rules.md:3: R-2 has no test"));
        check_book(&two, "#[test]\nfn r2_debt() {}", Some("does not name its test `r2_debt`"));
        let told = format!("{two}`r2_debt`\n");
        check_book(&told, "#[test]\n#[expect(x)]\nfn r2_debt() {}", None);
        check_book(&told, "", Some("`r2_debt` does not exist"));
        check_book(&format!("{ONE}`src/c.rs`"), "", Some("`src/c.rs` does not exist"));
    }

    #[test]
    fn only_rules_of_the_network_may_wait_for_their_test() {
        let two = format!("{ONE}## R-2 No two votes (network)\n");
        assert_eq!(check_book(&two, "", None), [2]);
        check_book(&two, "#[test]\nfn r2_votes() {}", Some("not (network) any more"));
    }
}
