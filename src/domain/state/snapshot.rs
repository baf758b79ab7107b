//! Snapshots: the state as canonical bytes, so that a start need not fold the whole log again.
//! Never a truth of their own: what is read back is what the fold of the same slots gives,
//! and whoever reads one has checked whose it is.
//!
//! Everything is here that follows from the log, with two exceptions that keep it small. A plan is
//! derived again from its submission, for a run that is over only where somebody looks at it. And
//! a result that the cache holds is written once: runs name it by its key.
//!
//! A new field of a type below is one word in its line. Forgotten, it does not compile.

use super::challenge::{Challenge, Past};
use super::commitment::Commitment;
use super::run::{
    BlockRun, Delivery, Dispute, Failure, Gone, Judging, Known, Paid, Phase, Run, Sealed, StageRun,
    Status,
};
use super::{Assignment, State, Task, TaskInput, Worker};
use crate::base::amount::SUPPLY;
use crate::base::canon::{
    Decode, DecodeError, Digest, Encode, Reader, Writer, canonical_enum, canonical_struct,
};
use crate::base::ids::LeaseId;
use crate::base::keys::PublicKey;
use crate::domain::auction::Record;
use crate::domain::lease::{Lease, Offered};
use crate::domain::terms::OnExhausted;
use crate::domain::verdict::Verification;
use std::sync::Arc;

canonical_struct!(State {
    network, params, validators, membership, height, place, ledger, nonces, workers, runs, cache,
    own, failures, offers, tenders, lapses, reprices, dues, undrawn, judging, windows, beacon,
    absent, past, past_dues, sealed, touched, ended, tariff,
} without { tallies, commitment, planned, committed });
canonical_struct!(Worker { bid, takes, record, queued, sealed, leases, busy_until, earned });
canonical_struct!(Record { good, bad });
// Its results follow the state: they refer to the cache.
canonical_struct!(Run {
    id, client, subject, name, plan, fresh, budget, fees, on_exhausted, status, gone, stages,
    finishing, blocks, ready, blocks_left, blocks_live, since,
} without { results });
canonical_enum!(OnExhausted { 1 => Pause, 2 => Fail });
canonical_enum!(Status {
    1 => Running, 2 => Draining(x), 3 => Paused(x), 4 => Ended { ending, refund },
});
canonical_enum!(Gone { 1 => Failed(x), 2 => GivenUp(x), 3 => Skipped(x) });
canonical_struct!(StageRun { parallel_max, budget, replicas, live, committed, parked, is_short });
canonical_struct!(Known { key, outputs, metrics, worker, lease, checked, client, at });
canonical_enum!(Verification {
    1 => Audit { rate_ppm, segments }, 2 => Full, 3 => None, 4 => Replicate { workers },
});
canonical_struct!(Failure { message, hint });
canonical_struct!(BlockRun { phase, missing, attempts, barred, lapsed, due, agreed });
canonical_enum!(Phase {
    1 => Waiting, 2 => Offered(x), 3 => Leased(x), 4 => Delivered(x), 5 => Judged(x),
    6 => Settled(x), 7 => Cached, 8 => Skipped, 9 => GivenUp(x), 10 => Void, 11 => Sealed(x),
});
canonical_struct!(Offered { todo, work, needs, classes, reserve, gas, since, reprices });
canonical_struct!(Lease { id, offer, worker, price, bond, since, silent_until, deadline, grace });
canonical_struct!(Sealed { lease, seal, until, receipt });
canonical_struct!(Delivery { lease, receipt, id, at });
canonical_struct!(Judging {
    delivery,
    audit,
    seed,
    seals,
    verdicts,
    traces,
    lazy,
    window,
    due,
    dispute,
});
canonical_struct!(Dispute { by, segment, found, bisection, since, lost, ballots });
canonical_struct!(Past {
    assignment,
    receipt,
    id,
    worker,
    client,
    bond,
    gas,
    audited,
    committee,
    until,
    window,
    challenge,
});
canonical_struct!(Challenge { by, segment, ballots });
canonical_struct!(Assignment { lease, tasks });
canonical_struct!(Task { job, address, spec, inputs, memory });
canonical_enum!(TaskInput { 1 => Artifact(x), 2 => Earlier { task, output } });
canonical_struct!(Paid { lease, worker, reward, gas });

