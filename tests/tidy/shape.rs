//! Shape: docs, lengths, words and names that the house does not want in its sources.
//! Never reformats anything: `rustfmt` does.

use crate::Offence;
use crate::tree::{File, Tree, item_end, tokens};

const LINE_CHARS_MAX: usize = 100;
const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

/// Words that mean "not done"; put together here, so that this file does not hold them.
const BANNED: &[&str] = &[
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
    concat!("db", "g!"),
    concat!("#[ig", "nore"),
    concat!("FIX", "ME"),
    concat!("HA", "CK"),
    concat!("TO", "DO"),
];

/// Names that say nothing of what a file is.
const DRAWERS: &[&str] = &[
    "common", "core", "helper", "helpers", "manager", "misc", "models", "service", "shared",
    "types", "util", "utils",
];

/// Flat decisions that may be longer than a function: path, function, reason.
const LONG: &[(&str, &str, &str)] = &[];

/// Every Rust file that does not begin with at least two sentences about itself.
pub(crate) fn docs(tree: &Tree) -> Vec<Offence> {
    let say = |file: &File, what: &str| Offence::new(&file.path, 1, what);
    let mut offences = Vec::new();
    for file in tree.rust() {
        let lines = file.text.lines().map_while(|line| line.strip_prefix("//!"));
        let first: Vec<&str> = lines.map(str::trim).take_while(|line| !line.is_empty()).collect();
        if first.is_empty() {
            offences.push(say(file, "does not begin with `//!`"));
        } else if sentences(&first.join(" ")) < 2 {
            offences.push(say(file, "say in a second sentence what this file never does"));
        }
    }
    offences
}

fn sentences(text: &str) -> usize {
    let ends = |word: &str| word.trim_end_matches(['`', ')', '"']).ends_with(['.', '!', '?']);
    text.split_whitespace().filter(|word| ends(word)).count()
}

/// Every line, function and file that is too long, every banned word, name and blank.
pub(crate) fn check(tree: &Tree) -> Vec<Offence> {
    let mut offences = Vec::new();
    for file in tree.files.iter().filter(|file| is_prose(&file.path)) {
        blanks(file, &mut offences);
    }
    for file in tree.rust() {
        lines(file, &mut offences);
        functions(file, &mut offences);
    }
    for (path, name, reason) in LONG {
        assert!(!reason.is_empty(), "{path}: {name} is exempt without a reason");
    }
    offences
}

/// What people write by hand; test data may hold anything.
fn is_prose(path: &str) -> bool {
    !path.starts_with("tests/data/") && !path.starts_with("schemas/") && path != "Cargo.lock"
}

fn blanks(file: &File, offences: &mut Vec<Offence>) {
    for (line, text) in (1..).zip(file.text.lines()) {
        if text.contains('\t') {
            offences.push(Offence::new(&file.path, line, "a tab"));
        }
        if text.ends_with([' ', '\r']) {
            offences.push(Offence::new(&file.path, line, "blanks at the end"));
        }
    }
}

fn lines(file: &File, offences: &mut Vec<Offence>) {
    let mut say = |line: usize, what: String| offences.push(Offence::new(&file.path, line, what));
    let count = file.text.lines().count();
    if count > FILE_LINES_MAX {
        say(count, format!("{count} lines; {FILE_LINES_MAX} are enough for one noun"));
    }
    let mut parts = file.path.split(['/', '.']);
    if let Some(name) = parts.find(|part| DRAWERS.contains(part)) {
        say(1, format!("`{name}` is a drawer, not a noun"));
    }
    for (line, text) in (1..).zip(file.text.lines()) {
        let chars = text.chars().count();
        if chars > LINE_CHARS_MAX {
            say(line, format!("{chars} characters; {LINE_CHARS_MAX} fit"));
        }
        for word in BANNED.iter().filter(|word| text.contains(**word)) {
            say(line, format!("`{word}` is not finished work"));
        }
    }
}

fn functions(file: &File, offences: &mut Vec<Offence>) {
    let tokens = tokens(&file.live);
    for pair in tokens.windows(2) {
        let [keyword, name] = pair else { continue };
        let is_name = name.text.starts_with(|c: char| c.is_alphabetic() || c == '_');
        if keyword.text != "fn" || !is_name {
            continue;
        }
        let body = file.live.get(keyword.at..).unwrap_or_default();
        let body = body.get(..item_end(body)).unwrap_or_default();
        let count = body.lines().count();
        let exempt = LONG.iter().any(|(path, long, _)| (*path, *long) == (&file.path, name.text));
        if count > FUNCTION_LINES_MAX && !exempt {
            let what = format!("`{}` has {count} lines; {FUNCTION_LINES_MAX} fit", name.text);
            offences.push(Offence::new(&file.path, keyword.line, what));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects;

    #[track_caller]
    fn check_one(path: &str, text: &str, expect: Option<&str>) {
        let tree = Tree::of(&[(path, text)]);
        let offences: Vec<Offence> = docs(&tree).into_iter().chain(check(&tree)).collect();
        match expect {
            Some(expect) => objects(&offences, expect),
            None => assert_eq!(offences, []),
        }
    }

    #[test]
    fn a_file_that_does_not_say_what_it_is_is_seen() {
        check_one("src/a.rs", "//! A thing.\n//! Never sees `b`.\n\nfn a() {}", None);
        check_one("src/a.rs", "fn a() {}", Some("src/a.rs:1: does not begin"));
        check_one("src/a.rs", "//! A thing.\n\n//! Never.", Some("second sentence"));
        check_one("src/a.rs", "//! Version 1.2 of `a.b` alone.", Some("second sentence"));
    }

    #[test]
    fn what_is_too_long_is_seen() {
        let doc = "//! A. B.\n";
        let long = "x".repeat(101);
        check_one("src/a.rs", &format!("{doc}// {long}"), Some("src/a.rs:2: 104 characters"));
        check_one("src/a.rs", &(doc.to_owned() + &"\n".repeat(600)), Some("601 lines"));
        let body = "    a();\n".repeat(69);
        check_one("src/a.rs", &format!("{doc}fn f() {{\n{body}}}"), Some("src/a.rs:2: `f` has 71"));
        let method = format!("{doc}impl T for [u8; 3] {{\nfn g(&self);\nfn f() {{\n{body}}}\n}}");
        check_one("src/a.rs", &method, Some("src/a.rs:4: `f` has 71"));
        check_one("tests/it/a.rs", &format!("{doc}fn f() {{\n{body}}}"), None);
        let test = format!("{doc}#[cfg(test)]\nmod tests {{\nfn f() {{\n{body}}}\n}}");
        check_one("src/a.rs", &test, None);
    }

    #[test]
    fn unfinished_work_is_seen() {
        for word in BANNED {
            let text = format!("//! A. B.\nfn f() {{}} // {word}");
            check_one("src/a.rs", &text, Some("src/a.rs:2: "));
        }
    }

    #[test]
    fn drawers_tabs_and_blanks_are_seen() {
        check_one("src/node/utils.rs", "//! A. B.", Some("`utils` is a drawer"));
        check_one("src/common/mod.rs", "//! A. B.", Some("`common` is a drawer"));
        check_one("README.md", "a\tb", Some("README.md:1: a tab"));
        check_one("README.md", "a\nb ", Some("README.md:2: blanks"));
        check_one("tests/data/diag/tab.yaml", "a\tb", None);
    }
}
