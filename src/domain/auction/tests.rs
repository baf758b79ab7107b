//! The auction: single offers, lots, and the laws of both. Never looks at a ledger.

use super::*;
use crate::base::ids::RunId;
use proptest::prelude::*;

fn key(n: u8) -> PublicKey {
    PublicKey([n; 32])
}

fn clear(
    offers: impl IntoIterator<Item = Offer>,
    bids: &mut [Standing],
    bond_factor: u64,
) -> Vec<Award> {
    super::clear(offers, bids, bond_factor, None)
}

fn offer(index: u32, reserve: u64) -> Offer {
    let block = BlockId { run: RunId(1), index };
    let reserve = Ohc::from_nano(reserve);
    Offer {
        block,
        lot: block,
        work: Work::new(10),
        reserve,
        needs: Equipment::default(),
        classes: Classes::of("train").unwrap(),
        barred: Vec::new(),
        lapsed: None,
    }
}

fn bid(worker: u8, ask: u64) -> Standing {
    Standing {
        worker: key(worker),
        ask: Price::new(ask),
        capacity: Work::new(100),
        has: Equipment::default(),
        takes: Classes::ALL,
        queued: Work::ZERO,
        leases: 0,
        purse: Ohc::from_nano(1_000_000),
        record: Record::default(),
    }
}

/// One offer of 10 units with reserve 100 against bids `(worker, ask)`.
#[track_caller]
fn check(bids: &[(u8, u64)], expect: Option<(u8, u64)>) {
    let mut bids: Vec<Standing> = bids.iter().map(|(w, a)| bid(*w, *a)).collect();
    let awards = clear([offer(0, 100)], &mut bids, 4);
    let got = awards.first().map(|a| (a.worker.0[0], a.price.nano()));
    assert_eq!(got, expect);
}

#[test]
fn r11_the_winner_is_paid_the_next_ask_at_most_the_reserve() {
    check(&[(1, 6), (2, 8)], Some((1, 80)));
    check(&[(2, 8), (1, 6), (3, 7)], Some((1, 70)));
    check(&[(1, 6)], Some((1, 100)));
    check(&[(1, 6), (2, 11)], Some((1, 100)));
    check(&[(1, 11)], None);
    check(&[], None);
    check(&[(2, 6), (1, 6)], Some((1, 60)));
}

#[test]
fn a_cheap_no_show_does_not_win() {
    let mut cheap = bid(1, 5);
    cheap.record = Record { good: 0, bad: 10 };
    let mut bids = [cheap, bid(2, 6)];
    let awards = clear([offer(0, 100)], &mut bids, 4);
    assert_eq!(awards[0].worker, key(2));
}

#[test]
fn who_lapsed_last_waits_until_nobody_else_bids() {
    let again = Offer { lapsed: Some(key(1)), ..offer(0, 100) };
    let awards = clear([again.clone()], &mut [bid(1, 1), bid(2, 9)], 4);
    assert_eq!(awards[0].worker, key(2));
    assert_eq!(clear([again.clone()], &mut [bid(1, 1)], 4)[0].worker, key(1));
    let too_dear = bid(2, 11);
    assert_eq!(clear([again], &mut [bid(1, 1), too_dear], 4)[0].worker, key(1));
}

#[test]
fn a_bid_that_cannot_pay_its_bond_sets_no_price() {
    let mut shill = bid(2, 7);
    shill.purse = Ohc::ZERO;
    assert_eq!(clear([offer(0, 100)], &mut [bid(1, 6), shill], 4)[0].price.nano(), 100);
}

#[test]
fn equal_bids_share_the_blocks() {
    let mut bids = [bid(1, 6), bid(2, 6)];
    let offers: Vec<Offer> = (0..4).map(|i| offer(i, 100)).collect();
    let awards = clear(offers, &mut bids, 4);
    let to_first = awards.iter().filter(|a| a.worker == key(1)).count();
    assert_eq!((awards.len(), to_first), (4, 2));
}

#[test]
fn a_worker_without_room_or_purse_gets_nothing() {
    let mut full = bid(1, 6);
    (full.leases, full.queued) = (1, Work::new(95));
    let mut poor = bid(2, 6);
    poor.purse = Ohc::from_nano(399);
    assert_eq!(clear([offer(0, 100)], &mut [full, poor], 4), []);
    let mut barred = offer(0, 100);
    barred.barred = vec![key(1)];
    assert_eq!(clear([barred], &mut [bid(1, 6)], 4), []);
}

