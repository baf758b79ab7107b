//! Trust against milestones that are forged, old, or of strangers. Never a signature that is none.

use super::*;
use crate::base::keys::SecretKey;

const HERE: NetworkId = NetworkId(Digest([1; 32]));

fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32])
}

fn set(members: &[u8]) -> Set {
    members.iter().map(|n| (key(*n).public(), Ohc::from_nano(40_000))).collect()
}

/// A slot that did this, signed by these.
fn signed(height: u64, events: Vec<Event>, signers: &[u8]) -> Milestone {
    let nothing = Digest([0; 32]);
    let head = Head {
        height: Height(height),
        parent: nothing,
        proposer: key(1).public(),
        poh: nothing,
        commands: nothing,
        events: events_root(&events),
    };
    let mut certificate = Certificate::default();
    let vote = certificate.vote(head.height, head.digest());
    for n in signers {
        let signature = key(*n).seal(HERE, vote).signature;
        certificate.signatures.insert(key(*n).public(), signature);
    }
    Milestone { head, certificate, events }
}

fn change(height: u64, (was, now): (&[u8], &[u8]), signers: &[u8]) -> Milestone {
    signed(height, vec![Event::SetChanged { was: set(was), now: set(now) }], signers)
}

fn snapshot(height: u64, signers: &[u8]) -> Milestone {
    let parts = Parts::of(b"a state");
    signed(height, vec![Event::Snapshot { parts: parts.digest(), bytes: parts.bytes }], signers)
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
    assert_eq!(trust.see(&signed(900, vec![], &[1, 2, 3])), Err(Doubt::Nothing));
}

#[test]
fn what_was_not_signed_is_not_believed() {
    let (trust, honest) = (genesis(), snapshot(900, &[1, 2, 3]));
    let mut other = honest.clone();
    let parts = Parts::of(b"forged");
    other.events = vec![Event::Snapshot { parts: parts.digest(), bytes: parts.bytes }];
    assert_eq!(trust.see(&other), Err(Doubt::Events));
    other.head.events = events_root(&other.events);
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
