//! Checkpoints, against validators who have left with their stake and sign another history: over a
//! real server, by states and slot by slot. Each begins with a control: without a checkpoint they
//! are believed. Never a forged signature: the old keys are what makes it hard.

use super::follow::{Reader, Scene, booted};
use super::history::{History, key};
use super::newcomers::{FORGERS, hand_over, history, lie, serve, shown};
use super::snapshots::keep;
use ohc::base::time::Height;
use ohc::domain::milestone::Checkpoint;
use ohc::domain::state::State;
use ohc::effects::bus::Subscription;
use ohc::node::boot;
use ohc::node::follow::{Follower, LongAgo, Refusal, stands};
use ohc::node::home::Home;
use ohc::node::verify;
use ohc::node::wire::{Answer, Ask};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Who validated at first, and has left.
const OLD: [u8; 4] = [1, 2, 3, 4];
const NEW: [u8; 4] = [5, 6, 7, 8];

/// A history in which the first validators left for these, in the slot of this checkpoint.
fn left_for(new: &[u8; 4], slots: usize) -> (History, Checkpoint) {
    let mut history = history();
    let (stone, _) = hand_over(&mut history, (&OLD, new), &OLD[..3], |_| vec![]);
    history.grow(slots, &new[..3]);
    (history, stone.checkpoint().unwrap())
}

fn validators(state: &State) -> Vec<u8> {
    let is_one = |n: &u8| state.validators().contains_key(&key(*n).public());
    (1..=30).filter(is_one).collect()
}

/// All who validated at first tell of a history that they have handed over to others.
fn by_state(scene: &Scene, forged: &History) -> Vec<Subscription> {
    let shown = shown(forged);
    let answer = |n: &u8| {
        let answer = lie(shown.clone(), Arc::new(AtomicUsize::new(0)));
        scene.lie_to_all(&forged.genesis, *n, 1_000_000, answer)
    };
    OLD.iter().map(answer).collect()
}

/// The same, who have all slots of it and no state.
fn by_slots(scene: &Scene, forged: &History) -> Vec<Subscription> {
    let last = forged.slots.len() as u64;
    let answer = |n: &u8| {
        let slots = forged.slots.clone();
        scene.lie_to_all(&forged.genesis, *n, last, move |ask| match ask {
            Ask::Slots { from } => {
                let slots = slots.get(from.0 as usize - 1..).unwrap_or_default().to_vec();
                Answer::Slots { slots, last: Height(last) }
            }
            Ask::Milestones { .. } => Answer::Milestones(vec![]),
            _ => Answer::Nothing,
        })
    };
    OLD.iter().map(answer).collect()
}

/// What somebody is told who is shown another history than the one of the checkpoint.
fn refused(mut reader: Reader, checkpoint: Checkpoint, found: Checkpoint) {
    let refusal = reader.until_refused(|follower| follower.state().height() > Height(0));
    let Err(refusal @ Refusal::Elsewhere { .. }) = refusal else { panic!("{refusal:?}") };
    let (text, found) = (refusal.to_string(), found.head.to_string());
    assert!(text.contains(&checkpoint.to_string()) && text.contains(&found), "{text}");
    assert!(text.contains("ohc network checkpoint"), "{text}");
    assert_eq!(reader.follower.state().height(), Height(0));
    assert!(!reader.follower.is_current());
}

#[test]
fn r7_by_a_state_those_who_left_are_believed_without_a_checkpoint_and_refused_with_one() {
    let Some(scene) = Scene::new() else { return };
    let ((honest, checkpoint), (forged, fork)) = (left_for(&NEW, 100), left_for(&FORGERS, 100));
    assert_eq!((checkpoint.height, checkpoint == fork), (fork.height, false));
    let _liars = by_state(&scene, &forged);
    // The control.
    let mut naive = scene.follow(&honest.genesis, "naive");
    naive.until(|follower| validators(follower.state()) == FORGERS);
    drop(naive);
    // Nobody else is there.
    refused(scene.follow_by(&honest.genesis, "alone", Some(checkpoint)), checkpoint, fork);
    // One who validates now is.
    let home = keep(&scene.dir.path().join("home"), &honest, Some(9));
    let _servers = serve(&scene, &honest, &home, &[5, 6]);
    let mut reader = scene.follow_by(&honest.genesis, "late", Some(checkpoint));
    reader.until(Follower::is_current);
    assert_eq!(reader.follower.replica().parent(), honest.parent);
    assert!(reader.follower.replica().store().base() > checkpoint.height);
    drop(reader);
    // The copy can be verified, and is not taken for one that has another.
    let dir = scene.dir.path().join("late");
    let verdict = |by| verify::home(&Home::at(&dir), by, 2).unwrap().first_fault;
    assert_eq!((verdict(None), verdict(Some(checkpoint))), (None, None));
    assert!(verdict(Some(fork)).is_some());
    let boot::Booted { store, state, .. } = booted(&dir, &honest.genesis);
    assert!(stands(&store, state.height(), checkpoint).is_ok());
    let astray = stands(&store, state.height(), fork).unwrap_err().to_string();
    assert!(astray.contains(&fork.to_string()) && astray.contains(&checkpoint.head.to_string()));
}

