//! Claims digests that honest execution does not give, and stores bytes for them.
//! Never looks wrong in shape: only re-execution tells.

use crate::dice::Dice;
use ohc::base::canon::Digest;
use ohc::domain::receipt::Outcome;

/// Sometimes the outputs, sometimes one checkpoint in the middle.
pub fn distort(outcome: Outcome, dice: &mut Dice) -> Outcome {
    let Outcome::Done(mut claims) = outcome else { return outcome };
    let at = dice.index(claims.len());
    let claim = &mut claims[at];
    let lie = Digest::of(&dice.roll().to_le_bytes());
    if claim.segments.len() > 2 && dice.percent(50) {
        let at = 1 + dice.index(claim.segments.len() - 1);
        claim.segments[at] = lie;
    } else {
        claim.outputs[0] = lie;
    }
    Outcome::Done(claims)
}
