//! Auctions: at a slot boundary all open offers meet all live bids, at most one award per offer.
//! Never sees a lease, a clock or a message.
//!
//! The score of a bid is `ask · work + (1 − r) · L`, with r the worker's reliability and L what
//! the client loses by a no-show (the reserve). Among the bids that are within the reserve, the
//! lowest score plus the value of the work that already waits at that worker wins: a queue is a
//! delay that the client pays for. The price is the next score, at most the reserve and at least
//! the ask; queues do not enter prices. Ties go to the younger queue, then to the key.

use super::terms::Equipment;
use crate::base::amount::{Ohc, Price, Rounding, Work};
use crate::base::ids::BlockId;
use crate::base::keys::PublicKey;
use crate::base::limits::LEASES_PER_WORKER_MAX;

/// A block that waits for a worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offer {
    /// The block.
    pub block: BlockId,
    /// Its work.
    pub work: Work,
    /// The most that is paid for it.
    pub reserve: Ohc,
    /// What its worker must have.
    pub needs: Equipment,
    /// Workers that were slashed for it: they do not get it again.
    pub barred: Vec<PublicKey>,
    /// The worker whose attempt lapsed last: it gets it again only if nobody else bids for it.
    /// Else a silent worker with an ask of nothing could win every attempt.
    pub lapsed: Option<PublicKey>,
}

/// A live bid and what its worker can still take on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// The worker.
    pub worker: PublicKey,
    /// Nano-OhC per unit of work.
    pub ask: Price,
    /// Units that it takes on at a time.
    pub capacity: Work,
    /// What it has.
    pub has: Equipment,
    /// Units that it has taken on.
    pub queued: Work,
    /// Leases that it holds.
    pub leases: usize,
    /// What it can put up as bonds.
    pub purse: Ohc,
    /// How its leases ended so far.
    pub record: Record,
}

/// How the leases of a worker ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Record {
    /// Accepted.
    pub good: u64,
    /// Lapsed or slashed.
    pub bad: u64,
}

impl Record {
    /// `(1 − r) · loss` with r = (1 + good) / (3 + good + bad): a new worker starts at 1/3.
    fn risk(self, loss: Ohc) -> Option<Ohc> {
        let doubt = self.bad.checked_add(2)?;
        let all = self.good.checked_add(self.bad)?.checked_add(3)?;
        loss.ratio(doubt, all, Rounding::Floor)
    }
}

/// Who gets a block, and for how much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Award {
    /// The block.
    pub block: BlockId,
    /// The worker.
    pub worker: PublicKey,
    /// What it will be paid.
    pub price: Ohc,
    /// What it puts up.
    pub bond: Ohc,
}

/// How an award came about: for whoever explains it, never for a rule.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tally {
    /// The award.
    pub award: Award,
    /// Every live bid, as it stood before the award.
    pub bids: Vec<Considered>,
}

/// A bid in front of an offer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Considered {
    /// The worker.
    pub worker: PublicKey,
    /// What it asks for this block; none if that is more than there is.
    pub ask: Option<Ohc>,
    /// What it is measured by; or why it is not in question.
    pub score: Result<Ohc, Passed>,
    /// The value of the work that waits at its worker: the least sum of this and the score wins.
    pub queue: Ohc,
}

/// Why a bid is not in question for an offer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Passed {
    /// It asks for more than the reserve.
    Dear,
    /// Its worker lacks what the block needs.
    Lacks,
    /// Its worker was slashed for this block.
    Barred,
    /// Its worker's attempt lapsed last, and others bid.
    Lapsed,
    /// Its worker has its hands full.
    Busy,
    /// Its worker cannot put up the bond.
    Poor,
}

impl Standing {
    /// Whether the worker can take on a block of this work: an idle one takes any.
    fn has_room(&self, work: Work) -> bool {
        self.leases == 0
            || (self.leases < LEASES_PER_WORKER_MAX
                && self.queued.saturating_add(work) <= self.capacity)
    }
}

