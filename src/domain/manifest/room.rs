//! Room: what all stages of a manifest together may take while they are read.
//! Never counts what a text of some length cannot multiply: those bounds are of the tree.
//!
//! A manifest is read by every node before it is paid for, and a matrix of a few lines multiplies
//! whatever its stage says.

use super::diagnostic::{Faults, Place};
use super::expression;
use super::node::Node;
use crate::base::limits::JOBS_PER_RUN_MAX;

/// Values of combinations that are looked at, of all matrices.
const LOOKS_MAX: usize = 8_000_000;
/// Expressions that are evaluated for all instances.
const EVALUATIONS_MAX: usize = 1_000_000;
/// Canonical bytes of the settings of all instances, and bytes of their labels, beyond what is free
/// of each.
const BYTES_MAX: usize = 16 << 20;
/// Bytes of a label that do not count.
pub(in crate::domain) const LABEL_BYTES_FREE: usize = 64;
/// Canonical bytes of the settings of an instance that do not count: few have as many.
pub(in crate::domain) const SPEC_BYTES_FREE: usize = 256;

/// What is left.
pub(super) struct Room {
    instances: usize,
    looks: usize,
    evaluations: usize,
    bytes: usize,
}

impl Room {
    /// All of it.
    pub(super) const ALL: Self = Self {
        instances: JOBS_PER_RUN_MAX,
        looks: LOOKS_MAX,
        evaluations: EVALUATIONS_MAX,
        bytes: BYTES_MAX,
    };

    /// Takes room for the instances of a stage; `None` after a fault, as below.
    pub(super) fn instances(&mut self, at: Place, count: usize, faults: &mut Faults) -> Option<()> {
        take(&mut self.instances, count).or_else(|| {
            let message = format!("a run has at most {JOBS_PER_RUN_MAX} jobs");
            refuse(at, message, "this stage is one too many", faults)
        })
    }

    /// Takes room to look at so many values of combinations, for each of so many.
    pub(super) fn looks(
        &mut self,
        at: Place,
        (combinations, values): (usize, usize),
        faults: &mut Faults,
    ) -> Option<()> {
        take(&mut self.looks, combinations.saturating_mul(values)).or_else(|| {
            let message = "the matrices of this manifest have too many combinations and rules";
            let hint = "take fewer values or axes, or fewer of `exclude` and `include`";
            refuse(at, message.to_owned(), hint, faults)
        })
    }

    /// Takes room for the expressions in `with`, in each of so many instances. Gives how many there
    /// are in one.
    pub(super) fn evaluations(
        &mut self,
        (with, at): (&Node, Place),
        instances: usize,
        faults: &mut Faults,
    ) -> Option<usize> {
        let count = expression::count(with);
        let taken = take(&mut self.evaluations, count.saturating_mul(instances)).or_else(|| {
            let message = format!("{count} expressions in each of {instances} instances");
            let hint = format!("a manifest has at most {EVALUATIONS_MAX} in all its instances");
            refuse(at, message, &hint, faults)
        });
        taken.map(|()| count)
    }

    /// Takes room for the settings of an instance: so many canonical bytes.
    pub(super) fn settings(&mut self, at: Place, bytes: usize, faults: &mut Faults) -> Option<()> {
        self.bytes(at, bytes.saturating_sub(SPEC_BYTES_FREE), faults)
    }

    /// Takes room for the label of an instance.
    pub(super) fn label(&mut self, at: Place, label: &str, faults: &mut Faults) -> Option<()> {
        self.bytes(at, label.len().saturating_sub(LABEL_BYTES_FREE), faults)
    }

    fn bytes(&mut self, at: Place, bytes: usize, faults: &mut Faults) -> Option<()> {
        take(&mut self.bytes, bytes).or_else(|| {
            let most = BYTES_MAX >> 20;
            let message = format!("labels and settings of all instances are over {most} MiB");
            refuse(at, message, "take fewer instances, or shorter lists", faults)
        })
    }
}

fn take(left: &mut usize, count: usize) -> Option<()> {
    *left = left.checked_sub(count)?;
    Some(())
}

fn refuse(at: Place, message: String, hint: &str, faults: &mut Faults) -> Option<()> {
    faults.advise(at, message, hint.to_owned());
    None
}
