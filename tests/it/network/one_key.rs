//! A key that two sign with at the same time: what one of them has done is what the log holds of
//! it. Never goes by the number of a command, which the other's may have used up.

use super::lab::Lab;
use super::newcomers::Voice;
use crate::site::{Ran, Site};
use ohc::base::amount::Ohc;
use ohc::domain::command::{Command, Order};
use rustix::process::Signal;
use std::time::Duration;

/// A small payment of the client, with the number that comes next.
fn pay(lab: &Lab, client: &Voice) {
    let command = Command::Transfer { to: lab.public("worker-1"), amount: Ohc::from_nano(1) };
    let order = client.key.seal(lab.network().id(), Order { nonce: 1, command });
    let subject = client.wire.command(&client.key.public());
    client.bus.publish(&subject, client.wire.frame(&order)).unwrap();
}

#[test]
fn a_stake_changes_once_though_somebody_else_signs_with_the_key_too() {
    let Some(lab) = Lab::start(Site::new(), 4, 1) else { return };
    let run = |args: &[&str]| {
        let ran = Ran::of(lab.command(args).spawn().unwrap());
        assert_eq!(ran.code(), Some(0), "{args:?}: {}\n{}", ran.err(), lab.logs());
        ran.last()
    };
    let pending = || {
        let status = run(&["stake", "status", "-o", "json"]);
        let items = status["items"].as_array().unwrap().clone();
        let ours = items.into_iter().find(|item| item["name"] == "client");
        ours.map(|ours| ours["pending"].clone())
    };
    assert_eq!(pending(), None);
    // Half of the validators are no quorum: both commands are on their way before either counts.
    let half = ["validator-3", "validator-4"];
    lab.signal(&half, Signal::STOP);
    pay(&lab, &Voice::of(&lab, "client"));
    std::thread::sleep(Duration::from_millis(500));
    let bond = lab.command(&["stake", "bond", "40000", "-y", "-o", "json"]).spawn().unwrap();
    std::thread::sleep(Duration::from_secs(3));
    lab.signal(&half, Signal::CONT);
    let bonded = Ran::of(bond);
    assert_eq!(bonded.code(), Some(0), "{}\n{}", bonded.err(), lab.logs());
    assert_eq!(bonded.last()["stake"]["pending"], "40000.00", "{}", bonded.out());
    assert_eq!(pending(), Some("40000.00".into()));
}
