//! The cores of this machine, shared out evenly among the jobs that compute on it now.
//! Never decides a bit: how many threads a kernel has changes only how long it takes.
//!
//! A job alone on a machine has all of its cores, and leaves them one by one to those that come:
//! a kernel asks anew each time.

use super::{spare, team};
use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Threads that compute a job now.
static JOBS: AtomicUsize = AtomicUsize::new(0);
/// How many cores they may use together.
static MOST: AtomicUsize = AtomicUsize::new(usize::MAX);

thread_local! {
    static HAS_JOB: Cell<bool> = const { Cell::new(false) };
}

/// From now on the jobs of this process use so many cores together, or one each if they are more.
pub fn limit(cores: usize) {
    MOST.store(cores, Ordering::Relaxed);
}

/// The cores of this machine, asked once: to ask takes as long as much of a step of training.
pub(super) fn count() -> usize {
    static COUNT: OnceLock<usize> = OnceLock::new();
    *COUNT.get_or_init(|| thread::available_parallelism().map_or(1, std::num::NonZero::get))
}

/// How many of them a job has now: at least one.
pub(super) fn of_a_job() -> usize {
    each(count().min(MOST.load(Ordering::Relaxed)), JOBS.load(Ordering::Relaxed))
}

fn each(cores: usize, jobs: usize) -> usize {
    (cores / jobs.max(1)).max(1)
}

/// A job that this thread computes, as long as this lives. One inside another is the same job.
pub struct Seat {
    is_outer: bool,
}

impl Seat {
    /// Takes a share of the cores from those that compute already.
    #[must_use]
    pub fn take() -> Self {
        let is_outer = !HAS_JOB.replace(true);
        if is_outer {
            JOBS.fetch_add(1, Ordering::Relaxed);
        }
        Self { is_outer }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.is_outer {
            HAS_JOB.set(false);
            JOBS.fetch_sub(1, Ordering::Relaxed);
            team::dismiss();
            spare::clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_shared_out_evenly_and_nobody_has_none() {
        let shares = [(8, 0), (8, 1), (8, 2), (8, 3), (8, 8), (8, 9), (0, 1)];
        let shares = shares.map(|(cores, jobs)| each(cores, jobs));
        assert_eq!(shares, [8, 8, 4, 2, 1, 1, 1]);
    }

    #[test]
    fn a_job_inside_a_job_is_the_same_one() {
        let outer = Seat::take();
        let before = HAS_JOB.get();
        drop(Seat::take());
        assert!(before && HAS_JOB.get() && outer.is_outer);
        drop(outer);
        assert!(!HAS_JOB.get());
    }
}
