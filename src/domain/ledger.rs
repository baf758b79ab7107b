//! The ledger: accounts, and amounts that are pending until they are posted or voided.
//! Never knows what is paid for: it would compile in a project without machine learning.
//!
//! Supply is fixed: every operation moves money, none makes or loses it, and none takes an
//! account below zero. A pending amount ends exactly once: its entry is gone when it is
//! posted or voided, so a second attempt finds nothing.

use crate::base::amount::Ohc;
use crate::base::canon::{canonical_enum, canonical_struct};
use crate::base::ids::{BlockId, LeaseId, RunId};
use crate::base::keys::PublicKey;
use std::collections::BTreeMap;

/// What one participant owns.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Account {
    /// Free to spend.
    pub balance: Ohc,
    /// At risk for being a validator.
    pub stake: Ohc,
}

/// The name of a pending amount.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Hold {
    /// A client's budget for a run.
    Escrow(RunId),
    /// The part of an escrow that is set aside for one block: its reserve and its gas.
    Reward(BlockId),
    /// A worker's bond for one lease.
    Bond(LeaseId),
    /// What a bidder in a sealed auction has at risk until it tells its bid.
    Tender {
        /// The block.
        block: BlockId,
        /// Who bids.
        worker: PublicKey,
    },
    /// The deposit of who challenges what was settled under a lease.
    Challenge(LeaseId),
}

impl Hold {
    /// The run that it is about.
    #[must_use]
    pub fn run(self) -> RunId {
        match self {
            Self::Escrow(run) => run,
            Self::Reward(block) | Self::Tender { block, .. } => block.run,
            Self::Bond(lease) | Self::Challenge(lease) => lease.block.run,
        }
    }

    /// The block that it is about, if it is about one.
    #[must_use]
    pub fn block(self) -> Option<BlockId> {
        match self {
            Self::Escrow(_) => None,
            Self::Reward(block) | Self::Tender { block, .. } => Some(block),
            Self::Bond(lease) | Self::Challenge(lease) => Some(lease.block),
        }
    }
}

/// Who gets what is left of a pending amount.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Owner {
    /// An account's balance.
    Account(PublicKey),
    /// Another pending amount: a reward goes back to the escrow that it was carved from.
    Hold(Hold),
}

/// Who is paid out of a pending amount.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Payee {
    /// An account's balance.
    Account(PublicKey),
    /// The network's treasury: the owner of remainders.
    Treasury,
    /// Nobody, ever again.
    Burn,
}

/// Where money lies.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Place {
    /// The balance of an account.
    Account(PublicKey),
    /// A pending amount.
    Hold(Hold),
    /// The treasury.
    Treasury,
    /// Where nobody can spend it.
    Burned,
}

/// One movement of money: what one place has less, another has more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Posting {
    /// What it was.
    pub kind: Movement,
    /// Who has less: the debit.
    pub from: Place,
    /// Who has more: the credit.
    pub to: Place,
    /// How much; never nothing.
    pub amount: Ohc,
}

impl Posting {
    /// The pending amount that it is about. What is set aside for a block, or comes back from it,
    /// is about the block rather than the escrow.
    #[must_use]
    pub fn hold(&self) -> Option<Hold> {
        match (self.from, self.to) {
            (
                _,
                Place::Hold(
                    hold @ (Hold::Reward(_)
                    | Hold::Bond(_)
                    | Hold::Tender { .. }
                    | Hold::Challenge(_)),
                ),
            ) => Some(hold),
            (Place::Hold(hold), _) | (_, Place::Hold(hold)) => Some(hold),
            _ => None,
        }
    }
}

/// What a movement of money is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Movement {
    /// From one balance to another.
    Transferred,
    /// An amount became pending, or more of it did.
    Pending,
    /// A pending amount was paid out.
    Posted,
    /// A pending amount went back to its owner.
    Voided,
    /// A penalty.
    Fined,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Pending {
    owner: Owner,
    amount: Ohc,
}

