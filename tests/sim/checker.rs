//! The checker: watches slots and events from outside and knows the rules by heart.
//! Shares no accounting with the fold: it reads events, and counts the money that it can see.

use crate::ground::Who;
use crate::prices::Prices;
use crate::promises::Promises;
use crate::seats::Seats;
use ohc::base::amount::{Ohc, Price, SUPPLY};
use ohc::base::canon::{Canonical, Digest};
use ohc::base::ids::{BlockId, LeaseId, RunId};
use ohc::base::keys::PublicKey;
use ohc::domain::command::{Bid, Command};
use ohc::domain::event::Event;
use ohc::domain::genesis::Genesis;
use ohc::domain::ledger::{Hold, Ledger};
use ohc::domain::slot::Slot;
use ohc::domain::state::State;
use ohc::domain::state::run::Phase;
use std::collections::{BTreeMap, BTreeSet};

/// A rule that does not hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Breach {
    pub rule: &'static str,
    pub what: String,
}

pub type Checked = Result<(), Breach>;

pub fn breach<T>(rule: &'static str, what: impl Into<String>) -> Result<T, Breach> {
    Err(Breach { rule, what: what.into() })
}

pub fn ensure(holds: bool, rule: &'static str, what: impl Fn() -> String) -> Checked {
    if holds { Ok(()) } else { breach(rule, what()) }
}

#[derive(Clone)]
struct Bill {
    client: PublicKey,
    budget: u64,
    spent: u64,
    is_over: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Stage {
    Held,
    Sealed,
    Delivered { at: u64 },
    Drawn,
}

#[derive(Clone)]
struct Attempt {
    id: LeaseId,
    worker: PublicKey,
    price: Ohc,
    stage: Stage,
}

/// Everything that can be known from the outside.
#[derive(Clone)]
pub struct Checker {
    /// All that happened, as it was told.
    pub events: Vec<Event>,
    genesis: Digest,
    heads: Vec<Digest>,
    validators: BTreeSet<PublicKey>,
    seats: Seats,
    nonces: BTreeMap<PublicKey, u64>,
    bids: BTreeMap<PublicKey, Bid>,
    /// Asks for one block alone.
    told: BTreeMap<(BlockId, PublicKey), Price>,
    promises: Promises,
    prices: Prices,
    bills: BTreeMap<RunId, Bill>,
    reserves: BTreeMap<BlockId, Ohc>,
    live: BTreeMap<BlockId, Attempt>,
    holders: BTreeMap<LeaseId, PublicKey>,
    /// Who has a deposit on what was settled.
    challengers: BTreeMap<LeaseId, PublicKey>,
    settled: BTreeMap<BlockId, LeaseId>,
    /// What everybody should own, bonds and escrows included; validators and treasury are one.
    wealth: BTreeMap<PublicKey, i128>,
    common: i128,
    burned: i128,
}

impl Checker {
    pub fn new(genesis: &Genesis) -> Self {
        let staked = genesis.allocations.iter().filter(|a| a.stake > Ohc::ZERO).map(|a| a.key);
        let may_be = (0..20).map(|n| Who::Validator(n).key());
        let validators: BTreeSet<PublicKey> = staked.chain(may_be).collect();
        let own = |a: &ohc::domain::genesis::Allocation| {
            i128::from(a.balance.nano()) + i128::from(a.stake.nano())
        };
        let (theirs, others): (Vec<_>, Vec<_>) =
            genesis.allocations.iter().partition(|a| validators.contains(&a.key));
        Self {
            events: Vec::new(),
            genesis: genesis.digest(),
            heads: Vec::new(),
            nonces: BTreeMap::new(),
            bids: BTreeMap::new(),
            told: BTreeMap::new(),
            promises: Promises::default(),
            prices: Prices::new(genesis),
            bills: BTreeMap::new(),
            reserves: BTreeMap::new(),
            live: BTreeMap::new(),
            holders: BTreeMap::new(),
            settled: BTreeMap::new(),
            wealth: others.iter().map(|a| (a.key, own(a))).collect(),
            common: theirs.iter().map(|a| own(a)).sum(),
            seats: Seats::new(genesis),
            validators,
            challengers: BTreeMap::new(),
            burned: 0,
        }
    }

    /// How many slots were seen.
    pub fn seen(&self) -> usize {
        self.heads.len()
    }

