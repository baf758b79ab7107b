//! Syncing from validators that are honest, silent, or lie. Never over a bus: what they say is all.

use super::*;
use crate::base::amount::Ohc;
use crate::base::canon::{Decode as _, Encode as _};
use crate::base::keys::{NetworkId, SecretKey};
use crate::base::limits::SNAPSHOT_PART_BYTES;
use crate::domain::event::{Event, events_digest, events_root};
use crate::domain::slot::{Head, Slot};
use crate::domain::vote::Certificate;
use std::cell::RefCell;
use std::collections::BTreeMap;

const HERE: NetworkId = NetworkId(Digest([1; 32]));
const GENESIS: Digest = Digest([1; 32]);
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
    /// The first of them, and slots from there on.
    slots: (u64, Vec<Vec<u8>>),
}

fn source(height: u64, signers: &[u8]) -> Source {
    let state: Vec<u8> = (0..SNAPSHOT_PART_BYTES * 2 + 77).map(|n| (n % 251) as u8).collect();
    let parts = Parts::of(&state);
    let event = Event::Snapshot { parts: parts.digest(), bytes: parts.bytes };
    Source {
        milestone: signed(height, event, signers),
        parts,
        state,
        way: vec![],
        slots: (0, vec![]),
    }
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
        Ask::Slots { from } => {
            let (first, slots) = &source.slots;
            // Two at a time.
            match from.0.checked_sub(*first).filter(|_| !slots.is_empty()) {
                Some(skipped) => Answer::Slots {
                    slots: slots.iter().skip(skipped as usize).take(2).cloned().collect(),
                    last: Height(first + slots.len() as u64 - 1),
                },
                None => Answer::Pruned { first: Height(*first), snapshot: Height(0) },
            }
        }
        _ => Answer::Nothing,
    })
}

/// What somebody looks for who has the genesis of four.
fn quest(peers: &[u8], least: u64) -> Quest {
    Quest {
        trust: Trust::new(HERE, Height(0), set(&[1, 2, 3, 4])),
        parent: GENESIS,
        peers: peers.iter().map(|n| key(*n)).collect(),
        least: Height(least),
    }
}

fn synced(sources: &[(u8, Source)]) -> Synced {
    synced_by(sources, None)
}

/// The same by way of a checkpoint.
fn synced_by(sources: &[(u8, Source)], checkpoint: Option<Checkpoint>) -> Synced {
    let sources: BTreeMap<_, _> =
        sources.iter().map(|(n, source)| (key(*n), source.clone())).collect();
    let asker = |peer: Option<&PublicKey>, ask| answer(&sources, peer, ask);
    let quest = quest(&[1, 2, 3, 4], 1);
    sync(&asker, &Quest { trust: quest.trust.by(checkpoint), ..quest })
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
    let synced = sync(&asker, &quest(&[1, 2, 3], 1));
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
    let synced = sync(&asker, &quest(&[1], 901));
    assert!(synced.found.is_none() && synced.liars.is_empty());
}

/// A network that was handed over: all who know it first have gone. The honest one has a state that
/// those who came have signed, and the others another history, in which they handed over to those
/// whom they like.
fn handed_over() -> (Source, Source, Checkpoint) {
    let (mut honest, mut forged) = (source(9_000, &[5, 6, 7]), source(9_900, &[21, 22, 23]));
    honest.way = vec![change(5_000, &[1, 2, 3, 4], &[5, 6, 7, 8], &[1, 2, 3])];
    forged.way = vec![change(5_000, &[1, 2, 3, 4], &[21, 22, 23, 24], &[1, 2, 3])];
    let checkpoint = honest.way[0].checkpoint().unwrap();
    (honest, forged, checkpoint)
}

#[test]
fn those_who_have_left_are_believed_without_a_checkpoint_and_found_out_with_one() {
    let (honest, forged, checkpoint) = handed_over();
    let sources = [(1, forged.clone()), (2, forged.clone()), (3, honest.clone())];
    // The control: whoever has the genesis alone believes whom he asks first.
    assert_eq!(synced(&sources).found.unwrap().milestone, forged.milestone);
    let met = synced_by(&sources, Some(checkpoint));
    let found = met.found.unwrap();
    assert_eq!((found.milestone, found.way), (honest.milestone, honest.way));
    assert_eq!((met.liars, met.missed), (names(&[1, 2]), None));
    // Where nobody else answers it is told what they show.
    let other = forged.way[0].head.digest();
    let alone = synced_by(&sources[..2], Some(checkpoint));
    assert!(alone.found.is_none() && alone.pins.is_none());
    assert_eq!(alone.missed, Some(Missed::Theirs(Some(other))));
}

