//! Trust against milestones that are forged, old, or of strangers. Never a signature that is none.

use super::*;
use crate::base::canon::{Decode as _, Encode as _};
use crate::base::ids::{JobId, RunId};
use crate::base::keys::SecretKey;
use crate::base::limits::MILESTONE_BYTES_MAX;
use crate::domain::event::events_root;
use proptest::prelude::*;

const HERE: NetworkId = NetworkId(Digest([1; 32]));

fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32])
}

fn set(members: &[u8]) -> Set {
    members.iter().map(|n| (key(*n).public(), Ohc::from_nano(40_000))).collect()
}

/// A slot that did this alone, signed by these.
fn signed(height: u64, event: Event, signers: &[u8]) -> Milestone {
    signed_events(height, std::slice::from_ref(&event), signers)
}

/// A slot that did this, signed by these; the first of it is what it shows.
fn signed_events(height: u64, events: &[Event], signers: &[u8]) -> Milestone {
    let nothing = Digest([0; 32]);
    let head = Head {
        height: Height(height),
        parent: nothing,
        proposer: key(1).public(),
        poh: nothing,
        commands: nothing,
        events: events_root(events),
    };
    let mut certificate = Certificate::default();
    let vote = certificate.vote(head.height, head.digest());
    for n in signers {
        let signature = key(*n).seal(HERE, vote).signature;
        certificate.signatures.insert(key(*n).public(), signature);
    }
    Milestone { head, certificate, all: events_digest(events), event: events[0].clone() }
}

fn change(height: u64, (was, now): (&[u8], &[u8]), signers: &[u8]) -> Milestone {
    signed(height, Event::SetChanged { was: set(was), now: set(now) }, signers)
}

fn snapshot(height: u64, signers: &[u8]) -> Milestone {
    let parts = Parts::of(b"a state");
    signed(height, Event::Snapshot { parts: parts.digest(), bytes: parts.bytes }, signers)
}

fn genesis() -> Trust {
    Trust::new(HERE, Height(0), set(&[1, 2, 3, 4]))
}

#[test]
fn a_state_is_seen_if_more_than_two_thirds_of_the_known_stake_have_signed() {
    let trust = genesis();
    let seen = trust.see(&snapshot(900, &[1, 2, 3])).unwrap();
    assert_eq!(seen.height, Height(900));
    assert_eq!(Parts::of(b"a state").check(&seen), Ok(()));
    assert_eq!(Parts::of(b"another").check(&seen), Err(Doubt::Parts));
    assert_eq!(trust.see(&snapshot(900, &[1, 2])), Err(Doubt::Strangers));
    assert_eq!(trust.see(&snapshot(900, &[1, 2, 5, 6, 7])), Err(Doubt::Strangers));
    assert!(trust.see(&snapshot(900, &[1, 2, 4, 9])).is_ok(), "a newcomer is no harm");
    let other = Event::BidPlaced { worker: key(1).public() };
    assert_eq!(trust.see(&signed(900, other, &[1, 2, 3])), Err(Doubt::Events), "it shows nothing");
}

#[test]
fn what_was_not_signed_is_not_believed() {
    let (trust, honest) = (genesis(), snapshot(900, &[1, 2, 3]));
    let mut other = honest.clone();
    let parts = Parts::of(b"forged");
    other.event = Event::Snapshot { parts: parts.digest(), bytes: parts.bytes };
    assert_eq!(trust.see(&other), Err(Doubt::Events));
    other.head.events = shown_root(&other.event, other.all);
    assert_eq!(trust.see(&other), Err(Doubt::Strangers), "the signatures are under another head");
    let mut elsewhere = genesis();
    elsewhere.network = NetworkId(Digest([2; 32]));
    assert_eq!(elsewhere.see(&honest), Err(Doubt::Strangers));
    let mut later = genesis();
    later.height = Height(900);
    assert_eq!(later.see(&honest), Err(Doubt::Old));
}

