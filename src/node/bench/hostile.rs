//! Hostile texts: what somebody might write to take the time or the memory of a reader, each
//! measured until it is refused. Never spends more on one than the bounds of a manifest allow.

use super::{BenchError, Measurement, Scratch, peak};
use crate::base::limits::{MANIFEST_BYTES_MAX, MANIFEST_DEPTH_MAX};
use crate::domain::manifest;
use crate::effects::clock::Clock;
use crate::node::pipeline;
use std::collections::BTreeMap;

/// The beginning of a manifest whose faults are below `stages`.
const HEAD: &str = "apiVersion: ohc/v1alpha1\nkind: Pipeline\nmetadata: { name: x }\nspec:\n";
/// Bytes that fill a manifest up to a little below its bound.
const FULL: usize = MANIFEST_BYTES_MAX - 1_024;

/// A text and a part of what is said about it.
struct Case {
    name: &'static str,
    bytes: Vec<u8>,
    says: &'static str,
}

fn case(name: &'static str, text: impl Into<Vec<u8>>, says: &'static str) -> Case {
    Case { name, bytes: text.into(), says }
}

/// A text again and again, up to a number of bytes.
fn fill(part: &str, bytes: usize) -> String {
    part.repeat(bytes / part.len())
}

/// The same with the number of each part in the place of `#`.
fn count(part: &str, parts: usize) -> String {
    (0..parts).map(|n| part.replace('#', &n.to_string())).collect()
}

fn cases() -> Vec<Case> {
    let mut all = bytes();
    all.extend(nested());
    all.extend(unfolded());
    all.extend(wide());
    all.extend(meant());
    all
}

/// What is no text, or too much of it.
fn bytes() -> Vec<Case> {
    let noise = (0..=255u8).cycle().take(FULL).collect::<Vec<u8>>();
    vec![
        case("ten-megabytes", fill("a: b\n", 10 << 20), "has more than 262144 bytes"),
        case("a-million-brackets", fill("[", 1_000_000), "has more than 262144 bytes"),
        case("binary", noise, "is not UTF-8 text"),
        case("utf-16", b"\xff\xfea\0:\0 \0b\0\n\0".repeat(1_000), "is not UTF-8 text"),
        case("nul-characters", fill("\0", FULL), "`\\u{0}` cannot stand here"),
        case("returns", format!("{HEAD}{}", fill("\r", FULL)), "`spec` must be a mapping"),
        case("comments", fill("# x\n", FULL), "must be a mapping, not nothing"),
        case("a-long-comment", format!("#{}", fill("x", FULL)), "must be a mapping, not nothing"),
    ]
}

/// What is nested deep.
fn nested() -> Vec<Case> {
    const _: () = assert!(MANIFEST_DEPTH_MAX == 64);
    let says = "nests at most 64 deep";
    let stairs: String = (0..600).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    vec![
        case("lists-in-lists", fill("[", FULL), says),
        case("mappings-in-mappings", fill("{a: ", FULL), says),
        case("dashes", fill("- ", FULL), says),
        case("complex-keys", fill("? ", FULL), says),
        case("stairs", stairs, says),
        case("quotes-in-brackets", fill("[\"", FULL), "nothing can follow a quoted text"),
    ]
}

/// What unfolds to more than is written.
fn unfolded() -> Vec<Case> {
    let bomb = |first: &str, each: &dyn Fn(usize) -> String| {
        (1..12).fold(first.to_owned(), |text, n| text + &each(n))
    };
    let repeat = |n: usize, what: &str| vec![what.replace('#', &(n - 1).to_string()); 10].join(",");
    let lists = bomb("a0: &a0 [x, x]\n", &|n| format!("a{n}: &a{n} [{}]\n", repeat(n, "*a#")));
    let maps = bomb("a0: &a0 {x: 1}\n", &|n| {
        let entries: Vec<String> = (0..10).map(|k| format!("k{k}: *a{}", n - 1)).collect();
        format!("a{n}: &a{n} {{{}}}\n", entries.join(", "))
    });
    let merges = bomb("a0: &a0 {x: 1}\n", &|n| {
        format!("a{n}: &a{n} {{<<: [{}], y{n}: *a{}}}\n", repeat(n, "*a#"), n - 1)
    });
    let long = format!("a: &a \"{}\"\nb: [{}]\n", fill("x", 100_000), fill("*a, ", 150_000));
    vec![
        case("lists-of-aliases", lists, "unfold to more than 50000 nodes"),
        case("mappings-of-aliases", maps, "unfold to more than 50000 nodes"),
        case("merge-keys", merges, "anchors, aliases and merge keys"),
        case("a-long-text-repeated", long, "anchors, aliases and merge keys"),
        case("an-alias-of-itself", "a: &a [*a]\n", "an alias cannot stand inside"),
        case("many-anchors", count("a#: &a# x\n", 12_000), "anchors, aliases and merge keys"),
    ]
}

