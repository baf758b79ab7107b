//! A server whose users have tokens (JWT): who has a file of credentials is let in, and who has
//! one of another operator is not. Never a recorded token: they are made as NATS describes them.

use super::nats::Nats;
use ed25519_dalek::{Signer as _, SigningKey};
use ohc::effects::bus::{Bus, BusError, Login, Options};
use std::time::Duration;

/// Letters of base 32 and of base 64 for addresses.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Bytes as letters of so many bits, without padding.
fn letters(bytes: &[u8], alphabet: &[u8], bits: u32) -> String {
    let (mut held, mut count, mut text) = (0u32, 0, String::new());
    for byte in bytes {
        held = (held << 8) | u32::from(*byte);
        count += 8;
        while count >= bits {
            count -= bits;
            text.push(alphabet[((held >> count) & ((1 << bits) - 1)) as usize] as char);
        }
    }
    if count > 0 {
        text.push(alphabet[((held << (bits - count)) & ((1 << bits) - 1)) as usize] as char);
    }
    text
}

/// Bytes with their CRC-16 (XMODEM), as a key of NATS is written.
fn key_text(bytes: &[u8]) -> String {
    let crc = bytes.iter().fold(0u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    });
    letters(&[bytes, &crc.to_le_bytes()].concat(), BASE32, 5)
}

/// An operator (O), account (A) or user (U).
struct Role {
    key: SigningKey,
    prefix: u8,
}

impl Role {
    fn new(n: u8, letter: u8) -> Self {
        Self { key: SigningKey::from_bytes(&[n; 32]), prefix: (letter - b'A') << 3 }
    }

    fn public(&self) -> String {
        key_text(&[&[self.prefix], self.key.verifying_key().as_bytes().as_slice()].concat())
    }

    fn seed(&self) -> String {
        let seed = (b'S' - b'A') << 3;
        let first = [seed | (self.prefix >> 5), (self.prefix & 31) << 3];
        key_text(&[&first, self.key.to_bytes().as_slice()].concat())
    }

    /// A token about somebody, signed by this one.
    fn token(&self, about: &Role, nats: &str) -> String {
        let part = |text: &str| letters(text.as_bytes(), BASE64, 6);
        let head = part(r#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
        let (issuer, subject) = (self.public(), about.public());
        let who = format!(r#""iss":"{issuer}","name":"x","sub":"{subject}""#);
        let claims = format!(r#"{{"jti":"x","iat":1700000000,{who},"nats":{nats}}}"#);
        let signed = format!("{head}.{}", part(&claims));
        let signature = self.key.sign(signed.as_bytes());
        format!("{signed}.{}", letters(&signature.to_bytes(), BASE64, 6))
    }
}

const UNLIMITED: &str = r#"{"limits":{"subs":-1,"data":-1,"payload":-1,"imports":-1,"exports":-1,
    "wildcards":true,"conn":-1,"leaf":-1},"type":"account","version":2}"#;
const USER: &str =
    r#"{"pub":{},"sub":{},"subs":-1,"data":-1,"payload":-1,"type":"user","version":2}"#;

fn credentials(user: &Role, token: &str) -> String {
    let seed = user.seed();
    format!(
        "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

#[test]
fn who_has_a_token_is_let_in_and_who_has_one_of_somebody_else_is_not() {
    let (operator, account, user) = (Role::new(1, b'O'), Role::new(2, b'A'), Role::new(3, b'U'));
    let own = operator.token(&operator, r#"{"type":"operator","version":2}"#);
    let (holder, of_holder) = (account.public(), operator.token(&account, UNLIMITED));
    let config =
        format!("operator: {own}\nresolver: MEMORY\nresolver_preload: {{ {holder}: {of_holder} }}");
    let Some(nats) = Nats::start(&config) else { return };
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build().unwrap();
    let connect = |name: &str, token: &str| {
        let file = nats.dir().join(name);
        std::fs::write(&file, credentials(&user, token)).unwrap();
        let options = Options {
            urls: vec![nats.url()],
            login: Login::of_file(&file).unwrap(),
            name: "test".into(),
            inbox: "_INBOX_test".into(),
            patience: Duration::from_secs(10),
            ..Options::default()
        };
        Bus::connect(&options, runtime.handle(), |_| {})
    };
    let bus = connect("good.creds", &account.token(&user, USER)).unwrap();
    bus.publish("ohc.test", b"hello".to_vec()).unwrap();
    bus.flush(Duration::from_secs(5)).unwrap();
    let stranger = Role::new(4, b'A');
    let refused = connect("bad.creds", &stranger.token(&user, USER)).map(drop).unwrap_err();
    assert!(matches!(refused, BusError::Denied { .. }), "{refused}");
}