/// Clears the market: offers in their order, each against what the bids have left. Stops as soon
/// as nobody has room for anything: a long queue of offers costs nothing while all are busy.
/// `tallies` takes down how each award came about.
pub fn clear(
    offers: impl IntoIterator<Item = Offer>,
    bids: &mut [Standing],
    bond_factor: u64,
    mut tallies: Option<&mut Vec<Tally>>,
) -> Vec<Award> {
    let mut awards = Vec::new();
    for offer in offers {
        if !bids.iter().any(|bid| bid.has_room(Work::new(1))) {
            break;
        }
        let considered = tallies.is_some().then(|| consider(&offer, bids, bond_factor));
        let award = award(&offer, bids, bond_factor);
        awards.extend(award);
        if let (Some(tallies), Some(bids), Some(award)) = (&mut tallies, considered, award) {
            tallies.push(Tally { award, bids });
        }
    }
    awards
}

/// What an offer makes of each bid.
fn consider(offer: &Offer, bids: &[Standing], bond_factor: u64) -> Vec<Considered> {
    let bond = offer.reserve.ratio(bond_factor, 1, Rounding::Floor).unwrap_or(offer.reserve);
    let serious = |bid: &&Standing| bid.purse >= bond || bid.leases > 0;
    let lapsed = |bid: &Standing| Some(bid.worker) == offer.lapsed;
    let others = bids.iter().filter(serious).any(|b| !lapsed(b) && score(offer, b).is_some());
    let passed = |bid: &Standing| {
        let is_dear = bid.ask.of(offer.work).is_none_or(|ask| ask > offer.reserve);
        let why = [
            (is_dear, Passed::Dear),
            (offer.barred.contains(&bid.worker), Passed::Barred),
            (!bid.has.meets(&offer.needs), Passed::Lacks),
            (lapsed(bid) && others, Passed::Lapsed),
            (!bid.has_room(offer.work), Passed::Busy),
            (bid.purse < bond, Passed::Poor),
        ];
        why.into_iter().find_map(|(is, why)| is.then_some(why))
    };
    let considered = |bid: &Standing| {
        let score = score(offer, bid).map_or(Ohc::ZERO, |(score, _)| score);
        let score = passed(bid).map_or(Ok(score), Err);
        let queue = bid.ask.of(bid.queued).unwrap_or_default();
        Considered { worker: bid.worker, ask: bid.ask.of(offer.work), score, queue }
    };
    bids.iter().map(considered).collect()
}

fn award(offer: &Offer, bids: &mut [Standing], bond_factor: u64) -> Option<Award> {
    let scores: Vec<Option<(Ohc, Ohc)>> = bids.iter().map(|bid| score(offer, bid)).collect();
    // The bond for the highest possible price: whether a bid is eligible must not depend on the
    // other bids.
    let bond = offer.reserve.ratio(bond_factor, 1, Rounding::Floor)?;
    let lapsed = |bid: &Standing| Some(bid.worker) == offer.lapsed;
    // A worker at work may get its bond back; an idle one that cannot pay it never takes this.
    let serious = |bid: &Standing| bid.purse >= bond || bid.leases > 0;
    let mut rivals = bids.iter().zip(&scores).filter(|(_, score)| score.is_some());
    let others = rivals.any(|(bid, _)| !lapsed(bid) && serious(bid));
    let (mut best, mut best_rank) = (None, None);
    for (index, bid) in bids.iter().enumerate() {
        let Some(Some((score, ask))) = scores.get(index) else { continue };
        if lapsed(bid) && others {
            continue;
        }
        let fits = bid.has_room(offer.work) && bid.purse >= bond;
        let waiting = bid.ask.of(bid.queued).and_then(|queue| queue.checked_add(*score));
        let Some(waiting) = waiting.filter(|_| fits) else { continue };
        let rank = (waiting, bid.queued, bid.worker);
        if best_rank.as_ref().is_none_or(|best| rank < *best) {
            (best, best_rank) = (Some((index, *score, *ask)), Some(rank));
        }
    }
    let (index, own, ask) = best?;
    let risk = own.checked_sub(ask)?;
    // A bid that cannot pay its bond competes with nobody.
    let rivals =
        bids.iter().zip(&scores).enumerate().filter(|(i, (b, _))| *i != index && serious(b));
    let next = rivals.filter_map(|(_, (_, score))| score.map(|(score, _)| score));
    let next = next.filter(|score| *score >= own).min();
    let price = next.and_then(|next| next.checked_sub(risk)).unwrap_or(offer.reserve);
    let price = price.min(offer.reserve);
    let bid = bids.get_mut(index)?;
    let bond = price.ratio(bond_factor, 1, Rounding::Floor)?;
    bid.purse = bid.purse.checked_sub(bond)?;
    bid.queued = bid.queued.saturating_add(offer.work);
    bid.leases += 1;
    assert!(ask <= price && price <= offer.reserve, "R-11: ask <= price <= reserve");
    Some(Award { block: offer.block, worker: bid.worker, price, bond })
}

