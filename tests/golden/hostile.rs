//! Texts that nobody would write on purpose: whatever the bytes, the compiler answers, and says the
//! same twice. Never compares what it says: `manifest` does.

use super::{at, names};
use ohc::domain::manifest::{Diagnostic, compile, params_file};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Every manifest of the project, sound or broken, as bytes.
static ALL: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let folders = ["tests/data/diag", "manifests"];
    let paths = folders.iter().flat_map(|folder| {
        names(folder, ".yaml").into_iter().map(move |name| at(&format!("{folder}/{name}.yaml")))
    });
    paths.map(|path| std::fs::read(path).unwrap()).collect()
});

/// A piece of one of the manifests.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    (0..ALL.len(), any::<prop::sample::Index>(), 1usize..80).prop_map(|(which, from, length)| {
        let text = &ALL[which];
        if text.is_empty() {
            return Vec::new();
        }
        let from = from.index(text.len());
        text[from..text.len().min(from + length)].to_vec()
    })
}

/// A manifest in which some pieces are replaced by bytes, or by pieces of others.
fn spliced() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop::collection::vec(any::<u8>(), 0..8);
    let edit = (any::<prop::sample::Index>(), 0usize..60, prop_oneof![piece(), bytes]);
    (0..ALL.len(), prop::collection::vec(edit, 1..6)).prop_map(|(which, edits)| {
        edits.into_iter().fold(ALL[which].clone(), |text, (from, length, piece)| {
            let from = from.index(text.len() + 1);
            let to = text.len().min(from + length);
            [&text[..from], &piece, &text[to..]].concat()
        })
    })
}

/// No panic, the same answer twice, a manifest or errors, and every fault inside of the text.
fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    let text = String::from_utf8_lossy(bytes);
    let answer = compile(&text, &BTreeMap::new());
    let (manifest, faults) = &answer;
    prop_assert_eq!(manifest.is_none(), faults.iter().any(Diagnostic::is_error));
    for fault in faults {
        let place = fault.place;
        prop_assert!(text.get(place.offset..place.offset + place.length).is_some(), "{}", fault);
        prop_assert!(place.line > 0 && place.column > 0, "{}", fault);
        prop_assert!(!fault.to_string().contains('\u{1b}'), "{}", fault);
    }
    prop_assert_eq!(&answer, &compile(&text, &BTreeMap::new()));
    // A file of parameters is read by the same reader.
    let _ = params_file(&text);
    Ok(())
}

#[test]
fn r13_a_fault_in_a_formula_of_any_characters_lies_in_the_text() {
    let manifest = std::fs::read_to_string(at("manifests/deliveries.yaml")).unwrap();
    let formula = "\"items / km\"";
    assert!(manifest.contains(formula));
    // As it stands, and where an escape is shorter or longer than what it stands for.
    for other in [
        "�\"x\"",
        "'€ > 1'",
        "\"\\P\\\"é$\"",
        "\"\\_é$\"",
        "\"a \\L\\\"€\"",
        "é é",
        "\"a\\\n b €\"",
    ] {
        let text = manifest.replace(formula, other);
        let (_, faults) = compile(&text, &BTreeMap::new());
        assert!(faults.iter().any(|fault| fault.is_error()), "{other} is no formula");
        check(text.as_bytes()).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(768))]

    #[test]
    fn r13_any_splice_of_manifests_is_answered(bytes in spliced()) {
        check(&bytes)?;
    }

    #[test]
    fn r13_any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        check(&bytes)?;
    }
}
