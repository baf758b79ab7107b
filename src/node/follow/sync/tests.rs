//! Syncing from validators that are honest, silent, or lie. Never over a bus: what they say is all.

use super::*;
use crate::base::amount::Ohc;
use crate::base::canon::Canonical as _;
use crate::base::keys::{NetworkId, SecretKey};
use crate::base::limits::SNAPSHOT_PART_BYTES;
use crate::domain::event::{Event, events_digest, events_root};
use crate::domain::slot::Head;
use crate::domain::vote::Certificate;
use std::cell::RefCell;
use std::collections::BTreeMap;

const HERE: NetworkId = NetworkId(Digest([1; 32]));
type Set = BTreeMap<PublicKey, Ohc>;

fn key(n: u8) -> PublicKey {
    SecretKey::from_bytes(&[n; 32]).public()
}

fn set(members: &[u8]) -> Set {
    members.iter().map(|n| (key(*n), Ohc::from_nano(40_000))).collect()
}

fn signed(height: u64, event: Event, signers: &[u8]) -> Milestone {
    let (nothing, events) = (Digest([0; 32]), std::slice::from_ref(&event));
    let head = Head {
        height: Height(height),
        parent: nothing,
        proposer: key(1),
        poh: nothing,
        commands: nothing,
        events: events_root(events),
    };
    let mut certificate = Certificate::default();
    let vote = certificate.vote(head.height, head.digest());
    for n in signers {
        let signer = SecretKey::from_bytes(&[*n; 32]);
        certificate.signatures.insert(signer.public(), signer.seal(HERE, vote).signature);
    }
    Milestone { head, certificate, all: events_digest(events), event }
}

fn change(height: u64, was: &[u8], now: &[u8], signers: &[u8]) -> Milestone {
    signed(height, Event::SetChanged { was: set(was), now: set(now) }, signers)
}

/// What one validator has.
#[derive(Clone)]
struct Source {
    milestone: Milestone,
    parts: Parts,
    state: Vec<u8>,
    way: Vec<Milestone>,
}

fn source(height: u64, signers: &[u8]) -> Source {
    let state: Vec<u8> = (0..SNAPSHOT_PART_BYTES * 2 + 77).map(|n| (n % 251) as u8).collect();
    let parts = Parts::of(&state);
    let event = Event::Snapshot { parts: parts.digest(), bytes: parts.bytes };
    Source { milestone: signed(height, event, signers), parts, state, way: vec![] }
}

/// Answers as these do; who is not among them is silent.
fn answer(
    sources: &BTreeMap<PublicKey, Source>,
    peer: Option<&PublicKey>,
    ask: Ask,
) -> Option<Answer> {
    let source = sources.get(peer?)?;
    Some(match ask {
        Ask::Snapshot => Answer::Snapshot {
            milestone: Box::new(source.milestone.clone()),
            parts: source.parts.clone(),
        },
        Ask::Milestones { after } => {
            let way = source.way.iter().filter(|stone| stone.head.height > after);
            Answer::Milestones(way.cloned().collect())
        }
        Ask::Part { height, part } if height == source.milestone.head.height => {
            let part = source.state.chunks(SNAPSHOT_PART_BYTES).nth(part as usize);
            part.map_or(Answer::Nothing, |bytes| Answer::Part(bytes.to_vec()))
        }
        _ => Answer::Nothing,
    })
}

fn trust() -> Trust {
    Trust::new(HERE, Height(0), set(&[1, 2, 3, 4]))
}

fn synced(sources: &[(u8, Source)]) -> Synced {
    let sources: BTreeMap<_, _> =
        sources.iter().map(|(n, source)| (key(*n), source.clone())).collect();
    let asker = |peer: Option<&PublicKey>, ask| answer(&sources, peer, ask);
    sync(&asker, &trust(), &[key(1), key(2), key(3), key(4)], Height(1))
}

fn names(members: &[u8]) -> BTreeSet<PublicKey> {
    members.iter().map(|n| key(*n)).collect()
}

#[test]
fn a_state_comes_in_parts_from_all_who_have_it() {
    let honest = source(900, &[1, 2, 3]);
    let sources: BTreeMap<_, _> = [1, 2, 3].map(|n| (key(n), honest.clone())).into();
    let asked = RefCell::new(BTreeSet::new());
    let asker = |peer: Option<&PublicKey>, ask| {
        if matches!(ask, Ask::Part { .. }) {
            asked.borrow_mut().extend(peer.copied());
        }
        answer(&sources, peer, ask)
    };
    let synced = sync(&asker, &trust(), &[key(1), key(2), key(3)], Height(1));
    assert_eq!(synced.found.unwrap().state, honest.state);
    assert_eq!(asked.into_inner(), names(&[1, 2, 3]), "each gave a part");
    assert!(synced.liars.is_empty() && synced.silent.is_empty());
}

