//! Prices, watched from outside: what lateness costs, what a block is offered at, how the base
//! price moves, what refused commands cost. Counts ticks itself and knows the formulas by heart.

use crate::checker::{Checked, ensure};
use ohc::base::amount::Ohc;
use ohc::base::ids::BlockId;
use ohc::base::keys::PublicKey;
use ohc::base::time::Tick;
use ohc::domain::event::{Event, Reject};
use ohc::domain::genesis::{Genesis, Params};
use ohc::domain::slot::Slot;
use std::collections::{BTreeMap, BTreeSet};

/// What is known of the prices of a network.
#[derive(Clone)]
pub struct Prices {
    params: Params,
    validators: BTreeSet<PublicKey>,
    tick: u64,
    base: u64,
    /// The epoch in which the base price moved last.
    moved: u64,
    /// The base price and the reserve at which blocks were offered, until they are repriced.
    offered: BTreeMap<BlockId, (u64, Ohc)>,
    /// What leases are worth in time, and since when they are held.
    held: BTreeMap<BlockId, (Ohc, u64)>,
}

impl Prices {
    pub fn new(genesis: &Genesis) -> Self {
        let staked = genesis.allocations.iter().filter(|a| a.stake > Ohc::ZERO);
        Self {
            params: genesis.params.clone(),
            validators: staked.map(|a| a.key).collect(),
            tick: 0,
            base: genesis.params.base_price.nano_per_unit(),
            moved: 0,
            offered: BTreeMap::new(),
            held: BTreeMap::new(),
        }
    }

    /// What a slot says by itself: its ticks, and who pays for what was refused.
    pub fn read(&mut self, slot: &Slot, events: &[Event]) -> Checked {
        let ticks = slot.poh.iter().filter(|entry| entry.mixin.is_none()).count();
        self.tick += ticks as u64;
        let mut refused: BTreeMap<PublicKey, u32> = BTreeMap::new();
        for event in events {
            if let Event::Rejected { author, reason, .. } = event
                && !matches!(reason, Reject::Replayed | Reject::Lapsed)
            {
                *refused.entry(*author).or_default() += 1;
            }
        }
        for event in events {
            let Event::Charged { author, refused: times, fee } = event else { continue };
            let due = refused.remove(author).unwrap_or_default();
            let most = self.params.reject_fee.nano() * u64::from(*times);
            ensure(due == *times && !self.validators.contains(author), "fee", || {
                format!("{author:?} pays for {times}, {due} were refused")
            })?;
            ensure(fee.nano() <= most, "fee", || format!("{fee} for {times}"))?;
        }
        Ok(())
    }

    pub fn event(&mut self, event: &Event) -> Checked {
        match event {
            Event::Joined { validator, .. } => {
                self.validators.insert(*validator);
                Ok(())
            }
            Event::Left { validator } => {
                self.validators.remove(validator);
                Ok(())
            }
            Event::Offered { block, attempt, reserve, .. } => {
                self.offered.remove(block);
                // A later attempt is at the price of the first.
                if *attempt == 1 {
                    self.offered.insert(*block, (self.base, *reserve));
                }
                Ok(())
            }
            Event::Repriced { block, .. } => {
                self.offered.remove(block);
                Ok(())
            }
            Event::Leased { lease, price, work, .. } => {
                self.held.insert(lease.block, (*price, self.tick));
                match self.offered.get(&lease.block) {
                    Some((base, reserve)) => {
                        ensure(base * work.units() == reserve.nano(), "base price", || {
                            format!("{lease}: {work:?} at {base} is not {reserve}")
                        })
                    }
                    None => Ok(()),
                }
            }
            Event::Late { lease, ticks, grace, price } => {
                let (whole, since) = self.held[&lease.block];
                ensure(0 < *ticks && ticks < grace, "R-11", || format!("{lease}: {ticks}"))?;
                ensure(since + ticks <= self.tick, "R-11", || format!("{lease} is not that late"))?;
                let due = u128::from(whole.nano()) * u128::from(grace - ticks) / u128::from(*grace);
                ensure(u128::from(price.nano()) == due, "R-11", || {
                    format!("{lease}: {price} for {whole}, {ticks} of {grace} ticks late")
                })
            }
            Event::BaseMoved { was, price, unfilled_ppm } => {
                self.base_moved(was.nano_per_unit(), price.nano_per_unit(), *unfilled_ppm)
            }
            _ => Ok(()),
        }
    }

    fn base_moved(&mut self, was: u64, price: u64, unfilled: u64) -> Checked {
        let epoch = Tick(self.tick).0.checked_div(self.params.epoch_ticks);
        let is_next = epoch.is_some_and(|epoch| epoch > self.moved);
        ensure(is_next && was == self.base, "base price", || format!("moved at {}", self.tick))?;
        let (may, bounds) = (self.params.unfilled_ppm, &self.params);
        let (low, high) = (bounds.base_price_min, bounds.base_price_max);
        let is_within = low.nano_per_unit() <= price && price <= high.nano_per_unit();
        let is_right = if unfilled > may { price > was } else { price < was };
        let is_small = price.abs_diff(was) <= was.div_ceil(8);
        ensure(is_within && is_right && is_small, "base price", || {
            format!("from {was} to {price} with {unfilled} ppm unsold")
        })?;
        (self.base, self.moved) = (price, epoch.unwrap_or_default());
        Ok(())
    }
}
