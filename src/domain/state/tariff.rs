//! The tariff: the base price in force, and how an epoch of demand moves it.
//! Never changes the price of a block that is on offer.

use super::State;
use super::run::Phase;
use crate::base::amount::{Price, Rounding, Work, mul_div};
use crate::base::canon::canonical_struct;
use crate::domain::classes::Classes;
use crate::domain::event::Event;
use crate::domain::genesis::Params;
use crate::domain::lease::Offered;
use crate::domain::price;
use crate::domain::terms::Equipment;
use std::collections::BTreeMap;

/// The price at which blocks are offered at first, and the demand since it last could move.
#[derive(Clone, Debug)]
pub(super) struct Tariff {
    /// Per unit of work.
    pub(super) base: Price,
    /// The epoch that goes on.
    epoch: u64,
    /// The work that was leased in it.
    sold: Work,
}

canonical_struct!(Tariff { base, epoch, sold });

impl Tariff {
    /// The tariff at the genesis.
    pub(super) fn new(params: &Params) -> Self {
        Self { base: params.base_price, epoch: 0, sold: Work::ZERO }
    }

    /// A worker took on this work.
    pub(super) fn sell(&mut self, work: Work) {
        self.sold = self.sold.saturating_add(work);
    }
}

impl State {
    /// The price of a unit of work at which blocks are offered at first.
    #[must_use]
    pub fn base_price(&self) -> Price {
        self.tariff.base
    }

    /// Moves the base price where an epoch is over, once: by the share of the work asked for that
    /// nobody took. Where nothing was asked for there is nothing to learn, and it stands still.
    pub(super) fn move_base_price(&mut self, events: &mut Vec<Event>) {
        let Some(epoch) = self.now().0.checked_div(self.params.epoch_ticks) else { return };
        if epoch == self.tariff.epoch {
            return;
        }
        let sold = std::mem::take(&mut self.tariff.sold);
        self.tariff.epoch = epoch;
        let unsold = self.unfilled();
        let asked = sold.saturating_add(unsold).units();
        let share = mul_div(unsold.units(), 1_000_000, asked.max(1), Rounding::Floor);
        let (was, unfilled_ppm) = (self.tariff.base, share.unwrap_or(1_000_000));
        let price = price::moved(was, unfilled_ppm, &self.params);
        // Below what all of them ask nobody takes anything: each block would wait to be raised.
        let price = price.max(self.lowest_ask().unwrap_or(price).min(was));
        if asked > 0 && price != was {
            self.tariff.base = price;
            events.push(Event::BaseMoved { was, price, unfilled_ppm });
        }
    }

    /// The least that any standing bid asks for.
    fn lowest_ask(&self) -> Option<Price> {
        self.workers.values().filter_map(|worker| Some(worker.bid?.ask)).min()
    }

    /// The work of the blocks that could be leased and are not. What none of the bids is for,
    /// at any price, says nothing about the price.
    fn unfilled(&self) -> Work {
        let all = self.offers.iter().chain(self.tenders.keys());
        let open = all.filter_map(|block| match self.phase(*block)? {
            Phase::Offered(offer) if offer.since <= self.now() => Some(offer),
            _ => None,
        });
        let is_empty = self.workers.values().all(|worker| worker.bid.is_none());
        // Kinds of offers are few, offers may be many.
        let mut kinds: BTreeMap<(Equipment, Classes), bool> = BTreeMap::new();
        let is_for = |offer: &&Offered| {
            let Offered { needs, classes, .. } = **offer;
            *kinds.entry((needs, classes)).or_insert_with(|| {
                is_empty || self.workers.values().any(|worker| worker.bids_for(&needs, classes))
            })
        };
        open.filter(is_for).map(|offer| offer.work).fold(Work::ZERO, Work::saturating_add)
    }
}
