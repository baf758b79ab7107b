//! What there is of a log, in words. Never opens one.

use crate::base::time::Height;
use crate::node::follow::LongAgo;

/// How far the log of a network is here.
pub(crate) fn catching_up(here: Height, there: Option<Height>) -> String {
    match there {
        Some(there) => format!("the log of the network is here up to slot {here} of {there}"),
        None => format!("the log of the network is here up to slot {here}"),
    }
}

/// What is said where who is believed may have left long ago.
pub(crate) fn long_ago(LongAgo { since }: LongAgo) -> String {
    let (who, since) = match since {
        Height(0) => ("those of its genesis".to_owned(), "the network began".to_owned()),
        since => (format!("those after slot {since}"), "then".to_owned()),
    };
    format!(
        "note: this log rests on the validators that it was joined with, {who}, and they have \
         changed since {since}, longer ago than stakes are locked: who left could sign another \
         history and lose nothing. Compare what `ohc network checkpoint` prints with somebody \
         you trust"
    )
}

/// What is said where a log begins later than with its first slot.
pub(crate) fn begins_after(base: Height) -> String {
    format!(
        "the log begins after slot {base} here, with the state that the validators signed: what \
         happened before is in the state, but how it came to be is not shown"
    )
}