    /// A slot that is said to be final, what it did, and the money after it.
    pub fn observe(&mut self, slot: &Slot, events: &[Event], ledger: &Ledger) -> Checked {
        self.follow(slot, events)?;
        self.count(ledger)
    }

    /// The events alone.
    pub fn follow(&mut self, slot: &Slot, events: &[Event]) -> Checked {
        let height = slot.head.height.0;
        ensure(height == self.heads.len() as u64 + 1, "R-7", || format!("slot {height}"))?;
        let parent = self.heads.last().copied().unwrap_or(self.genesis);
        ensure(slot.head.parent == parent, "R-7", || format!("slot {height} follows another"))?;
        self.seats.certify(slot)?;
        self.seats.read(slot);
        self.heads.push(slot.head.digest());
        self.events.extend_from_slice(events);
        self.read_bids(slot, events);
        self.promises.read(slot, events);
        self.prices.read(slot, events)?;
        for event in events {
            self.prices.event(event)?;
            self.event(height, slot, event)?;
            self.promises.event(event, &self.bids)?;
        }
        self.seats.count()
    }

    /// What a node that was restarted with everything that is final must know.
    pub fn remembers(&self, state: &State) -> Checked {
        for (block, lease) in &self.settled {
            let run = state.runs().get(&block.run);
            let phase = run.and_then(|run| run.block(block.index)).map(|block| &block.phase);
            let kept = matches!(phase, Some(Phase::Settled(paid)) if paid.lease == *lease);
            ensure(kept, "R-14", || format!("{lease} was settled and is forgotten"))?;
        }
        Ok(())
    }

    /// The asks that stand at the end of a slot.
    fn read_bids(&mut self, slot: &Slot, events: &[Event]) {
        for order in &slot.commands {
            let (author, nonce) = (order.author, order.body.nonce);
            let last = self.nonces.get(&author).copied().unwrap_or(0);
            let is_known = self.wealth.contains_key(&author) || self.validators.contains(&author);
            if nonce <= last || !is_known {
                continue;
            }
            self.nonces.insert(author, nonce);
            let placed = events.contains(&Event::BidPlaced { worker: author });
            if let (Command::Bid(bid) | Command::BidFor { bid, .. }, true) =
                (&order.body.command, placed)
            {
                self.bids.insert(author, *bid);
            }
        }
    }

