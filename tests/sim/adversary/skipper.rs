//! Skips some segments of a training and goes on honestly from a state that nobody computed.
//! Never skips a job of one segment: that would be garbage.

use crate::dice::Dice;
use crate::labour;
use ohc::base::canon::Digest;
use ohc::domain::receipt::Outcome;
use ohc::domain::state::Assignment;
use std::collections::BTreeSet;

pub fn distort(outcome: Outcome, assignment: &Assignment, skips: u8, dice: &mut Dice) -> Outcome {
    let Outcome::Done(mut claims) = outcome else { return outcome };
    for (claim, task) in claims.iter_mut().zip(&assignment.tasks) {
        let count = claim.segments.len().saturating_sub(1);
        if count < usize::from(skips) || count < 2 {
            continue;
        }
        let mut skipped = BTreeSet::new();
        while skipped.len() < usize::from(skips) {
            skipped.insert(dice.index(count));
        }
        for at in 0..count {
            claim.segments[at + 1] = match skipped.contains(&at) {
                true => Digest::of(&dice.roll().to_le_bytes()),
                false => labour::after(claim.segments[at]),
            };
        }
        claim.outputs = labour::outputs(&task.spec, claim.segments[count]);
    }
    Outcome::Done(claims)
}
