//! Threads that stand by: work in parts, handed over in less than a microsecond.
//! Never decides a bit: who does which part, and in which order, is left to chance.
//!
//! A step of training has some hundred stretches of work, many of 20 µs. Starting a thread, or
//! waking one that sleeps, takes longer than that. So the helpers of a thread look for its next
//! work for a while before they sleep; one that is late finds the work done and nobody waits for
//! it. There are never more at work than the machine has cores.
#![expect(unsafe_code, reason = "helpers borrow work for as long as its owner waits for them")]

use super::cores;
use crate::compute::memory::Own;
use std::any::Any;
use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

/// How often a helper looks for work before it sleeps: some 100 µs.
const LOOKS: u32 = 10_000;
/// How often the owner looks whether helpers are done before it lets others have its core.
const PATIENCE: u32 = 10_000;

/// Work is there, and helpers may begin with it.
const OPEN: usize = 1;
/// The owner is gone.
const OVER: usize = 2;
/// One helper that has begun.
const ONE: usize = 4;

thread_local! {
    /// The helpers of this thread, from its first work in parts on.
    static TEAM: RefCell<Team> = const { RefCell::new(Team::NONE) };
}

/// Does every part, on up to `threads` threads, of which this is one.
pub(super) fn share<T: Send>(threads: usize, parts: Vec<T>, run: impl Fn(T) + Sync) {
    if threads <= 1 || parts.len() <= 1 {
        return parts.into_iter().for_each(run);
    }
    let parts: Vec<_> = parts.into_iter().map(|part| Mutex::new(Some(part))).collect();
    each(threads, parts.len(), &|i| {
        let part = parts.get(i).map(|part| locked(part));
        if let Some(part) = part.and_then(|mut part| part.take()) {
            run(part);
        }
    });
}

/// This thread needs its helpers no more.
pub(super) fn dismiss() {
    TEAM.with(|team| team.try_borrow_mut().map(|mut team| *team = Team::NONE).unwrap_or_default());
}

/// Calls `run` with every number below `count`, on up to `threads` threads.
fn each(threads: usize, count: usize, run: &(dyn Fn(usize) + Sync)) {
    TEAM.with(|team| match team.try_borrow_mut() {
        Ok(mut team) => team.each(threads.min(count), count, run),
        // A part that has parts itself does them alone.
        Err(_) => (0..count).for_each(run),
    });
}

/// The helpers of one thread.
struct Team {
    desk: Option<Arc<Desk>>,
    helpers: Vec<Helper>,
}

struct Helper {
    thread: Thread,
    asleep: Arc<AtomicBool>,
}

impl Team {
    const NONE: Self = Self { desk: None, helpers: Vec::new() };

    fn each(&mut self, threads: usize, count: usize, run: &(dyn Fn(usize) + Sync)) {
        let desk = Arc::clone(self.desk.get_or_insert_default());
        let helpers = self.hire(&desk, threads.saturating_sub(1));
        if helpers.is_empty() {
            return (0..count).for_each(run);
        }
        // SAFETY: the lifetime of the borrow is all that changes. No helper reads it but between
        // its entry in `state`, which it can only make while the desk is open, and its leaving;
        // `close` waits below until all have left, also where this thread's own part panics.
        let run: &'static (dyn Fn(usize) + Sync) = unsafe { std::mem::transmute(run) };
        desk.open(Task { run, count, own: Own::of_this_thread() });
        for helper in helpers {
            helper.wake();
        }
        let own = catch_unwind(AssertUnwindSafe(|| {
            desk.work(Task { run, count, own: Own::NOBODY });
        }));
        desk.close();
        let theirs = locked(&desk.panic).take();
        if let Some(panic) = own.err().or(theirs) {
            resume_unwind(panic);
        }
    }

    /// So many helpers, fewer where the machine has not as many cores or gives no more threads.
    fn hire(&mut self, desk: &Arc<Desk>, wanted: usize) -> &[Helper] {
        if self.helpers.len() < wanted {
            let wanted = wanted.min(cores::count().saturating_sub(1));
            while self.helpers.len() < wanted {
                let Some(helper) = Helper::new(Arc::clone(desk)) else { break };
                self.helpers.push(helper);
            }
        }
        self.helpers.get(..wanted).unwrap_or(&self.helpers)
    }
}

impl Drop for Team {
    fn drop(&mut self) {
        if let Some(desk) = &self.desk {
            desk.state.store(OVER, Ordering::SeqCst);
        }
        self.helpers.iter().for_each(Helper::wake);
    }
}

impl Helper {
    fn new(desk: Arc<Desk>) -> Option<Self> {
        let asleep = Arc::new(AtomicBool::new(false));
        let (own, name) = (Arc::clone(&asleep), "ohc-kernel".to_owned());
        let started = thread::Builder::new().name(name).spawn(move || help(&desk, &own));
        started.ok().map(|handle| Self { thread: handle.thread().clone(), asleep })
    }

    fn wake(&self) {
        if self.asleep.swap(false, Ordering::SeqCst) {
            self.thread.unpark();
        }
    }
}

/// Nothing panics while it is held.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a helper does all its life.
fn help(desk: &Desk, asleep: &AtomicBool) {
    // The task that it did last: it is not done twice.
    let mut done = 0;
    loop {
        match desk.enter(done) {
            Entry::Over => return,
            Entry::Work(task, number) => {
                done = number;
                if let Err(panic) =
                    catch_unwind(AssertUnwindSafe(|| task.own.serve(|| desk.work(task))))
                {
                    *locked(&desk.panic) = Some(panic);
                }
                desk.leave();
            }
            Entry::Nothing => {
                asleep.store(true, Ordering::SeqCst);
                // What was opened before this was seen is not missed.
                if !desk.has_news(done) {
                    thread::park();
                }
                asleep.store(false, Ordering::SeqCst);
            }
        }
    }
}