impl From<Owner> for Place {
    fn from(owner: Owner) -> Self {
        match owner {
            Owner::Account(key) => Self::Account(key),
            Owner::Hold(hold) => Self::Hold(hold),
        }
    }
}

impl From<Payee> for Place {
    fn from(payee: Payee) -> Self {
        match payee {
            Payee::Account(key) => Self::Account(key),
            Payee::Treasury => Self::Treasury,
            Payee::Burn => Self::Burned,
        }
    }
}

/// Why money does not move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// The payer has less than that.
    #[error("the payer has less than that")]
    Short,
    /// A pending amount of this name exists.
    #[error("an amount is already pending under this name")]
    Open,
    /// No pending amount of this name exists: it has ended, or never began.
    #[error("no amount is pending under this name")]
    Closed,
    /// The payments are more than what is pending.
    #[error("the payments are more than what is pending")]
    TooMuch,
}

/// All the money there is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ledger {
    accounts: BTreeMap<PublicKey, Account>,
    pending: BTreeMap<Hold, Pending>,
    treasury: Ohc,
    burned: Ohc,
    /// What all of these hold together: whoever takes from a place or gives to one says so here, so
    /// that money which is made or lost shows without counting every place.
    sum: Ohc,
    /// How money moved since somebody last asked; kept only where somebody does.
    trail: Option<Vec<Posting>>,
}

// For the snapshots of the state; the trail is of one slot.
canonical_struct!(Account { balance, stake });
canonical_enum!(Hold {
    1 => Escrow(x), 2 => Reward(x), 3 => Bond(x), 4 => Challenge(x), 5 => Tender { block, worker },
});
canonical_enum!(Owner { 1 => Account(x), 2 => Hold(x) });
canonical_struct!(Pending { owner, amount });
canonical_struct!(Ledger { accounts, pending, treasury, burned, sum } without { trail });

/// Sums never overflow: all of them are parts of the supply, which fits 254 times.
const BELOW_SUPPLY: &str = "R-1: an amount is a part of the supply";

fn plus(a: Ohc, b: Ohc) -> Ohc {
    #[expect(clippy::expect_used, reason = "an overflow would mean that money was made")]
    a.checked_add(b).expect(BELOW_SUPPLY)
}

fn minus(a: Ohc, b: Ohc) -> Ohc {
    #[expect(clippy::expect_used, reason = "a part that is more than the whole was made")]
    a.checked_sub(b).expect(BELOW_SUPPLY)
}

impl Ledger {
    /// The ledger of a genesis.
    pub fn new(accounts: impl IntoIterator<Item = (PublicKey, Account)>) -> Self {
        let accounts: BTreeMap<PublicKey, Account> = accounts.into_iter().collect();
        let sum = Ohc::sum(accounts.values().flat_map(|own| [own.balance, own.stake]));
        Self { accounts, sum: sum.unwrap_or_default(), ..Self::default() }
    }

    /// Takes down every movement from now on.
    pub fn keep_trail(&mut self) {
        self.trail = Some(Vec::new());
    }

    /// The movements since this was last asked, in their order.
    pub fn take_trail(&mut self) -> Vec<Posting> {
        self.trail.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn note(&mut self, kind: Movement, from: Place, to: Place, amount: Ohc) {
        if let Some(trail) = self.trail.as_mut().filter(|_| amount > Ohc::ZERO) {
            trail.push(Posting { kind, from, to, amount });
        }
    }

    /// One account; nobody has heard of an account that holds nothing.
    #[must_use]
    pub fn account(&self, key: &PublicKey) -> Account {
        self.accounts.get(key).copied().unwrap_or_default()
    }

    /// Whether anybody has ever paid into this account.
    #[must_use]
    pub fn knows(&self, key: &PublicKey) -> bool {
        self.accounts.contains_key(key)
    }

    /// All accounts.
    pub fn accounts(&self) -> impl Iterator<Item = (&PublicKey, &Account)> {
        self.accounts.iter()
    }

    /// What is pending under a name.
    #[must_use]
    pub fn pending(&self, hold: Hold) -> Option<Ohc> {
        self.pending.get(&hold).map(|pending| pending.amount)
    }

    /// Everything that is pending.
    pub fn holds(&self) -> impl Iterator<Item = (Hold, Ohc)> + '_ {
        self.pending.iter().map(|(hold, pending)| (*hold, pending.amount))
    }

