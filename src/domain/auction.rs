//! Auctions: at a slot boundary all open offers meet all live bids, at most one award per offer.
//! Never sees a lease, a clock or a message.
//!
//! The score of a bid is `ask · work + (1 − r) · L`, with r the worker's reliability and L what
//! the client loses by a no-show (the reserve). Among the bids that are within the reserve, the
//! lowest score plus the value of the work that already waits at that worker wins: a queue is a
//! delay that the client pays for. The price is the next score, at most the reserve and at least
//! the ask; queues do not enter prices. Ties go to the younger queue, then to the key.
//!
//! Offers of one lot (replicas of a block, shards of a round) are sold together: of K identical
//! offers each goes to another worker, the K best bids win, and all are paid by one score, the
//! next one after the K (so an offer by itself is a lot of one). Where fewer bid, the reserve is
//! paid, and what is left over waits.

use super::classes::Classes;
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
    /// The first block of the lot that it is sold in; itself if it is sold alone.
    pub lot: BlockId,
    /// Its work.
    pub work: Work,
    /// The most that is paid for it.
    pub reserve: Ohc,
    /// What its worker must have.
    pub needs: Equipment,
    /// The kinds of its jobs.
    pub classes: Classes,
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
    /// The kinds of jobs that it takes on.
    pub takes: Classes,
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
    /// It is for other kinds of jobs.
    Class,
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

    /// Whether its word counts where this bond is asked for: an idle worker that cannot pay it
    /// never will.
    fn is_serious(&self, bond: Ohc) -> bool {
        self.purse >= bond || self.leases > 0
    }
}

/// Clears the market: lots in their order, each against what the bids have left. Stops as soon
/// as nobody has room for anything: a long queue of offers costs nothing while all are busy.
/// `tallies` takes down how each award came about.
pub fn clear(
    offers: impl IntoIterator<Item = Offer>,
    bids: &mut [Standing],
    bond_factor: u64,
    mut tallies: Option<&mut Vec<Tally>>,
) -> Vec<Award> {
    let mut awards = Vec::new();
    let mut offers = offers.into_iter().peekable();
    while let Some(first) = offers.next() {
        if !bids.iter().any(|bid| bid.has_room(Work::new(1))) {
            break;
        }
        let mut lot = Lot::of(first);
        while let Some(next) = offers.next_if(|next| lot.takes(next)) {
            lot.add(next);
        }
        let considered = tallies.is_some().then(|| consider(&lot, bids, bond_factor));
        let sold = sell(&lot, bids, bond_factor);
        if let (Some(tallies), Some(bids)) = (&mut tallies, considered) {
            let tally = |award: &Award| Tally { award: *award, bids: bids.clone() };
            tallies.extend(sold.iter().map(tally));
        }
        awards.extend(sold);
    }
    awards
}

/// Identical offers that are sold together.
struct Lot {
    /// What is on offer; who is barred from one of them is barred from all.
    offer: Offer,
    blocks: Vec<BlockId>,
    /// Who let one of them lapse last.
    lapsed: Vec<PublicKey>,
}

impl Lot {
    fn of(offer: Offer) -> Self {
        let (blocks, lapsed) = (vec![offer.block], offer.lapsed.into_iter().collect());
        Self { offer, blocks, lapsed }
    }

    /// Whether an offer is of this lot, and like those in it.
    fn takes(&self, next: &Offer) -> bool {
        let terms =
            |offer: &Offer| (offer.lot, offer.work, offer.reserve, offer.needs, offer.classes);
        terms(next) == terms(&self.offer)
    }

    fn add(&mut self, next: Offer) {
        self.blocks.push(next.block);
        self.lapsed.extend(next.lapsed);
        self.offer.barred.extend(next.barred);
    }

    /// The bond for the highest possible price: whether a bid is eligible must not depend on the
    /// other bids.
    fn bond(&self, bond_factor: u64) -> Option<Ohc> {
        self.offer.reserve.ratio(bond_factor, 1, Rounding::Floor)
    }

    fn has_lapsed(&self, bid: &Standing) -> bool {
        self.lapsed.contains(&bid.worker)
    }

    /// Whether enough others bid, so that those whose attempts lapsed need not be asked. A worker
    /// at work may get its bond back; an idle one that cannot pay it never takes this.
    fn finds_others(&self, bids: &[Standing], bond: Ohc) -> bool {
        let is_other = |bid: &&Standing| {
            !self.has_lapsed(bid) && bid.is_serious(bond) && score(&self.offer, bid).is_some()
        };
        bids.iter().filter(is_other).take(self.blocks.len()).count() == self.blocks.len()
    }
}

