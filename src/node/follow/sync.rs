//! Syncing: gets the last state that the log commits to, for who comes late. Trusts nobody whom it
//! asks: what commits to the state is signed, and every part of it has a digest that was.
//!
//! Parts are asked of all in turn, so that nobody has to give more than the others; who gives a
//! wrong one is not asked again, and the part is had from somebody else.

use crate::base::canon::Digest;
use crate::base::keys::PublicKey;
use crate::base::time::Height;
use crate::domain::milestone::{Doubt, Milestone, Parts, Trust};
use crate::node::wire::{Answer, Ask};
use std::collections::BTreeSet;

/// Asks one validator, or any.
pub(super) type Asker<'a> = &'a dyn Fn(Option<&PublicKey>, Ask) -> Option<Answer>;

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
    /// Who gave what is not of the log.
    pub(super) liars: BTreeSet<PublicKey>,
    /// Who gave no answer.
    pub(super) silent: BTreeSet<PublicKey>,
}

/// Why somebody offers nothing.
enum Miss {
    Nothing,
    Silent,
    Lie,
}

/// Gets a state of at least this height, from the first of `peers` who offers one, or else from any
/// validator.
pub(super) fn sync(ask: Asker<'_>, trust: &Trust, peers: &[PublicKey], least: Height) -> Synced {
    let mut synced = Synced::default();
    for peer in peers.iter().copied().map(Some).chain([None]) {
        if peer.is_some_and(|peer| synced.liars.contains(&peer)) {
            continue;
        }
        match offer(ask, trust.clone(), peer.as_ref(), least) {
            Ok((milestone, parts, way)) => {
                let height = milestone.head.height;
                let others = peers.iter().copied().map(Some).filter(|other| *other != peer);
                let all: Vec<_> = [peer].into_iter().chain(others).collect();
                if let Some(state) = collect(ask, height, &parts, all, &mut synced) {
                    synced.found = Some(Found { milestone, state, way });
                    return synced;
                }
            }
            Err(Miss::Nothing) => {}
            Err(Miss::Silent) => synced.silent.extend(peer),
            Err(Miss::Lie) => synced.liars.extend(peer),
        }
    }
    synced
}

/// What somebody offers, if it is signed by those who are known, or by who has come after them.
fn offer(
    ask: Asker<'_>,
    mut trust: Trust,
    peer: Option<&PublicKey>,
    least: Height,
) -> Result<(Milestone, Parts, Vec<Milestone>), Miss> {
    let (milestone, parts) = match ask(peer, Ask::Snapshot) {
        Some(Answer::Snapshot { milestone, parts }) => (*milestone, parts),
        Some(Answer::Nothing) => return Err(Miss::Nothing),
        Some(_) => return Err(Miss::Lie),
        None => return Err(Miss::Silent),
    };
    let height = milestone.head.height;
    if height < least {
        return Err(Miss::Nothing);
    }
    let (mut way, mut is_seen) = (Vec::new(), false);
    loop {
        match trust.see(&milestone) {
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
        for change in changes.into_iter().filter(|change| change.head.height < height) {
            match trust.follow(&change) {
                Ok(()) => way.push(change),
                Err(_) if is_seen => break,
                Err(_) => return Err(Miss::Lie),
            }
        }
        if way.len() == known {
            // Who offers a state knows how one gets there.
            return if is_seen { Ok((milestone, parts, way)) } else { Err(Miss::Lie) };
        }
    }
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
