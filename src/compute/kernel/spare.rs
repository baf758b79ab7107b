//! Space for results: what is not needed any more is used for the next result that is as long.
//! Never says what is in it: whoever takes some writes all of it.
//!
//! A step of training makes the same results as the one before. Zeros that are overwritten at once,
//! and pages that the allocator gave back to the system meanwhile, were a fifth of its time.

use std::cell::RefCell;
use std::collections::BTreeMap;

/// What is shorter is quick to be had of the allocator.
const WORTH: usize = 1 << 10;

thread_local! {
    static SPARE: RefCell<Spare> = const { RefCell::new(Spare::NONE) };
}

struct Spare {
    /// What came back, the last at the end.
    pieces: Vec<Vec<f32>>,
    /// Of each length, how many were taken and have not come back: no more than these are kept.
    /// What comes from elsewhere would never be taken.
    taken: BTreeMap<usize, usize>,
    /// Numbers in `pieces`, in what is taken, and the most that ever were taken at a time.
    kept: usize,
    out: usize,
    most: usize,
}

impl Spare {
    const NONE: Self =
        Self { pieces: Vec::new(), taken: BTreeMap::new(), kept: 0, out: 0, most: 0 };

    /// A piece of this length, if there is one.
    fn take(&mut self, len: usize) -> Option<Vec<f32>> {
        *self.taken.entry(len).or_default() += 1;
        self.out += len;
        self.most = self.most.max(self.out);
        let at = self.pieces.iter().rposition(|values| values.len() == len);
        let found = at.map(|at| self.pieces.remove(at));
        self.kept -= found.as_ref().map_or(0, Vec::len);
        self.bound();
        found
    }

    fn leave(&mut self, values: Vec<f32>) {
        if let Some(count @ 1..) = self.taken.get_mut(&values.len()) {
            *count -= 1;
            self.out -= values.len();
            self.kept += values.len();
            self.pieces.push(values);
            self.bound();
        }
    }

    /// Gives up what came back longest ago, until there is hardly more than was needed at a time.
    /// An eighth more lets a step that is like the one before find all it needs.
    fn bound(&mut self) {
        let bound = self.most + self.most / 8;
        let mut beyond = (self.kept + self.out).saturating_sub(bound);
        let over = self.pieces.iter().take_while(|values| {
            let is_beyond = beyond > 0;
            beyond = beyond.saturating_sub(values.len());
            is_beyond
        });
        let over = over.count();
        self.kept -= self.pieces.drain(..over).map(|values| values.len()).sum::<usize>();
    }
}

/// So many numbers, whatever they are.
#[must_use]
pub fn take(len: usize) -> Vec<f32> {
    let found = SPARE.with_borrow_mut(|spare| if len < WORTH { None } else { spare.take(len) });
    let mut values = found.unwrap_or_else(|| vec![0.0; len]);
    if cfg!(debug_assertions) {
        // Whoever reads what it did not write finds out.
        values.fill(f32::NAN);
    }
    values
}

/// Nobody needs these numbers any more.
pub fn leave(values: Vec<f32>) {
    SPARE.with_borrow_mut(|spare| spare.leave(values));
}

/// Gives the allocator back what this thread has.
pub fn clear() {
    SPARE.with_borrow_mut(|spare| *spare = Spare::NONE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_is_taken_again_by_what_is_as_long() {
        clear();
        let (values, longer) = (take(WORTH), take(WORTH + 1));
        let at = values.as_ptr();
        leave(values);
        leave(longer);
        let again = take(WORTH);
        assert_eq!((again.as_ptr(), again.len()), (at, WORTH));
        let other = take(WORTH);
        assert_ne!(other.as_ptr(), at, "once");
        leave(again);
        clear();
        assert!(SPARE.with_borrow(|spare| spare.pieces.is_empty()));
    }

    #[test]
    fn many_lengths_take_no_more_than_one_at_a_time() {
        clear();
        for len in WORTH..2 * WORTH {
            leave(take(len));
            let (pieces, kept) = SPARE.with_borrow(|spare| (spare.pieces.len(), spare.kept));
            assert_eq!((pieces, kept), (1, len));
        }
        clear();
    }

    #[test]
    fn no_more_is_kept_than_was_taken() {
        clear();
        let pieces = || SPARE.with_borrow(|spare| spare.pieces.len());
        let values = take(WORTH);
        leave(vec![0.0; 2 * WORTH]);
        assert_eq!(pieces(), 0);
        leave(values);
        leave(vec![0.0; WORTH]);
        assert_eq!(pieces(), 1);
        clear();
    }
}
