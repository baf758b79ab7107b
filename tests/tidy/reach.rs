//! Reach: every Rust file belongs to a build, every manifest to a test, every golden file to what
//! it was made of. Never follows `#[path]`: there is none.

use crate::Offence;
use crate::tree::{File, Tree, tokens};
use std::collections::BTreeSet;

/// Every file that nothing reaches.
pub(crate) fn check(tree: &Tree) -> Vec<Offence> {
    let mut offences = dead_code(tree);
    for file in &tree.files {
        let say = |what: &str| Offence::new(&file.path, 1, what);
        let stem = |folder, end| file.path.strip_prefix(folder)?.strip_suffix(end);
        if let Some(name) = stem("manifests/", ".yaml").filter(|name| !is_tested(tree, name)) {
            offences.push(say(&format!("no test reads {name}.yaml")));
        }
        if let Some(name) = stem("tests/data/diag/", ".diag.txt")
            && tree.get(&format!("tests/data/diag/{name}.yaml")).is_none()
        {
            offences.push(say("the manifest that this is said about is gone"));
        }
    }
    offences
}

/// A manifest is named by a test, or has a golden plan, which a test of all manifests compares.
fn is_tested(tree: &Tree, name: &str) -> bool {
    let manifest = format!("{name}.yaml");
    let golden = format!("tests/data/plan/{name}.");
    tree.files.iter().any(|file| {
        let is_test = file.path.starts_with("tests/") && file.path.ends_with(".rs");
        file.path.starts_with(&golden) || (is_test && file.text.contains(&manifest))
    })
}

fn dead_code(tree: &Tree) -> Vec<Offence> {
    let is_root = |path: &str| match path.split('/').collect::<Vec<_>>().as_slice() {
        ["src", name] => matches!(*name, "lib.rs" | "main.rs"),
        ["tests", _, name] => *name == "main.rs",
        _ => false,
    };
    let mut open: Vec<&File> = tree.rust().filter(|file| is_root(&file.path)).collect();
    // An example is a program of its own.
    open.extend(tree.rust().filter(|file| file.path.starts_with("examples/")));
    let mut reached: BTreeSet<&str> = open.iter().map(|file| file.path.as_str()).collect();
    while let Some(file) = open.pop() {
        for child in children(file) {
            if let Some(child) = tree.rust().find(|other| child.contains(&other.path))
                && reached.insert(&child.path)
            {
                open.push(child);
            }
        }
    }
    let dead = tree.rust().filter(|file| !reached.contains(file.path.as_str()));
    dead.map(|file| Offence::new(&file.path, 1, "no `mod` reaches this file")).collect()
}

/// Where the modules that a file declares may be: two places each.
fn children(file: &File) -> Vec<[String; 2]> {
    let (folder, name) = file.path.rsplit_once('/').unwrap_or_default();
    let folder = match name {
        "mod.rs" | "lib.rs" | "main.rs" => folder.to_owned(),
        other => format!("{folder}/{}", other.trim_end_matches(".rs")),
    };
    let tokens = tokens(&file.code);
    let declared = tokens.windows(3).filter_map(|window| match window {
        [a, name, b] if a.text == "mod" && b.text == ";" => Some(name.text),
        _ => None,
    });
    declared.map(|m| [format!("{folder}/{m}.rs"), format!("{folder}/{m}/mod.rs")]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects;

    #[test]
    fn a_file_that_no_mod_reaches_is_seen() {
        let tree = |lib: &str| {
            Tree::of(&[
                ("src/lib.rs", lib),
                ("src/a/mod.rs", "pub mod b;"),
                ("src/a/b.rs", "#[cfg(test)]\nmod tests;"),
                ("src/a/b/tests.rs", ""),
                ("tests/it/main.rs", ""),
            ])
        };
        assert_eq!(check(&tree("mod a;")), []);
        let offences = check(&tree("// mod a;"));
        objects(&offences, "src/a/b/tests.rs:1: no `mod`");
        assert_eq!(offences.len(), 3);
        let stray = Tree::of(&[("tests/it/main.rs", ""), ("tests/it/b.rs", "")]);
        objects(&check(&stray), "tests/it/b.rs:1: no `mod`");
    }

    #[test]
    fn a_manifest_that_no_test_reads_is_seen() {
        let manifest = ("manifests/a.yaml", "");
        objects(&check(&Tree::of(&[manifest])), "manifests/a.yaml:1: no test reads a.yaml");
        assert_eq!(check(&Tree::of(&[manifest, ("tests/data/plan/a.dag.txt", "")])), []);
        let test = ("tests/it/main.rs", "fn f() { apply(\"manifests/a.yaml\") }");
        assert_eq!(check(&Tree::of(&[manifest, test])), []);
    }

    #[test]
    fn a_golden_file_without_its_source_is_seen() {
        let golden = Tree::of(&[("tests/data/diag/a.diag.txt", "")]);
        objects(&check(&golden), "a.diag.txt:1: the manifest");
    }
}