/// Work in parts.
#[derive(Clone, Copy)]
struct Task {
    run: &'static (dyn Fn(usize) + Sync),
    count: usize,
    /// Of whose memory a helper takes.
    own: Own,
}

enum Entry {
    Work(Task, usize),
    Nothing,
    Over,
}

/// Where the owner of a team leaves work.
#[derive(Default)]
struct Desk {
    /// [`OPEN`] or not, or [`OVER`]; and how many helpers are at work.
    state: AtomicUsize,
    /// Counts the tasks.
    number: AtomicUsize,
    /// The next part that nobody has begun.
    next: AtomicUsize,
    task: Mutex<Option<Task>>,
    /// What a helper's part panicked with.
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

impl Desk {
    /// Puts a task on the desk; by the owner, where it is closed.
    fn open(&self, task: Task) {
        debug_assert_eq!(self.state.load(Ordering::SeqCst), 0, "it is closed");
        *locked(&self.task) = Some(task);
        self.next.store(0, Ordering::Relaxed);
        self.number.fetch_add(1, Ordering::Relaxed);
        self.state.store(OPEN, Ordering::SeqCst);
    }

    /// Lets nobody begin any more, and waits for those who have.
    fn close(&self) {
        self.state.fetch_and(!OPEN, Ordering::SeqCst);
        let mut looks = 0;
        while self.state.load(Ordering::Acquire) != 0 {
            if looks < PATIENCE {
                looks += 1;
                std::hint::spin_loop();
            } else {
                thread::yield_now();
            }
        }
    }

    /// Begins with a task other than the last one, if there is one within a while.
    fn enter(&self, done: usize) -> Entry {
        for _ in 0..LOOKS {
            let state = self.state.load(Ordering::Acquire);
            if state == OVER {
                return Entry::Over;
            }
            if state & OPEN != 0 && self.number.load(Ordering::Relaxed) != done {
                let (order, fails) = (Ordering::AcqRel, Ordering::Relaxed);
                if self.state.compare_exchange(state, state + ONE, order, fails).is_ok() {
                    // The desk was open when this helper entered, so that the owner wrote the task
                    // before, and writes no other until this helper has left.
                    let number = self.number.load(Ordering::Relaxed);
                    if let Some(task) = *locked(&self.task) {
                        return Entry::Work(task, number);
                    }
                    self.leave();
                }
            }
            std::hint::spin_loop();
        }
        Entry::Nothing
    }

    fn leave(&self) {
        self.state.fetch_sub(ONE, Ordering::Release);
    }

    fn has_news(&self, done: usize) -> bool {
        let state = self.state.load(Ordering::SeqCst);
        state == OVER || (state & OPEN != 0 && self.number.load(Ordering::SeqCst) != done)
    }

    /// Does parts until none is left.
    fn work(&self, task: Task) {
        loop {
            let part = self.next.fetch_add(1, Ordering::Relaxed);
            if part >= task.count {
                return;
            }
            (task.run)(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn every_part_is_done_once_and_before_share_returns() {
        for round in 0..3_000_u64 {
            let mut numbers = vec![0; 1 + round as usize % 9];
            share(4, numbers.iter_mut().collect(), |number: &mut u64| *number += round);
            assert!(numbers.iter().all(|number| *number == round), "{round} {numbers:?}");
        }
    }

    #[test]
    fn helpers_that_sleep_are_woken() {
        let sum = AtomicU64::new(0);
        for round in 0..20 {
            thread::sleep(std::time::Duration::from_millis(2));
            share(2, (0..10).collect(), |number: u64| {
                sum.fetch_add(number, Ordering::Relaxed);
            });
            assert_eq!(sum.load(Ordering::Relaxed), 45 * (round + 1));
        }
    }

    #[test]
    fn parts_may_have_parts() {
        let sum = AtomicU64::new(0);
        share(3, vec![1_u64, 2, 3], |number| {
            share(3, vec![number, number], |number| {
                sum.fetch_add(number, Ordering::Relaxed);
            });
        });
        assert_eq!(sum.into_inner(), 12);
    }

    #[test]
    fn threads_have_teams_of_their_own() {
        thread::scope(|scope| {
            for first in 0..8_u64 {
                scope.spawn(move || {
                    for _ in 0..200 {
                        let mut numbers: Vec<u64> = (first..first + 8).collect();
                        share(2, numbers.iter_mut().collect(), |number: &mut u64| *number *= 2);
                        assert_eq!(numbers.iter().sum::<u64>(), 16 * first + 56);
                    }
                });
            }
        });
    }

    #[test]
    fn a_panic_of_any_part_comes_out_and_the_team_goes_on() {
        for round in 0..50 {
            let panicked = catch_unwind(|| {
                share(2, (0..6).collect(), |part: i32| {
                    // Not `panic!`, which would write of it.
                    if part == round % 6 {
                        resume_unwind(Box::new(part));
                    }
                });
            });
            let what = panicked.unwrap_err();
            assert_eq!(what.downcast_ref::<i32>(), Some(&(round % 6)));
            let mut numbers = [1; 5];
            share(2, numbers.iter_mut().collect(), |number: &mut i32| *number += 1);
            assert_eq!(numbers, [2; 5]);
        }
    }
}