    /// The account that a pending amount belongs to.
    #[must_use]
    pub fn owner(&self, hold: Hold) -> Option<PublicKey> {
        match self.pending.get(&hold)?.owner {
            Owner::Account(key) => Some(key),
            Owner::Hold(outer) => self.owner(outer),
        }
    }

    /// Remainders and forfeits.
    #[must_use]
    pub fn treasury(&self) -> Ohc {
        self.treasury
    }

    /// What nobody can spend any more.
    #[must_use]
    pub fn burned(&self) -> Ohc {
        self.burned
    }

    /// What all places hold together, as it was kept with every movement.
    #[must_use]
    pub fn sum(&self) -> Ohc {
        self.sum
    }

    /// Everything there is, counted place by place; equal to the supply at every slot.
    #[must_use]
    pub fn total(&self) -> Option<Ohc> {
        let accounts = self.accounts.values().flat_map(|a| [a.balance, a.stake]);
        let pending = self.pending.values().map(|pending| pending.amount);
        Ohc::sum(accounts.chain(pending).chain([self.treasury, self.burned]))
    }

    /// Moves money from one balance to another.
    pub fn transfer(
        &mut self,
        from: PublicKey,
        to: PublicKey,
        amount: Ohc,
    ) -> Result<(), LedgerError> {
        self.debit(from, amount)?;
        self.credit(Payee::Account(to), amount);
        self.note(Movement::Transferred, Place::Account(from), Place::Account(to), amount);
        Ok(())
    }

    /// Makes an amount pending: it leaves its owner and waits.
    pub fn open(&mut self, hold: Hold, owner: Owner, amount: Ohc) -> Result<(), LedgerError> {
        if self.pending.contains_key(&hold) {
            return Err(LedgerError::Open);
        }
        match owner {
            Owner::Account(key) => self.debit(key, amount)?,
            Owner::Hold(outer) => {
                let outer = self.pending.get_mut(&outer).ok_or(LedgerError::Closed)?;
                outer.amount = outer.amount.checked_sub(amount).ok_or(LedgerError::Short)?;
                self.sum = minus(self.sum, amount);
            }
        }
        self.pending.insert(hold, Pending { owner, amount });
        self.sum = plus(self.sum, amount);
        self.note(Movement::Pending, owner.into(), Place::Hold(hold), amount);
        Ok(())
    }

    /// Adds to a pending amount, from its owner's account. Nothing has moved if it fails.
    pub fn add(&mut self, hold: Hold, amount: Ohc) -> Result<(), LedgerError> {
        let owner = self.pending.get(&hold).ok_or(LedgerError::Closed)?.owner;
        let Owner::Account(key) = owner else { return Err(LedgerError::Closed) };
        self.debit(key, amount)?;
        if let Some(pending) = self.pending.get_mut(&hold) {
            pending.amount = plus(pending.amount, amount);
            self.sum = plus(self.sum, amount);
        }
        self.note(Movement::Pending, owner.into(), Place::Hold(hold), amount);
        Ok(())
    }