    fn event(&mut self, height: u64, slot: &Slot, event: &Event) -> Checked {
        match event {
            Event::Transferred { from, to, amount } => {
                self.gain(from, *amount, -1);
                self.gain(to, *amount, 1);
                Ok(())
            }
            Event::Submitted { run, client, budget, .. } => {
                let (client, budget) = (*client, budget.nano());
                let bill = Bill { client, budget, spent: 0, is_over: false };
                let old = self.bills.insert(*run, bill);
                ensure(old.is_none(), "R-3", || format!("{run} began twice"))
            }
            Event::Offered { block, attempt, reserve, .. } => {
                self.is_open(block.run)?;
                let next = self.attempts(*block) + 1;
                ensure(*attempt == next, "R-4", || format!("{block}: {attempt} is not {next}"))?;
                ensure(!self.live.contains_key(block), "R-4", || format!("{block} is leased"))?;
                ensure(!self.settled.contains_key(block), "R-3", || format!("{block} is settled"))?;
                self.reserves.insert(*block, *reserve);
                Ok(())
            }
            Event::Repriced { block, reserve } => {
                self.reserves.insert(*block, *reserve);
                Ok(())
            }
            Event::Leased { lease, worker, price, work, .. } => {
                self.leased(*lease, *worker, *price, *work)
            }
            Event::Delivered { lease, receipt } => self.delivered(height, slot, *lease, *receipt),
            Event::Drawn { lease, audit } => {
                let attempt = self.live(*lease)?;
                let is_later = matches!(attempt.stage, Stage::Delivered { at } if at < height);
                attempt.stage = Stage::Drawn;
                ensure(is_later, "R-9", || format!("{lease} was drawn too early"))?;
                ensure(audit.segments.is_empty() == audit.committee.is_empty(), "R-9", || {
                    format!("{lease}: segments without a committee")
                })
            }
            Event::Settled { lease, worker, reward, gas } => {
                self.settled(*lease, *worker, *reward, *gas)
            }
            Event::Lapsed { lease, fine, .. } => {
                let attempt = self.live(*lease)?.clone();
                let is_open = matches!(attempt.stage, Stage::Held | Stage::Sealed);
                ensure(is_open, "R-5", || format!("{lease} is answered"))?;
                // Burned whole: nobody may live on the lapses of others.
                self.live.remove(&attempt.id.block);
                self.gain(&attempt.worker, *fine, -1);
                self.burned += i128::from(fine.nano());
                Ok(())
            }
            Event::Slashed { lease, bond, .. } => {
                let attempt = self.live(*lease)?.clone();
                ensure(attempt.stage == Stage::Drawn, "R-5", || format!("{lease} is not judged"))?;
                self.forfeit(&attempt, *bond)
            }
            Event::Overruled { lease, fine, .. } => {
                let worker = self.live(*lease)?.worker;
                self.common -= i128::from(fine.nano());
                self.split(&worker, *fine);
                Ok(())
            }
            Event::Absent { validator, fine } => {
                self.lose(validator, *fine, None);
                Ok(())
            }
            Event::Lazy { validator, challenger, fine, .. } => {
                self.lose(validator, *fine, *challenger);
                Ok(())
            }
            Event::Challenged { lease, by, .. } => {
                let held = self.challengers.insert(*lease, *by);
                ensure(held.is_none(), "R-3", || format!("{lease} is challenged twice"))?;
                let is_settled = self.settled.get(&lease.block) == Some(lease);
                ensure(is_settled, "R-3", || format!("{lease} is not settled"))
            }
            Event::Dismissed { lease, by, deposit } => {
                let held = self.challengers.remove(lease);
                ensure(held == Some(*by), "R-3", || format!("nobody challenged {lease}"))?;
                let worker = self.holders.get(lease).copied();
                self.lose(by, *deposit, worker);
                Ok(())
            }
            Event::Revoked { lease, worker, fine } => {
                let held = self.challengers.remove(lease);
                ensure(held.is_some(), "R-3", || format!("nobody challenged {lease}"))?;
                let client = self.bills.get(&lease.block.run).map(|bill| bill.client);
                self.lose(worker, *fine, client);
                Ok(())
            }
            Event::Voided { lease, .. } => {
                let attempt = self.live(*lease)?.clone();
                self.live.remove(&lease.block);
                ensure(attempt.stage == Stage::Drawn, "R-5", || format!("{lease} is not judged"))
            }
            Event::Ended { run, refund, .. } => self.ended(*run, *refund),
            Event::Released { lease, .. } => {
                let attempt = self.live(*lease)?.clone();
                ensure(attempt.stage == Stage::Held, "R-5", || format!("{lease} is answered"))?;
                self.live.remove(&lease.block);
                Ok(())
            }
            Event::Resumed { run, added } => {
                self.is_open(*run)?;
                let Some(bill) = self.bills.get_mut(run) else { return breach("bill", "no run") };
                bill.budget += added.nano();
                Ok(())
            }
            Event::Late { lease, price, .. } => {
                let attempt = self.live(*lease)?;
                attempt.price = *price;
                let is_held = attempt.stage == Stage::Held;
                ensure(is_held, "R-5", || format!("{lease} is late with an answer it gave"))
            }
            Event::Charged { author, fee, .. } | Event::Fee { author, fee } => {
                self.gain(author, *fee, -1);
                self.burned += i128::from(fee.nano());
                Ok(())
            }
            Event::Tendered { block, .. } => {
                self.told.retain(|(other, _), _| other != block);
                Ok(())
            }
            Event::BidTold { block, worker, ask } => {
                let twice = self.told.insert((*block, *worker), *ask);
                ensure(twice.is_none(), "tender", || format!("{block}: a bid was told twice"))
            }
            Event::BidLost { worker, fine, .. } => {
                self.gain(worker, *fine, -1);
                self.burned += i128::from(fine.nano());
                Ok(())
            }
            Event::Sealed { lease, .. } => {
                let attempt = self.live(*lease)?;
                let is_held = attempt.stage == Stage::Held;
                attempt.stage = Stage::Sealed;
                ensure(is_held, "R-5", || format!("{lease} is sealed twice"))
            }
            Event::Rejected { .. }
            | Event::Opening { .. }
            | Event::BidSealed { .. }
            | Event::BaseMoved { .. }
            | Event::BidPlaced { .. }
            | Event::BidGone { .. }
            | Event::Cached { .. }
            | Event::Disputed { .. }
            | Event::Redrawn { .. }
            | Event::Narrowed { .. }
            | Event::Failed { .. }
            | Event::GivenUp { .. }
            | Event::Skipped { .. }
            | Event::Paused { .. } => Ok(()),
            Event::Equivocated { validator, by, fine, .. } => {
                let found = if by == validator { 0 } else { fine.nano() / 20 };
                self.gain(validator, *fine, -1);
                self.gain(by, Ohc::from_nano(found), 1);
                self.burned += i128::from(fine.nano() - found);
                self.seats.event(event)
            }
            of_stake => self.seats.event(of_stake),
        }
    }

