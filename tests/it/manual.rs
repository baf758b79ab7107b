//! What the program says about itself: help, pages, completions and explanations. Never compares
//! texts: the goldens do.

use crate::site::Site;
use std::fs;

#[test]
fn without_a_verb_the_verbs_are_shown_by_groups() {
    let site = Site::new();
    let bare = site.run(&[]);
    assert_eq!(bare.code(), Some(64));
    for part in ["Pipelines:", "  apply ", "This machine:", "  doctor "] {
        assert!(bare.out().contains(part), "{part:?} is not in:\n{}", bare.out());
    }
    let help = site.run(&["--help"]);
    assert_eq!((help.code(), help.err().as_str()), (Some(0), ""));
    assert_eq!(site.run(&["help", "wallet", "transfer"]).code(), Some(0));
    let near = site.run(&["walet"]);
    assert_eq!(near.code(), Some(64));
    assert!(near.err().contains("'wallet'"), "{}", near.err());
    let nothing = site.run(&["wallet"]);
    assert_eq!(nothing.code(), Some(64));
    assert!(nothing.err().contains("transfer"), "{}", nothing.err());
}

#[test]
fn nothing_is_coloured_where_nobody_looks_or_wants_it() {
    let site = Site::new();
    site.json(&["apply", "iris.yaml", "-o", "json"]);
    for args in [&["--help"][..], &["doctor"], &["gc"], &["explain", "train"], &["wallet", "list"]]
    {
        let mut command = site.command(args);
        let plain = command.env_remove("NO_COLOR").output().unwrap();
        assert!(!plain.stdout.contains(&0x1b), "{args:?} is coloured in a pipe");
    }
    let wanted = site.run(&["explain", "train", "--color", "always"]);
    assert!(wanted.out().contains('\u{1b}'), "{}", wanted.out());
}

#[test]
fn every_verb_has_a_page_and_every_shell_its_script() {
    let site = Site::new();
    let wrote = site.run(&["man", "--out", "pages"]);
    assert_eq!(wrote.code(), Some(0), "{}", wrote.err());
    let page = |name: &str| fs::read_to_string(site.path("pages").join(name)).unwrap();
    for name in ["ohc.1", "ohc-apply.1", "ohc-wallet.1", "ohc-wallet-transfer.1"] {
        assert!(page(name).contains(".SH SYNOPSIS"), "{name}");
    }
    assert_eq!(site.run(&["man", "wallet", "transfer"]).out(), page("ohc-wallet-transfer.1"));
    assert_eq!(site.run(&["man"]).out(), page("ohc.1"));
    let unknown = site.run(&["man", "walet"]);
    assert_eq!(unknown.code(), Some(64));
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = site.run(&["completions", shell]);
        assert_eq!(script.code(), Some(0), "{shell}");
        assert!(script.out().contains("transfer"), "{shell}");
    }
    assert_eq!(site.run(&["completions", "tcsh"]).code(), Some(64));
}

#[test]
fn a_key_is_explained_or_the_nearest_is_named() {
    let site = Site::new();
    let check = |path: &str, parts: &[&str]| {
        let ran = site.run(&["explain", path]);
        assert_eq!(ran.code(), Some(0), "{path}: {}", ran.err());
        parts.iter().for_each(|part| assert!(ran.out().contains(part), "{path}: {}", ran.out()));
        assert!(ran.out().lines().all(|line| line.chars().count() <= 80), "{path}");
    };
    check("stages.train.with.optimizer", &["default: { kind: adamw }", "lr: number above 0"]);
    check("spec.budget.onExhausted", &["`pause` or `fail`", "default: pause"]);
    check("evaluate", &["uses: evaluate", "inputs", "metrics", "accuracy: "]);
    let wrong = site.run(&["explain", "stages.train.with.optimiser"]);
    assert_eq!(wrong.code(), Some(64));
    assert!(wrong.err().contains("did you mean `optimizer`?"), "{}", wrong.err());
}
