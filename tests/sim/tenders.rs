//! Sealed auctions, on the bare fold and with real roles. Never looks at how one is kept.

use crate::fold::{CLIENT, Fold, refused};
use crate::ground::{Who, noops, ohc};
use ohc::base::amount::{Ohc, Price};
use ohc::base::canon::Digest;
use ohc::base::ids::{BlockId, RunId};
use ohc::base::time::Height;
use ohc::domain::command::{Command, Revealed, Tender};
use ohc::domain::event::{Event, Reject};
use ohc::domain::state::TenderAsked;
use ohc::domain::state::run::Phase;

const BLOCK: BlockId = BlockId { run: RunId(1), index: 0 };
const FIRST: Who = Who::Worker(0);
const SECOND: Who = Who::Worker(1);
/// 2 % of a reserve of 100 units at a million.
const BOND: u64 = 2_000_000;

fn sealed() -> String {
    noops("dear", "", &["a: { uses: noop, verification: full, market: { auction: sealed } }"])
}

/// A block in a sealed auction that takes bids, and two workers.
fn begun() -> Fold {
    let mut fold = Fold::new(1);
    for who in [FIRST, SECOND] {
        fold.bid(who, 900_000);
    }
    let events = fold.submit(&sealed(), ohc(5));
    assert!(events.contains(&Event::Tendered { block: BLOCK, ticks: 200 }), "{events:?}");
    assert!(fold.held(FIRST).is_empty(), "standing bids buy nothing here");
    fold
}

fn round(fold: &Fold, who: Who) -> Height {
    let asked = fold.state.tenders(who.key()).next().map(|(_, asked, _)| asked);
    let (TenderAsked::Seal { round } | TenderAsked::Tell { round }) = asked.unwrap();
    round
}

fn bid(fold: &mut Fold, who: Who, ask: u64) -> (Revealed, Vec<Event>) {
    let salt = Digest::of(who.key().to_string().as_bytes());
    let told = Revealed { block: BLOCK, ask: Price::new(ask), salt };
    let seal = told.seal(round(fold, who), who.key());
    let events = fold.send(who, Command::Tender(vec![Tender { block: BLOCK, seal }]));
    (told, events)
}

fn tell(fold: &mut Fold, who: Who, told: Revealed) -> Vec<Event> {
    fold.send(who, Command::Tell(vec![told]))
}

fn leased(events: &[Event]) -> Option<(Ohc, ohc::base::keys::PublicKey)> {
    events.iter().find_map(|event| match event {
        Event::Leased { price, worker, .. } => Some((*price, *worker)),
        _ => None,
    })
}

#[test]
fn a_sealed_block_goes_to_the_best_of_the_bids_that_are_told_at_the_next_one() {
    let mut fold = begun();
    let (one, events) = bid(&mut fold, FIRST, 600_000);
    let bond = Ohc::from_nano(BOND);
    let there = Event::BidSealed { block: BLOCK, worker: FIRST.key(), bond };
    assert!(events.contains(&there), "{events:?}");
    let (two, _) = bid(&mut fold, SECOND, 700_000);
    assert_eq!(fold.balance(FIRST), ohc(100).checked_sub(bond).unwrap());
    refused(&tell(&mut fold, FIRST, one), Reject::TooEarly);
    fold.slot(100, &[]);
    fold.slot(100, &[]);
    tell(&mut fold, FIRST, one);
    tell(&mut fold, SECOND, two);
    fold.slot(100, &[]);
    let events = fold.slot(100, &[]);
    let price = Ohc::from_nano(70_000_000);
    assert_eq!(leased(&events), Some((price, FIRST.key())), "{events:?}");
    // All bonds of bids are back; the lease has one of its own.
    assert_eq!(fold.balance(SECOND), ohc(100));
}

#[test]
fn a_bid_that_is_not_told_loses_its_bond() {
    let mut fold = begun();
    let (one, _) = bid(&mut fold, FIRST, 600_000);
    bid(&mut fold, SECOND, 500_000);
    fold.slot(100, &[]);
    fold.slot(100, &[]);
    tell(&mut fold, FIRST, one);
    fold.slot(100, &[]);
    let events = fold.slot(100, &[]);
    let fine = Ohc::from_nano(BOND);
    let lost = Event::BidLost { block: BLOCK, worker: SECOND.key(), fine };
    assert!(events.contains(&lost), "{events:?}");
    assert_eq!(fold.balance(SECOND), ohc(100).checked_sub(fine).unwrap());
    assert_eq!(leased(&events), Some((Ohc::from_nano(100_000_000), FIRST.key())), "the reserve");
}

#[test]
fn nobody_bids_twice_or_late_or_tells_another_bid_than_its_own() {
    let mut fold = begun();
    let (one, _) = bid(&mut fold, FIRST, 600_000);
    let again = Tender { block: BLOCK, seal: Digest::of(b"again") };
    refused(&fold.send(FIRST, Command::Tender(vec![again])), Reject::Spoken);
    refused(&fold.send(Who::Worker(3), Command::Tender(vec![again])), Reject::NoBid);
    // A copied seal is worth nothing to who copied it.
    let seal = one.seal(round_of(&fold), FIRST.key());
    fold.send(SECOND, Command::Tender(vec![Tender { block: BLOCK, seal }]));
    fold.slot(100, &[]);
    fold.slot(100, &[]);
    refused(&fold.send(Who::Worker(1), Command::Tender(vec![again])), Reject::NoAuction);
    let dearer = Revealed { ask: Price::new(900_000), ..one };
    refused(&tell(&mut fold, FIRST, dearer), Reject::BrokenSeal);
    tell(&mut fold, FIRST, one);
    refused(&tell(&mut fold, FIRST, one), Reject::Spoken);
    refused(&tell(&mut fold, SECOND, one), Reject::BrokenSeal);
}

/// The round, asked for by somebody who has not bid.
fn round_of(fold: &Fold) -> Height {
    round(fold, Who::Worker(5))
}

#[test]
fn an_auction_without_bids_is_repriced_and_in_the_end_the_run_pauses() {
    let mut fold = begun();
    for _ in 0..30 {
        fold.slot(100, &[]);
    }
    let rises = |event: &&Event| matches!(event, Event::Repriced { .. });
    assert_eq!(fold.events.iter().filter(rises).count(), 5);
    assert!(matches!(fold.status(1), ohc::domain::state::run::Status::Paused(_)));
}

#[test]
fn a_run_that_is_cancelled_gives_the_bonds_of_bids_back() {
    let mut fold = begun();
    bid(&mut fold, FIRST, 600_000);
    fold.send(CLIENT, Command::Cancel { run: RunId(1) });
    assert_eq!((fold.balance(FIRST), fold.balance(CLIENT)), (ohc(100), ohc(1_000)));
    assert_eq!(fold.held_money(), 0);
    let phase = &fold.state.runs()[&RunId(1)].block(0).unwrap().phase;
    assert!(matches!(phase, Phase::Void));
}
