//! What there is of a log, in words. Never opens one.

use crate::base::time::Height;

/// How far the log of a network is here.
pub(crate) fn catching_up(here: Height, there: Option<Height>) -> String {
    match there {
        Some(there) => format!("the log of the network is here up to slot {here} of {there}"),
        None => format!("the log of the network is here up to slot {here}"),
    }
}

/// What is said where a log begins later than with its first slot.
pub(crate) fn begins_after(base: Height) -> String {
    format!(
        "the log begins after slot {base} here, with the state that the validators signed: what \
         happened before is in the state, but how it came to be is not shown"
    )
}
