//! How long a job keeps a core: a guess from its size.
//! Never sees money: what is paid follows from units of work alone, which are the same for all.
//!
//! Four things take time: what is multiplied, cells that are looked at one by one, bytes that are
//! hashed, written and read back, and the beginning of each step of a training, however small it
//! is. The paces are guessed from jobs like those of `manifests/` on a processor with AVX-512 that
//! did other things too: docs/benchmarks.md has no row for them.

use crate::domain::cost::Size;
use crate::domain::job::Spec;

/// What a core does: at its best or as a rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Operations of matrices in a microsecond: what `ohc bench train` measures.
    products: u64,
    /// Operations on cells in a microsecond.
    cells: u64,
    /// Bytes in a microsecond, in and out.
    bytes: u64,
    /// A step of a training, in nanoseconds.
    step: u64,
}

/// Nothing waits, and everything is in the caches.
pub(super) const BEST: Pace = Pace { products: 150_000, cells: 2_000, bytes: 1_000, step: 5_000 };
/// As a rule.
pub(super) const LIKELY: Pace = Pace { products: 37_500, cells: 500, bytes: 330, step: 12_000 };

impl Pace {
    /// Microseconds of a job.
    pub(super) const fn of(self, spec: &Spec, size: &Size) -> u64 {
        let flop = match spec {
            Spec::Train(_) | Spec::Embed(_) | Spec::Generate(_) | Spec::Perplexity(_) => {
                size.flop.div_ceil(self.products)
            }
            // Rows are few at a time there, and raw ones are brought to the model first.
            Spec::Evaluate(_) | Spec::Predict(_) => size.flop.div_ceil(self.products / 4),
            _ => size.flop.div_ceil(self.cells),
        };
        let bytes = size.bytes_in.saturating_add(size.bytes_out).div_ceil(self.bytes);
        let steps = size.steps.saturating_mul(self.step) / 1_000;
        flop.saturating_add(bytes).saturating_add(steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job::{Ingest, Noop, Reading};

    #[test]
    fn what_keeps_a_core_is_more_than_what_is_multiplied() {
        let check = |spec: Spec, size: Size, best: u64, likely: u64| {
            assert_eq!((BEST.of(&spec, &size), LIKELY.of(&spec, &size)), (best, likely));
        };
        let noop = Spec::Noop(Noop { tag: 1 });
        check(noop.clone(), Size::default(), 0, 0);
        let moved = Size { bytes_in: 30_000_000, bytes_out: 3_000_000, ..Size::default() };
        check(noop, moved, 33_000, 100_000);
        // A million rows of 28 bytes are read in a second or less, not in a twentieth of it.
        let read = Size { flop: 28_000_000, bytes_in: 28_000_000, bytes_out: 48_000_000, ..moved };
        let ingest = Spec::Ingest(Ingest::unpinned(Reading::csv()));
        check(ingest, read, 14_000 + 76_000, 56_000 + 230_304);
    }
}