    /// Ends a pending amount: pays it out, and gives what is left back to its owner.
    /// Returns what was left. Nothing has moved if it fails.
    pub fn post(&mut self, hold: Hold, payments: &[(Payee, Ohc)]) -> Result<Ohc, LedgerError> {
        let pending = self.pending.get(&hold).ok_or(LedgerError::Closed)?;
        let paid = Ohc::sum(payments.iter().map(|(_, amount)| *amount));
        let rest = paid.and_then(|paid| pending.amount.checked_sub(paid));
        let (owner, rest) = (pending.owner, rest.ok_or(LedgerError::TooMuch)?);
        self.sum = minus(self.sum, pending.amount);
        self.pending.remove(&hold);
        for (payee, amount) in payments {
            self.credit(*payee, *amount);
            self.note(Movement::Posted, Place::Hold(hold), (*payee).into(), *amount);
        }
        self.note(Movement::Voided, Place::Hold(hold), owner.into(), rest);
        match owner {
            Owner::Account(key) => self.credit(Payee::Account(key), rest),
            Owner::Hold(outer) => {
                let outer = self.pending.get_mut(&outer);
                assert!(outer.is_some(), "an escrow outlives the rewards carved from it");
                if let Some(outer) = outer {
                    outer.amount = plus(outer.amount, rest);
                    self.sum = plus(self.sum, rest);
                }
            }
        }
        Ok(rest)
    }

    /// Ends a pending amount: all of it goes back to its owner. Returns how much that was.
    pub fn void(&mut self, hold: Hold) -> Result<Ohc, LedgerError> {
        self.post(hold, &[])
    }

    /// Takes up to `amount` from a balance as a penalty; returns what was taken.
    pub fn fine(&mut self, from: PublicKey, amount: Ohc, to: &[(Payee, u64)]) -> Ohc {
        let Account { balance, stake } = self.account(&from);
        let free = balance.min(amount);
        let rest = amount.checked_sub(free).unwrap_or_default().min(stake);
        let taken = plus(free, rest);
        if let Some(account) = self.accounts.get_mut(&from) {
            account.balance = balance.checked_sub(free).unwrap_or_default();
            account.stake = stake.checked_sub(rest).unwrap_or_default();
            self.sum = minus(self.sum, taken);
            let shares: u64 = to.iter().map(|(_, share)| *share).sum();
            let mut left = taken;
            for (payee, share) in to {
                let part = taken.ratio(*share, shares.max(1), crate::base::amount::Rounding::Floor);
                let part = part.unwrap_or_default().min(left);
                left = left.checked_sub(part).unwrap_or_default();
                self.credit(*payee, part);
                self.note(Movement::Fined, Place::Account(from), (*payee).into(), part);
            }
            self.credit(Payee::Burn, left);
            self.note(Movement::Fined, Place::Account(from), Place::Burned, left);
        }
        taken
    }

    fn debit(&mut self, key: PublicKey, amount: Ohc) -> Result<(), LedgerError> {
        let account = self.accounts.get_mut(&key).ok_or(LedgerError::Short)?;
        account.balance = account.balance.checked_sub(amount).ok_or(LedgerError::Short)?;
        self.sum = minus(self.sum, amount);
        Ok(())
    }