proptest! {
    #[test]
    fn r11_every_price_is_between_ask_and_reserve_and_no_deviation_gains(
        asks in proptest::collection::vec(1u64..14, 1..6), deviation in 1u64..14,
    ) {
        let of = |asks: &[u64]| {
            let mut bids: Vec<Standing> =
                (1u8..).zip(asks).map(|(w, a)| bid(w, *a)).collect();
            clear([offer(0, 100)], &mut bids, 4)
        };
        let gain = |asks: &[u64], cost: u64| {
            let award = of(asks).into_iter().find(|a| a.worker == key(1));
            award.map_or(0i64, |a| a.price.nano() as i64 - 10 * cost as i64)
        };
        for award in of(&asks) {
            let ask = asks[usize::from(award.worker.0[0]) - 1] * 10;
            prop_assert!(ask <= award.price.nano() && award.price.nano() <= 100);
        }
        // Truthful: with its true cost asks[0], worker 1 gains nothing by another ask.
        let mut other = asks.clone();
        other[0] = deviation;
        prop_assert!(gain(&asks, asks[0]) >= gain(&other, asks[0]));
    }

    #[test]
    fn a_tally_says_who_was_in_question_and_the_least_of_them_won(
        // Ask, work that waits, leases, purse, failed leases; and who is barred or lapsed.
        all in proptest::collection::vec(
            (1u64..14, 0u64..120, 0usize..3, 0u64..900, 0u64..9), 1..6,
        ),
        barred in 0u8..8, lapsed in 0u8..8,
    ) {
        let standing = |(worker, (ask, queued, leases, purse, bad)): (u8, _)| Standing {
            queued: Work::new(queued),
            leases,
            purse: Ohc::from_nano(purse),
            record: Record { good: 3, bad },
            ..bid(worker, ask)
        };
        let bids: Vec<Standing> = (1u8..).zip(all).map(standing).collect();
        let offer =
            Offer { barred: vec![key(barred)], lapsed: Some(key(lapsed)), ..offer(0, 100) };
        let mut told = bids.clone();
        let mut tallies = Vec::new();
        let awards = super::clear([offer.clone()], &mut told, 4, Some(&mut tallies));
        prop_assert_eq!(&clear([offer.clone()], &mut bids.clone(), 4), &awards);
        let considered = consider(&Lot::of(offer.clone()), &bids, 4);
        let has_room = bids.iter().any(|bid| bid.has_room(Work::new(1)));
        let is_awarded = has_room && considered.iter().any(|c| c.score.is_ok());
        prop_assert_eq!(awards.len(), usize::from(is_awarded));
        for tally in tallies {
            let rank = |c: &Considered| Some(c.score.ok()?.nano() + c.queue.nano());
            let least = tally.bids.iter().filter_map(rank).min();
            let won = tally.bids.iter().find(|c| c.worker == tally.award.worker);
            prop_assert_eq!(won.and_then(rank), least);
        }
    }

    #[test]
    fn the_order_of_bids_does_not_matter(
        asks in proptest::collection::vec(1u64..14, 1..6),
    ) {
        let mut bids: Vec<Standing> = (1u8..).zip(&asks).map(|(w, a)| bid(w, *a)).collect();
        let forwards = clear([offer(0, 100), offer(1, 90)], &mut bids.clone(), 4);
        bids.reverse();
        prop_assert_eq!(clear([offer(0, 100), offer(1, 90)], &mut bids, 4), forwards);
    }
}

/// A lot of so many offers with reserve 100 each.
fn lot(count: u32) -> Vec<Offer> {
    let first = offer(0, 100).block;
    (0..count).map(|index| Offer { lot: first, ..offer(index, 100) }).collect()
}

/// A lot against bids `(worker, ask)`: winners by worker, and what each is paid.
#[track_caller]
fn check_lot(count: u32, bids: &[(u8, u64)], expect: &[(u8, u64)]) {
    let mut bids: Vec<Standing> = bids.iter().map(|(w, a)| bid(*w, *a)).collect();
    let awards = clear(lot(count), &mut bids, 4);
    let mut got: Vec<(u8, u64)> = awards.iter().map(|a| (a.worker.0[0], a.price.nano())).collect();
    got.sort_unstable();
    assert_eq!(got, expect);
}

#[test]
fn r11_a_lot_goes_to_as_many_workers_at_the_next_score() {
    check_lot(2, &[(1, 6), (2, 7), (3, 9)], &[(1, 90), (2, 90)]);
    check_lot(2, &[(3, 9), (1, 6), (4, 8), (2, 7)], &[(1, 80), (2, 80)]);
    check_lot(2, &[(1, 6), (2, 7)], &[(1, 100), (2, 100)]);
    check_lot(3, &[(1, 6), (2, 7)], &[(1, 100), (2, 100)]);
    check_lot(2, &[(1, 6), (2, 7), (3, 11)], &[(1, 100), (2, 100)]);
    check_lot(2, &[], &[]);
}

#[test]
fn one_worker_gets_one_block_of_a_lot_even_if_it_is_the_cheapest_by_far() {
    let mut bids = [bid(1, 1), bid(2, 9)];
    let awards = clear(lot(2), &mut bids, 4);
    assert_eq!(awards.iter().map(|a| a.worker).collect::<Vec<_>>(), [key(1), key(2)]);
    // Offers that are not alike are not of one lot.
    let mut mixed = lot(2);
    mixed[1].reserve = Ohc::from_nano(120);
    let awards = clear(mixed, &mut [bid(1, 1)], 4);
    assert_eq!(awards.len(), 2);
}

