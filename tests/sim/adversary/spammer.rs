//! Sends as much nonsense as fits: batches beyond bounds, manifests that are none, bids of absurd
//! size, cancels of what is not its own. Never sends anything that is not properly signed.

use crate::dice::Dice;
use crate::ground::{Who, submission};
use ohc::base::amount::{Ohc, Price, SUPPLY, Work};
use ohc::base::ids::{BlockId, LeaseId, RunId};
use ohc::base::limits::BATCH_MAX;
use ohc::domain::command::{Beat, Bid, Command, Order, SignedOrder};
use ohc::domain::state::State;

pub const WHO: Who = Who::Client(3);

pub fn spam(state: &State, dice: &mut Dice) -> SignedOrder {
    let run = RunId(dice.below(5) as u32);
    let lease = LeaseId { block: BlockId { run, index: dice.below(9) as u32 }, attempt: 1 };
    let price = |dice: &mut Dice| Price::new(*dice.pick(&[0, 1, 900_000, u64::MAX]));
    let command = match dice.below(8) {
        0 => Command::Heartbeat(vec![Beat { lease, step: u64::MAX }; BATCH_MAX + 1]),
        1 => Command::Heartbeat(vec![Beat { lease, step: 0 }; 40]),
        2 => {
            let text =
                *dice.pick(&["", "a: [", "apiVersion: ohc/v1alpha1\nkind: Pipeline\n", "\0"]);
            Command::Submit(Box::new(submission(text.to_owned(), Vec::new(), Ohc::ZERO)))
        }
        3 => Command::Bid(Bid {
            ask: price(dice),
            capacity: Work::new(dice.roll()),
            has: Default::default(),
        }),
        4 => Command::Cancel { run },
        5 => Command::Transfer { to: Who::Stranger(1).key(), amount: SUPPLY },
        6 => Command::Transfer { to: WHO.key(), amount: Ohc::from_nano(dice.below(1_000)) },
        _ => Command::Withdraw,
    };
    let nonce = state.nonce(&WHO.key()) + dice.between(1, 3);
    WHO.secret().seal(state.network(), Order { nonce, command })
}
