//! Memory: what a job has taken of it, and where it ends that takes more than it may.
//! Never takes or gives any itself, and knows nothing where the program's allocator does not tell.
//!
//! The allocator tells each thread's bytes to a sum of that thread, and these go to the account of
//! its job some hundred KiB at a time. A job looks at its account between two steps, or two batches
//! of rows, where it can still fail in words; before it takes much at once, it asks for the room.
//! What is counted differs a little from machine to machine (paths and threads have buffers of
//! their own), so whoever looks into such a failure holds an eighth less to be too much already.

use super::{Cause, Fault};
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// Jobs of one process that can have an account at a time; others are not held to a bound.
const ACCOUNTS: usize = 512;
/// Bytes that a thread takes or gives back before its account is told.
const TOLD_AT: i64 = 256 * 1024;

/// The account of a job.
struct Account {
    is_open: AtomicBool,
    now: AtomicI64,
    most: AtomicI64,
    bound: AtomicI64,
    /// The bound as it was asked for, which the words of a failure name.
    said: AtomicI64,
}

#[expect(clippy::declare_interior_mutable_const, reason = "an array is made of it, once")]
const CLOSED: Account = Account {
    is_open: AtomicBool::new(false),
    now: AtomicI64::new(0),
    most: AtomicI64::new(0),
    bound: AtomicI64::new(0),
    said: AtomicI64::new(0),
};
static ACCOUNT: [Account; ACCOUNTS] = [CLOSED; ACCOUNTS];

/// No account.
const NONE: usize = usize::MAX;

thread_local! {
    /// The account of the job that this thread works for.
    static OWN: Cell<usize> = const { Cell::new(NONE) };
    /// Bytes taken, less those given back, of which the account was not told yet.
    static UNTOLD: Cell<i64> = const { Cell::new(0) };
}

/// So many bytes were taken, or given back where they are below 0. For the allocator.
#[inline]
pub fn count(bytes: i64) {
    UNTOLD.with(|untold| {
        let sum = untold.get().wrapping_add(bytes);
        untold.set(sum);
        if sum.unsigned_abs() >= TOLD_AT.unsigned_abs() {
            tell();
        }
    });
}

#[cold]
fn tell() {
    let bytes = UNTOLD.replace(0);
    if let Some(account) = ACCOUNT.get(OWN.get()) {
        let now = account.now.fetch_add(bytes, Ordering::Relaxed).wrapping_add(bytes);
        account.most.fetch_max(now, Ordering::Relaxed);
    }
}

/// How much a job may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound(u64);

impl Bound {
    /// So many bytes at a time, the inputs among them.
    #[must_use]
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Runs a job on this thread, which begins with inputs of so many bytes.
    pub fn hold<T, E: From<Fault>>(
        self,
        inputs: u64,
        run: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        self.hold_at(self.0, inputs, run)
    }

    /// The same where an eighth less is too much already: for whoever looks into a failure.
    pub fn hold_tighter<T, E: From<Fault>>(
        self,
        inputs: u64,
        run: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        self.hold_at(self.0 - self.0 / 8, inputs, run)
    }

    fn hold_at<T, E: From<Fault>>(
        self,
        bound: u64,
        inputs: u64,
        run: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let _open = Open::new(signed(bound), signed(self.0), signed(inputs));
        room(0)?;
        let done = run()?;
        check()?;
        Ok(done)
    }
}

fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// An account as long as its job runs, on the thread that it runs on.
struct Open(usize, PhantomData<*const ()>);

impl Open {
    fn new(bound: i64, said: i64, inputs: i64) -> Self {
        UNTOLD.set(0);
        let free = ACCOUNT.iter().position(|account| {
            account
                .is_open
                .compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        });
        let own = free.unwrap_or(NONE);
        if let Some(account) = ACCOUNT.get(own) {
            account.now.store(inputs, Ordering::Relaxed);
            account.most.store(inputs, Ordering::Relaxed);
            account.bound.store(bound, Ordering::Relaxed);
            account.said.store(said, Ordering::Relaxed);
        }
        OWN.set(own);
        Self(own, PhantomData)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        OWN.set(NONE);
        if let Some(account) = ACCOUNT.get(self.0) {
            account.is_open.store(false, Ordering::Release);
        }
    }
}

/// Lends the job of this thread bytes while it wants them. They are on its account as long, whoever
/// took them: a part of them may come from another thread, of which no account knows.
pub fn lend<T, E>(
    fetch: impl FnOnce() -> Result<Vec<u8>, E>,
    want: impl FnOnce(&[u8]) -> T,
) -> Result<T, E> {
    let bytes = uncounted(fetch)?;
    let taken = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    count(taken);
    let done = want(&bytes);
    count(-taken);
    uncounted(|| drop(bytes));
    Ok(done)
}

/// Does something for which the account of this thread's job is not told.
fn uncounted<T>(work: impl FnOnce() -> T) -> T {
    tell();
    let own = OWN.replace(NONE);
    let done = work();
    UNTOLD.set(0);
    OWN.set(own);
    done
}

/// The account of this thread's job, for a helper that works for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Own(usize);

impl Own {
    pub(super) const NOBODY: Self = Self(NONE);

    pub(super) fn of_this_thread() -> Self {
        Self(OWN.get())
    }