/// What a lot makes of each bid.
fn consider(lot: &Lot, bids: &[Standing], bond_factor: u64) -> Vec<Considered> {
    let offer = &lot.offer;
    let bond = lot.bond(bond_factor).unwrap_or(offer.reserve);
    let others = lot.finds_others(bids, bond);
    let passed = |bid: &Standing| {
        let is_dear = bid.ask.of(offer.work).is_none_or(|ask| ask > offer.reserve);
        let why = [
            (is_dear, Passed::Dear),
            (offer.barred.contains(&bid.worker), Passed::Barred),
            (!bid.takes.has(offer.classes), Passed::Class),
            (!bid.has.meets(&offer.needs), Passed::Lacks),
            (lot.has_lapsed(bid) && others, Passed::Lapsed),
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

/// A bid that is in question for a lot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    /// Its score and the value of the work that waits at its worker.
    waiting: Ohc,
    queued: Work,
    worker: PublicKey,
    /// Which bid it is.
    index: usize,
    score: Ohc,
    ask: Ohc,
}

/// Sells a lot: each block to another worker, all by one score.
fn sell(lot: &Lot, bids: &mut [Standing], bond_factor: u64) -> Vec<Award> {
    let (offer, Some(bond)) = (&lot.offer, lot.bond(bond_factor)) else { return Vec::new() };
    let others = lot.finds_others(bids, bond);
    let in_question = |(index, bid): (usize, &Standing)| {
        let (score, ask) = score(offer, bid)?;
        let fits = bid.has_room(offer.work) && bid.purse >= bond;
        if !fits || (lot.has_lapsed(bid) && others) {
            return None;
        }
        let waiting = bid.ask.of(bid.queued)?.checked_add(score)?;
        Some(Candidate { waiting, queued: bid.queued, worker: bid.worker, index, score, ask })
    };
    let mut won: Vec<Candidate> = bids.iter().enumerate().filter_map(in_question).collect();
    won.sort_unstable();
    won.truncate(lot.blocks.len());
    let Some(dearest) = won.iter().map(|winner| winner.score).max() else { return Vec::new() };
    // A bid that cannot pay its bond competes with nobody.
    let is_rival = |(index, bid): &(usize, &Standing)| {
        bid.is_serious(bond) && won.iter().all(|winner| winner.index != *index)
    };
    let rivals = bids.iter().enumerate().filter(is_rival);
    let scores = rivals.filter_map(|(_, bid)| score(offer, bid).map(|(score, _)| score));
    let next = scores.filter(|score| *score >= dearest).min();
    let price = |winner: &Candidate| {
        let risk = winner.score.checked_sub(winner.ask)?;
        let price = next.and_then(|next| next.checked_sub(risk)).unwrap_or(offer.reserve);
        Some(price.min(offer.reserve))
    };
    let awarded = |(block, winner): (&BlockId, &Candidate)| {
        let price = price(winner)?;
        let bid = bids.get_mut(winner.index)?;
        let bond = price.ratio(bond_factor, 1, Rounding::Floor)?;
        bid.purse = bid.purse.checked_sub(bond)?;
        bid.queued = bid.queued.saturating_add(offer.work);
        bid.leases += 1;
        let is_fair = winner.ask <= price && price <= offer.reserve;
        assert!(is_fair, "R-11: ask <= price <= reserve");
        Some(Award { block: *block, worker: bid.worker, price, bond })
    };
    lot.blocks.iter().zip(&won).filter_map(awarded).collect()
}

/// Score and ask of one bid for one offer; none if it is above the reserve, if its worker lacks
/// what is needed, does not take on such jobs, or is barred.
fn score(offer: &Offer, bid: &Standing) -> Option<(Ohc, Ohc)> {
    let ask = bid.ask.of(offer.work).filter(|ask| *ask <= offer.reserve)?;
    let fits = bid.has.meets(&offer.needs) && bid.takes.has(offer.classes);
    if offer.barred.contains(&bid.worker) || !fits {
        return None;
    }
    Some((ask.checked_add(bid.record.risk(offer.reserve)?)?, ask))
}

#[cfg(test)]
mod tests;
