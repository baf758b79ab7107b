//! Garbage: which artifacts of a home somebody may still need, and taking the others away.
//! Never touches the log or a key; what is taken away by mistake would be computed again.
//!
//! An artifact is needed
//!
//! - by a run that is not over: its sources, its results, and what receipts claim that are not
//!   settled;
//! - by the cache: the outputs of settled results, so that a later run finds them, and the sources
//!   of the last run of each pipeline. With a limit, those alone that one of the last runs of its
//!   pipeline has;
//! - by a pin: a source that need not be read again as long as nothing of it changes;
//! - by somebody who has not named it yet: what was written a moment ago. An apply keeps its
//!   sources before it has the log.
//!
//! All else goes: the states that audits began from, other sources, what was set aside as damaged
//! and what a crash left half written. An artifact is named by its bytes, so the same one may be
//! needed for several reasons; one is enough.

use super::home::Home;
use super::pins;
use crate::base::canon::Digest;
use crate::domain::graph;
use crate::domain::receipt::Outcome;
use crate::domain::state::State;
use crate::domain::state::run::{Known, Origin, Phase, Run};
use crate::effects::artifacts::ArtifactError;
use crate::effects::artifacts::inventory::{self, Inventory, Stored, Stray, StrayKind};
use crate::effects::clock;
use crate::effects::{Peril, pass};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What was written less than so long ago is kept though nobody names it.
const FRESH_MS: u64 = 10 * 60 * 1000;

/// Why an artifact is kept, or may go. The first reason to keep it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A run that is not over needs it.
    Open,
    /// A later run may use it.
    Cached,
    /// It was written a moment ago: somebody may be about to name it.
    Fresh,
    /// It is of a settled result of a run that is older than those to be kept.
    Old,
    /// It is a source, or a part of one, of runs that are over.
    Source,
    /// Nobody names it: the state that an audit began from, mostly.
    Unnamed,
    /// Its bytes had another digest.
    Damaged,
    /// A crash interrupted its writing.
    Torn,
    /// It is a pin of which something is gone, or that is none: its source is read again anyway.
    Orphan,
    /// It is not ours.
    Foreign,
}

impl Reason {
    /// Whether it stays.
    #[must_use]
    pub const fn keeps(self) -> bool {
        matches!(self, Self::Open | Self::Cached | Self::Fresh | Self::Foreign)
    }
}

/// How many files, and how many bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
}