    fn leased(
        &mut self,
        lease: LeaseId,
        worker: PublicKey,
        price: Ohc,
        work: ohc::base::amount::Work,
    ) -> Checked {
        let block = lease.block;
        self.is_open(block.run)?;
        ensure(!self.live.contains_key(&block), "R-4", || format!("{block} is leased twice"))?;
        ensure(!self.settled.contains_key(&block), "R-3", || format!("{block} is settled"))?;
        let next = self.attempts(block) + 1;
        ensure(lease.attempt == next, "R-4", || format!("{lease} is not attempt {next}"))?;
        let told = self.told.get(&(block, worker)).copied();
        let ask = told.or_else(|| self.bids.get(&worker).map(|bid| bid.ask));
        let ask = ask.and_then(|ask| ask.of(work));
        let reserve = self.reserves.get(&block).copied().unwrap_or_default();
        ensure(ask.is_some_and(|ask| ask <= price) && price <= reserve, "R-11", || {
            format!("{lease}: ask {ask:?}, price {price:?}, reserve {reserve:?}")
        })?;
        self.live.insert(block, Attempt { id: lease, worker, price, stage: Stage::Held });
        self.holders.insert(lease, worker);
        Ok(())
    }

    fn delivered(&mut self, height: u64, slot: &Slot, lease: LeaseId, receipt: Digest) -> Checked {
        let attempt = self.live(lease)?;
        let is_open = matches!(attempt.stage, Stage::Held | Stage::Sealed);
        attempt.stage = Stage::Delivered { at: height };
        ensure(is_open, "R-5", || format!("{lease} is answered twice"))?;
        let worker = attempt.worker;
        let is_signed = slot.commands.iter().any(|order| match &order.body.command {
            Command::Deliver(receipts) => {
                order.author == worker
                    && receipts.iter().any(|r| r.lease == lease && r.id() == receipt)
            }
            Command::Open(openings) => {
                let mut told = openings.iter().map(|opening| &opening.receipt);
                order.author == worker && told.any(|r| r.lease == lease && r.id() == receipt)
            }
            _ => false,
        });
        ensure(is_signed, "R-5", || format!("{lease}: its worker did not sign the receipt"))
    }

    fn settled(&mut self, lease: LeaseId, worker: PublicKey, reward: Ohc, gas: Ohc) -> Checked {
        let block = lease.block;
        let before = self.settled.insert(block, lease);
        ensure(before.is_none(), "R-3", || format!("{block} is settled twice"))?;
        let attempt = self.live(lease)?.clone();
        self.live.remove(&block);
        ensure(attempt.stage == Stage::Drawn, "R-5", || format!("{lease} is not judged"))?;
        ensure(attempt.worker == worker, "R-5", || format!("{lease} pays a stranger"))?;
        ensure(attempt.price == reward, "R-11", || format!("{lease} is not paid its price"))?;
        let Some(bill) = self.bills.get_mut(&block.run) else { return breach("bill", "no run") };
        bill.spent += reward.nano() + gas.nano();
        let client = bill.client;
        self.gain(&client, reward, -1);
        self.gain(&client, gas, -1);
        self.gain(&worker, reward, 1);
        self.common += i128::from(gas.nano());
        Ok(())
    }

    fn ended(&mut self, run: RunId, refund: Ohc) -> Checked {
        let Some(bill) = self.bills.get_mut(&run) else { return breach("bill", "no run") };
        let twice = std::mem::replace(&mut bill.is_over, true);
        ensure(!twice, "R-3", || format!("{run} ended twice"))?;
        let (budget, spent) = (bill.budget, bill.spent);
        let left = self.live.keys().find(|block| block.run == run);
        ensure(left.is_none(), "R-4", || format!("{run} ended before {left:?}"))?;
        ensure(budget == spent + refund.nano(), "bill", || {
            format!("{run}: budget {budget}, spent {spent}, refund {}", refund.nano())
        })
    }

