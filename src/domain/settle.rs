//! Settlement: from verdicts to transfers. The only place where work and money meet.
//! Never decides whether a receipt is true; it is told.

use super::genesis::Params;
use super::lease::Lease;
use super::ledger::{Hold, Ledger, LedgerError, Payee};
use crate::base::amount::{Ohc, Rounding};
use crate::base::ids::LeaseId;
use crate::base::keys::PublicKey;
use crate::base::time::Tick;
use std::collections::BTreeMap;

/// Share of the gas that all validators with a verdict divide by stake, in percent; the rest goes
/// to the audit's committee in equal parts. Remainders go to the treasury.
const ATTEST_PERCENT: u64 = 60;

/// Share of what an equivocator loses that goes to whoever showed it, in percent.
const FINDER_PERCENT: u64 = 5;

/// Accepts a receipt: posts the worker's price and the validators' gas out of the block's reward,
/// gives the rest back to the escrow, and the bond back to the worker.
pub fn accept(
    ledger: &mut Ledger,
    lease: &Lease,
    attesters: &BTreeMap<PublicKey, Ohc>,
    committee: &[PublicKey],
) -> Result<(), LedgerError> {
    let mut payments = gas_shares(lease.offer.gas, attesters, committee);
    payments.push((Payee::Account(lease.worker), lease.price));
    ledger.post(Hold::Reward(lease.id.block), &payments)?;
    ledger.void(Hold::Bond(lease.id)).map(drop)
}

/// Divides gas among validators; the sum of the parts is exactly the whole.
#[must_use]
pub fn gas_shares(
    gas: Ohc,
    attesters: &BTreeMap<PublicKey, Ohc>,
    committee: &[PublicKey],
) -> Vec<(Payee, Ohc)> {
    let attest_percent = if committee.is_empty() { 100 } else { ATTEST_PERCENT };
    let attest = gas.ratio(attest_percent, 100, Rounding::Floor).unwrap_or_default();
    let audit = gas.checked_sub(attest).unwrap_or_default();
    let stake = attesters.values().fold(0u64, |sum, stake| sum.saturating_add(stake.nano()));
    let mut shares: BTreeMap<Payee, Ohc> = BTreeMap::new();
    let mut left = gas;
    let mut give = |payee: Payee, amount: Ohc| {
        let amount = amount.min(left);
        left = left.checked_sub(amount).unwrap_or_default();
        let share = shares.entry(payee).or_default();
        *share = share.checked_add(amount).unwrap_or(*share);
    };
    for (validator, own) in attesters {
        let part = attest.ratio(own.nano(), stake, Rounding::Floor).unwrap_or_default();
        give(Payee::Account(*validator), part);
    }
    let members = committee.len() as u64;
    for member in committee {
        let part = audit.ratio(1, members, Rounding::Floor).unwrap_or_default();
        give(Payee::Account(*member), part);
    }
    give(Payee::Treasury, gas);
    shares.into_iter().collect()
}

/// A lease lapsed: a share of its bond is burned. Nobody gains by it: the client sets the time-out
/// and says where the inputs lie, so it could live on leases that cannot be met.
/// Returns what was lost.
pub fn lapse(ledger: &mut Ledger, lease: &Lease, params: &Params) -> Result<Ohc, LedgerError> {
    let fine = lease.bond.ratio(params.lapse_ppm, 1_000_000, Rounding::Floor).unwrap_or_default();
    ledger.post(Hold::Bond(lease.id), &[(Payee::Burn, fine)])?;
    Ok(fine)
}

/// A receipt was false: the whole bond is lost, half of it to the harmed client, half burned.
/// Returns what was lost.
pub fn slash(ledger: &mut Ledger, lease: &Lease, client: PublicKey) -> Result<Ohc, LedgerError> {
    let harmed = lease.bond.ratio(1, 2, Rounding::Floor).unwrap_or_default();
    let burned = lease.bond.checked_sub(harmed).unwrap_or_default();
    let payments = [(Payee::Account(client), harmed), (Payee::Burn, burned)];
    ledger.post(Hold::Bond(lease.id), &payments)?;
    Ok(lease.bond)
}