/// What has many or large parts.
fn wide() -> Vec<Case> {
    let one = |key: &str| format!("{HEAD}  {key}\n");
    vec![
        case("items", fill("- a\n", FULL), "at most 50000 nodes"),
        case("keys", count("k#: 1\n", 20_000), "unknown key `k0` in the manifest"),
        case("one-key-again", fill("k: 1\n", 100_000), "duplicate key `k`"),
        case("a-long-key", one(&format!("? \"{}\"\n  : 1", fill("k", FULL))), "unknown key"),
        case("a-long-text", one(&format!("run: \"{}\"", fill("x", FULL))), "must be a mapping"),
        case("a-long-number", one(&format!("run: {}", fill("9", FULL))), "must be a mapping"),
        case("documents", fill("---\na\n", FULL), "a manifest is one document"),
        case("tags", fill("!a!b ", FULL), "this tag has no meaning"),
        case("directives", fill("%TAG !e! tag:e,1:\n", FULL), "TAG"),
        case("escapes", format!("a: \"{}\"\n", fill("\\u0041", FULL)), "unknown key `a`"),
    ]
}

/// What reads as a manifest, and means too much.
fn meant() -> Vec<Case> {
    let tag = |inside: &str| {
        format!(
            "{HEAD}  stages: {{ a: {{ uses: noop, with: {{ tag: \"${{{{{inside}}}}}\" }} }} }}\n"
        )
    };
    let stages = |each: &str, n: usize| format!("{HEAD}  stages:\n{}", count(each, n));
    let ring =
        (0..3_000).map(|n| format!("    s{n}: {{ uses: noop, needs: [s{}] }}\n", (n + 1) % 3_000));
    let ring = format!("{HEAD}  stages:\n{}", ring.collect::<String>());
    let axes: Vec<String> = (0..8).map(|n| format!("a{n}: [{}]", numbers(1_000))).collect();
    let grid = format!(
        "{HEAD}  stages: {{ a: {{ uses: noop, matrix: {{ axes: {{ {} }} }} }} }}\n",
        axes.join(", ")
    );
    let holes = (0..256).map(|n| format!("{{ y: {n} }}, ")).collect::<String>();
    let holes = format!(
        "{HEAD}  run: {{ limits: {{ instances: 200000 }} }}\n  stages: {{ a: {{ uses: noop, \
         matrix: {{ axes: {{ x: [{}], y: [{}] }}, exclude: [{holes}] }} }} }}\n",
        numbers(780),
        numbers(256),
    );
    vec![
        case("parentheses", tag(&fill("(", 200_000)), "is no expression"),
        case("negations", tag(&fill("!", 200_000)), "is no expression"),
        case("sums", tag(&format!("1{}", fill("+1", 200_000))), "expression"),
        case("expressions", tag(&fill("1}}${{", 200_000)), "at most 1024 bytes"),
        case("unknown-words", stages("    s#: { uses: noop, neds: [a] }\n", 5_000), "4096"),
        case("unknown-stages", stages("    s#: { uses: noop, needs: [t#] }\n", 4_000), "unknown"),
        case("a-ring", ring, "stages wait for each other"),
        case("a-grid", grid, "a matrix has at most 200000 combinations"),
        case("a-grid-of-holes", holes, "too many combinations and rules"),
    ]
}

fn numbers(count: usize) -> String {
    (0..count).map(|n| n.to_string()).collect::<Vec<_>>().join(",")
}

/// What is said about a text in a file: nothing if it is a manifest.
fn refusal(path: &std::path::Path) -> Option<String> {
    let text = match pipeline::read(path) {
        Ok(text) => text,
        Err(error) => return Some(error.to_string()),
    };
    let (manifest, faults) = manifest::compile(&text, &BTreeMap::new());
    let said: String = faults.iter().map(|fault| format!("{fault}\n")).collect();
    manifest.is_none().then_some(said)
}

/// The slowest refusal in milliseconds, each of them, and the most memory that the program had.
pub fn hostile() -> Result<Measurement, BenchError> {
    let scratch = Scratch::new();
    std::fs::create_dir_all(&scratch.0).map_err(BenchError::Scratch)?;
    let mut detail = Vec::new();
    for case in cases() {
        let path = scratch.0.join(case.name);
        std::fs::write(&path, &case.bytes).map_err(BenchError::Scratch)?;
        drop(case.bytes);
        let clock = Clock::start();
        let said = refusal(&path).ok_or(BenchError::Accepted(case.name))?;
        let took = clock.seconds() * 1_000.0;
        if !said.contains(case.says) {
            return Err(BenchError::Otherwise { name: case.name, said });
        }
        detail.push((format!("{} ms", case.name), took));
    }
    let slowest = detail.iter().map(|(_, took)| *took).fold(0.0, f64::max);
    detail.extend(peak());
    Ok(Measurement { name: "hostile", value: slowest, unit: "ms", baseline: None, detail })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r13_every_hostile_text_is_refused_for_what_it_is() {
        let measured = hostile().unwrap_or_else(|error| panic!("{error}"));
        assert!(measured.detail.len() > 30, "{:?}", measured.detail);
    }
}
