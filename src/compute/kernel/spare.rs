//! Space for results: what is not needed any more is used for the next result that is as long.
//! Never says what is in it: whoever takes some writes all of it.
//!
//! A step of training makes the same results as the one before. Zeros that are overwritten at once,
//! and pages that the allocator gave back to the system meanwhile, were a fifth of its time.

use std::cell::RefCell;

/// What is shorter is quick to be had of the allocator.
const WORTH: usize = 1 << 10;

thread_local! {
    static SPARE: RefCell<Spare> = const { RefCell::new(Spare::NONE) };
}

struct Spare {
    pieces: Vec<Vec<f32>>,
    /// Of each length, how many were taken and have not come back: no more than these are kept.
    /// What comes from elsewhere would never be taken.
    taken: Vec<(usize, usize)>,
}

impl Spare {
    const NONE: Self = Self { pieces: Vec::new(), taken: Vec::new() };

    fn taken(&mut self, len: usize) -> Option<&mut usize> {
        self.taken.iter_mut().find(|(of, _)| *of == len).map(|(_, count)| count)
    }
}

/// So many numbers, whatever they are.
#[must_use]
pub fn take(len: usize) -> Vec<f32> {
    let found = SPARE.with_borrow_mut(|spare| {
        if len < WORTH {
            return None;
        }
        match spare.taken(len) {
            Some(count) => *count += 1,
            None => spare.taken.push((len, 1)),
        }
        let at = spare.pieces.iter().rposition(|values| values.len() == len)?;
        Some(spare.pieces.remove(at))
    });
    let mut values = found.unwrap_or_else(|| vec![0.0; len]);
    if cfg!(debug_assertions) {
        // Whoever reads what it did not write finds out.
        values.fill(f32::NAN);
    }
    values
}

/// Nobody needs these numbers any more.
pub fn leave(values: Vec<f32>) {
    SPARE.with_borrow_mut(|spare| {
        if let Some(count @ 1..) = spare.taken(values.len()) {
            *count -= 1;
            spare.pieces.push(values);
        }
    });
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
        let values = take(WORTH);
        let at = values.as_ptr();
        leave(values);
        let longer = take(WORTH + 1);
        assert_ne!(longer.as_ptr(), at);
        let again = take(WORTH);
        assert_eq!((again.as_ptr(), again.len()), (at, WORTH));
        let other = take(WORTH);
        assert_ne!(other.as_ptr(), at, "once");
        leave(again);
        clear();
        assert!(SPARE.with_borrow(|spare| spare.pieces.is_empty()));
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
