//! Measures the chain of hashes and the verification of a log, on one core and on all of them.
//! Never compares numbers that were not measured in turns.

use super::scribe::Scribe;
use super::{BenchError, Measurement, detail, median};
use crate::base::canon::Digest;
use crate::base::time::Height;
use crate::domain::poh::{self, Chain, Entry, Place};
use crate::effects::clock::Clock;
use crate::effects::machine;
use crate::node::verify;

/// Turns in which everything is measured once.
const TURNS: u32 = 5;
/// Hashes between two looks at the clock.
const BATCH: u64 = 100_000;

/// Seconds that this thread has been on a core; of the clock, where the system does not count them.
pub(super) fn on_core(clock: &Clock) -> f64 {
    machine::thread_seconds().unwrap_or_else(|| clock.seconds())
}

/// Makes a chain, checks it with one thread and with all, and hashes the same way with the plain
/// crate. Rates of one thread are of the time that it had a core: neighbours do not count.
pub fn proof_of_history(seconds: f64, threads: usize) -> Measurement {
    let params = poh::Params { hashes_per_tick: 1_000 };
    let start = Digest::of(b"ohc bench");
    let clock = Clock::start();
    let (mut made, mut checked, mut together, mut bare) = (vec![], vec![], vec![], vec![]);
    let (mut all, mut faults) = (0, 0u32);
    for _ in 0..TURNS {
        let mut chain = Chain::new(start, params);
        let mut entries: Vec<Entry> = Vec::new();
        let (until, begun) = (clock.seconds() + seconds / f64::from(TURNS), on_core(&clock));
        while clock.seconds() < until {
            entries.extend((0..BATCH / 1_000).map(|_| chain.tick()));
        }
        let hashes: u64 = entries.iter().map(|entry| entry.hashes).sum();
        let rate = |seconds: f64| hashes as f64 / seconds / 1e6;
        made.push(rate(on_core(&clock) - begun));
        let begun = on_core(&clock);
        let one = poh::verify(Place::start(start), &entries, params, hashes, 1);
        checked.push(rate(on_core(&clock) - begun));
        let begun = clock.seconds();
        let many = poh::verify(Place::start(start), &entries, params, hashes, threads);
        together.push(rate(clock.seconds() - begun));
        let begun = on_core(&clock);
        std::hint::black_box(poh::plain(start, hashes));
        bare.push(rate(on_core(&clock) - begun));
        all += hashes;
        faults += u32::from(one.is_err()) + u32::from(many.is_err());
    }
    let (made, checked) = (median(made), median(checked));
    Measurement {
        name: "poh",
        value: made,
        unit: "Mh/s",
        baseline: Some(("a bare sha2 loop", median(bare))),
        detail: detail(&[
            ("verifyOneThread", checked),
            ("verifyOverMake", checked / made),
            ("verifyAllThreads", median(together)),
            ("threads", threads as f64),
            ("hashes", all as f64),
            ("faults", f64::from(faults)),
        ]),
    }
}

/// Slots per second that are verified from nothing but their genesis, with one thread and with all
/// of them: every slot has a tick of hashes, a command and a certificate.
pub fn verification(slots: u32, threads: usize) -> Result<Measurement, BenchError> {
    let mut scribe = Scribe::new();
    for _ in 0..slots {
        scribe.write(1, 1);
    }
    let clock = Clock::start();
    let rate = |threads: usize| -> Result<f64, BenchError> {
        let stored = (1..).map(Height).zip(scribe.slots.iter().cloned()).map(Ok);
        let begun = clock.seconds();
        let verdict = verify::verify(&scribe.genesis, stored, threads);
        let sound = verdict.first_fault.is_none() && verdict.slots == u64::from(slots);
        sound.then(|| f64::from(slots) / (clock.seconds() - begun)).ok_or(BenchError::Unsettled)
    };
    let (mut one, mut all) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        one.push(rate(1)?);
        all.push(rate(threads)?);
    }
    let mut counted = detail(&[("threads", threads as f64), ("slots", f64::from(slots))]);
    counted.extend(super::peak());
    Ok(Measurement {
        name: "verify",
        value: median(all),
        unit: "slots/s",
        baseline: Some(("one thread", median(one))),
        detail: counted,
    })
}
