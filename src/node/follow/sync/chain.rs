//! Chains: the heads of all slots from one on up to a checkpoint. Each names the one before, so
//! that what leads to the checkpoint is certain, whoever gave it and whoever has signed it. Never
//! keeps the slots: they are had again, from anybody.

use super::{ANSWERS_MAX, Asker, Miss, Missed};
use crate::base::canon::{Canonical as _, Digest};
use crate::base::keys::PublicKey;
use crate::base::limits::WIRE_BYTES_MAX;
use crate::base::time::Height;
use crate::domain::milestone::Checkpoint;
use crate::domain::slot::Head;
use crate::node::wire::{Answer, Ask};

/// Slots of a chain: 32 MiB of digests.
const CHAIN_MAX: u64 = 1 << 20;

/// The digests of the heads that follow a slot, up to a checkpoint, from one who has all of them.
pub(super) fn chain(
    ask: Asker<'_>,
    peer: Option<&PublicKey>,
    (from, first): (Height, Digest),
    to: Checkpoint,
) -> Result<Vec<Digest>, Miss> {
    if to.height.0.saturating_sub(from.0) > CHAIN_MAX {
        return Err(Miss::Nothing);
    }
    let (mut next, mut parent, mut is_ours) = (from.next(), first, true);
    let (mut pins, mut answers, mut bytes) = (Vec::new(), 0, 0);
    while next <= to.height {
        let slots = match ask(peer, Ask::Slots { from: next }) {
            Some(Answer::Slots { slots, .. }) if !slots.is_empty() => slots,
            Some(Answer::Slots { .. } | Answer::Pruned { .. }) => return Err(Miss::Nothing),
            Some(_) => return Err(Miss::Lie),
            None => return Err(Miss::Silent),
        };
        // Two answers together are as long as one may be: who gives less has us wait.
        answers += 1;
        bytes += slots.iter().map(Vec::len).sum::<usize>();
        if answers > ANSWERS_MAX + bytes / (WIRE_BYTES_MAX / 4) {
            return Err(Miss::Lie);
        }
        for slot in slots {
            if next > to.height {
                break;
            }
            let head = Head::of_bytes(&slot).filter(|head| head.height == next).ok_or(Miss::Lie)?;
            match head.parent == parent {
                true => {}
                // Where theirs leads to the checkpoint, ours does not.
                false if pins.is_empty() => is_ours = false,
                false => return Err(Miss::Lie),
            }
            parent = head.digest();
            pins.push(parent);
            next = next.next();
        }
    }
    match parent == to.head {
        true if is_ours => Ok(pins),
        true => Err(Miss::Missed(Missed::Ours)),
        false => Err(Miss::Missed(Missed::Theirs(Some(parent)))),
    }
}
