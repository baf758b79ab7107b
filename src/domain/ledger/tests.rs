//! What the ledger must never do, tried with any sequence of operations. Never looks at what money
//! is for.

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

fn lock(validator: u8, until: u8) -> Hold {
    Hold::Unbonding { validator: key(validator), until: Tick(until.into()) }
}

/// A stake, and what of it is locked still.
fn at_risk(l: &Ledger, n: u8) -> Ohc {
    let locked = l.unbonding(&key(n), Tick(0)).map(|(_, amount)| amount);
    Ohc::sum(locked.chain([l.account(&key(n)).stake])).unwrap()
}

#[test]
fn a_penalty_reaches_what_is_locked_still_and_a_slash_nothing_that_left_before() {
    let staked = Account { balance: nano(5), stake: nano(60) };
    let mut l = Ledger::new([(key(1), staked)]);
    l.unstake(key(1), lock(1, 3), nano(20)).unwrap();
    l.unstake(key(1), lock(1, 7), nano(30)).unwrap();
    assert_eq!(
        l.slash(key(1), nano(100), Tick(4), &[(Payee::Account(key(2)), 1), (Payee::Burn, 3)]),
        nano(40)
    );
    assert_eq!(l.account(&key(2)).balance, nano(10));
    assert_eq!(l.pending(lock(1, 3)), Some(nano(20)), "it left before");
    assert_eq!(l.account(&key(1)).balance, nano(5), "it was never at stake");
    assert_eq!(l.fine(key(1), nano(100), &[(Payee::Burn, 1)]), nano(25));
    assert_eq!(l.void(lock(1, 7)), Ok(nano(0)));
    assert_eq!(l.total(), Some(nano(65)));
}

#[test]
fn r3_what_waits_to_be_stake_is_stake_once() {
    let mut l = ledger();
    l.open(Hold::Stake(key(1)), Owner::Account(key(1)), nano(60)).unwrap();
    assert_eq!(l.stake(Hold::Stake(key(1))), Ok(nano(60)));
    assert_eq!(l.stake(Hold::Stake(key(1))), Err(LedgerError::Closed));
    assert_eq!(l.account(&key(1)), Account { balance: nano(40), stake: nano(60) });
    assert_eq!(l.unstake(key(1), lock(1, 1), nano(61)), Err(LedgerError::Short));
    assert_eq!(l.unstake(key(1), lock(1, 1), nano(60)), Ok(()));
    assert_eq!(l.unstake(key(1), lock(1, 1), nano(0)), Err(LedgerError::Open));
    assert_eq!(l.void(lock(1, 1)), Ok(nano(60)));
    assert_eq!(l.account(&key(1)).balance, nano(100));
}

proptest! {
    #[test]
    fn r1_no_sequence_of_operations_makes_or_loses_money(
        ops in proptest::collection::vec((0u8..11, 0u8..4, 0u8..4, 0u64..80), 0..60),
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
                6 => l.open(Hold::Stake(key(a)), Owner::Account(key(a)), amount),
                7 => l.stake(Hold::Stake(key(a))).map(drop),
                8 => l.unstake(key(a), lock(a, b), amount),
                9 => l.void(lock(a, b)).map(drop),
                _ => {
                    let shares = [(Payee::Treasury, 1), (Payee::Burn, 2)];
                    let before = at_risk(&l, a);
                    let taken = match b {
                        0 => l.fine(key(a), amount, &shares),
                        _ => l.slash(key(a), amount, Tick(b.into()), &shares),
                    };
                    prop_assert!(taken <= amount);
                    // A fine stops short only where nothing is left.
                    let left = plus(at_risk(&l, a), l.account(&key(a)).balance);
                    let is_spent = left == nano(0);
                    prop_assert!(b > 0 || taken == amount || is_spent);
                    prop_assert!(at_risk(&l, a) <= before);
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
            let own = l.accounts().flat_map(|(key, own)| {
                [(Place::Account(*key), own.balance), (Place::Stake(*key), own.stake)]
            });
            let nobody = [(Place::Treasury, l.treasury()), (Place::Burned, l.burned())];
            let all = held.chain(own).chain(nobody).filter(|(_, amount)| *amount > nano(0));
            let all: BTreeMap<Place, u64> = all.map(|(p, amount)| (p, amount.nano())).collect();
            book.retain(|_, amount| *amount > 0);
            prop_assert_eq!(&book, &all);
        }
    }
}