impl Tally {
    fn add(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// What would stay and what would go.
#[derive(Debug, Clone, Default)]
pub struct Sweep {
    /// All that lies in the store, by reason.
    pub tallies: BTreeMap<Reason, Tally>,
    /// The jobs that a later run would have to compute again, as `PIPELINE: STAGE@CELL`.
    pub lost: BTreeSet<String>,
    artifacts: Vec<(Digest, u64)>,
    strays: Vec<Stray>,
    orphans: Vec<PathBuf>,
}

impl Sweep {
    /// What would go.
    #[must_use]
    pub fn spare(&self) -> Tally {
        let mut sum = Tally::default();
        for (_, tally) in self.tallies.iter().filter(|(reason, _)| !reason.keeps()) {
            sum.files += tally.files;
            sum.bytes = sum.bytes.saturating_add(tally.bytes);
        }
        sum
    }
}

/// Looks at a home in a state and says what in it nobody needs. `runs_kept` is how many of the last
/// runs of each pipeline keep their results; all do where there is no limit.
pub fn look(home: &Home, state: &State, runs_kept: Option<usize>) -> Result<Sweep, ArtifactError> {
    // Where the clock is not set nothing is old.
    let now_ms = clock::wall_ms();
    let found = inventory::inventory(&home.artifacts())?;
    let there: BTreeSet<Digest> = found.artifacts.iter().map(|each| each.digest).collect();
    let mut named = named(state, runs_kept);
    let mut orphans = Vec::new();
    for (path, pin) in pins::all(home) {
        match pin {
            Some(pin) if pin.chunks.iter().all(|chunk| there.contains(&chunk.digest)) => {
                let chunks = pin.chunks.iter().map(|chunk| chunk.digest);
                chunks.for_each(|digest| name(digest, Reason::Cached, &mut named));
            }
            // Somebody may be writing it.
            None if is_fresh(inventory::written_ms(&path), now_ms) => {}
            Some(_) | None => orphans.push(path),
        }
    }
    let mut sweep = sort(found, &named, now_ms);
    for path in &orphans {
        let bytes = path.metadata().map_or(0, |about| about.len());
        sweep.tallies.entry(Reason::Orphan).or_default().add(bytes);
    }
    sweep.lost = lost(state, &sweep.artifacts);
    Ok(Sweep { orphans, ..sweep })
}

/// Whether something was written a moment ago.
const fn is_fresh(written_ms: u64, now_ms: u64) -> bool {
    written_ms.saturating_add(FRESH_MS) > now_ms
}

type Named = BTreeMap<Digest, Reason>;

/// Of several reasons the first counts.
fn name(digest: Digest, reason: Reason, named: &mut Named) {
    let known = named.entry(digest).or_insert(reason);
    *known = reason.min(*known);
}

fn sort(found: Inventory, named: &Named, now_ms: u64) -> Sweep {
    let is_fresh = |written_ms: u64| is_fresh(written_ms, now_ms);
    let mut sweep = Sweep::default();
    for Stored { digest, bytes, written_ms } in found.artifacts {
        let reason = match named.get(&digest).copied().unwrap_or(Reason::Unnamed) {
            Reason::Unnamed | Reason::Source if is_fresh(written_ms) => Reason::Fresh,
            reason => reason,
        };
        sweep.tallies.entry(reason).or_default().add(bytes);
        if !reason.keeps() {
            sweep.artifacts.push((digest, bytes));
        }
    }
    for stray in found.strays {
        let reason = match stray.kind {
            StrayKind::Damaged => Reason::Damaged,
            StrayKind::Torn if is_fresh(stray.written_ms) => Reason::Fresh,
            StrayKind::Torn => Reason::Torn,
            StrayKind::Unknown => Reason::Foreign,
        };
        sweep.tallies.entry(reason).or_default().add(stray.bytes);
        if !reason.keeps() {
            sweep.strays.push(stray);
        }
    }
    sweep
}

/// Why each artifact that somebody names is needed, or was.
fn named(state: &State, runs_kept: Option<usize>) -> Named {
    let mut named = Named::new();
    let mut name = |digest: Digest, reason: Reason| name(digest, reason, &mut named);
    let last = last(state, runs_kept.unwrap_or(1));
    let kept = runs_kept.map(|_| keys(&last));
    for known in state.results() {
        let is_kept = kept.as_ref().is_none_or(|kept| kept.contains(&known.key));
        let reason = if is_kept { Reason::Cached } else { Reason::Old };
        known.outputs.iter().for_each(|digest| name(*digest, reason));
    }
    for run in &last {
        sources(run).for_each(|digest| name(digest, Reason::Cached));
    }
    for run in state.runs().values() {
        let is_over = run.is_over();
        let source = if is_over { Reason::Source } else { Reason::Open };
        sources(run).for_each(|digest| name(digest, source));
        if !is_over {
            run.results.iter().flatten().for_each(|known| {
                known.outputs.iter().for_each(|digest| name(*digest, Reason::Open));
            });
            claimed(run).for_each(|digest| name(digest, Reason::Open));
        }
    }
    named
}

/// So many of the last runs of each pipeline of each client.
fn last(state: &State, count: usize) -> Vec<&Run> {
    let mut seen: BTreeMap<_, usize> = BTreeMap::new();
    let mut is_last = |run: &&Run| {
        let seen = seen.entry((run.client, run.name.clone())).or_default();
        *seen += 1;
        *seen <= count
    };
    state.runs().values().rev().filter(|run| is_last(run)).collect()
}

/// The keys of all results of some runs.
fn keys(runs: &[&Run]) -> BTreeSet<Digest> {
    runs.iter().flat_map(|run| run.results.iter().flatten()).map(|known| known.key).collect()
}

/// What the jobs of a run read of its sources: chunks of rows, and encoders.
fn sources(run: &Run) -> impl Iterator<Item = Digest> + '_ {
    let inputs = run.plan.dag.jobs.iter().flat_map(|job| &job.inputs);
    inputs.filter_map(|edge| match &edge.from {
        graph::From::Source { digest, .. } => Some(*digest),
        graph::From::Job { .. } => None,
    })
}

/// What receipts of a run claim that is not settled, and what the jobs of its leases read.
fn claimed(run: &Run) -> impl Iterator<Item = Digest> + '_ {
    let receipts = run.blocks.iter().filter_map(|block| match &block.phase {
        Phase::Sealed(sealed) => sealed.receipt.as_ref(),
        Phase::Delivered(delivery) => Some(&delivery.receipt),
        Phase::Judged(judging) => Some(&judging.delivery.receipt),
        _ => None,
    });
    let claims = receipts.flat_map(|receipt| match &receipt.outcome {
        Outcome::Done(claims) => claims.as_slice(),
        Outcome::Failed { .. } => &[],
    });
    let claims = claims.flat_map(|claim| claim.outputs.iter().chain(&claim.segments).copied());
    let jobs = (0u32..).map(crate::base::ids::JobId).take(run.plan.dag.jobs.len());
    let read = jobs.flat_map(|job| run.inputs(job)).filter_map(|(_, origin)| match origin {
        Origin::Known(digest) => Some(digest),
        Origin::Output { .. } => None,
    });
    claims.chain(read)
}

/// The jobs whose settled results are whole no more when these artifacts are gone.
fn lost(state: &State, going: &[(Digest, u64)]) -> BTreeSet<String> {
    let going: BTreeSet<Digest> = going.iter().map(|(digest, _)| *digest).collect();
    let is_lost = |known: &Known| known.outputs.iter().any(|digest| going.contains(digest));
    let each = state.runs().values().flat_map(|run| {
        let results = run.plan.dag.jobs.iter().zip(&run.results);
        results.filter_map(move |(job, known)| Some((run, job, known.as_ref()?)))
    });
    let lost = each.filter(|(_, _, known)| is_lost(known));
    lost.map(|(run, job, _)| format!("{}: {job}", run.name)).collect()
}

/// Takes away what a sweep found to be spare. The home must be this process's own meanwhile: what
/// others write now nobody names yet. What goes is not durable, and need not be: it would be
/// found again.
pub fn clear(home: &Home, sweep: &Sweep) -> Result<Tally, ArtifactError> {
    let mut done = Tally::default();
    pass(Peril::SweepMade);
    for (digest, bytes) in &sweep.artifacts {
        inventory::remove(&home.artifacts(), *digest)?;
        pass(Peril::SweptArtifact);
        done.add(*bytes);
    }
    for stray in &sweep.strays {
        inventory::remove_stray(stray)?;
        pass(Peril::SweptStray);
        done.add(stray.bytes);
    }
    for path in &sweep.orphans {
        let bytes = path.metadata().map_or(0, |about| about.len());
        // One that stays names what is not there: its source is read again all the same.
        if pins::forget(path).is_ok() {
            pass(Peril::SweptPin);
            done.add(bytes);
        }
    }
    Ok(done)
}
