//! Several processes in one home at once: each ends right or says that another one is at work.
//! Never two that write one log.

use super::{APPLY, APPLY_OTHER, Dice, each, json, judge, site, sound, undisturbed};
use crate::site::{Ran, Site};
use std::time::Duration;

/// How often each thing is tried.
const ROUNDS: u64 = 8;

/// An apply that was done, or that found somebody else at work.
#[track_caller]
fn is_done(ran: &Ran, how: &str) -> bool {
    if ran.code() == Some(0) {
        return true;
    }
    assert_eq!(ran.code(), Some(1), "{how}: {}", ran.err());
    assert!(ran.err().contains("another ohc is at work"), "{how}: {}", ran.err());
    false
}

#[test]
fn of_two_that_apply_the_same_at_once_in_a_new_home_one_does_and_both_end_right() {
    let expect = undisturbed(&APPLY);
    let rounds: Vec<u64> = (0..ROUNDS).collect();
    each(
        &rounds,
        |round| format!("round {round}"),
        |round| {
            let (site, how) = (site(), format!("round {round}"));
            let both = [(); 2].map(|()| site.spawn(&APPLY));
            let done = both.map(|child| is_done(&Ran::of(child), &how));
            assert!(done.contains(&true), "{how}: nobody did it");
            judge(&site, &APPLY, &expect, &how);
        },
    );
}

#[test]
fn two_that_apply_different_pipelines_at_once_both_get_theirs() {
    let (first, other) = (undisturbed(&APPLY), undisturbed(&APPLY_OTHER));
    let rounds: Vec<u64> = (0..ROUNDS).collect();
    each(
        &rounds,
        |round| format!("round {round}"),
        |round| {
            let (site, how) = (site(), format!("round {round}"));
            let (one, two) = (site.spawn(&APPLY), site.spawn(&APPLY_OTHER));
            let done = [is_done(&Ran::of(one), &how), is_done(&Ran::of(two), &how)];
            assert!(done.contains(&true), "{how}: nobody did it");
            judge(&site, &APPLY, &first, &how);
            judge(&site, &APPLY_OTHER, &other, &how);
        },
    );
}

#[test]
fn whoever_comes_when_another_is_killed_goes_on_with_its_run() {
    let expect = undisturbed(&APPLY);
    let mut dice = Dice::thrown("OHC_CRASH_SEED");
    let seed = dice.0;
    let waits: Vec<u64> = (0..ROUNDS).map(|_| dice.below(400)).collect();
    let name = |wait: &u64| format!("{wait} ms of OHC_CRASH_SEED={seed}");
    each(&waits, name, |wait| {
        let (site, how) = (site(), name(wait));
        let mut first = site.spawn(&APPLY);
        std::thread::sleep(Duration::from_millis(*wait));
        first.kill().unwrap();
        // The system may still be clearing up behind the first.
        let second = Ran::of(site.spawn(&APPLY));
        assert_eq!(second.code(), Some(0), "{how}: {}", second.err());
        first.wait().unwrap();
        judge(&site, &APPLY, &expect, &how);
    });
}

#[test]
fn readers_that_come_and_are_killed_do_not_hurt_a_run() {
    let expect = undisturbed(&APPLY);
    let looks: [&[&str]; 4] = [
        &["get", "blocks"],
        &["log", "verify"],
        &["plan", "fast.yaml"],
        &["describe", "run", "run-1"],
    ];
    let rounds: Vec<u64> = (0..ROUNDS).collect();
    each(
        &rounds,
        |round| format!("round {round}"),
        |round| {
            let (site, how) = (site(), format!("round {round}"));
            let mut dice = Dice(*round);
            let mut apply = site.spawn(&APPLY);
            while apply.try_wait().unwrap().is_none() {
                let mut reader = site.spawn(looks[dice.below(looks.len() as u64) as usize]);
                std::thread::sleep(Duration::from_millis(dice.below(40)));
                reader.kill().unwrap();
                reader.wait().unwrap();
            }
            assert!(is_done(&Ran::of(apply), &how), "{how}: a reader was in the way");
            judge(&site, &APPLY, &expect, &how);
        },
    );
}

#[test]
fn whoever_applies_the_same_again_and_again_does_not_hurt_the_first() {
    let expect = undisturbed(&APPLY);
    let rounds: Vec<u64> = (0..ROUNDS).collect();
    each(
        &rounds,
        |round| format!("round {round}"),
        |round| {
            let (site, how) = (site(), format!("round {round}"));
            let mut first = site.spawn(&APPLY);
            // While the outputs of the first are written, too.
            while first.try_wait().unwrap().is_none() {
                is_done(&site.run(&APPLY), &how);
            }
            is_done(&Ran::of(first), &how);
            judge(&site, &APPLY, &expect, &how);
        },
    );
}

/// The home stays whole whoever wins.
#[test]
fn of_many_that_begin_a_home_at_once_all_see_the_same_network() {
    let site = site();
    let commands: [&[&str]; 4] =
        [&APPLY, &["get", "accounts"], &["wallet", "new", "savings"], &["plan", "fast.yaml"]];
    let children = commands.map(|args| site.spawn(args));
    for (ran, args) in children.map(Ran::of).iter().zip(commands) {
        assert!(
            ran.signal().is_none() && !ran.err().contains("panicked"),
            "{args:?}: {}",
            ran.err()
        );
    }
    applied(&site);
    sound(&site, "many at once");
}

fn applied(site: &Site) {
    json(site, &APPLY, "many at once");
}
