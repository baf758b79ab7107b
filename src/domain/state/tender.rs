//! Tenders: sealed auctions of single blocks. In a first window bids come under a seal, each with a
//! bond; in a second as long they are told; then the block is sold to the best of them by the same
//! rule as everything. Who does not tell its bid loses its bond. Never sees a standing ask.

use super::State;
use super::order::ticks_of;
use super::run::Phase;
use crate::base::amount::{Ohc, Price, Rounding};
use crate::base::canon::{Digest, canonical_enum, canonical_struct};
use crate::base::ids::BlockId;
use crate::base::keys::PublicKey;
use crate::base::limits::TENDERS_MAX;
use crate::base::time::{Height, Tick};
use crate::domain::auction::{self, Standing};
use crate::domain::command::{Revealed, Tender};
use crate::domain::event::{Event, Reject};
use crate::domain::lease::Offered;
use crate::domain::ledger::{Hold, Owner, Payee};
use crate::domain::terms::Auction;
use std::collections::BTreeMap;

/// Slots that a window takes at least, however long they are: two for a message each way, and one
/// for bad luck.
const WINDOW_SLOTS: u64 = 3;

/// The sealed auction of one block.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Tendering {
    stage: Stage,
    bids: BTreeMap<PublicKey, Envelope>,
}

/// How far a sealed auction is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Stage {
    /// It has not begun.
    #[default]
    Idle,
    /// Bids are taken since this slot, at least until then.
    Taking { since: Height, until: Tick },
    /// Those of the auction that began with slot `round` are told since, at least until then.
    Telling { round: Height, since: Height, until: Tick },
}

/// A bid under a seal, and what it is once it is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Envelope {
    seal: Digest,
    ask: Option<Price>,
}

canonical_struct!(Tendering { stage, bids });
canonical_enum!(Stage {
    1 => Idle, 2 => Taking { since, until }, 3 => Telling { round, since, until },
});
canonical_struct!(Envelope { seal, ask });

/// What a worker may do in a sealed auction now.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum TenderAsked {
    /// Bid, under the seal of this round.
    Seal {
        /// The slot with which it began.
        round: Height,
    },
    /// Tell what it bid in this round.
    Tell {
        /// The slot with which it began.
        round: Height,
    },
}

impl State {
    /// Puts a block on the market: among the offers, or into an auction of its own.
    pub(super) fn list(&mut self, block: BlockId) {
        match self.window(block) {
            Some(_) => drop(self.tenders.insert(block, Tendering::default())),
            None => drop(self.offers.insert(block)),
        }
    }

    /// Ticks of each window, where the stage of a block is sold in sealed auctions.
    fn window(&self, block: BlockId) -> Option<u64> {
        match self.runs.get(&block.run)?.terms(block.index)?.auction {
            Auction::Standing => None,
            Auction::Sealed { window_ms } => {
                Some(ticks_of(window_ms, self.params.ticks_per_second).max(1))
            }
        }
    }

    /// What a worker may do in which sealed auctions, with the work, the reserve and the needs of
    /// the blocks.
    pub fn tenders(
        &self,
        worker: PublicKey,
    ) -> impl Iterator<Item = (BlockId, TenderAsked, &Offered)> {
        self.tenders.iter().filter_map(move |(block, tendering)| {
            let Phase::Offered(offer) = self.phase(*block)? else { return None };
            let asked = match (tendering.stage, tendering.bids.get(&worker)) {
                (Stage::Taking { since, .. }, None) => TenderAsked::Seal { round: since },
                (Stage::Telling { round, .. }, Some(Envelope { ask: None, .. })) => {
                    TenderAsked::Tell { round }
                }
                _ => return None,
            };
            Some((*block, asked, offer))
        })
    }

    /// Takes a bid under a seal.
    pub(super) fn tender(
        &mut self,
        author: PublicKey,
        tender: Tender,
        events: &mut Vec<Event>,
    ) -> Result<(), Reject> {
        let block = tender.block;
        if self.workers.get(&author).is_none_or(|worker| worker.bid.is_none()) {
            return Err(Reject::NoBid);
        }
        let Some(Phase::Offered(offer)) = self.phase(block) else { return Err(Reject::NoAuction) };
        let share = (self.params.bid_bond_ppm, 1_000_000);
        let bond = offer.reserve.ratio(share.0, share.1, Rounding::Ceil).ok_or(Reject::Short)?;
        let tendering = self.tenders.get_mut(&block).ok_or(Reject::NoAuction)?;
        if !matches!(tendering.stage, Stage::Taking { .. }) {
            return Err(Reject::NoAuction);
        }
        if tendering.bids.contains_key(&author) {
            return Err(Reject::Spoken);
        }
        if tendering.bids.len() >= TENDERS_MAX {
            return Err(Reject::Unbounded);
        }
        let (hold, owner) = (Hold::Tender { block, worker: author }, Owner::Account(author));
        self.ledger.open(hold, owner, bond).map_err(|_| Reject::Short)?;
        tendering.bids.insert(author, Envelope { seal: tender.seal, ask: None });
        events.push(Event::BidSealed { block, worker: author, bond });
        Ok(())
    }