#[test]
fn trust_goes_from_set_to_set_where_all_of_them_leave() {
    let far = snapshot(900, &[5, 6, 7]);
    let mut trust = genesis();
    assert_eq!(trust.see(&far), Err(Doubt::Strangers));
    trust.follow(&change(300, (&[1, 2, 3, 4], &[3, 4, 5, 6]), &[1, 2, 3])).unwrap();
    assert_eq!(trust.see(&far), Err(Doubt::Strangers));
    trust.follow(&change(600, (&[3, 4, 5, 6], &[5, 6, 7, 8]), &[4, 5, 6])).unwrap();
    assert!(trust.see(&far).is_ok());
    assert_eq!(trust.height(), Height(600));
    let before = change(600, (&[5, 6, 7, 8], &[9]), &[5, 6, 7]);
    assert_eq!(trust.follow(&before), Err(Doubt::Old));
    assert_eq!(trust.follow(&far), Err(Doubt::Nothing));
}

#[test]
fn a_change_that_one_does_not_know_of_is_skipped_only_if_the_known_ones_signed() {
    let mut trust = genesis();
    // Between them 5 came; of those who are known three have signed.
    let skipped = change(600, (&[1, 2, 3, 4, 5], &[2, 3, 4, 5]), &[1, 2, 3, 5]);
    trust.follow(&skipped).unwrap();
    assert_eq!(trust.validators(), &set(&[2, 3, 4, 5]));
    let mut trust = genesis();
    let few = change(600, (&[1, 2, 5, 6], &[5, 6]), &[1, 2, 5, 6]);
    assert_eq!(trust.follow(&few), Err(Doubt::Strangers));
    // Those who are known are not enough of those who had to sign.
    let thin = change(600, (&[1, 2, 3, 4, 5, 6, 7], &[5, 6]), &[1, 2, 3]);
    assert_eq!(trust.follow(&thin), Err(Doubt::Certificate));
    assert_eq!(trust, genesis(), "nothing was believed");
}

#[test]
fn parts_are_as_long_as_they_must_be() {
    let bytes = vec![7; SNAPSHOT_PART_BYTES * 2 + 9];
    let parts = Parts::of(&bytes);
    assert_eq!(parts.digests.len(), 3);
    let lengths = [0, 1, 2, 3].map(|part| parts.length(part));
    assert_eq!(lengths, [SNAPSHOT_PART_BYTES, SNAPSHOT_PART_BYTES, 9, 0]);
    let head = Digest([3; 32]);
    let is = |parts: &Parts, bytes| {
        let committed = Committed { height: Height(1), head, parts: parts.digest(), bytes };
        parts.check(&committed)
    };
    assert_eq!(is(&parts, parts.bytes), Ok(()));
    let long = Parts { bytes: SNAPSHOT_BYTES_MAX + 1, digests: vec![head] };
    assert_eq!(is(&long, long.bytes), Err(Doubt::Parts));
    let few = Parts { bytes: parts.bytes, digests: vec![head] };
    assert_eq!(is(&few, few.bytes), Err(Doubt::Parts));
}

/// What a slot may do, one of each kind that a forger could write into.
fn some_events(text: &str, n: u8) -> Vec<Event> {
    let (run, job) = (RunId(u32::from(n)), JobId(u32::from(n)));
    let worker = key(n % 9 + 1).public();
    let failed = Event::Failed { run, job, message: text.to_owned(), hint: text.to_owned() };
    let parts = Parts::of(text.as_bytes());
    vec![
        Event::BidPlaced { worker },
        failed,
        Event::Snapshot { parts: parts.digest(), bytes: parts.bytes },
        Event::Cached { run, job },
    ]
}

/// The slot that did this, signed by three of four.
fn slot(events: &[Event]) -> Slot {
    let Milestone { head, certificate, .. } = signed_events(900, events, &[1, 2, 3]);
    Slot { head, poh: Vec::new(), commands: Vec::new(), certificate }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_milestone_of_any_slot_shows_its_event_and_no_other(
        text in ".{0,80}",
        n: u8,
        flip in any::<prop::sample::Index>(),
        bit in 0u8..8,
    ) {
        let events = some_events(&text, n);
        let slot = slot(&events);
        let stone = Milestone::of(&slot, &events).unwrap();
        prop_assert!(genesis().see(&stone).is_ok());
        // Other events of the same slot are not what it shows.
        for event in events.iter().filter(|event| !event.is_milestone()) {
            let other = Milestone { event: event.clone(), ..stone.clone() };
            prop_assert_eq!(genesis().see(&other), Err(Doubt::Events));
        }
        let set = Event::SetChanged { was: set(&[1, 2, 3, 4]), now: set(&[9]) };
        let other = Milestone { event: set, ..stone.clone() };
        prop_assert_eq!(genesis().clone().follow(&other), Err(Doubt::Events));
        // Nor is anything in which a bit has flipped.
        let mut bytes = stone.to_bytes();
        let at = flip.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(other) = Milestone::from_bytes(&bytes) {
            prop_assert!(genesis().see(&other).is_err(), "byte {}", at);
        }
    }

    #[test]
    fn a_slot_that_shows_nothing_is_no_milestone(text in ".{0,80}", n: u8) {
        let mut events = some_events(&text, n);
        let shown = events.remove(2);
        let slot = slot(&events);
        prop_assert_eq!(Milestone::of(&slot, &events), None);
        let all = events_digest(&events);
        for event in events.into_iter().chain([shown]) {
            let (head, certificate) = (slot.head.clone(), slot.certificate.clone());
            let other = Milestone { head, certificate, event, all };
            prop_assert_eq!(genesis().see(&other), Err(Doubt::Events));
        }
    }
}