#[test]
fn r7_slot_by_slot_those_who_left_are_believed_without_a_checkpoint_and_refused_with_one() {
    let Some(scene) = Scene::new() else { return };
    let ((honest, checkpoint), (forged, fork)) = (left_for(&NEW, 9), left_for(&FORGERS, 20));
    let _liars = by_slots(&scene, &forged);
    // The control.
    let mut naive = scene.follow(&honest.genesis, "naive");
    naive.until(|follower| validators(follower.state()) == FORGERS);
    drop(naive);
    refused(scene.follow_by(&honest.genesis, "alone", Some(checkpoint)), checkpoint, fork);
    let _servers = [5, 6].map(|n| scene.serve(&honest, n));
    let mut reader = scene.follow_by(&honest.genesis, "late", Some(checkpoint));
    reader.until(Follower::is_current);
    assert_eq!(reader.follower.replica().parent(), honest.parent);
    assert_eq!(reader.follower.replica().store().base(), Height(0));
    let last = reader.follower.state().height();
    drop(reader);
    let dir = scene.dir.path().join("late");
    let verdict = |by| verify::home(&Home::at(&dir), by, 2).unwrap().first_fault;
    assert_eq!((verdict(None), verdict(Some(checkpoint))), (None, None));
    let later = Checkpoint { height: last.next(), ..checkpoint };
    for (by, height) in [(fork, fork.height), (later, last.next())] {
        assert_eq!(verdict(Some(by)).unwrap().height, height);
    }
}

/// The copy that somebody has already may be of another history: it is not given up unasked.
#[test]
fn who_was_led_astray_before_is_told_so() {
    let Some(scene) = Scene::new() else { return };
    let ((honest, checkpoint), (forged, _)) = (left_for(&NEW, 9), left_for(&FORGERS, 9));
    let _servers = [1, 5].map(|n| scene.serve(&honest, n));
    let mut fork = history();
    fork.grow(3, &OLD[..3]);
    for (name, slots) in [("short", &fork.slots), ("long", &forged.slots)] {
        let mut copy = super::follow::replica(&scene.dir.path().join(name), &honest.genesis);
        copy.take(slots, &mut |_, _, _| {}).unwrap();
        if name == "long" {
            let refusal = stands(copy.store(), copy.state().height(), checkpoint);
            assert!(matches!(refusal, Err(Refusal::Astray { found: Some(_), .. })), "{refusal:?}");
        }
    }
    let mut reader = scene.follow_by(&honest.genesis, "short", Some(checkpoint));
    let refusal = reader.until_refused(Follower::is_current);
    assert!(matches!(refusal, Err(Refusal::Astray { found: None, .. })), "{refusal:?}");
}

/// One old key is enough to say anything: it ends nobody who has not heard the others.
#[test]
fn another_history_is_no_end_while_others_are_silent() {
    let Some(scene) = Scene::new() else { return };
    let ((honest, checkpoint), (forged, fork)) = (left_for(&NEW, 100), left_for(&FORGERS, 100));
    let asked = Arc::new(AtomicUsize::new(0));
    let answer = lie(shown(&forged), asked.clone());
    let _liar = scene.lie_to_all(&forged.genesis, OLD[0], 1_000_000, answer);
    let mut reader = scene.follow_by(&honest.genesis, "late", Some(checkpoint));
    reader.until(|_| asked.load(Ordering::SeqCst) > 1);
    let home = keep(&scene.dir.path().join("home"), &honest, Some(9));
    let servers = serve(&scene, &honest, &home, &[5, 6]);
    reader.until(Follower::is_current);
    assert_eq!(reader.follower.replica().parent(), honest.parent);
    // But nobody waits for ever for who will never answer.
    drop(servers);
    refused(scene.follow_by(&honest.genesis, "alone", Some(checkpoint)), checkpoint, fork);
}

#[test]
fn a_slot_that_changes_no_set_is_no_checkpoint() {
    let Some(scene) = Scene::new() else { return };
    let (honest, checkpoint) = left_for(&NEW, 9);
    let _servers = [1, 5].map(|n| scene.serve(&honest, n));
    let plain = Checkpoint { height: honest.state.height(), head: honest.parent };
    assert!(plain.height > checkpoint.height);
    let mut reader = scene.follow_by(&honest.genesis, "plain", Some(plain));
    let refusal = reader.until_refused(Follower::is_current);
    assert!(matches!(refusal, Err(Refusal::Elsewhere { found: None, .. })), "{refusal:?}");
}

/// Whoever has no checkpoint, or was away for long, hears once on whose word its copy rests.
#[test]
fn who_rests_on_validators_of_long_ago_is_told_once() {
    let Some(scene) = Scene::new() else { return };
    let (mut honest, checkpoint) = left_for(&NEW, 9);
    let early = honest.slots.clone();
    honest.ticks = 50;
    honest.grow(9, &NEW[..3]);
    honest.ticks = 0;
    let _servers = [5, 6].map(|n| scene.serve(&honest, n));
    let told = |name: &str, by| {
        let mut reader = scene.follow_by(&honest.genesis, name, by);
        reader.until(Follower::is_current);
        (reader.follower.long_ago(), reader.follower.long_ago())
    };
    let genesis = Some(LongAgo { since: Height(0) });
    assert_eq!(told("new", None), (genesis, None));
    assert_eq!(told("new", None), (None, None), "it was here");
    assert_eq!(told("by", Some(checkpoint)), (None, None), "those of then are those of now");
    let dir = scene.dir.path().join("away");
    let mut copy = super::follow::replica(&dir, &honest.genesis);
    copy.take(&early, &mut |_, _, _| {}).unwrap();
    drop(copy);
    assert_eq!(told("away", None), (None, None), "the same ones have signed all of it");
}
