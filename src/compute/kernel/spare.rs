//! Space for results: what is not needed any more is used for the next result that is as long.
//! Never says what is in it: whoever takes some writes all of it.
//!
//! A step of training makes the same results as the one before. Zeros that are overwritten at once,
//! and pages that the allocator gave back to the system meanwhile, were a fifth of its time.

use std::cell::RefCell;

/// What is shorter is quick to be had of the allocator.
const WORTH: usize = 1 << 10;
/// So many pieces are kept at the most.
const PIECES_MAX: usize = 1 << 10;

thread_local! {
    static SPARE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// So many numbers, whatever they are.
#[must_use]
pub fn take(len: usize) -> Vec<f32> {
    let found = SPARE.with_borrow_mut(|spare| {
        let at = spare.iter().rposition(|values| values.len() == len)?;
        Some(spare.remove(at))
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
    if values.len() >= WORTH {
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < PIECES_MAX {
                spare.push(values);
            }
        });
    }
}

/// Gives the allocator back what this thread has.
pub fn clear() {
    SPARE.take();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_is_taken_again_by_what_is_as_long() {
        clear();
        let values = vec![1.0; WORTH];
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
        assert!(SPARE.with_borrow(Vec::is_empty));
    }
}
