//! A crew: the threads of one worker, and what each has to do. Never decides what that is: it has
//! been leased.
//!
//! Each thread has one assignment at a time, and the rest wait here in the order in which they were
//! leased. What could not be done because the store is away is tried again.

use crate::base::ids::LeaseId;
use crate::base::keys::PublicKey;
use crate::base::time::Millis;
use crate::domain::state::{Assignment, Query};
use crate::effects::clock::Clock;
use crate::node::inbox::Done;
use crate::node::threads::{Inquiry, Wanted, locked, spawn_auditor, spawn_worker};
use crate::node::work::Bench;
use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::Sender;

/// How long it takes until what failed is tried again.
const AGAIN_MS: u64 = 1_000;

pub(super) struct Crew {
    threads: Vec<Sender<Assignment>>,
    witness: Sender<Inquiry>,
    idle: Vec<usize>,
    waiting: VecDeque<Assignment>,
    running: BTreeMap<LeaseId, Assignment>,
    /// What is to be tried again, and when.
    again: Vec<(Millis, Assignment)>,
    wanted: Wanted,
}

impl Crew {
    /// So many threads, which tell `outbox` what comes of what they do.
    pub(super) fn start<T: From<Done> + Send + 'static>(
        threads: usize,
        (worker, bench, clock): (PublicKey, &Bench, Clock),
        outbox: &Sender<T>,
    ) -> Self {
        let wanted = Wanted::default();
        let start = |index| {
            let thread = (worker, bench.clone(), clock, wanted.clone());
            spawn_worker(index, thread, outbox.clone())
        };
        Self {
            threads: (0..threads).map(start).collect(),
            witness: spawn_auditor(bench.clone(), None, outbox.clone()),
            idle: (0..threads).rev().collect(),
            waiting: VecDeque::new(),
            running: BTreeMap::new(),
            again: Vec::new(),
            wanted,
        }
    }

    /// Has an assignment computed.
    pub(super) fn give(&mut self, assignment: Assignment) {
        self.waiting.push_back(assignment);
        self.share_out();
    }

    /// Has a state of a disputed segment computed.
    pub(super) fn trace(&self, query: Box<Query>) {
        // The thread lives as long as this sender.
        drop(self.witness.send(Inquiry::Trace(Some(0), query)));
    }

    /// Nobody waits for this any more. What is being computed is computed to its end: then it is
    /// known to nobody.
    pub(super) fn stop(&mut self, lease: LeaseId) {
        self.waiting.retain(|assignment| assignment.lease != lease);
        self.again.retain(|(_, assignment)| assignment.lease != lease);
        self.running.remove(&lease);
    }

    /// A thread is done with what it had. Gives whether somebody still waits for it.
    pub(super) fn done(&mut self, thread: usize, lease: LeaseId) -> Option<Assignment> {
        locked(&self.wanted).remove(&lease);
        self.idle.push(thread);
        self.share_out();
        self.running.remove(&lease)
    }

    /// Tries an assignment again, a while later.
    pub(super) fn again(&mut self, now: Millis, assignment: Assignment) {
        self.again.push((now.after(AGAIN_MS), assignment));
    }

    pub(super) fn deadline(&self) -> Option<Millis> {
        self.again.iter().map(|(at, _)| *at).min()
    }

    /// The deadline has come.
    pub(super) fn wake(&mut self, now: Millis) {
        let due = self.again.extract_if(.., |(at, _)| *at <= now);
        self.waiting.extend(due.map(|(_, assignment)| assignment));
        self.share_out();
    }

    fn share_out(&mut self) {
        while let (Some(thread), false) = (self.idle.last().copied(), self.waiting.is_empty()) {
            let (Some(assignment), Some(orders)) =
                (self.waiting.pop_front(), self.threads.get(thread))
            else {
                return;
            };
            self.idle.pop();
            // It stays wanted until it is done, so that its thread never passes over it in silence.
            locked(&self.wanted).insert(assignment.lease);
            self.running.insert(assignment.lease, assignment.clone());
            drop(orders.send(assignment));
        }
    }
}
