//! The mempool: commands that wait for a slot. Bounded as a whole, in bytes, and for each author:
//! nobody who sends much keeps the others out.

use crate::base::canon::Encode;
use crate::base::keys::PublicKey;
use crate::base::limits::{
    MEMPOOL_BYTES_MAX, MEMPOOL_MAX, MEMPOOL_PER_AUTHOR_MAX, MESSAGE_BYTES_MAX,
};
use crate::domain::command::SignedOrder;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Commands in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Mempool {
    orders: VecDeque<SignedOrder>,
    /// The numbers of those of each author: a number counts once, so its first order is enough.
    of: BTreeMap<PublicKey, BTreeSet<u64>>,
    bytes: usize,
}

impl Mempool {
    /// Whether there is room for a command, and none with its number.
    pub(super) fn takes(&self, order: &SignedOrder) -> bool {
        let size = order.to_bytes().len();
        let has_room = self.of.get(&order.author).is_none_or(|own| {
            own.len() < MEMPOOL_PER_AUTHOR_MAX && !own.contains(&order.body.nonce)
        });
        self.orders.len() < MEMPOOL_MAX
            && has_room
            && size <= MESSAGE_BYTES_MAX
            && self.bytes.saturating_add(size) <= MEMPOOL_BYTES_MAX
    }

    /// Takes a command in.
    pub(super) fn push(&mut self, order: SignedOrder) {
        self.count(&order);
        self.orders.push_back(order);
    }

    /// Puts a command back to the front.
    pub(super) fn push_front(&mut self, order: SignedOrder) {
        self.count(&order);
        self.orders.push_front(order);
    }

    /// The command that came first.
    pub(super) fn pop(&mut self) -> Option<SignedOrder> {
        let order = self.orders.pop_front()?;
        uncount(&mut self.of, &mut self.bytes, &order);
        Some(order)
    }

    /// The command that came last.
    pub(super) fn newest(&self) -> Option<&SignedOrder> {
        self.orders.back()
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.orders.is_empty()
    }

    /// Who waits for a slot.
    pub(super) fn authors(&self) -> impl Iterator<Item = &PublicKey> {
        self.of.keys()
    }

    /// Whether something of this author waits.
    pub(super) fn has_spoken(&self, author: &PublicKey) -> bool {
        self.of.contains_key(author)
    }

    /// The commands in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &SignedOrder> + Clone {
        self.orders.iter()
    }

    /// The commands in an order in which some come before what others say: each author's in their
    /// order, those up to its one that comes first before all others.
    pub(super) fn in_turn(
        &self,
        is_first: impl Fn(&SignedOrder) -> bool,
    ) -> impl Iterator<Item = &SignedOrder> {
        let mut firsts: BTreeMap<PublicKey, usize> = BTreeMap::new();
        for (at, order) in self.orders.iter().enumerate().filter(|(_, order)| is_first(order)) {
            firsts.entry(order.author).or_insert(at);
        }
        let is_early = move |(at, order): &(usize, &SignedOrder)| {
            firsts.get(&order.author).is_some_and(|first| at <= first)
        };
        let (early, late): (Vec<_>, Vec<_>) = self.orders.iter().enumerate().partition(is_early);
        early.into_iter().chain(late).map(|(_, order)| order)
    }

    /// Lets go of the commands that need not wait any more.
    pub(super) fn retain(&mut self, is_wanted: impl Fn(&SignedOrder) -> bool) {
        let Self { orders, of, bytes } = self;
        orders.retain(|order| {
            let is_wanted = is_wanted(order);
            if !is_wanted {
                uncount(of, bytes, order);
            }
            is_wanted
        });
    }

    fn count(&mut self, order: &SignedOrder) {
        self.bytes = self.bytes.saturating_add(order.to_bytes().len());
        self.of.entry(order.author).or_default().insert(order.body.nonce);
    }
}

fn uncount(of: &mut BTreeMap<PublicKey, BTreeSet<u64>>, bytes: &mut usize, order: &SignedOrder) {
    *bytes = bytes.saturating_sub(order.to_bytes().len());
    if let Some(own) = of.get_mut(&order.author) {
        own.remove(&order.body.nonce);
        if own.is_empty() {
            of.remove(&order.author);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::canon::Digest;
    use crate::base::keys::{NetworkId, SecretKey};
    use crate::domain::beacon::Reveal;
    use crate::domain::command::{Command, Order};

    #[test]
    fn r13_an_author_that_sends_much_leaves_room_for_others() {
        let network = NetworkId(Digest::of(b"network"));
        let key = |n| SecretKey::from_bytes(&[n; 32]);
        let order =
            |who: u8, nonce| key(who).seal(network, Order { nonce, command: Command::Withdraw });
        let (one, mut pool) = (order(1, 1), Mempool::default());
        for nonce in 1..=MEMPOOL_PER_AUTHOR_MAX as u64 {
            let order = order(1, nonce);
            assert!(pool.takes(&order));
            pool.push(order.clone());
            assert!(!pool.takes(&order), "it is there");
        }
        assert!(!pool.takes(&order(1, 9_999)), "one author has its share");
        let other = order(2, 1);
        assert!(pool.takes(&other));
        pool.push(other.clone());
        assert_eq!(pool.pop(), Some(one.clone()));
        assert!(pool.takes(&order(1, 9_999)), "what is in a slot makes room");
        pool.push_front(one.clone());
        assert!(!pool.takes(&order(1, 9_999)));
        pool.retain(|order| order.author != one.author);
        assert_eq!(pool.iter().collect::<Vec<_>>(), [&other]);
        assert_eq!(pool.pop(), Some(other));
        assert!(pool.is_empty() && pool.bytes == 0 && pool.of.is_empty());
    }

    #[test]
    fn what_comes_first_comes_before_what_others_say_and_every_author_keeps_its_order() {
        let network = NetworkId(Digest::of(b"network"));
        let order = |who: u8, nonce, command| {
            SecretKey::from_bytes(&[who; 32]).seal(network, Order { nonce, command })
        };
        let reveal = || Command::Reveal(Reveal { value: None, next: Digest::default() });
        let mut pool = Mempool::default();
        let came = [(1, 1, true), (2, 1, false), (1, 2, false), (3, 1, true), (2, 2, true)];
        for (who, nonce, is_reveal) in came {
            pool.push(order(who, nonce, if is_reveal { reveal() } else { Command::Withdraw }));
        }
        // A second one of the same author does not pull forward what is between them.
        pool.push(order(1, 3, reveal()));
        let third = SecretKey::from_bytes(&[3; 32]).public();
        let is_first = |order: &SignedOrder| {
            order.author != third && matches!(order.body.command, Command::Reveal(_))
        };
        let turn: Vec<SignedOrder> = pool.in_turn(is_first).cloned().collect();
        let of = |at: usize| pool.orders[at].clone();
        assert_eq!(turn, [of(0), of(1), of(4), of(2), of(3), of(5)]);
    }
}
