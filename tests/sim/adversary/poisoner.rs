//! Trains honestly and delivers other weights in the end, to gain by what they do.
//! Never touches a checkpoint: only the last segment shows it.

use crate::dice::Dice;
use ohc::base::canon::Digest;
use ohc::domain::receipt::Outcome;

pub fn distort(outcome: Outcome, dice: &mut Dice) -> Outcome {
    let Outcome::Done(mut claims) = outcome else { return outcome };
    for claim in claims.iter_mut().filter(|claim| claim.segments.len() > 2) {
        claim.outputs[0] = Digest::of(&dice.roll().to_le_bytes());
    }
    Outcome::Done(claims)
}