    fn credit(&mut self, payee: Payee, amount: Ohc) {
        let to = match payee {
            Payee::Account(key) => &mut self.accounts.entry(key).or_default().balance,
            Payee::Treasury => &mut self.treasury,
            Payee::Burn => &mut self.burned,
        };
        *to = plus(*to, amount);
        self.sum = plus(self.sum, amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ESCROW: Hold = Hold::Escrow(RunId(1));
    const BLOCK: BlockId = BlockId { run: RunId(1), index: 0 };
    const REWARD: Hold = Hold::Reward(BLOCK);

    fn key(n: u8) -> PublicKey {
        PublicKey([n; 32])
    }

    fn nano(n: u64) -> Ohc {
        Ohc::from_nano(n)
    }

    fn ledger() -> Ledger {
        Ledger::new([(key(1), Account { balance: nano(100), stake: nano(0) })])
    }

    #[test]
    fn r3_a_pending_amount_ends_exactly_once() {
        let mut l = ledger();
        l.open(ESCROW, Owner::Account(key(1)), nano(60)).unwrap();
        assert_eq!(l.open(ESCROW, Owner::Account(key(1)), nano(1)), Err(LedgerError::Open));
        l.open(REWARD, Owner::Hold(ESCROW), nano(50)).unwrap();
        let pay = [(Payee::Account(key(2)), nano(30))];
        assert_eq!(l.post(REWARD, &pay), Ok(nano(20)));
        assert_eq!(l.post(REWARD, &pay), Err(LedgerError::Closed));
        assert_eq!(l.pending(ESCROW), Some(nano(30)), "the rest went back to the escrow");
        assert_eq!(l.void(ESCROW), Ok(nano(30)));
        assert_eq!(l.void(ESCROW), Err(LedgerError::Closed));
        assert_eq!(l.account(&key(1)).balance, nano(70));
        assert_eq!(l.account(&key(2)).balance, nano(30));
    }

    #[test]
    fn r2_nobody_pays_what_he_does_not_have() {
        let mut l = ledger();
        assert_eq!(l.transfer(key(1), key(2), nano(101)), Err(LedgerError::Short));
        assert_eq!(l.transfer(key(9), key(2), nano(1)), Err(LedgerError::Short));
        assert_eq!(l.open(ESCROW, Owner::Account(key(1)), nano(101)), Err(LedgerError::Short));
        l.open(ESCROW, Owner::Account(key(1)), nano(10)).unwrap();
        assert_eq!(l.open(REWARD, Owner::Hold(ESCROW), nano(11)), Err(LedgerError::Short));
        assert_eq!(l.post(ESCROW, &[(Payee::Burn, nano(11))]), Err(LedgerError::TooMuch));
        assert_eq!(l.pending(ESCROW), Some(nano(10)), "a refused payment moves nothing");
    }

    proptest! {
        #[test]
        fn r1_no_sequence_of_operations_makes_or_loses_money(
            ops in proptest::collection::vec((0u8..7, 0u8..4, 0u8..4, 0u64..80), 0..60),
        ) {
            let mut l = ledger();
            l.keep_trail();
            let mut book = BTreeMap::from([(Place::Account(key(1)), 100u64)]);
            for (op, a, b, amount) in ops {
                let amount = nano(amount);
                let block = BlockId { run: RunId(1), index: u32::from(b) };
                let _ = match op {
                    0 => l.transfer(key(a), key(b), amount),
                    1 => l.open(ESCROW, Owner::Account(key(a)), amount),
                    2 => l.open(Hold::Reward(block), Owner::Hold(ESCROW), amount),
                    3 => l.post(Hold::Reward(block), &[(Payee::Account(key(a)), amount)]).map(drop),
                    4 => l.void(Hold::Reward(block)).map(drop),
                    5 => l.add(ESCROW, amount),
                    _ => {
                        l.fine(key(a), amount, &[(Payee::Treasury, 1), (Payee::Burn, 2)]);
                        Ok(())
                    }
                };
                prop_assert_eq!(l.total(), Some(nano(100)));
                prop_assert_eq!(l.sum(), nano(100));
                // The trail is double-entry: kept apart, its book says what the ledger says.
                for posting in l.take_trail() {
                    let debit = book.entry(posting.from).or_default();
                    *debit = debit.checked_sub(posting.amount.nano()).unwrap();
                    *book.entry(posting.to).or_default() += posting.amount.nano();
                }
                let held = l.holds().map(|(hold, amount)| (Place::Hold(hold), amount));
                let own = l.accounts().map(|(key, own)| (Place::Account(*key), own.balance));
                let nobody = [(Place::Treasury, l.treasury()), (Place::Burned, l.burned())];
                let all = held.chain(own).chain(nobody).filter(|(_, amount)| *amount > nano(0));
                let all: BTreeMap<Place, u64> = all.map(|(p, amount)| (p, amount.nano())).collect();
                book.retain(|_, amount| *amount > 0);
                prop_assert_eq!(&book, &all);
            }
        }
    }
}
