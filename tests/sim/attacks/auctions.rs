//! Sealed auctions: bids that are not meant, copied, or not told. Never a bid that is read before
//! its time: nobody can.

use super::page::Row;
use super::trial::wealth;
use crate::dice::Dice;
use crate::fold::{CLIENT, Fold};
use crate::ground::{Who, noops, ohc};
use ohc::base::amount::Price;
use ohc::base::canon::Digest;
use ohc::base::ids::{BlockId, RunId};
use ohc::base::time::Height;
use ohc::domain::command::{Command, Revealed, Tender};
use ohc::domain::event::Event;
use ohc::domain::state::TenderAsked;
use ohc::domain::verdict::Finding;

const BLOCK: BlockId = BlockId { run: RunId(1), index: 0 };
const BEST: Who = Who::Worker(0);
const NEXT: Who = Who::Worker(1);
const VILLAIN: Who = Who::Worker(2);
const AUCTIONS: u64 = 40;
/// What the two honest bidders ask, in nano-OhC per unit of a hundred.
const ASKS: [u64; 2] = [600_000, 800_000];

/// A block in a sealed auction that takes bids, and three workers that may bid.
fn begun(tag: u64) -> Fold {
    let mut fold = Fold::new(1);
    [BEST, NEXT, VILLAIN].iter().for_each(|who| drop(fold.bid(*who, 900_000)));
    let stage = format!(
        "a: {{ uses: noop, with: {{ tag: {tag} }}, verification: full, \
         market: {{ auction: sealed }} }}"
    );
    fold.submit(&noops("dear", "", &[&stage]), ohc(5));
    fold
}

fn round(fold: &Fold) -> Height {
    let asked = fold.state.tenders(Who::Worker(5).key()).next().map(|(_, asked, _)| asked);
    let (TenderAsked::Seal { round } | TenderAsked::Tell { round }) = asked.unwrap();
    round
}

fn meant(who: Who, ask: u64) -> Revealed {
    let salt = Digest::of(who.key().to_string().as_bytes());
    Revealed { block: BLOCK, ask: Price::new(ask), salt }
}

fn bid(fold: &mut Fold, who: Who, seal: Digest) {
    fold.send(who, Command::Tender(vec![Tender { block: BLOCK, seal }]));
}

fn window(fold: &mut Fold) {
    fold.slot(100, &[]);
    fold.slot(100, &[]);
}

/// The two honest bids and one of the villain, told or not; then whoever has the block computes it,
/// but for the villain, who never does.
fn held(tag: u64, villain: Option<(u64, bool)>) -> Fold {
    let mut fold = begun(tag);
    let mut all = vec![(meant(BEST, ASKS[0]), BEST, true), (meant(NEXT, ASKS[1]), NEXT, true)];
    all.extend(villain.map(|(ask, tells)| (meant(VILLAIN, ask), VILLAIN, tells)));
    let round = round(&fold);
    for (told, who, _) in &all {
        bid(&mut fold, *who, told.seal(round, who.key()));
    }
    window(&mut fold);
    for (told, who, _) in all.iter().filter(|(.., tells)| *tells) {
        fold.send(*who, Command::Tell(vec![*told]));
    }
    window(&mut fold);
    finish(&mut fold);
    fold
}

/// Has the block computed, in an auction of its own again if the villain has let it lapse.
fn finish(fold: &mut Fold) {
    if !fold.held(VILLAIN).is_empty() {
        while fold.state.tenders(Who::Worker(5).key()).next().is_none() {
            fold.slot(50, &[]);
        }
        let round = round(fold);
        for (who, ask) in [(BEST, ASKS[0]), (NEXT, ASKS[1])] {
            bid(fold, who, meant(who, ask).seal(round, who.key()));
        }
        window(fold);
        for (who, ask) in [(BEST, ASKS[0]), (NEXT, ASKS[1])] {
            fold.send(who, Command::Tell(vec![meant(who, ask)]));
        }
        window(fold);
    }
    let who = if fold.held(BEST).is_empty() { NEXT } else { BEST };
    let receipt = fold.deliver(who);
    fold.slot(0, &[]);
    fold.judge(0, &receipt, Finding::Agree);
}

/// Wealth of these together.
fn rich(fold: &Fold, who: &[Who]) -> i128 {
    who.iter().map(|who| wealth(&fold.state, &who.key())).sum()
}

fn lost_a_bid(fold: &Fold) -> bool {
    let is_its = |e: &Event| matches!(e, Event::BidLost { worker, .. } if *worker == VILLAIN.key());
    fold.events.iter().any(is_its)
}

/// A client that bids under another name, to be charged the price of its own bid.
fn shill() -> Row {
    let mut dice = Dice::new(7);
    let mut row = Row::default();
    for tag in 0..AUCTIONS {
        let fair = held(tag, None);
        let guess = dice.between(400_000, 900_000);
        let fold = held(tag, Some((guess, true)));
        let of = |fold: &Fold| rich(fold, &[CLIENT, VILLAIN]);
        row.tries += 1;
        row.found += u64::from(fold.events.iter().any(|e| matches!(e, Event::Lapsed { .. })));
        row.gain += of(&fold) - of(&fair);
        row.lost += rich(&fair, &[BEST, NEXT]) - rich(&fold, &[BEST, NEXT]);
    }
    Row {
        attack: "shill: a client bids in its own auction",
        policy: "sealed",
        note: "it guesses, for nobody sees a bid before the last: between the best and the next it \
               pays less, below the best it has won its own block, and loses a tenth of a bond \
               that it has to let lapse (found). In an open auction it would not have to guess.",
        ..row
    }
}

/// A worker that seals what the best has sealed, to tell what the best tells.
fn copied() -> Row {
    let mut row = Row::default();
    for tag in 0..AUCTIONS {
        let mut fold = begun(tag);
        let begin = rich(&fold, &[VILLAIN]);
        let round = round(&fold);
        let told = meant(BEST, ASKS[0]);
        let seal = told.seal(round, BEST.key());
        bid(&mut fold, BEST, seal);
        bid(&mut fold, VILLAIN, seal);
        window(&mut fold);
        fold.send(BEST, Command::Tell(vec![told]));
        fold.send(VILLAIN, Command::Tell(vec![told]));
        window(&mut fold);
        finish(&mut fold);
        row.tries += 1;
        row.found += u64::from(lost_a_bid(&fold));
        row.gain += rich(&fold, &[VILLAIN]) - begin;
    }
    let (attack, policy) = ("copied seal of a bid", "sealed");
    Row { attack, policy, predicted: Some(1_000_000), ..row }
}

/// A worker that sees what others tell, and then does not tell its own.
fn untold() -> Row {
    let mut row = Row::default();
    for tag in 0..AUCTIONS {
        let (fair, fold) = (held(tag, None), held(tag, Some((500_000, false))));
        row.tries += 1;
        row.found += u64::from(lost_a_bid(&fold));
        row.gain += rich(&fold, &[VILLAIN]) - rich(&fair, &[VILLAIN]);
        row.lost += rich(&fair, &[CLIENT]) - rich(&fold, &[CLIENT]);
    }
    Row {
        attack: "a bid that is not told",
        policy: "sealed",
        predicted: Some(1_000_000),
        note: "the price is that of the others: who does not tell might as well not have bid, and \
               has lost 2 % of the reserve.",
        ..row
    }
}

pub fn rows() -> Vec<Row> {
    vec![shill(), copied(), untold()]
}
