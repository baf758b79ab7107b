//! Sends what others signed, or what they did not: changed bodies, swapped authors, old numbers,
//! receipts for leases of others, verdicts without a stake. Never holds anybody's key but its own.

use crate::dice::Dice;
use crate::ground::Who;
use ohc::base::canon::Digest;
use ohc::base::ids::{BlockId, LeaseId, RunId};
use ohc::domain::command::{Command, Order, SignedOrder};
use ohc::domain::receipt::{Outcome, Receipt};
use ohc::domain::state::State;
use ohc::domain::verdict::{Finding, Verdict};

pub const WHO: Who = Who::Client(2);

/// One more forgery; `seen` are orders of others that were final once.
pub fn forge(state: &State, seen: &[SignedOrder], dice: &mut Dice) -> Option<SignedOrder> {
    let lease = some_lease(state, dice);
    let sign = |command| {
        let nonce = state.nonce(&WHO.key()) + 1;
        WHO.secret().seal(state.network(), Order { nonce, command })
    };
    let theirs = (!seen.is_empty()).then(|| dice.pick(seen).clone());
    match dice.below(6) {
        0 => theirs,
        1 => theirs.map(|mut order| {
            order.body.nonce += 1_000;
            order
        }),
        2 => theirs.map(|order| SignedOrder { author: Who::Validator(0).key(), ..order }),
        3 => theirs.map(|order| sign(order.body.command)),
        4 => {
            let outcome = Outcome::Done(Vec::new());
            Some(sign(Command::Deliver(vec![Receipt { lease, outcome }; 3])))
        }
        _ => {
            let me = Who::Validator(0).key();
            let asked = state.questions(&me).into_iter().find(|matter| matter.lease == lease);
            let duty = asked.and_then(|matter| state.duty(matter, &me));
            let receipt = duty.map_or(Digest([1; 32]), |duty| duty.id);
            let (finding, trace, salt) = (Finding::Agree, receipt, receipt);
            let verdict = Verdict { lease, receipt, finding, trace, salt };
            Some(sign(Command::Judge(vec![verdict; 2])))
        }
    }
}

fn some_lease(state: &State, dice: &mut Dice) -> LeaseId {
    let judging: Vec<LeaseId> = state.judging().collect();
    if !judging.is_empty() && dice.percent(50) {
        return *dice.pick(&judging);
    }
    let run = RunId(dice.below(4) as u32);
    let block = BlockId { run, index: dice.below(4) as u32 };
    LeaseId { block, attempt: dice.below(3) as u32 }
}
