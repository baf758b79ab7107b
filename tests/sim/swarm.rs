//! A swarm of worlds that nobody has thought of, each from one number. In safety mode faults never
//! stop and only the rules are watched; in liveness mode they stop, and everybody gets an answer.
//!
//! `SEED=n` replays one world, `SEEDS=n` runs so many, from that seed on if both are given. A seed
//! that fails is shrunk, and what is left is printed as the line that replays it. Never asserts how
//! something came about.

mod setup;
mod shrink;

use crate::checker::Breach;
use crate::hindsight::{agree, honest, last, reapply, replay};
use crate::world::World;
use setup::Setup;
use shrink::{Trim, shrink};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

/// So long a calm world may take at most, in its own time.
const PATIENCE_MS: u64 = 10 * 60 * 1_000;

/// Worlds of a run that says nothing else.
const SEEDS: u64 = 300;

/// A world from its beginning to its end.
fn live(setup: &Setup) -> Result<World, Breach> {
    let mut world =
        World::new(setup.seed.rotate_right(setup.roll as u32), setup.weather, setup.cast());
    world.live(setup.storm_ms)?;
    let lies = setup.lies();
    if setup.is_live {
        world.calm_down();
        let waiting = world.finish(PATIENCE_MS)?;
        if !waiting.is_empty() {
            let what = format!("{}; {}", waiting.join(", "), world.open().join(", "));
            return Err(Breach { rule: "liveness", what });
        }
        agree(&mut world)?;
        if !lies {
            reapply(&world)?;
        }
    }
    honest(&world, lies)?;
    replay(&world)?;
    Ok(world)
}

/// The world of a seed at its end.
pub fn world(seed: u64) -> World {
    live(&Setup::new(seed)).map_err(|breach| breach.what).unwrap()
}

/// The same, where a panic is a rule that does not hold as well.
fn survive(setup: &Setup) -> Result<World, Breach> {
    catch_unwind(AssertUnwindSafe(|| live(setup))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(Breach { rule: "assertion", what: text.unwrap_or_default() })
    })
}

/// What is left of a seed that fails, as a line that replays it.
fn report(seed: u64, trim: &Trim) -> Option<String> {
    let run = |trim: &Trim| survive(&trim.apply(Setup::new(seed))).err();
    let breach = run(trim)?;
    let (least, breach) = shrink(seed, trim.clone(), breach, run);
    let line = least.line(seed);
    Some(format!("{} does not hold: {}\n  replay: {line}", breach.rule, breach.what))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn the_swarm_keeps_every_rule_and_everybody_gets_an_answer() {
    let trim = std::env::var("TRIM").map(|text| Trim::read(&text).unwrap()).unwrap_or_default();
    let (first, count) = match number("SEED") {
        Some(seed) => (seed, number("SEEDS").unwrap_or(1)),
        None => (1, number("SEEDS").unwrap_or(SEEDS)),
    };
    let next = AtomicU64::new(first);
    let run = || {
        let mut failed = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count || !failed.is_empty() {
                return failed;
            }
            failed.extend(report(seed, &trim));
        }
    };
    let failed = std::thread::scope(|scope| {
        let other = scope.spawn(run);
        let mut failed = run();
        failed.extend(other.join().unwrap());
        failed
    });
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
}

#[test]
fn r8_the_same_seed_writes_the_same_log() {
    let log = |seed: u64| {
        let world = live(&Setup::new(seed)).map_err(|breach| breach.what).unwrap();
        assert!(world.slots().count() > 3);
        last(&world)
    };
    for seed in 1..6 {
        assert_eq!(log(seed), log(seed));
    }
    assert_ne!(log(1), log(2));
}

#[test]
fn a_seed_that_fails_is_shrunk_to_what_it_takes() {
    // A planted bug: the disk says that a slot is durable before it is.
    let run = |seed: u64, trim: &Trim| {
        let mut setup = trim.apply(Setup::new(seed));
        setup.weather.acts_before_sync = true;
        survive(&setup).err()
    };
    let fails = |seed: u64| run(seed, &Trim::default()).filter(|breach| breach.rule == "R-14");
    // A world with enough in it to be left out.
    let mut large = (1..400).filter(|seed| Setup::new(*seed).size() > 20_000);
    let (seed, breach) = large.find_map(|seed| Some((seed, fails(seed)?))).unwrap();
    let (least, found) = shrink(seed, Trim::default(), breach, |trim| run(seed, trim));
    assert_eq!(found.rule, "R-14");
    let (before, after) = (Setup::new(seed), least.apply(Setup::new(seed)));
    assert!(after.weather.crash, "without a crash nothing is lost");
    assert!(after.size() < before.size(), "{before:?}\n{after:?}");
    let line = least.line(seed);
    let said = line.split('\'').nth(1).unwrap();
    assert_eq!(Trim::read(said), Some(least.clone()), "{line}");
    assert_eq!(run(seed, &least), Some(found));
}
