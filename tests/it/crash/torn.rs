//! The log torn at every byte of its last slot, and with a bit flipped in every byte of it.
//! Never needs a person: what is torn was told to nobody and is cut; what is flipped is found.

use super::{APPLY, copy, each, judge, site, site_like, undisturbed, was_killed};
use crate::site::{Ran, Site};
use ohc::base::canon::Digest;
use ohc::base::keys::PublicKey;
use ohc::base::time::Height;
use ohc::effects::perils::VARIABLE;
use ohc::node::boot::{self, BootError, Booted};
use ohc::node::home::Home;
use std::fs;
use std::path::Path;
use std::process::Stdio;

/// The log ends with this slot; a run is in its middle.
const SLOT: u64 = 9;
/// Of so many homes one is applied in again with the program.
const APPLIED: usize = 60;
/// What ends a write in the journal.
const MAGIC: [u8; 4] = *b"FJL\x03";

/// A home that was killed when a slot had just been written.
struct Killed {
    site: Site,
    client: PublicKey,
    validator: PublicKey,
    /// The journal without the room behind its last write.
    journal: Vec<u8>,
    /// Where its last write begins.
    last: usize,
    /// The digest of the last slot's head.
    parent: Digest,
}

impl Killed {
    fn new() -> Self {
        let site = site();
        let mut apply = site.command(&APPLY);
        apply.env(VARIABLE, format!("slot.appended:{SLOT}")).stdin(Stdio::null());
        let apply = apply.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        assert!(was_killed(&Ran::of(apply)));
        let mut journal = fs::read(site.path("home/log/db/0.jnl")).unwrap();
        journal.truncate(journal.iter().rposition(|byte| *byte != 0).unwrap() + 1);
        assert!(journal.ends_with(&MAGIC));
        let before = &journal[..journal.len() - MAGIC.len()];
        let last = before.windows(MAGIC.len()).rposition(|bytes| bytes == MAGIC).unwrap();
        let last = last + MAGIC.len();
        let keys = boot::keys(&Home::find(Some(&site.path("home")), &site.path("")), 1).unwrap();
        let (client, validator) = (keys.client.public(), keys.validator.public());
        let mut this = Self { site, client, validator, journal, last, parent: Digest::default() };
        let dir = this.with(&this.journal);
        let whole = this.boot(dir.path()).unwrap();
        assert_eq!(whole.state.height(), Height(SLOT));
        this.parent = whole.parent;
        this
    }

    /// A folder with the same home and another journal.
    fn with(&self, journal: &[u8]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        copy(&self.site.path("home/log"), &dir.path().join("log"));
        fs::write(dir.path().join("log/db/0.jnl"), journal).unwrap();
        dir
    }

    fn boot(&self, home: &Path) -> Result<Booted, BootError> {
        boot::boot(&Home::find(Some(home), home), self.client, self.validator)
    }

    /// The same folder with another journal, for the program.
    fn site_with(&self, journal: &[u8]) -> Site {
        let site = site_like(&self.site);
        fs::write(site.path("home/log/db/0.jnl"), journal).unwrap();
        site
    }
}

#[test]
fn r14_a_log_torn_at_any_byte_of_its_last_slot_loses_that_slot_alone() {
    let (killed, expect) = (Killed::new(), undisturbed(&APPLY));
    let ends: Vec<usize> = (killed.last..killed.journal.len()).collect();
    assert!(ends.len() > 300, "a slot has more bytes");
    each(
        &ends,
        |end| format!("byte {end}"),
        |end| {
            // The file ends there, or goes on with zeros: journals are made longer in advance.
            let mut torn = killed.journal[..*end].to_vec();
            torn.resize(end + 3_000 * (end % 2), 0);
            let dir = killed.with(&torn);
            let booted = killed.boot(dir.path()).unwrap();
            assert_eq!(booted.state.height(), Height(SLOT - 1));
            if (end - killed.last).is_multiple_of(APPLIED) {
                let site = killed.site_with(&torn);
                judge(&site, &APPLY, &expect, &format!("torn at byte {end}"));
            }
        },
    );
}

#[test]
fn r14_a_bit_that_flips_in_the_last_slot_is_found() {
    let killed = Killed::new();
    let places: Vec<usize> = (killed.last..killed.journal.len()).collect();
    each(
        &places,
        |at| format!("byte {at}"),
        |at| {
            let mut flipped = killed.journal.clone();
            flipped[*at] ^= 1 << (at % 8);
            let dir = killed.with(&flipped);
            match killed.boot(dir.path()) {
                // A number of the database's own that carries nothing of ours.
                Ok(booted) if booted.recovery.cut.is_none() => {
                    assert_eq!(booted.parent, killed.parent);
                    assert_eq!(booted.state.height(), Height(SLOT));
                }
                // The very end cannot be told from a write that was interrupted: it is reported.
                Ok(booted) => {
                    assert_eq!(booted.state.height(), Height(SLOT - 1));
                    assert!(at + MAGIC.len() >= killed.journal.len());
                }
                Err(error) => assert!(error.to_string().contains("; hint: "), "{error}"),
            }
            if (at - killed.last).is_multiple_of(APPLIED) {
                let site = killed.site_with(&flipped);
                let (verified, applied) = (site.run(&["log", "verify"]), site.run(&APPLY));
                assert!([0, 1, 3].contains(&verified.code().unwrap()), "{}", verified.err());
                assert_eq!(verified.code() == Some(0), applied.code() == Some(0));
                assert!(!applied.err().contains("panicked"), "{}", applied.err());
            }
        },
    );
}
