//! Syncing: gets the last state that the log commits to, for who comes late. Trusts nobody whom it
//! asks: what commits to the state is signed, and every part of it has a digest that was.
//!
//! Parts are asked of all in turn, so that nobody has to give more than the others; who gives a
//! wrong one is not asked again, and the part is had from somebody else.
//!
//! Who awaits a checkpoint takes a state that comes after it, from those who sign from there on; or
//! learns from the slots up to it which heads lead there (`chain`), from a state or from what is
//! here already: then nobody can lead it astray on the way.

mod chain;

use super::SKIP_MIN;
use crate::base::canon::{Canonical as _, Digest};
use crate::base::keys::PublicKey;
use crate::base::time::Height;
use crate::domain::milestone::{Checkpoint, Doubt, Milestone, Parts, Trust};
use crate::node::wire::{Answer, Ask};
use chain::chain;
use std::collections::BTreeSet;

/// Answers that somebody may give who has little to say. As many changes that come before the
/// checkpoint are taken along as come with so many.
const ANSWERS_MAX: usize = 64;

/// Asks one validator, or any.
pub(super) type Asker<'a> = &'a dyn Fn(Option<&PublicKey>, Ask) -> Option<Answer>;

/// What is looked for.
#[derive(Debug, Clone)]
pub(super) struct Quest {
    /// Who is believed: the validators after the last slot here.
    pub(super) trust: Trust,
    /// The digest of the head of that slot.
    pub(super) parent: Digest,
    /// Who is asked.
    pub(super) peers: Vec<PublicKey>,
    /// A state is of no use before this slot.
    pub(super) least: Height,
}

/// A state that the log commits to, and what shows it.
#[derive(Debug)]
pub(super) struct Found {
    /// What commits to it.
    pub(super) milestone: Milestone,
    /// Its bytes: those that are committed to.
    pub(super) state: Vec<u8>,
    /// The changes of the set that lead there from the validators that were known.
    pub(super) way: Vec<Milestone>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Synced {
    pub(super) found: Option<Found>,
    /// The heads from that state, or from the last slot here, up to the checkpoint that is awaited.
    pub(super) pins: Option<Vec<Digest>>,
    /// Somebody shows a history without the checkpoint, and nobody one with it.
    pub(super) missed: Option<Missed>,
    /// Who gave what is not of the log.
    pub(super) liars: BTreeSet<PublicKey>,
    /// Who gave no answer.
    pub(super) silent: BTreeSet<PublicKey>,
}

/// How a history is not the one that a checkpoint stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missed {
    /// It has this head there, or nobody's change of the set.
    Theirs(Option<Digest>),
    /// Theirs does, and does not follow ours.
    Ours,
}

/// Why somebody offers nothing.
enum Miss {
    Nothing,
    Silent,
    Lie,
    Missed(Missed),
}

/// What somebody offers.
struct Offer {
    milestone: Milestone,
    parts: Parts,
    way: Vec<Milestone>,
    pins: Option<Vec<Digest>>,
}

/// Gets a state, or what leads to the checkpoint, from the first who offers one, or else from any
/// validator.
pub(super) fn sync(ask: Asker<'_>, quest: &Quest) -> Synced {
    let (mut synced, peers) = (Synced::default(), &quest.peers);
    for peer in peers.iter().copied().map(Some).chain([None]) {
        if peer.is_some_and(|peer| synced.liars.contains(&peer)) {
            continue;
        }
        match lead(ask, quest, peer.as_ref()) {
            Ok(Lead::Chain(pins)) => {
                (synced.pins, synced.missed) = (Some(pins), None);
                return synced;
            }
            Ok(Lead::State(offer)) => {
                let Offer { milestone, parts, way, pins } = *offer;
                let height = milestone.head.height;
                let others = peers.iter().copied().map(Some).filter(|other| *other != peer);
                let all: Vec<_> = [peer].into_iter().chain(others).collect();
                if let Some(state) = collect(ask, height, &parts, all, &mut synced) {
                    synced.found = Some(Found { milestone, state, way });
                    (synced.pins, synced.missed) = (pins, None);
                    return synced;
                }
            }
            Err(Miss::Nothing) => {}
            Err(Miss::Silent) => synced.silent.extend(peer),
            Err(Miss::Lie) => synced.liars.extend(peer),
            Err(Miss::Missed(missed)) => {
                // Who lacks the change may have begun after it.
                synced.liars.extend(peer.filter(|_| matches!(missed, Missed::Theirs(Some(_)))));
                // Who shows what is there instead says more; most of all what is here itself.
                let rank = |missed: &Option<Missed>| match missed {
                    None => 0,
                    Some(Missed::Theirs(None)) => 1,
                    Some(Missed::Theirs(Some(_))) => 2,
                    Some(Missed::Ours) => 3,
                };
                let missed = Some(missed);
                if rank(&missed) > rank(&synced.missed) {
                    synced.missed = missed;
                }
            }
        }
    }
    synced
}