/// An objection did not hold: its author pays twice the block's gas, half of it to the worker that
/// it held up, half burned. Returns what was taken.
pub fn overrule(ledger: &mut Ledger, lease: &Lease, validator: PublicKey) -> Ohc {
    let fine = lease.offer.gas.ratio(2, 1, Rounding::Floor).unwrap_or_default();
    ledger.fine(validator, fine, &[(Payee::Account(lease.worker), 1), (Payee::Burn, 1)])
}

/// A validator was not there when it was its turn. Returns what was taken; it is burned.
pub fn absent(ledger: &mut Ledger, validator: PublicKey, params: &Params) -> Ohc {
    ledger.fine(validator, params.absent_fine, &[(Payee::Burn, 1)])
}

/// A validator agreed to what it had not re-executed: half to whoever found out with a challenge
/// of his own, the rest is burned. Returns what was taken.
pub fn lazy(
    ledger: &mut Ledger,
    validator: PublicKey,
    challenger: Option<PublicKey>,
    params: &Params,
) -> Ohc {
    let half = challenger.map(|key| (Payee::Account(key), 1));
    let shares: Vec<(Payee, u64)> = half.into_iter().chain([(Payee::Burn, 1)]).collect();
    ledger.fine(validator, params.lazy_fine, &shares)
}

/// A validator signed two things at once: of what it has at stake, and what of it is locked until
/// `since` or longer, so much is taken. Whoever showed it gets a small part, which never makes it
/// pay to have oneself shown; the rest is burned. Returns what was taken.
pub fn equivocation(
    ledger: &mut Ledger,
    validator: PublicKey,
    amount: Ohc,
    since: Tick,
    finder: PublicKey,
) -> Ohc {
    let found = (Payee::Account(finder), FINDER_PERCENT);
    let burned = (Payee::Burn, 100 - FINDER_PERCENT);
    let shares = if finder == validator { vec![burned] } else { vec![found, burned] };
    ledger.slash(validator, amount, since, &shares)
}

/// A result that was paid for turned out to be false. The bond is back with its worker by then: as
/// much is taken from what the worker has, half of it for the harmed client. Returns the amount.
pub fn revoke(ledger: &mut Ledger, worker: PublicKey, bond: Ohc, client: PublicKey) -> Ohc {
    ledger.fine(worker, bond, &[(Payee::Account(client), 1), (Payee::Burn, 1)])
}

/// A challenge did not hold: half of its deposit goes to the worker, the rest is burned.
pub fn dismiss(ledger: &mut Ledger, lease: LeaseId, worker: PublicKey) -> Result<Ohc, LedgerError> {
    let hold = Hold::Challenge(lease);
    let deposit = ledger.pending(hold).unwrap_or_default();
    let half = deposit.ratio(1, 2, Rounding::Floor).unwrap_or_default();
    let burned = deposit.checked_sub(half).unwrap_or_default();
    ledger.post(hold, &[(Payee::Account(worker), half), (Payee::Burn, burned)])?;
    Ok(deposit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn r1_the_shares_of_gas_are_exactly_the_gas(
            gas in 0u64..1_000_000_000_000,
            stakes in proptest::collection::vec(39_901u64..1_000_000, 1..20),
            members in 0usize..4,
        ) {
            let attesters: BTreeMap<PublicKey, Ohc> = (1u8..)
                .zip(stakes)
                .map(|(n, s)| (PublicKey([n; 32]), Ohc::from_whole(s).unwrap()))
                .collect();
            let committee: Vec<PublicKey> = attesters.keys().take(members).copied().collect();
            let shares = gas_shares(Ohc::from_nano(gas), &attesters, &committee);
            let sum = Ohc::sum(shares.iter().map(|(_, amount)| *amount));
            prop_assert_eq!(sum, Some(Ohc::from_nano(gas)));
            let treasury = shares.iter().find(|(p, _)| *p == Payee::Treasury).unwrap().1;
            prop_assert!(treasury.nano() < 24, "only remainders go to the treasury: {treasury}");
        }
    }
}