#[test]
fn a_milestone_of_the_largest_set_is_as_short_as_it_must_be() {
    let members: Vec<u8> = (1..=VALIDATORS_MAX as u8).collect();
    let others: Vec<u8> = (101..=100 + VALIDATORS_MAX as u8).collect();
    let stone = change(900, (&members, &others), &members);
    let bytes = stone.to_bytes().len();
    assert!(bytes <= MILESTONE_BYTES_MAX && bytes > MILESTONE_BYTES_MAX - 512, "{bytes}");
}

#[test]
fn a_checkpoint_is_read_as_it_is_written_and_nothing_else_is() {
    let checkpoint = Checkpoint { height: Height(1_234), head: Digest([0xab; 32]) };
    let text = checkpoint.to_string();
    assert_eq!(text, format!("1234:{}", "ab".repeat(32)));
    assert_eq!(text.parse(), Ok(checkpoint));
    for wrong in ["", "1234", ":", "0:", "1234:ab", "-1:", "12 34:", &text.replace("1234", "0")] {
        assert!(wrong.parse::<Checkpoint>().is_err(), "{wrong}");
    }
}

#[test]
fn with_a_checkpoint_those_who_sign_from_there_on_are_believed_and_nobody_else() {
    let honest = change(300, (&[1, 2, 3, 4], &[5, 6, 7, 8]), &[1, 2, 3]);
    let forged = change(300, (&[1, 2, 3, 4], &[21, 22, 23]), &[1, 2, 3]);
    let checkpoint = honest.checkpoint().unwrap();
    let (ours, theirs) = (snapshot(900, &[5, 6, 7]), snapshot(900, &[21, 22, 23]));
    // The control: whoever of the first signs for others brings them in.
    let mut naive = genesis();
    naive.follow(&forged).unwrap();
    assert!(naive.see(&theirs).is_ok());

    let mut trust = genesis().by(Some(checkpoint));
    assert_eq!(trust.awaited(), Some(checkpoint));
    assert_eq!(trust.follow(&forged), Err(Doubt::Other));
    // Nothing that comes after it is believed before, whoever has signed it.
    for early in [snapshot(900, &[1, 2, 3]), theirs.clone(), snapshot(200, &[1, 2, 3])] {
        assert_eq!(trust.see(&early), Err(Doubt::Beyond));
    }
    let skips = change(400, (&[1, 2, 3, 4], &[21, 22, 23]), &[1, 2, 3]);
    assert_eq!(trust.follow(&skips), Err(Doubt::Beyond));
    // Even where those before it are others: its head says who signs.
    let before = change(200, (&[1, 2, 3, 4], &[21, 22, 23]), &[1, 2, 3]);
    trust.follow(&before).unwrap();
    let mut other = honest.clone();
    other.event = Event::SetChanged { was: set(&[1, 2, 3, 4]), now: set(&[21]) };
    assert_eq!(trust.follow(&other), Err(Doubt::Events));
    other = honest.clone();
    other.certificate = Certificate::default();
    assert_eq!(trust.follow(&other), Err(Doubt::Certificate));
    trust.follow(&honest).unwrap();
    assert_eq!((trust.awaited(), trust.height()), (None, Height(300)));
    assert!(trust.see(&ours).is_ok());
    assert_eq!(trust.see(&theirs), Err(Doubt::Strangers));
    assert_eq!(ours.checkpoint(), None, "a state changes no set");
}
