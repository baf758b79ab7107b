//! What is challenged after it was settled, in time, too late and falsely; and validators that are
//! shown to have signed two things. Never a world: the log alone says what happens.

use super::page::Row;
use super::trial::wealth;
use crate::fold::{CLIENT, Fold, WORKER, one};
use crate::ground::{Who, genesis, ohc};
use ohc::base::canon::Digest;
use ohc::base::ids::JobId;
use ohc::base::time::Height;
use ohc::domain::command::Command;
use ohc::domain::event::Event;
use ohc::domain::receipt::{Outcome, Receipt};
use ohc::domain::verdict::{Finding, Found, Segment};
use ohc::domain::vote::{Evidence, Kind, Vote};

const TRIES: u64 = 10;
const WINDOW: u64 = 10_000;
const SEGMENT: Segment = Segment { job: JobId(0), index: 0 };
const OTHER: Who = Who::Client(1);

/// A block that four validators have let settle, true or not.
fn settled(lies: bool) -> (Fold, Receipt) {
    let mut ground = genesis(4, ohc(100));
    ground.params.challenge_ticks = WINDOW;
    let mut fold = Fold::of(&ground);
    fold.bid(WORKER, 500_000);
    fold.submit(&one(), ohc(5));
    let mut receipt = fold.receipt(fold.held(WORKER)[0]);
    if let (Outcome::Done(claims), true) = (&mut receipt.outcome, lies) {
        claims[0].outputs[0] = Digest::of(b"a lie");
    }
    fold.send(WORKER, Command::Deliver(vec![receipt.clone()]));
    fold.draw();
    for n in 0..4 {
        fold.judge(n, &receipt, Finding::Agree);
    }
    (fold, receipt)
}

/// Somebody challenges, and three of four validators look this time.
fn challenged(fold: &mut Fold, receipt: &Receipt, by: Who, finding: Finding) {
    fold.send(by, Command::Challenge { lease: receipt.lease, segment: SEGMENT });
    let verdict = fold.verdict(receipt, finding);
    for n in 0..3 {
        fold.send(Who::Validator(n), Command::Judge(vec![verdict.clone()]));
    }
}

fn is_in(fold: &Fold, what: fn(&Event) -> bool) -> u64 {
    u64::from(fold.events.iter().any(what))
}

/// Somebody challenges what is true, to have it checked again or its worker held up.
fn falsely(after: u64) -> Row {
    let mut row = Row { policy: "full", ..Row::default() };
    for _ in 0..TRIES {
        let (mut fold, receipt) = settled(false);
        fold.slot(after, &[]);
        let begin = (wealth(&fold.state, &OTHER.key()), wealth(&fold.state, &WORKER.key()));
        challenged(&mut fold, &receipt, OTHER, Finding::Deny { segment: SEGMENT });
        row.tries += 1;
        row.found += is_in(&fold, |event| match event {
            Event::Dismissed { .. } => true,
            Event::Charged { author, .. } => *author == OTHER.key(),
            _ => false,
        });
        row.gain += wealth(&fold.state, &OTHER.key()) - begin.0;
        row.lost += begin.1 - wealth(&fold.state, &WORKER.key());
    }
    row
}

/// A lie that four lazy validators let pass, and that somebody finds after so long.
fn believed(after: u64) -> Row {
    let mut row = Row { attack: "a lie that lazy validators let pass", ..Row::default() };
    for _ in 0..TRIES {
        let (mut fold, receipt) = settled(true);
        let paid = fold.events.iter().find_map(|event| match event {
            Event::Settled { reward, gas, .. } => Some((reward.nano(), gas.nano())),
            _ => None,
        });
        let (reward, gas) = paid.unwrap();
        fold.slot(after, &[]);
        let object = Finding::Object { segment: SEGMENT, found: Found::Other };
        challenged(&mut fold, &receipt, CLIENT, object);
        row.tries += 1;
        row.found += is_in(&fold, |event| matches!(event, Event::Revoked { .. }));
        row.gain += wealth(&fold.state, &WORKER.key()) - i128::from(ohc(100).nano());
        row.honest = Some(row.honest.unwrap_or(0) + i128::from(reward) / 6);
        for event in &fold.events {
            if let Event::Revoked { fine, .. } = event {
                row.lost -= i128::from(fine.nano() / 2);
            }
        }
        row.lost += i128::from(reward) + i128::from(gas);
    }
    row
}

/// One of `count` validators votes for two heads, and somebody shows it.
fn equivocator(count: u8, policy: &'static str, finder: Who) -> Row {
    let mut row = Row { attack: "equivocator", policy, ..Row::default() };
    for n in 0..TRIES {
        let mut ground = genesis(count, ohc(100));
        ground.params.evidence_ticks = 1_000;
        let mut fold = Fold::of(&ground);
        fold.slot(0, &[]);
        let culprit = Who::Validator((n % u64::from(count)) as u8);
        let all = [culprit, finder].map(|who| who.key());
        let rich = |fold: &Fold| all.iter().map(|key| wealth(&fold.state, key)).sum::<i128>();
        let begin = rich(&fold);
        let vote = |head| {
            let head = Some(Digest([head; 32]));
            let vote = Vote { height: Height(1), round: 0, kind: Kind::Prevote, head };
            culprit.secret().seal(fold.state.network(), vote)
        };
        let evidence = Evidence::Votes { one: vote(1), other: vote(2) };
        fold.send(finder, Command::Accuse(Box::new(evidence)));
        row.tries += 1;
        row.found += is_in(&fold, |event| matches!(event, Event::Equivocated { .. }));
        row.gain += rich(&fold) - begin;
    }
    Row { predicted: Some(1_000_000), ..row }
}

pub fn rows() -> Vec<Row> {
    let mut rows = vec![
        Row { attack: "false challenge", ..falsely(0) },
        Row { attack: "challenge that comes too late", ..falsely(WINDOW + 1) },
        Row { policy: "full, all lazy, challenged in time", ..believed(0) },
        Row { policy: "full, all lazy, challenged too late", ..believed(WINDOW + 1) },
        equivocator(4, "1 of 4, shown by its own other name", Who::Client(2)),
        equivocator(20, "1 of 20, shown by its own other name", Who::Client(2)),
    ];
    rows[0].note = "twice the gas of the block, half of it to the worker whose work was doubted.";
    rows[3].note = "what is not challenged in time stands for ever: who buys from a committee that \
                    does not look has to look himself before the window is over.";
    rows[4].note = "both names together: three times its share of the stake is lost, and a \
                    twentieth of that comes back to who shows it.";
    rows
}