    /// Hears a bid.
    pub(super) fn tell(
        &mut self,
        author: PublicKey,
        told: Revealed,
        events: &mut Vec<Event>,
    ) -> Result<(), Reject> {
        let tendering = self.tenders.get_mut(&told.block).ok_or(Reject::NoAuction)?;
        let round = match tendering.stage {
            Stage::Idle => return Err(Reject::NoAuction),
            Stage::Taking { .. } => return Err(Reject::TooEarly),
            Stage::Telling { round, .. } => round,
        };
        let bid = tendering.bids.get_mut(&author).ok_or(Reject::NoAuction)?;
        if bid.seal != told.seal(round, author) {
            return Err(Reject::BrokenSeal);
        }
        if bid.ask.is_some() {
            return Err(Reject::Spoken);
        }
        bid.ask = Some(told.ask);
        events.push(Event::BidTold { block: told.block, worker: author, ask: told.ask });
        Ok(())
    }

    /// Begins the auctions that may begin, and sells where both windows are over.
    pub(super) fn clear_tenders(&mut self, events: &mut Vec<Event>) {
        let blocks: Vec<BlockId> = self.tenders.keys().copied().collect();
        for block in blocks {
            let Some(Phase::Offered(offer)) = self.phase(block).cloned() else { continue };
            let (now, here, window) = (self.now(), self.height, self.window(block).unwrap_or(1));
            let is_over = |since: Height, until: Tick| {
                until <= now && here.0.saturating_sub(since.0) >= WINDOW_SLOTS
            };
            let until = now.after(window);
            let Some(tendering) = self.tenders.get_mut(&block) else { continue };
            match tendering.stage {
                Stage::Idle if offer.since <= now => {
                    tendering.stage = Stage::Taking { since: here, until };
                    events.push(Event::Tendered { block, ticks: window });
                }
                Stage::Taking { since, until: end } if is_over(since, end) => {
                    if tendering.bids.is_empty() {
                        self.sell_tendered(block, offer, events);
                    } else {
                        tendering.stage = Stage::Telling { round: since, since: here, until };
                    }
                }
                Stage::Telling { since, until: end, .. } if is_over(since, end) => {
                    self.sell_tendered(block, offer, events);
                }
                _ => {}
            }
        }
    }

    /// Sells a block to the best of the bids that were told. What was at risk goes back to those
    /// who told.
    fn sell_tendered(&mut self, block: BlockId, offer: Offered, events: &mut Vec<Event>) {
        let tendering = self.tenders.get_mut(&block).map(std::mem::take).unwrap_or_default();
        let (mut bids, mut told): (Vec<Standing>, BTreeMap<PublicKey, Price>) = Default::default();
        for (worker, bid) in tendering.bids {
            let hold = Hold::Tender { block, worker };
            let Some(ask) = bid.ask else {
                let fine = self.ledger.pending(hold).unwrap_or_default();
                let burned = self.ledger.post(hold, &[(Payee::Burn, fine)]);
                assert!(burned == Ok(Ohc::ZERO), "R-3: the bond of a bid ends once");
                events.push(Event::BidLost { block, worker, fine });
                continue;
            };
            let returned = self.ledger.void(hold);
            assert!(returned.is_ok(), "R-3: the bond of a bid ends once");
            told.insert(worker, ask);
            let known = self.workers.get(&worker);
            let standing = known.and_then(|known| self.standing(&worker, known));
            bids.extend(standing.map(|standing| Standing { ask, ..standing }));
        }
        let mut tallies = self.tallies.is_some().then(Vec::new);
        let factor = self.params.bond_factor;
        let awards = auction::clear(self.as_offer(block), &mut bids, factor, tallies.as_mut());
        self.award(awards, tallies, events);
        match self.phase(block) {
            Some(Phase::Offered(_)) if self.is_awaited(block, &offer, &told) => {
                self.put_offer(block, Offered { since: self.now(), ..offer });
            }
            // Who could take it and does not bid is not waited for.
            Some(Phase::Offered(_)) => self.untaken(block, offer, events),
            _ => drop(self.tenders.remove(&block)),
        }
    }

    /// An auction ends without a sale, because its block is taken back: everybody keeps its bond.
    pub(super) fn call_off(&mut self, block: BlockId) {
        let tendering = self.tenders.remove(&block).unwrap_or_default();
        for worker in tendering.bids.keys() {
            let returned = self.ledger.void(Hold::Tender { block, worker: *worker });
            assert!(returned.is_ok(), "R-3: the bond of a bid ends once");
        }
    }
}
