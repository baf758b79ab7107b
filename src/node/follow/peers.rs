//! Validators as those who are asked: how far each is, and whom to ask first. Never excludes one
//! for ever: whoever lied is asked last, for a while.

use crate::base::amount::Ohc;
use crate::base::keys::PublicKey;
use crate::base::time::{Height, Millis};
use std::collections::BTreeMap;

/// So long whoever lied is asked last.
const LIAR_MS: u64 = 60_000;
/// So long whoever did not answer is.
const SILENT_MS: u64 = 5_000;

#[derive(Debug, Clone, Copy, Default)]
struct Peer {
    height: Option<Height>,
    last_until: Millis,
}

/// What is known of the validators.
#[derive(Debug, Default)]
pub struct Peers {
    known: BTreeMap<PublicKey, Peer>,
    /// Questions so far: they are spread over all.
    turn: usize,
}

impl Peers {
    /// A validator says how far it is.
    pub(super) fn says(&mut self, peer: PublicKey, height: Height) {
        let peer = self.known.entry(peer).or_default();
        peer.height = Some(peer.height.map_or(height, |before| before.max(height)));
    }

    /// A validator turned out not to be farther than this.
    pub(super) fn ends(&mut self, peer: PublicKey, height: Height) {
        self.known.entry(peer).or_default().height = Some(height);
    }

    /// A validator gave what is not of the log. Gives whether that is news.
    pub(super) fn lies(&mut self, now: Millis, peer: PublicKey) -> bool {
        let before = self.known.insert(peer, Peer { height: None, last_until: now.after(LIAR_MS) });
        before.is_none_or(|before| before.last_until <= now)
    }

    /// These did not answer.
    pub(super) fn fail(&mut self, now: Millis, peers: &[PublicKey]) {
        for peer in peers {
            let peer = self.known.entry(*peer).or_default();
            peer.last_until = peer.last_until.max(now.after(SILENT_MS));
        }
    }

    /// How far somebody says to be, of those that are not known to lie.
    pub(super) fn highest(&self) -> Height {
        self.known.values().filter_map(|peer| peer.height).max().unwrap_or_default()
    }

    /// How far validators with more than 1/3 of the stake say to be, so that one of them is honest.
    pub(super) fn certain(&self, validators: &BTreeMap<PublicKey, Ohc>) -> Option<Height> {
        let stake = |ohc: &Ohc| u128::from(ohc.nano());
        let total: u128 = validators.values().map(stake).sum();
        let said = |(key, ohc)| Some((self.known.get(key)?.height?, stake(ohc)));
        let mut said: Vec<(Height, u128)> = validators.iter().filter_map(said).collect();
        said.sort_unstable_by(|one, other| other.cmp(one));
        let mut sum = 0;
        said.into_iter().find_map(|(height, stake)| {
            sum += stake;
            (sum * 3 > total).then_some(height)
        })
    }

    /// All validators in the order in which they are asked for slots from `from` on: those that say
    /// that they have some first, those that lied or were silent last, and otherwise in turn.
    pub(super) fn order(
        &mut self,
        now: Millis,
        from: Height,
        validators: &BTreeMap<PublicKey, Ohc>,
    ) -> Vec<PublicKey> {
        self.turn = self.turn.wrapping_add(1);
        let mut order: Vec<PublicKey> = validators.keys().copied().collect();
        let turn = self.turn.checked_rem(order.len()).unwrap_or(0);
        order.rotate_left(turn);
        order.sort_by_key(|key| {
            let peer = self.known.get(key).copied().unwrap_or_default();
            (peer.last_until > now, peer.height.is_none_or(|height| height < from))
        });
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u8) -> PublicKey {
        PublicKey([n; 32])
    }

    fn four() -> BTreeMap<PublicKey, Ohc> {
        (1..=4).map(|n| (key(n), Ohc::from_nano(40_000))).collect()
    }

    #[test]
    fn what_one_of_four_says_is_not_certain_and_what_two_say_is() {
        let mut peers = Peers::default();
        peers.says(key(1), Height(1_000_000));
        peers.says(key(9), Height(2_000_000));
        assert_eq!(peers.certain(&four()), None, "a liar and a stranger");
        peers.says(key(2), Height(7));
        assert_eq!(peers.certain(&four()), Some(Height(7)));
        peers.says(key(3), Height(9));
        assert_eq!(peers.certain(&four()), Some(Height(9)));
    }

    #[test]
    fn who_lied_or_was_silent_is_asked_last_and_only_for_a_while() {
        let (mut peers, now) = (Peers::default(), Millis(5));
        peers.says(key(2), Height(9));
        peers.says(key(3), Height(9));
        assert!(peers.lies(now, key(2)) && !peers.lies(now, key(2)));
        peers.fail(now, &[key(4)]);
        let order = peers.order(now, Height(8), &four());
        assert_eq!((order.len(), order[0], order[1]), (4, key(3), key(1)));
        assert_eq!(peers.highest(), Height(9));
        let later = now.after(LIAR_MS);
        let first: Vec<_> = (0..4).map(|_| peers.order(later, Height(10), &four())[0]).collect();
        assert!((1..=4).all(|n| first.contains(&key(n))), "all in turn: {first:?}");
    }
}
