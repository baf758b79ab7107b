//! What there is of a log, in words. Never opens one.

use crate::base::time::Height;
use crate::node::follow::LongAgo;
use crate::node::snapshot::Found;
use std::path::Path;

/// How far the log of a network is here.
pub(crate) fn catching_up(here: Height, there: Option<Height>) -> String {
    match there {
        Some(there) => format!("the log of the network is here up to slot {here} of {there}"),
        None => format!("the log of the network is here up to slot {here}"),
    }
}

/// What is said where nobody has answered for a while.
pub(crate) fn waiting_for_network(at: &str) -> String {
    format!("waiting for the network at {at}: nobody has answered yet")
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

/// What a crash left, and was taken away.
pub(crate) fn recovered(bytes: u64, path: &Path) -> String {
    let path = path.display();
    format!(
        "note: a crash interrupted the last write; {bytes} unfinished bytes were cut off {path}"
    )
}

/// Why the start took longer than it need have; nothing if it did not.
pub(crate) fn ignored(snapshot: &Found) -> Option<String> {
    let Found::Ignored { path, why } = snapshot else { return None };
    let path = path.display();
    Some(format!(
        "note: the snapshot {path} is ignored: {why}; the whole log was folded instead, and you \
         may delete the file"
    ))
}
