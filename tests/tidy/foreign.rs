//! Outside crates, clocks and file systems: each has one place that may name it.
//! Never reads `Cargo.toml`: features keep crates out of a build, this keeps them in their files.

use crate::Offence;
use crate::tree::{Tree, tokens};

/// Names and the places below `src` that may use them. A name that ends in `_` is a prefix.
const PLACES: &[(&[&str], &[&str])] = &[
    (&["candle_", "arrow_", "safetensors"], &["compute/"]),
    (&["fjall"], &["effects/store"]),
    (&["object_store"], &["effects/artifacts", "effects/buckets", "effects/sources"]),
    (&["globset"], &["effects/sources"]),
    (&["rustls"], &["effects/mod", "effects/sources"]),
    (&["async_nats"], &["effects/bus"]),
    (&["sha2"], &["base/keys", "domain/poh"]),
    (&["blake3"], &["base/", "compute/", "effects/artifacts", "effects/sources", "effects/store"]),
    (&["ed25519_dalek"], &["base/keys", "effects/keyring"]),
    (&["curve25519_dalek"], &["base/keys"]),
    (&["serde_yaml"], &["domain/manifest", "cli/report/yaml"]),
    (&["petgraph"], &["domain/graph", "domain/manifest"]),
    (
        &["serde", "serde_json"],
        &["domain/manifest", "compute/", "effects/", "node/lock", "node/publish", "cli/"],
    ),
    (&["tokio", "futures_util"], &["effects/", "node/", "cli/", "main.rs"]),
    (&["clap", "clap_"], &["cli/"]),
    (&["indicatif", "annotate_snippets"], &["cli/"]),
    (&["mimalloc"], &["main.rs"]),
    (&["Instant", "SystemTime", "getrandom"], &["effects/clock"]),
];

/// Parts of the standard library that reach the outside, and who may: nobody below the hands.
const OUTSIDE: &[&str] = &["fs", "net", "process", "env"];
const PURE: &[&str] = &["base/", "domain/", "role/", "compute/"];

/// Every use of a foreign name out of its place.
pub(crate) fn check(tree: &Tree) -> Vec<Offence> {
    let mut offences = Vec::new();
    for file in tree.sources() {
        let below = file.path.strip_prefix("src/").unwrap_or_default();
        let is_in = |places: &[&str]| places.iter().any(|place| below.starts_with(place));
        for token in tokens(&file.code) {
            let name = |name: &&str| {
                *name == token.text || (name.ends_with('_') && token.text.starts_with(name))
            };
            let strays = PLACES.iter().filter(|(names, _)| names.iter().any(name));
            for (_, places) in strays.filter(|(_, places)| !is_in(places)) {
                let what = format!("`{}` belongs to {}", token.text, places.join(", "));
                offences.push(Offence::new(&file.path, token.line, what));
            }
        }
        if is_in(PURE) {
            for (line, name) in outside(&file.live) {
                let what = format!("`std::{name}` is not for {below}: bytes are arguments here");
                offences.push(Offence::new(&file.path, line, what));
            }
        }
    }
    offences
}

/// Uses of `std::fs` and the like, alone or in a group.
fn outside(code: &str) -> Vec<(usize, String)> {
    let tokens = tokens(code);
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate().filter(|(_, token)| token.text == "std") {
        let path = tokens.iter().skip(at + 1).take_while(|next| next.text != ";");
        let path: Vec<&str> = path.map(|next| next.text).collect();
        let names = match path.as_slice() {
            ["::", "{", group @ ..] => group,
            ["::", name, ..] => std::slice::from_ref(name),
            _ => &[],
        };
        let names = names.iter().take_while(|name| **name != "}");
        let outside = names.filter(|name| OUTSIDE.contains(name));
        found.extend(outside.map(|name| (token.line, (*name).to_owned())));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objects;

    #[track_caller]
    fn check_one(path: &str, text: &str, expect: Option<&str>) {
        let offences = check(&Tree::of(&[(path, text)]));
        match expect {
            Some(expect) => objects(&offences, expect),
            None => assert_eq!(offences, []),
        }
    }

    #[test]
    fn a_crate_out_of_its_place_is_seen() {
        let text = "//! x\nuse candle_core::Tensor;";
        check_one("src/role/worker.rs", text, Some("src/role/worker.rs:2: `candle_core`"));
        check_one("src/compute/model.rs", text, None);
        check_one("src/role/worker.rs", "//! Never sees candle_core.", None);
        check_one("src/effects/artifacts.rs", "use fjall::Keyspace;", Some("effects/store"));
        check_one("src/effects/store/log.rs", "use fjall::Keyspace;", None);
    }

    #[test]
    fn a_clock_out_of_its_place_is_seen() {
        let text = "fn f() { std::time::Instant::now(); }";
        check_one("src/node/embedded.rs", text, Some("`Instant` belongs to effects/clock"));
        check_one("src/effects/clock.rs", text, None);
    }

    #[test]
    fn the_file_system_is_not_for_the_pure() {
        check_one("src/domain/x.rs", "use std::fs;", Some("`std::fs`"));
        check_one("src/domain/x.rs", "use std::{fmt, net::IpAddr};", Some("`std::net`"));
        check_one("src/domain/x.rs", "use std::{fmt, sync};", None);
        check_one("src/node/x.rs", "use std::fs;", None);
    }
}