#[test]
fn who_flips_a_bit_is_found_out_and_the_part_is_had_from_another() {
    let honest = source(900, &[1, 2, 3]);
    for at in [0, SNAPSHOT_PART_BYTES + 5, SNAPSHOT_PART_BYTES * 2 + 76] {
        let mut liar = honest.clone();
        liar.state[at] ^= 1;
        // It is found out where it is asked for that part; then it is asked for no other.
        let sources = [(1, liar.clone()), (2, liar.clone()), (3, liar), (4, honest.clone())];
        let synced = synced(&sources);
        assert_eq!(synced.found.unwrap().state, honest.state, "byte {at}");
        assert!(!synced.liars.is_empty() && !synced.liars.contains(&key(4)), "byte {at}");
    }
}

#[test]
fn who_forges_what_commits_to_a_state_is_found_out() {
    let honest = source(900, &[1, 2, 3]);
    let (few, mut other, mut short) = (source(950, &[1, 9, 8]), honest.clone(), honest.clone());
    other.milestone.head.height = Height(901);
    short.parts.digests.pop();
    for liar in [few, other, short] {
        let synced = synced(&[(1, liar.clone()), (2, liar), (3, honest.clone())]);
        assert_eq!(synced.found.unwrap().milestone.head.height, Height(900));
        assert_eq!(synced.liars, names(&[1, 2]));
    }
    let alone = synced(&[(1, source(950, &[1, 9, 8]))]);
    assert!(alone.found.is_none());
    assert_eq!((alone.liars, alone.silent), (names(&[1]), names(&[2, 3, 4])));
}

#[test]
fn the_way_goes_over_all_who_came_since() {
    let mut late = source(900, &[5, 6, 7]);
    late.way = vec![
        change(300, &[1, 2, 3, 4], &[3, 4, 5, 6], &[1, 2, 3]),
        change(600, &[3, 4, 5, 6], &[5, 6, 7, 8], &[3, 4, 5]),
    ];
    let found = synced(&[(2, late.clone())]).found.unwrap();
    assert_eq!(found.way, late.way);
    // Without the first of them the second is signed by strangers.
    late.way.remove(0);
    let synced = synced(&[(2, late)]);
    assert!(synced.found.is_none());
    assert_eq!(synced.liars, names(&[2]));
}

#[test]
fn changes_after_the_state_are_not_on_the_way_to_it() {
    let mut late = source(900, &[4, 5, 6]);
    late.way = vec![
        change(300, &[1, 2, 3, 4], &[3, 4, 5, 6], &[1, 2, 3]),
        change(950, &[3, 4, 5, 6], &[7, 8, 9], &[3, 4, 5]),
    ];
    let synced = synced(&[(2, late.clone())]);
    assert_eq!(synced.found.unwrap().way, late.way[..1]);
    assert!(synced.liars.is_empty());
}

/// Whoever began with that state is asked one day by who knows the first validators alone.
#[test]
fn changes_are_taken_along_though_the_state_is_believed_without_them() {
    let mut late = source(900, &[2, 3, 4]);
    late.way = vec![change(300, &[1, 2, 3, 4], &[2, 3, 4, 5], &[1, 2, 3])];
    assert_eq!(synced(&[(2, late.clone())]).found.unwrap().way, late.way);
    // Who has them not, or not all, offers the state all the same.
    late.way.push(change(600, &[5, 6, 7], &[8], &[5, 6, 7]));
    assert_eq!(synced(&[(2, late.clone())]).found.unwrap().way, late.way[..1]);
    late.way.clear();
    assert!(synced(&[(2, late)]).found.unwrap().way.is_empty());
}

#[test]
fn a_state_that_is_too_old_is_of_no_use() {
    let old: BTreeMap<_, _> = [(key(1), source(900, &[1, 2, 3]))].into();
    let asker = |peer: Option<&PublicKey>, ask| answer(&old, peer, ask);
    let synced = sync(&asker, &trust(), &[key(1)], Height(901));
    assert!(synced.found.is_none() && synced.liars.is_empty());
}
