//! Partitions: a network in two halves, each with a server of messages of its own that the other
//! half loses sight of. Nothing becomes final that more than two thirds of the stake do not see,
//! and once the halves see each other again there is one log. Never a mock: links are cut.

use super::halves::Halves;
use super::lab::Lab;
use super::outages::{APPLY, digests, undisturbed, wait};
use crate::site::{Ran, Site};

/// The half with the client, and the other one.
const NEAR: usize = 0;
const FAR: usize = 1;

/// A lab of four validators and two workers of which these are in the far half. The servers of the
/// halves notice within so many seconds that they do not hear each other.
fn lab(far: &'static [&'static str], notice: u64) -> Option<Lab> {
    super::nats::program()?;
    let halves = Halves::new()?;
    let site = Site::new();
    site.vary("long.yaml", "default: 60", "default: 300");
    let mut lab = Lab::start_apart(site, (4, 2), far, halves, notice)?;
    lab.run("worker-1");
    lab.run("worker-2");
    Some(lab)
}

/// The last slot that somebody in one of the halves takes for final: its height and its digest.
fn last(lab: &Lab, half: usize) -> (u64, String) {
    let last = ["log", "show", "--last", "1", "-o", "json"];
    let ran = Ran::of(lab.command_in(half, &last).spawn().unwrap());
    assert_eq!(ran.code(), Some(0), "{}", ran.err());
    let slot = ran.last();
    (slot["height"].as_u64().unwrap(), slot["digest"].to_string())
}

#[test]
fn r7_two_halves_of_the_validators_agree_on_nothing_until_they_see_each_other_again() {
    let Some(lab) = lab(&["validator-3", "validator-4", "worker-2"], 2) else { return };
    let expected = undisturbed(&lab);
    let mut client = lab.client(&APPLY);
    client.until("\"settled\"");
    lab.cut();
    // What was on its way may get through to those who have seen it half.
    wait(1);
    let before = [last(&lab, NEAR), last(&lab, FAR)];
    wait(6);
    assert_eq!([last(&lab, NEAR), last(&lab, FAR)], before, "half of the stake is no quorum");
    assert!(!client.has_said("RunResult"), "{}", client.said());
    lab.heal();
    assert_eq!(digests(&client.end(&lab)), expected);
    assert!(last(&lab, NEAR).0 > before[NEAR].0);
}

#[test]
fn r8_the_many_go_on_without_the_one_who_is_cut_off_and_it_catches_up() {
    let Some(mut lab) = lab(&["validator-4"], 60) else { return };
    let expected = undisturbed(&lab);
    let mut client = lab.client(&APPLY);
    client.until("\"leased\"");
    lab.cut();
    assert_eq!(digests(&client.end(&lab)), expected, "three of four are a quorum");
    lab.heal();
    // Without the one that was away the rest is no quorum.
    lab.kill("validator-1");
    let afresh = [&APPLY[..], &["--no-cache"]].concat();
    assert_eq!(digests(&lab.client(&afresh).end(&lab)), expected);
}