#[test]
fn who_is_barred_from_one_block_of_a_lot_gets_none_of_it() {
    let mut offers = lot(2);
    offers[1].barred = vec![key(1)];
    let awards = clear(offers, &mut [bid(1, 1), bid(2, 9), bid(3, 9)], 4);
    assert_eq!(awards.iter().map(|a| a.worker).collect::<Vec<_>>(), [key(2), key(3)]);
}

proptest! {
    #[test]
    fn r11_a_lot_pays_everybody_between_ask_and_reserve_and_no_deviation_gains(
        asks in proptest::collection::vec((1u64..14, 0u64..9), 1..8),
        count in 1u32..5, deviation in 1u64..14,
    ) {
        let of = |asks: &[(u64, u64)]| {
            let mut bids: Vec<Standing> = (1u8..)
                .zip(asks)
                .map(|(w, (ask, good))| Standing {
                    record: Record { good: *good, bad: 0 },
                    ..bid(w, *ask)
                })
                .collect();
            clear(lot(count), &mut bids, 4)
        };
        let awards = of(&asks);
        let mut winners: Vec<u8> = awards.iter().map(|a| a.worker.0[0]).collect();
        winners.sort_unstable();
        winners.dedup();
        prop_assert_eq!(winners.len(), awards.len(), "one block for each");
        for award in &awards {
            let ask = asks[usize::from(award.worker.0[0]) - 1].0 * 10;
            prop_assert!(ask <= award.price.nano() && award.price.nano() <= 100);
        }
        let bidding = asks.iter().filter(|(ask, _)| *ask <= 10).count();
        prop_assert_eq!(awards.len(), bidding.min(count as usize));
        // Truthful: with its true cost, worker 1 gains nothing by another ask.
        let cost = asks[0].0;
        let gain = |awards: &[Award]| {
            let award = awards.iter().find(|award| award.worker == key(1));
            award.map_or(0i64, |award| award.price.nano() as i64 - 10 * cost as i64)
        };
        let mut other = asks.clone();
        other[0].0 = deviation;
        prop_assert!(gain(&awards) >= gain(&of(&other)));
        // Monotone: who won wins with a lower ask too, and is paid the same.
        let paid = |awards: &[Award]| {
            awards.iter().find(|award| award.worker == key(1)).map(|award| award.price)
        };
        if deviation < cost && paid(&awards).is_some() {
            prop_assert_eq!(paid(&of(&other)), paid(&awards));
        }
    }

    #[test]
    fn the_order_of_bids_for_a_lot_does_not_matter(
        asks in proptest::collection::vec(1u64..14, 1..8), count in 1u32..5,
    ) {
        let mut bids: Vec<Standing> = (1u8..).zip(&asks).map(|(w, a)| bid(w, *a)).collect();
        let forwards = clear(lot(count), &mut bids.clone(), 4);
        bids.reverse();
        prop_assert_eq!(clear(lot(count), &mut bids, 4), forwards);
    }

    #[test]
    fn a_shill_of_the_client_never_presses_a_price_below_an_ask(
        asks in proptest::collection::vec(1u64..11, 1..6), shill in 1u64..14, count in 1u32..4,
    ) {
        let mut bids: Vec<Standing> = (1u8..).zip(&asks).map(|(w, a)| bid(w, *a)).collect();
        bids.push(bid(200, shill));
        for award in clear(lot(count), &mut bids, 4) {
            let worker = award.worker.0[0];
            if worker != 200 {
                let ask = asks[usize::from(worker) - 1] * 10;
                prop_assert!(ask <= award.price.nano());
            }
        }
    }
}

#[test]
fn a_block_goes_to_who_takes_on_all_kinds_of_its_jobs() {
    let named = |kinds: &str| Classes::read(kinds).unwrap();
    let mixed = Offer { classes: named("train,evaluate"), ..offer(0, 100) };
    let some = |worker, kinds| Standing { takes: named(kinds), ..bid(worker, 1) };
    let mut bids = [some(1, "train"), some(2, "evaluate,export"), bid(3, 9)];
    let mut tallies = Vec::new();
    let awards = super::clear([mixed.clone()], &mut bids, 1, Some(&mut tallies));
    assert_eq!(awards.iter().map(|award| award.worker).collect::<Vec<_>>(), [key(3)]);
    assert_eq!(awards[0].price, mixed.reserve, "who does not take it on is no rival");
    let passed: Vec<_> = tallies[0].bids.iter().map(|bid| bid.score.err()).collect();
    assert_eq!(passed, [Some(Passed::Class), Some(Passed::Class), None]);
    let mut bids = [some(1, "train"), some(2, "train,evaluate,export")];
    assert_eq!(clear([mixed], &mut bids, 1)[0].worker, key(2));
}