/// How one goes on.
enum Lead {
    State(Box<Offer>),
    Chain(Vec<Digest>),
}

/// What somebody has: a few slots before a checkpoint are as soon had as a state.
fn lead(ask: Asker<'_>, quest: &Quest, peer: Option<&PublicKey>) -> Result<Lead, Miss> {
    let state = || offer(ask, quest, peer).map(|offer| Lead::State(Box::new(offer)));
    let Some(checkpoint) = quest.trust.awaited() else { return state() };
    let here = (quest.trust.height(), quest.parent);
    let slots = || chain(ask, peer, here, checkpoint).map(Lead::Chain);
    let is_near = checkpoint.height.0 - here.0.0 <= SKIP_MIN;
    match if is_near { slots() } else { state() } {
        Err(Miss::Nothing) if is_near => state(),
        Err(Miss::Nothing) => slots(),
        // Who lacks the change may have the slots.
        Err(miss @ Miss::Missed(Missed::Theirs(None))) => match slots() {
            Err(Miss::Nothing) => Err(miss),
            lead => lead,
        },
        lead => lead,
    }
}

/// The state that somebody offers, if it is signed by those who are known, or by who has come after
/// them.
fn offer(ask: Asker<'_>, quest: &Quest, peer: Option<&PublicKey>) -> Result<Offer, Miss> {
    let (milestone, parts) = match ask(peer, Ask::Snapshot) {
        Some(Answer::Snapshot { milestone, parts }) => (*milestone, parts),
        Some(Answer::Nothing) => return Err(Miss::Nothing),
        Some(_) => return Err(Miss::Lie),
        None => return Err(Miss::Silent),
    };
    let (height, mut trust) = (milestone.head.height, quest.trust.clone());
    if height < quest.least {
        return Err(Miss::Nothing);
    }
    let mut way = Vec::new();
    if let Some(checkpoint) = trust.awaited() {
        if height <= checkpoint.height {
            let pins = before(ask, peer, (&milestone, &parts), checkpoint)?;
            let way = taken_along(ask, trust, peer, height);
            return Ok(Offer { milestone, parts, way, pins: Some(pins) });
        }
        way = taken_along(ask, trust.clone(), peer, checkpoint.height);
        way.push(reach(ask, &mut trust, peer, checkpoint)?);
    }
    follow(ask, trust, peer, (&milestone, &parts), &mut way)?;
    Ok(Offer { milestone, parts, way, pins: None })
}

/// Follows the changes of the set until a state is believed, and takes them along.
fn follow(
    ask: Asker<'_>,
    mut trust: Trust,
    peer: Option<&PublicKey>,
    (milestone, parts): (&Milestone, &Parts),
    way: &mut Vec<Milestone>,
) -> Result<(), Miss> {
    let mut is_seen = false;
    loop {
        match trust.see(milestone) {
            Ok(committed) => {
                parts.check(&committed).map_err(|_| Miss::Lie)?;
                is_seen = true;
            }
            Err(Doubt::Strangers) => {}
            Err(_) => return Err(Miss::Lie),
        }
        // Also where the state is believed already: who asks here one day may not know so many.
        let changes = match ask(peer, Ask::Milestones { after: trust.height() }) {
            Some(Answer::Milestones(changes)) => changes,
            None if !is_seen => return Err(Miss::Silent),
            _ => Vec::new(),
        };
        let known = way.len();
        // Those that came after the state are not on the way to it.
        let height = milestone.head.height;
        for change in changes.into_iter().filter(|change| change.head.height < height) {
            match trust.follow(&change) {
                Ok(()) => way.push(change),
                Err(_) if is_seen => break,
                Err(_) => return Err(Miss::Lie),
            }
        }
        if way.len() == known {
            // Who offers a state knows how one gets there.
            return if is_seen { Ok(()) } else { Err(Miss::Lie) };
        }
    }
}