/// Where a result of a run is written.
enum Place {
    /// The job has none.
    Nowhere,
    /// In the cache, under this key.
    Cache(Digest),
    /// Among the client's own of this key, the one settled under this lease.
    Own { key: Digest, lease: LeaseId },
    /// Here: the cache has had a better one since.
    Here(Arc<Known>),
}
canonical_enum!(Place { 0 => Nowhere, 1 => Cache(x), 2 => Own { key, lease }, 3 => Here(x) });

impl State {
    /// The canonical bytes of everything that follows from the log so far.
    #[must_use]
    pub fn snapshot(&self) -> Vec<u8> {
        // Where it is much longer than the last one, it is copied as it grows.
        let mut w = Writer::with_room(self.commitment.room());
        self.commitment.encode(&mut w);
        self.encode(&mut w);
        for run in self.runs.values() {
            w.length(run.results.len());
            run.results
                .iter()
                .for_each(|result| self.place_of(run, result.as_ref()).encode(&mut w));
        }
        w.into_bytes()
    }

    /// The state that a snapshot is of. Takes no more memory than a multiple of the bytes; what is
    /// not of one piece is refused.
    pub fn restore(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut r = Reader::new(bytes);
        let commitment = Commitment::decode(&mut r)?;
        let mut state = Self { commitment, ..Self::decode(&mut r)? };
        let mut runs = std::mem::take(&mut state.runs);
        for run in runs.values_mut() {
            let places = Vec::<Place>::decode(&mut r)?;
            let client = run.client;
            let results = places.into_iter().map(|place| state.at_place(place, client));
            run.results = results.collect::<Result<_, _>>()?;
        }
        r.end()?;
        state.runs = runs;
        if state.is_of_one_piece() { Ok(state) } else { Err(DecodeError::OutOfRange) }
    }

    fn place_of(&self, run: &Run, result: Option<&Arc<Known>>) -> Place {
        let Some(known) = result else { return Place::Nowhere };
        // By their bytes: numbers that are equal may still differ (0 and -0).
        let is = |other: &Arc<Known>| {
            Arc::ptr_eq(other, known) || (other == known && other.to_bytes() == known.to_bytes())
        };
        if self.cache.get(&known.key).is_some_and(is) {
            Place::Cache(known.key)
        } else if self.own.get(&(known.key, run.client)).is_some_and(|own| own.iter().any(is)) {
            Place::Own { key: known.key, lease: known.lease }
        } else {
            Place::Here(Arc::clone(known))
        }
    }

    fn at_place(&self, place: Place, client: PublicKey) -> Result<Option<Arc<Known>>, DecodeError> {
        let found = match place {
            Place::Nowhere => return Ok(None),
            Place::Cache(key) => self.cache.get(&key).cloned(),
            Place::Own { key, lease } => {
                let own = self.own.get(&(key, client));
                own.and_then(|own| own.iter().find(|known| known.lease == lease)).cloned()
            }
            Place::Here(known) => Some(known),
        };
        found.ok_or(DecodeError::OutOfRange).map(Some)
    }

    /// Whether the money is the supply, and every run that goes on has a plan, as many results as
    /// jobs, and a block for each that was cut.
    fn is_of_one_piece(&self) -> bool {
        let fits = |run: &Run| {
            run.is_over()
                || (!run.plan.dag.jobs.is_empty()
                    && run.plan.dag.jobs.len() == run.results.len()
                    && run.plan.blocks.len() == run.blocks.len())
        };
        let holds = self.ledger.total() == Some(SUPPLY) && self.ledger.sum() == SUPPLY;
        let are_named = self.runs.iter().all(|(id, run)| *id == run.id);
        are_named && holds && self.runs.values().all(fits)
    }
}