/// Score and ask of one bid for one offer; none if it is above the reserve, if its worker lacks
/// what is needed, or if it is barred.
fn score(offer: &Offer, bid: &Standing) -> Option<(Ohc, Ohc)> {
    let ask = bid.ask.of(offer.work).filter(|ask| *ask <= offer.reserve)?;
    if offer.barred.contains(&bid.worker) || !bid.has.meets(&offer.needs) {
        return None;
    }
    Some((ask.checked_add(bid.record.risk(offer.reserve)?)?, ask))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::RunId;
    use proptest::prelude::*;

    fn key(n: u8) -> PublicKey {
        PublicKey([n; 32])
    }

    fn clear(
        offers: impl IntoIterator<Item = Offer>,
        bids: &mut [Standing],
        bond_factor: u64,
    ) -> Vec<Award> {
        super::clear(offers, bids, bond_factor, None)
    }

    fn offer(index: u32, reserve: u64) -> Offer {
        let block = BlockId { run: RunId(1), index };
        let reserve = Ohc::from_nano(reserve);
        Offer {
            block,
            work: Work::new(10),
            reserve,
            needs: Equipment::default(),
            barred: Vec::new(),
            lapsed: None,
        }
    }

    fn bid(worker: u8, ask: u64) -> Standing {
        Standing {
            worker: key(worker),
            ask: Price::new(ask),
            capacity: Work::new(100),
            has: Equipment::default(),
            queued: Work::ZERO,
            leases: 0,
            purse: Ohc::from_nano(1_000_000),
            record: Record::default(),
        }
    }

    /// One offer of 10 units with reserve 100 against bids `(worker, ask)`.
    #[track_caller]
    fn check(bids: &[(u8, u64)], expect: Option<(u8, u64)>) {
        let mut bids: Vec<Standing> = bids.iter().map(|(w, a)| bid(*w, *a)).collect();
        let awards = clear([offer(0, 100)], &mut bids, 4);
        let got = awards.first().map(|a| (a.worker.0[0], a.price.nano()));
        assert_eq!(got, expect);
    }

    #[test]
    fn r11_the_winner_is_paid_the_next_ask_at_most_the_reserve() {
        check(&[(1, 6), (2, 8)], Some((1, 80)));
        check(&[(2, 8), (1, 6), (3, 7)], Some((1, 70)));
        check(&[(1, 6)], Some((1, 100)));
        check(&[(1, 6), (2, 11)], Some((1, 100)));
        check(&[(1, 11)], None);
        check(&[], None);
        check(&[(2, 6), (1, 6)], Some((1, 60)));
    }

    #[test]
    fn a_cheap_no_show_does_not_win() {
        let mut cheap = bid(1, 5);
        cheap.record = Record { good: 0, bad: 10 };
        let mut bids = [cheap, bid(2, 6)];
        let awards = clear([offer(0, 100)], &mut bids, 4);
        assert_eq!(awards[0].worker, key(2));
    }

    #[test]
    fn who_lapsed_last_waits_until_nobody_else_bids() {
        let again = Offer { lapsed: Some(key(1)), ..offer(0, 100) };
        let awards = clear([again.clone()], &mut [bid(1, 1), bid(2, 9)], 4);
        assert_eq!(awards[0].worker, key(2));
        assert_eq!(clear([again.clone()], &mut [bid(1, 1)], 4)[0].worker, key(1));
        let too_dear = bid(2, 11);
        assert_eq!(clear([again], &mut [bid(1, 1), too_dear], 4)[0].worker, key(1));
    }

    #[test]
    fn a_bid_that_cannot_pay_its_bond_sets_no_price() {
        let mut shill = bid(2, 7);
        shill.purse = Ohc::ZERO;
        assert_eq!(clear([offer(0, 100)], &mut [bid(1, 6), shill], 4)[0].price.nano(), 100);
    }

    #[test]
    fn equal_bids_share_the_blocks() {
        let mut bids = [bid(1, 6), bid(2, 6)];
        let offers: Vec<Offer> = (0..4).map(|i| offer(i, 100)).collect();
        let awards = clear(offers, &mut bids, 4);
        let to_first = awards.iter().filter(|a| a.worker == key(1)).count();
        assert_eq!((awards.len(), to_first), (4, 2));
    }

    #[test]
    fn a_worker_without_room_or_purse_gets_nothing() {
        let mut full = bid(1, 6);
        (full.leases, full.queued) = (1, Work::new(95));
        let mut poor = bid(2, 6);
        poor.purse = Ohc::from_nano(399);
        assert_eq!(clear([offer(0, 100)], &mut [full, poor], 4), []);
        let mut barred = offer(0, 100);
        barred.barred = vec![key(1)];
        assert_eq!(clear([barred], &mut [bid(1, 6)], 4), []);
    }

    proptest! {
        #[test]
        fn r11_every_price_is_between_ask_and_reserve_and_no_deviation_gains(
            asks in proptest::collection::vec(1u64..14, 1..6), deviation in 1u64..14,
        ) {
            let of = |asks: &[u64]| {
                let mut bids: Vec<Standing> =
                    (1u8..).zip(asks).map(|(w, a)| bid(w, *a)).collect();
                clear([offer(0, 100)], &mut bids, 4)
            };
            let gain = |asks: &[u64], cost: u64| {
                let award = of(asks).into_iter().find(|a| a.worker == key(1));
                award.map_or(0i64, |a| a.price.nano() as i64 - 10 * cost as i64)
            };
            for award in of(&asks) {
                let ask = asks[usize::from(award.worker.0[0]) - 1] * 10;
                prop_assert!(ask <= award.price.nano() && award.price.nano() <= 100);
            }
            // Truthful: with its true cost asks[0], worker 1 gains nothing by another ask.
            let mut other = asks.clone();
            other[0] = deviation;
            prop_assert!(gain(&asks, asks[0]) >= gain(&other, asks[0]));
        }

        #[test]
        fn a_tally_says_who_was_in_question_and_the_least_of_them_won(
            // Ask, work that waits, leases, purse, failed leases; and who is barred or lapsed.
            all in proptest::collection::vec(
                (1u64..14, 0u64..120, 0usize..3, 0u64..900, 0u64..9), 1..6,
            ),
            barred in 0u8..8, lapsed in 0u8..8,
        ) {
            let standing = |(worker, (ask, queued, leases, purse, bad)): (u8, _)| Standing {
                queued: Work::new(queued),
                leases,
                purse: Ohc::from_nano(purse),
                record: Record { good: 3, bad },
                ..bid(worker, ask)
            };
            let bids: Vec<Standing> = (1u8..).zip(all).map(standing).collect();
            let offer =
                Offer { barred: vec![key(barred)], lapsed: Some(key(lapsed)), ..offer(0, 100) };
            let mut told = bids.clone();
            let mut tallies = Vec::new();
            let awards = super::clear([offer.clone()], &mut told, 4, Some(&mut tallies));
            prop_assert_eq!(&clear([offer.clone()], &mut bids.clone(), 4), &awards);
            let considered = consider(&offer, &bids, 4);
            let has_room = bids.iter().any(|bid| bid.has_room(Work::new(1)));
            let is_awarded = has_room && considered.iter().any(|c| c.score.is_ok());
            prop_assert_eq!(awards.len(), usize::from(is_awarded));
            for tally in tallies {
                let rank = |c: &Considered| Some(c.score.ok()?.nano() + c.queue.nano());
                let least = tally.bids.iter().filter_map(rank).min();
                let won = tally.bids.iter().find(|c| c.worker == tally.award.worker);
                prop_assert_eq!(won.and_then(rank), least);
            }
        }

        #[test]
        fn the_order_of_bids_does_not_matter(
            asks in proptest::collection::vec(1u64..14, 1..6),
        ) {
            let mut bids: Vec<Standing> = (1u8..).zip(&asks).map(|(w, a)| bid(w, *a)).collect();
            let forwards = clear([offer(0, 100), offer(1, 90)], &mut bids.clone(), 4);
            bids.reverse();
            prop_assert_eq!(clear([offer(0, 100), offer(1, 90)], &mut bids, 4), forwards);
        }
    }
}
