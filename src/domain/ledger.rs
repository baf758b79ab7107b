//! The ledger: accounts, and amounts that are pending until they are posted or voided.
//! Never knows what is paid for: it would compile in a project without machine learning.
//!
//! Supply is fixed: every operation moves money, none makes or loses it, and none takes an
//! account below zero. A pending amount ends exactly once: its entry is gone when it is
//! posted or voided, so a second attempt finds nothing.

mod penalty;
mod stake;

use crate::base::amount::Ohc;
use crate::base::canon::{canonical_enum, canonical_struct};
use crate::base::ids::{BlockId, LeaseId, RunId};
use crate::base::keys::PublicKey;
use crate::base::time::Tick;
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
    /// Coins that are to become stake.
    Stake(PublicKey),
    /// Coins that were stake: locked, and at risk still.
    Unbonding {
        /// Whose stake they were.
        validator: PublicKey,
        /// When they are free.
        until: Tick,
    },
}

impl Hold {
    /// The run that it is about, if it is about one.
    #[must_use]
    pub fn run(self) -> Option<RunId> {
        match self {
            Self::Escrow(run) => Some(run),
            _ => self.block().map(|block| block.run),
        }
    }

    /// The block that it is about, if it is about one.
    #[must_use]
    pub fn block(self) -> Option<BlockId> {
        match self {
            Self::Escrow(_) | Self::Stake(_) | Self::Unbonding { .. } => None,
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
    /// The stake of an account.
    Stake(PublicKey),
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
    /// What a command costs beside what it is about.
    Fee,
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
    6 => Stake(x), 7 => Unbonding { validator, until },
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

    /// Takes a fee from a balance; it is burned. Nothing has moved if it fails.
    pub fn burn(&mut self, from: PublicKey, amount: Ohc) -> Result<(), LedgerError> {
        self.debit(from, amount)?;
        self.credit(Payee::Burn, amount);
        self.note(Movement::Fee, Place::Account(from), Place::Burned, amount);
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
mod tests;