    fn forfeit(&mut self, attempt: &Attempt, fine: Ohc) -> Checked {
        self.live.remove(&attempt.id.block);
        let Some(bill) = self.bills.get(&attempt.id.block.run) else {
            return breach("bill", "no run");
        };
        let client = bill.client;
        self.gain(&attempt.worker, fine, -1);
        self.split(&client, fine);
        Ok(())
    }

    /// Half of a fine to somebody, rounded down; the rest is burned.
    fn split(&mut self, to: &PublicKey, fine: Ohc) {
        let half = Ohc::from_nano(fine.nano() / 2);
        self.gain(to, half, 1);
        self.burned += i128::from(fine.nano() - half.nano());
    }

    fn gain(&mut self, key: &PublicKey, amount: Ohc, sign: i128) {
        let change = sign * i128::from(amount.nano());
        if self.validators.contains(key) {
            self.common += change;
        } else {
            *self.wealth.entry(*key).or_default() += change;
        }
    }

    /// A penalty: half of it to somebody if there is one, the rest is burned.
    fn lose(&mut self, who: &PublicKey, fine: Ohc, half: Option<PublicKey>) {
        self.gain(who, fine, -1);
        match half {
            Some(other) => self.split(&other, fine),
            None => self.burned += i128::from(fine.nano()),
        }
    }

    fn is_open(&self, run: RunId) -> Checked {
        let is_open = self.bills.get(&run).is_some_and(|bill| !bill.is_over);
        ensure(is_open, "R-3", || format!("{run} is over, or never began"))
    }

    fn attempts(&self, block: BlockId) -> u32 {
        let of = |attempt| LeaseId { block, attempt };
        let range = self.holders.range(of(0)..=of(u32::MAX));
        range.last().map_or(0, |(lease, _)| lease.attempt)
    }

    fn live(&mut self, lease: LeaseId) -> Result<&mut Attempt, Breach> {
        match self.live.get_mut(&lease.block) {
            Some(attempt) if attempt.id == lease => Ok(attempt),
            _ => breach("R-4", format!("{lease} is not live")),
        }
    }

    /// All money: together the supply, and everybody's own what events say.
    pub fn count(&self, ledger: &Ledger) -> Checked {
        let mut own: BTreeMap<PublicKey, i128> = BTreeMap::new();
        let (mut common, burned) =
            (i128::from(ledger.treasury().nano()), i128::from(ledger.burned().nano()));
        let mut add = |key: &PublicKey, amount: Ohc| {
            let amount = i128::from(amount.nano());
            if self.validators.contains(key) {
                common += amount;
            } else {
                *own.entry(*key).or_default() += amount;
            }
        };
        for (key, account) in ledger.accounts() {
            ensure(account.balance <= SUPPLY, "R-2", || format!("{key:?} is below zero"))?;
            add(key, account.balance);
            add(key, account.stake);
        }
        for (hold, amount) in ledger.holds() {
            let owner = match hold {
                Hold::Escrow(run) => self.bills.get(&run).map(|bill| bill.client),
                Hold::Reward(block) => self.bills.get(&block.run).map(|bill| bill.client),
                Hold::Bond(lease) => self.holders.get(&lease).copied(),
                Hold::Tender { worker, .. } => Some(worker),
                Hold::Challenge(lease) => self.challengers.get(&lease).copied(),
                Hold::Stake(key) | Hold::Unbonding { validator: key, .. } => Some(key),
            };
            let Some(owner) = owner else { return breach("R-1", format!("{hold:?} has no owner")) };
            add(&owner, amount);
        }
        let total = own.values().sum::<i128>() + common + burned;
        let supply = i128::from(SUPPLY.nano());
        ensure(total == supply, "R-1", || format!("{total} is not the supply"))?;
        ensure(burned == self.burned, "R-1", || format!("{burned} burned"))?;
        ensure(common == self.common, "R-1", || "validators and treasury".to_owned())?;
        let is_due = |(key, amount): (&PublicKey, &i128)| {
            self.wealth.get(key).copied().unwrap_or_default() == *amount
        };
        let wrong = own.iter().find(|pair| !is_due(*pair));
        ensure(wrong.is_none(), "R-1", || format!("{wrong:?} owns what it should not"))
    }
}
