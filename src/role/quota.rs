//! Quotas: how much each sender may have looked at. Whoever sends more than that is dropped, and
//! nobody else is. Never asks who somebody is: the name of a sender is what servers let through.

use crate::base::limits::SENDERS_MAX;
use crate::base::time::Millis;
use std::collections::BTreeMap;

/// How much at once, and how much each second after that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// At once.
    pub burst: u32,
    /// Each second.
    pub second: u32,
}

/// What each sender may have looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Messages.
    pub messages: Rate,
    /// Their bytes, and those of the answers.
    pub bytes: Rate,
}

/// A name of a sender; none for all who have no name.
pub type Sender = Option<u64>;

/// A message is too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flood {
    /// Whether it is the first one since this sender had all that it may have.
    pub is_news: bool,
}

/// Thousandths of a message or a byte, so that a millisecond gives back whole ones.
const UNIT: i64 = 1_000;

/// What is left to one sender.
#[derive(Debug, Clone, Copy)]
struct Share {
    messages: i64,
    bytes: i64,
    /// Up to when it was given back.
    at: Millis,
    is_told: bool,
}

/// What is left to each sender.
#[derive(Debug)]
pub struct Quota {
    limits: Limits,
    shares: BTreeMap<Sender, Share>,
}

impl Quota {
    /// Nobody has sent anything yet.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self { limits, shares: BTreeMap::new() }
    }

    /// Whether a message of so many bytes is looked at. What is not costs its sender nothing more:
    /// who floods is heard as often as who does not.
    pub fn admit(&mut self, now: Millis, sender: Sender, bytes: usize) -> Result<(), Flood> {
        let share = self.share(now, sender);
        let cost = units(bytes);
        if share.messages < UNIT || share.bytes < cost {
            let is_news = !std::mem::replace(&mut share.is_told, true);
            return Err(Flood { is_news });
        }
        share.messages -= UNIT;
        share.bytes -= cost;
        Ok(())
    }

    /// A sender is given so many bytes for what was looked at: it owes what it has not.
    pub fn charge(&mut self, now: Millis, sender: Sender, bytes: usize) {
        let share = self.share(now, sender);
        share.bytes = share.bytes.saturating_sub(units(bytes));
    }

    /// What is left to a sender now. Where there are more senders than are told apart, those that
    /// are new have one share together.
    fn share(&mut self, now: Millis, sender: Sender) -> &mut Share {
        let Self { limits, shares } = self;
        if shares.len() >= SENDERS_MAX && !shares.contains_key(&sender) {
            shares.retain(|_, share| !share.refill(now, limits));
        }
        let is_known = shares.contains_key(&sender) || shares.len() < SENDERS_MAX;
        let share = shares.entry(sender.filter(|_| is_known)).or_insert_with(|| Share {
            messages: i64::from(limits.messages.burst) * UNIT,
            bytes: i64::from(limits.bytes.burst) * UNIT,
            at: now,
            is_told: false,
        });
        share.refill(now, limits);
        share
    }
}

impl Share {
    /// Gives back what is due. Gives whether nothing more will be.
    fn refill(&mut self, now: Millis, limits: &Limits) -> bool {
        let ms = i64::try_from(now.since(self.at)).unwrap_or(i64::MAX);
        self.at = self.at.max(now);
        let more = |left: i64, rate: Rate| {
            let back = ms.saturating_mul(i64::from(rate.second));
            left.saturating_add(back).min(i64::from(rate.burst) * UNIT)
        };
        self.messages = more(self.messages, limits.messages);
        self.bytes = more(self.bytes, limits.bytes);
        let is_full = |left: i64, rate: Rate| left == i64::from(rate.burst) * UNIT;
        let is_full = is_full(self.messages, limits.messages) && is_full(self.bytes, limits.bytes);
        self.is_told &= !is_full;
        is_full
    }
}

fn units(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX).saturating_mul(UNIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits {
        messages: Rate { burst: 10, second: 100 },
        bytes: Rate { burst: 5_000, second: 10_000 },
    };

    fn sent(quota: &mut Quota, now: u64, sender: u64, count: usize, bytes: usize) -> usize {
        let admit = |_: &usize| quota.admit(Millis(now), Some(sender), bytes).is_ok();
        (0..count).filter(admit).count()
    }

    #[test]
    fn r13_who_floods_is_dropped_and_nobody_else_is() {
        let mut quota = Quota::new(LIMITS);
        assert_eq!(sent(&mut quota, 0, 1, 1_000, 10), 10, "a flood, up to its share");
        assert_eq!(sent(&mut quota, 0, 2, 10, 10), 10, "another is heard all the same");
        assert_eq!(sent(&mut quota, 50, 1, 1_000, 10), 5, "what the time gave back");
        assert_eq!(sent(&mut quota, 10_000, 1, 1_000, 10), 10, "all, and no more than that");
        assert_eq!(sent(&mut quota, 10_000, 3, 10, 1_000), 5, "bytes count too");
    }

    #[test]
    fn a_flood_is_told_once_and_again_when_it_was_over() {
        let mut quota = Quota::new(LIMITS);
        let mut told = |now| {
            let admit = |_| quota.admit(Millis(now), Some(1), 10).err();
            (0..20).filter_map(admit).filter(|flood: &Flood| flood.is_news).count()
        };
        assert_eq!([told(0), told(10), told(60)], [1, 0, 0]);
        assert_eq!(told(10_000), 1);
    }

    #[test]
    fn answers_are_owed_until_the_time_has_paid_for_them() {
        let mut quota = Quota::new(LIMITS);
        assert_eq!(sent(&mut quota, 0, 1, 1, 10), 1);
        quota.charge(Millis(0), Some(1), 20_000);
        assert_eq!(sent(&mut quota, 1_000, 1, 1, 10), 0);
        assert_eq!(sent(&mut quota, 1_000, 2, 1, 10), 1);
        assert_eq!(sent(&mut quota, 1_510, 1, 1, 10), 1);
    }

    #[test]
    fn r13_more_senders_than_are_told_apart_share_what_one_may_have() {
        let mut quota = Quota::new(LIMITS);
        let all = SENDERS_MAX as u64;
        assert_eq!((0..all).map(|n| sent(&mut quota, 0, n, 1, 10)).sum::<usize>(), SENDERS_MAX);
        let more: usize = (all..2 * all).map(|n| sent(&mut quota, 0, n, 1, 10)).sum();
        assert_eq!(more, 10, "strangers");
        assert_eq!(quota.shares.len(), SENDERS_MAX + 1);
        assert_eq!(sent(&mut quota, 0, 7, 1, 10), 1, "who was there before");
        assert_eq!(sent(&mut quota, 10_000, 2 * all, 20, 10), 10, "those of before are forgotten");
        assert!(quota.shares.len() < 3);
    }

    proptest! {
        /// Whatever others send, and whenever, who stays within its share loses nothing.
        #[test]
        fn r13_who_stays_within_its_share_is_always_heard(
            noise in prop::collection::vec((0u64..40, 2u64..9, 0usize..9_000), 0..200),
        ) {
            let (mut quota, mut now) = (Quota::new(LIMITS), 0);
            for (pause, sender, bytes) in noise {
                let _ = quota.admit(Millis(now), Some(sender), bytes);
                now += pause.max(10);
                prop_assert!(quota.admit(Millis(now), Some(1), 100).is_ok());
                quota.charge(Millis(now), Some(sender), bytes);
            }
        }
    }
}
