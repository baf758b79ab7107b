//! Who may say what: an nkey for every node, and the file that tells the servers of NATS on which
//! subjects each of them may speak and listen. Never the key that a node signs with: a server is
//! told much, and is trusted with little.

use crate::base::keys::{NetworkId, PublicKey, SecretKey};
use crate::node::wire::{Wire, inbox};
use std::fmt::Write as _;

/// The letters of base32 (RFC 4648).
const LETTERS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// What the public half of a user's nkey begins with: `U`.
const USER: u8 = 20 << 3;
/// What its seed begins with: `SU`.
const SEED: [u8; 2] = [(18 << 3) | (USER >> 5), (USER & 31) << 3];

/// What a node is on the bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// It agrees on slots, and answers about them.
    Validator,
    /// It sends commands and follows.
    Follower,
}

/// One that the servers let in.
pub(super) struct Guest {
    /// What people call it.
    pub(super) name: String,
    /// The key that it signs with.
    pub(super) key: PublicKey,
    /// The public half of its nkey.
    pub(super) nkey: String,
    /// What it may do.
    pub(super) role: Role,
}

/// The seed of an nkey and its public half, from 32 secret bytes.
pub(super) fn nkey(secret: &[u8; 32]) -> (String, String) {
    let public = SecretKey::from_bytes(secret).public();
    (checked(&[&SEED, secret]), checked(&[&[USER], &public.0]))
}

/// The parts and their sum (CRC-16/XMODEM) in base32.
fn checked(parts: &[&[u8]]) -> String {
    let mut bytes = parts.concat();
    let sum = bytes.iter().fold(0u16, |sum, byte| {
        (0..8).fold(sum ^ (u16::from(*byte) << 8), |sum, _| match sum & 0x8000 {
            0 => sum << 1,
            _ => (sum << 1) ^ 0x1021,
        })
    });
    bytes.extend(sum.to_le_bytes());
    let bits = |at: usize| {
        let byte = |at: usize| u16::from(bytes.get(at).copied().unwrap_or(0));
        let pair = (byte(at / 8) << 8) | byte(at / 8 + 1);
        usize::from((pair >> (11 - at % 8)) & 31)
    };
    let letters = (0..(bytes.len() * 8).div_ceil(5)).map(|n| bits(n * 5));
    letters.filter_map(|n| LETTERS.get(n)).map(|letter| char::from(*letter)).collect()
}

/// The part of a server's configuration that lets these in and nobody else.
pub(super) fn authorization(network: NetworkId, guests: &[Guest]) -> String {
    let mut text = String::from(
        "# Who may connect, and on which subjects each may speak (publish) and hear (subscribe).\n\
         # A server includes it: `include \"nats-users.conf\"`. It holds public halves alone; the\n\
         # seeds lie with the nodes. Add whoever joins, and reload the servers.\n\
         authorization {\n  users: [\n",
    );
    for guest in guests {
        let Permissions { publish, subscribe, answers } = permissions(network, guest);
        let list = |subjects: &[String]| {
            let quoted: Vec<String> = subjects.iter().map(|s| format!("\"{s}\"")).collect();
            quoted.join(", ")
        };
        let answers = if answers { ", allow_responses: { max: 1, expires: \"10s\" }" } else { "" };
        let _ = write!(
            text,
            "    # {}\n    {{ nkey: {}, permissions: {{\n      publish: {{ allow: [{}] }},\n      \
             subscribe: {{ allow: [{}] }}{answers} }} }}\n",
            guest.name,
            guest.nkey,
            list(&publish),
            list(&subscribe),
        );
    }
    text.push_str("  ]\n}\n");
    text
}

struct Permissions {
    publish: Vec<String>,
    subscribe: Vec<String>,
    /// Whether it answers questions.
    answers: bool,
}

/// Everybody sends commands and asks under its own name, and hears what is final. Who computes says
/// what it does, for who follows runs. A validator speaks besides, hears the others, and answers.
/// Nobody hears answers that others are given.
fn permissions(network: NetworkId, guest: &Guest) -> Permissions {
    let (wire, own) = (Wire::new(network), inbox(&guest.key));
    let mut publish = vec![wire.command(&guest.key), wire.fetch(&own), wire.fetch_of(None, &own)];
    let mut subscribe = vec![wire.slot(), wire.head_of_all(), format!("{own}.>")];
    let answers = guest.role == Role::Validator;
    if guest.role == Role::Follower {
        publish.push(wire.journals(Some(&guest.key)));
        subscribe.push(wire.journals(None));
    }
    if answers {
        publish.extend([wire.consensus(&guest.key), wire.head(&guest.key), wire.slot()]);
        let heard = [wire.command_of_all(), wire.consensus_of_all(), wire.fetch_by_all()];
        subscribe.extend(heard);
        subscribe.push(wire.fetch_of_by_all(&guest.key));
    }
    Permissions { publish, subscribe, answers }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nkeys_are_those_of_nats() {
        let secret = std::array::from_fn(|n| u8::try_from(n + 1).unwrap());
        // As the Go library of NATS writes them.
        let seed = "SUAACAQDAQCQMBYIBEFAWDANBYHRAEISCMKBKFQXDAMRUGY4DUPB6IC5CQ";
        let public = "UB43KVROR7TFJ6KAPCYRF2FJROTZAH4FHLTJLPWX4DRZCC5NASLGJBFE";
        assert_eq!(nkey(&secret), (seed.to_owned(), public.to_owned()));
    }
}