    /// Does some work on this thread, and tells the account what it took.
    pub(super) fn serve<T>(self, work: impl FnOnce() -> T) -> T {
        // Also where a part before ended in a panic.
        OWN.set(self.0);
        if self.0 == NONE {
            return work();
        }
        UNTOLD.set(0);
        let done = work();
        tell();
        OWN.set(NONE);
        done
    }
}

/// Fails where the job of this thread has taken more than it may at any time so far.
pub(super) fn check() -> Result<(), Fault> {
    let Some(account) = ACCOUNT.get(OWN.get()) else { return Ok(()) };
    tell();
    if account.most.load(Ordering::Relaxed) > account.bound.load(Ordering::Relaxed) {
        return Err(too_much(account));
    }
    Ok(())
}

/// Fails where so many bytes more would be more than the job of this thread may take.
pub(super) fn room(bytes: usize) -> Result<(), Fault> {
    check()?;
    let Some(account) = ACCOUNT.get(OWN.get()) else { return Ok(()) };
    let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
    let then = account.now.load(Ordering::Relaxed).saturating_add(bytes);
    if then > account.bound.load(Ordering::Relaxed) {
        return Err(too_much(account));
    }
    Ok(())
}

fn too_much(account: &Account) -> Fault {
    let mib = account.said.load(Ordering::Relaxed) >> 20;
    let fault = Fault::new(
        format!("the job needs more than its {mib} MiB of memory"),
        "raise the upper end of `resources.memory`, or let it take less at a time: smaller \
         batches (`batch`, `accumulate`), fewer rows or columns",
    );
    Fault { cause: Cause::Memory, ..fault }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn fails(bound: Bound, bytes: i64) -> bool {
        let held = bound.hold(MIB, || {
            count(bytes);
            count(-bytes);
            check()
        });
        if let Err(fault) = &held {
            assert_eq!(fault.message, format!("the job needs more than its {} MiB of memory", 8));
            assert_eq!(fault.cause, Cause::Memory);
        }
        held.is_err()
    }

    #[test]
    fn the_most_that_was_taken_at_a_time_counts_with_the_inputs() {
        let bound = Bound::new(8 * MIB);
        assert!(!fails(bound, 6 << 20));
        assert!(fails(bound, 8 << 20));
        // Not the sum of all that was taken.
        let again: Result<(), Fault> = bound.hold(MIB, || {
            for _ in 0..100 {
                count(1 << 20);
                count(-(1 << 20));
                check()?;
            }
            Ok(())
        });
        assert_eq!(again, Ok(()));
        // Inputs alone may be too many.
        assert!(bound.hold(9 * MIB, || Ok::<_, Fault>(())).is_err());
    }

    #[test]
    fn much_at_once_is_refused_before_it_is_taken_and_nobody_is_held_outside_of_a_job() {
        let bound = Bound::new(8 * MIB);
        assert!(bound.hold(MIB, || room(6 << 20)).is_ok());
        assert!(bound.hold(MIB, || room(8 << 20)).is_err());
        assert!(bound.hold(MIB, || room(usize::MAX)).is_err());
        count(1 << 40);
        assert_eq!((check(), room(usize::MAX)), (Ok(()), Ok(())));
        count(-(1 << 40));
    }

    #[test]
    fn whoever_looks_into_a_failure_finds_it_though_it_counts_a_little_less() {
        let bound = Bound::new(8 * MIB);
        let run = |bytes| {
            move || {
                count(bytes);
                count(-bytes);
                check()
            }
        };
        let of = |mib: i64| (mib << 20) - (4 << 10);
        assert!(bound.hold(0, run(of(8))).is_ok());
        let fault = bound.hold_tighter(0, run(of(8))).unwrap_err();
        assert_eq!(fault, bound.hold(0, run(of(9))).unwrap_err(), "in the same words");
        assert!(bound.hold_tighter(0, run(of(7))).is_ok());
    }

    #[test]
    fn what_is_lent_counts_while_it_is_wanted_and_not_how_it_was_fetched() {
        let lent = |bytes: usize, beside: i64| {
            Bound::new(8 * MIB).hold(0, || {
                count(beside);
                // Something else on the way, as of a thread that is not counted.
                let fetch = || {
                    count(100 << 20);
                    Ok::<_, Fault>(vec![0; bytes])
                };
                lend(fetch, |bytes| bytes.len())?;
                count(-beside);
                check()
            })
        };
        assert_eq!(lent(4 << 20, 3 << 20), Ok(()));
        assert_eq!(lent(4 << 20, 5 << 20).unwrap_err().cause, Cause::Memory);
        assert_eq!(lend(|| Err::<Vec<u8>, _>(7), |_| ()), Err(7));
    }

    #[test]
    fn helpers_take_from_the_account_of_the_job() {
        let held = Bound::new(8 * MIB).hold(0, || {
            let own = Own::of_this_thread();
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    scope.spawn(move || own.serve(|| count(3 << 20)));
                }
            });
            check()
        });
        assert!(held.is_err());
        // One job's account is not another's.
        std::thread::scope(|scope| {
            for mib in [1, 9] {
                scope.spawn(move || assert_eq!(fails(Bound::new(8 * MIB), mib << 20), mib > 7));
            }
        });
    }
}