#[test]
fn a_history_that_forks_after_the_checkpoint_or_has_none_is_not_believed() {
    let (honest, forged, checkpoint) = handed_over();
    let (mut later, mut skips) = (forged.clone(), forged);
    later.way = vec![honest.way[0].clone(), change(6_000, &[5, 6, 7, 8], &[21, 22, 23], &[5, 1])];
    skips.way = vec![change(4_000, &[1, 2, 3, 4], &[21, 22, 23], &[1, 2, 3])];
    let met = synced_by(&[(1, later), (2, skips), (3, honest.clone())], Some(checkpoint));
    assert_eq!(met.found.unwrap().milestone, honest.milestone);
    assert_eq!(met.liars, names(&[1]), "who has none may have begun later");
}

#[test]
fn who_lacks_the_change_at_the_checkpoint_is_no_liar() {
    let (honest, _, checkpoint) = handed_over();
    let mut gap = honest.clone();
    gap.way.clear();
    let met = synced_by(&[(1, gap.clone()), (2, honest.clone())], Some(checkpoint));
    assert_eq!(met.found.unwrap().milestone, honest.milestone);
    assert!(met.liars.is_empty() && met.missed.is_none());
    let alone = synced_by(&[(1, gap.clone())], Some(checkpoint));
    assert_eq!((alone.missed, alone.liars), (Some(Missed::Theirs(None)), names(&[])));
    // Who has the slots shows by them what leads there.
    let (ours, head) = slots((0, GENESIS), 1_100, 5);
    gap.slots = (1, ours);
    let checkpoint = Checkpoint { height: Height(1_100), head };
    let sources = BTreeMap::from([(key(1), gap)]);
    let asker =
        |peer: Option<&PublicKey>, ask: Ask| match (&ask, answer(&sources, peer, ask.clone())) {
            (Ask::Slots { from }, Some(Answer::Slots { last, .. })) => {
                let slots = sources[&key(1)].slots.1[from.0 as usize - 1..].iter().take(100);
                Some(Answer::Slots { slots: slots.cloned().collect(), last })
            }
            (_, answer) => answer,
        };
    let quest = quest(&[1], 1);
    let met = sync(&asker, &Quest { trust: quest.trust.by(Some(checkpoint)), ..quest });
    assert_eq!((met.pins.unwrap().len(), met.liars), (1_100, names(&[])));
}

/// Slots that follow each other, from the one after `from` on.
fn slots((from, mut parent): (u64, Digest), count: u64, by: u8) -> (Vec<Vec<u8>>, Digest) {
    let nothing = Digest([by; 32]);
    let slot = |n| {
        let head = Head {
            height: Height(from + n),
            parent,
            proposer: key(by),
            poh: nothing,
            commands: nothing,
            events: nothing,
        };
        parent = head.digest();
        let (poh, commands) = (Vec::new(), Vec::new());
        Slot { head, poh, commands, certificate: Certificate::default() }.to_bytes()
    };
    ((1..=count).map(slot).collect(), parent)
}

#[test]
fn what_leads_to_a_checkpoint_is_known_before_any_of_it_is_taken() {
    let (mut honest, mut forged) = (source(900, &[1, 2, 3]), source(900, &[1, 2, 3]));
    let ((ours, head), (theirs, other)) = (slots((0, GENESIS), 7, 5), slots((0, GENESIS), 9, 6));
    (honest.slots, forged.slots) = ((1, ours), (1, theirs.clone()));
    let checkpoint = Checkpoint { height: Height(7), head };
    let met = synced_by(&[(1, forged.clone()), (2, honest.clone())], Some(checkpoint));
    assert_eq!(met.pins.unwrap().last(), Some(&head));
    assert_eq!((met.found.is_none(), met.liars), (true, names(&[1])));
    let seventh = Slot::from_bytes(&theirs[6]).unwrap().head.digest();
    assert_ne!(seventh, other);
    let alone = synced_by(&[(1, forged)], Some(checkpoint));
    assert_eq!(alone.missed, Some(Missed::Theirs(Some(seventh))));
    // Ours does not go there: nobody lies.
    let asker =
        |peer: Option<&PublicKey>, ask| answer(&[(key(2), honest.clone())].into(), peer, ask);
    let astray = Quest { parent: Digest([9; 32]), ..quest(&[2], 1) };
    let met = sync(&asker, &Quest { trust: astray.trust.by(Some(checkpoint)), ..astray });
    assert_eq!((met.missed, met.liars), (Some(Missed::Ours), names(&[])));
}

/// A state before the checkpoint is what it commits to if its head leads there, whoever signed it.
#[test]
fn a_state_before_a_checkpoint_is_believed_for_what_follows_it() {
    let (mut honest, mut forged) = (source(9_000, &[31]), source(9_100, &[1, 2, 3]));
    let (ours, head) = slots((9_000, honest.milestone.head.digest()), 105, 5);
    honest.slots = (9_001, ours.clone());
    // It has the slots that lead there, and a state that they do not follow.
    forged.slots = (9_101, ours[100..].to_vec());
    let checkpoint = Checkpoint { height: Height(9_105), head };
    let sources = [(1, forged), (2, honest.clone())];
    let met = synced_by(&sources, Some(checkpoint));
    assert_eq!(met.found.unwrap().milestone, honest.milestone);
    assert_eq!((met.pins.unwrap().len(), met.liars), (105, names(&[1])));
}