/// Believes those who sign from a checkpoint on, if somebody shows it.
fn reach(
    ask: Asker<'_>,
    trust: &mut Trust,
    peer: Option<&PublicKey>,
    checkpoint: Checkpoint,
) -> Result<Milestone, Miss> {
    let after = Height(checkpoint.height.0.saturating_sub(1));
    let changes = match ask(peer, Ask::Milestones { after }) {
        Some(Answer::Milestones(changes)) => changes,
        Some(_) => return Err(Miss::Lie),
        None => return Err(Miss::Silent),
    };
    // Who has another one there has another history; who has none shows none.
    let there = changes.into_iter().next().filter(|stone| stone.head.height == checkpoint.height);
    let stone = there.ok_or(Miss::Missed(Missed::Theirs(None)))?;
    match trust.follow(&stone) {
        Ok(()) => Ok(stone),
        Err(Doubt::Other) => Err(Miss::Missed(Missed::Theirs(Some(stone.head.digest())))),
        Err(_) => Err(Miss::Lie),
    }
}

/// The heads that lead from a state to a checkpoint: then the state is what it commits to, whoever
/// has signed it.
fn before(
    ask: Asker<'_>,
    peer: Option<&PublicKey>,
    (milestone, parts): (&Milestone, &Parts),
    checkpoint: Checkpoint,
) -> Result<Vec<Digest>, Miss> {
    let committed = milestone.committed().filter(|_| milestone.is_shown()).ok_or(Miss::Lie)?;
    parts.check(&committed).map_err(|_| Miss::Lie)?;
    chain(ask, peer, (committed.height, committed.head), checkpoint).map_err(|miss| match miss {
        Miss::Missed(Missed::Ours) => Miss::Lie,
        miss => miss,
    })
}

/// The changes before a slot, as far as who is known has signed them: others will ask for them.
fn taken_along(
    ask: Asker<'_>,
    mut trust: Trust,
    peer: Option<&PublicKey>,
    before: Height,
) -> Vec<Milestone> {
    let mut way = Vec::new();
    for _ in 0..ANSWERS_MAX {
        let answer = ask(peer, Ask::Milestones { after: trust.height() });
        let Some(Answer::Milestones(changes)) = answer else { break };
        let known = way.len();
        for change in changes.into_iter().filter(|change| change.head.height < before) {
            if trust.follow(&change).is_err() {
                return way;
            }
            way.push(change);
        }
        if way.len() == known {
            break;
        }
    }
    way
}

/// All parts of a state, from whoever has them.
fn collect(
    ask: Asker<'_>,
    height: Height,
    parts: &Parts,
    mut peers: Vec<Option<PublicKey>>,
    synced: &mut Synced,
) -> Option<Vec<u8>> {
    let mut state = Vec::new();
    for (part, digest) in parts.digests.iter().enumerate() {
        let ask_for = Ask::Part { height, part: u32::try_from(part).ok()? };
        loop {
            let at = part.checked_rem(peers.len())?;
            let peer = *peers.get(at)?;
            match ask(peer.as_ref(), ask_for.clone()) {
                Some(Answer::Part(bytes)) if bytes.len() == parts.length(part) => {
                    if Digest::of(&bytes) == *digest {
                        state.extend_from_slice(&bytes);
                        break;
                    }
                    synced.liars.extend(peer);
                }
                Some(Answer::Nothing) => {}
                Some(_) => synced.liars.extend(peer),
                None => synced.silent.extend(peer),
            }
            peers.remove(at);
        }
    }
    Some(state)
}

#[cfg(test)]
mod tests;
