//! Plans: the jobs of a run, cut into blocks that are sold as a whole.
//! Never knows prices, workers or results; the same manifest and pins give the same plan anywhere.
//!
//! Cutting has two rules, both off where `run.limits.jobsPerBlock` is 1:
//! 1. *Fuse*: a job whose only predecessor has no other successor joins that one's block, while
//!    the block stays below [`FUSE_UNITS`]: it would only wait for bytes that its predecessor has.
//!    Both have the same terms; where these are about a stage, both are of it.
//! 2. *Batch*: siblings (same stage, same predecessors) beyond [`SIBLINGS`], or beyond what their
//!    stage lets be at work at once, share blocks, evenly, while a block stays below
//!    [`FUSE_UNITS`]. Not where a failure leaves the others to be finished: who shares a block
//!    shares its failure.
//!
//! Both keep blocks convex: no path leaves a block and comes back. Fusing contracts an edge that is
//! the only way between its ends; siblings have the same predecessors, so a path from one to
//! another would make a predecessor of one depend on the other, which has that predecessor too: a
//! cycle. (Long trainings were cut into parts before: see `cost::parts`.)

use super::command::Submission;
use super::graph::{self, Dag, Job};
use super::job::{Input, Pin, job_key};
use super::manifest::{self, Diagnostic, Manifest};
use crate::base::amount::Work;
use crate::base::canon::{Decode, DecodeError, Digest, Encode, Reader, Writer};
use crate::base::ids::JobId;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

/// Work beyond which nothing more is put into a block, in units.
pub const FUSE_UNITS: u64 = 2_000;
/// Siblings that stay blocks of their own, so that they can run side by side.
pub const SIBLINGS: usize = 64;

/// Canonical bytes of settings that take as long as a job.
const SPEC_BYTES_PER_JOB: usize = 512;

/// The jobs of a run and the blocks that they are sold in.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Plan {
    /// The jobs and what they feed, in topological order.
    pub dag: Dag,
    /// The blocks, ordered by their first job.
    pub blocks: Vec<Block>,
    /// The block of each job: the first, where several compute it.
    pub block_of: Vec<u32>,
}

/// Jobs that are sold together to one worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// The jobs, in topological order.
    pub jobs: Vec<JobId>,
    /// Blocks that must be settled before this one can be offered, ascending.
    pub needs: Vec<u32>,
    /// Blocks that wait for this one, ascending.
    pub feeds: Vec<u32>,
    /// The first block of its lot; itself if it is alone.
    pub lot: u32,
    /// Blocks of its lot, side by side from the first: the same jobs for as many workers.
    pub replicas: u32,
}

impl Block {
    /// The blocks of its lot, itself among them.
    #[must_use]
    pub const fn siblings(&self) -> std::ops::Range<u32> {
        self.lot..self.lot.saturating_add(self.replicas)
    }
}

impl Plan {
    /// One job.
    #[must_use]
    pub fn job(&self, id: JobId) -> Option<&Job> {
        self.dag.jobs.get(id.index())
    }

    /// What it takes to make the plan, in jobs: long settings count as more of them.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.dag.jobs.len() + self.dag.spec_bytes / SPEC_BYTES_PER_JOB
    }

    /// The work of all jobs.
    #[must_use]
    pub fn work(&self) -> Work {
        self.dag.jobs.iter().fold(Work::ZERO, |sum, job| sum.saturating_add(job.size.work()))
    }

    /// What each job computes, and from what, whatever plan it stands in: of two with one outline
    /// the second finds the result of the first.
    #[must_use]
    pub fn outlines(&self) -> Vec<Digest> {
        let mut all: Vec<Digest> = Vec::with_capacity(self.dag.jobs.len());
        for job in &self.dag.jobs {
            let from = |from: &graph::From| match from {
                graph::From::Source { digest, .. } => *digest,
                graph::From::Job { id, output } => {
                    let before = all.get(id.index()).copied().unwrap_or_default();
                    Digest::of(&[before.as_bytes(), output.as_bytes()].concat())
                }
            };
            let input = |edge: &graph::Edge| Input {
                name: edge.name.to_string(),
                digest: from(&edge.from),
            };
            let inputs: Vec<Input> = job.inputs.iter().map(input).collect();
            all.push(job_key(&job.spec, &inputs));
        }
        all
    }

    /// What a block computes, for people: the address of its only job, or its stages; and which
    /// replica it is.
    #[must_use]
    pub fn name_of(&self, block: u32) -> String {
        let name = self.name_of_jobs(block);
        match self.blocks.get(block as usize) {
            Some(Block { lot, replicas, .. }) if *replicas > 1 => {
                format!("{name} ({} of {replicas})", block.saturating_sub(*lot) + 1)
            }
            _ => name,
        }
    }

    fn name_of_jobs(&self, block: u32) -> String {
        match self.blocks.get(block as usize).map(|block| block.jobs.as_slice()) {
            Some([only]) => self.job(*only).map(ToString::to_string).unwrap_or_default(),
            _ => self.stages_of(block),
        }
    }

    /// The stages that a block computes, for people: `table+split`.
    #[must_use]
    pub fn stages_of(&self, block: u32) -> String {
        let jobs = self.blocks.get(block as usize).map_or(&[][..], |block| &block.jobs);
        let mut names: Vec<&str> = Vec::new();
        for job in jobs.iter().filter_map(|id| self.job(*id)) {
            if !names.contains(&&*job.stage) {
                names.push(&job.stage);
            }
        }
        names.join("+")
    }
}

/// A plan and what it is derived from. It may be let go of: it is derived again where somebody
/// asks for it. Its canonical bytes are those of the submission: the plan is derived, never stored.
#[derive(Clone)]
pub struct Planned {
    submission: Arc<Submission>,
    plan: OnceLock<Arc<Plan>>,
}

impl Planned {
    /// The plan of a submission, from [`derive`].
    #[must_use]
    pub fn new(submission: Submission, plan: Plan) -> Self {
        Self { submission: Arc::new(submission), plan: OnceLock::from(Arc::new(plan)) }
    }

    /// What was asked for.
    #[must_use]
    pub fn submission(&self) -> &Submission {
        &self.submission
    }

    /// Lets go of the plan: what it took in memory is free until somebody asks for it.
    pub fn forget(&mut self) {
        self.plan = OnceLock::new();
    }
}

impl Deref for Planned {
    type Target = Plan;

    /// A submission that was accepted once has a plan; one that nobody accepted has no jobs.
    fn deref(&self) -> &Plan {
        self.plan.get_or_init(|| {
            let derived = derive(&self.submission).map(|(_, plan)| plan);
            Arc::new(derived.unwrap_or_default())
        })
    }
}

impl fmt::Debug for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Planned").field(&self.submission).finish()
    }
}

impl Encode for Planned {
    fn encode(&self, w: &mut Writer) {
        self.submission.encode(w);
    }
}

impl Decode for Planned {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { submission: Arc::decode(r)?, plan: OnceLock::new() })
    }
}

/// From a submission to its plan, as every node derives it.
pub fn derive(submission: &Submission) -> Result<(Manifest, Plan), Vec<Diagnostic>> {
    let params = submission.params.iter().cloned().collect();
    let (manifest, faults) = manifest::compile(&submission.manifest, &params);
    let manifest = match manifest {
        Some(manifest) => manifest,
        None => return Err(faults),
    };
    let plan = plan(&manifest, &submission.pins)?;
    Ok((manifest, plan))
}

/// From a manifest and the pins of its sources to a plan.
pub fn plan(manifest: &Manifest, pins: &[Pin]) -> Result<Plan, Vec<Diagnostic>> {
    let pins = pins.iter().map(|pin| (pin.source.clone(), pin.clone())).collect();
    let dag = graph::expand(manifest, &pins)?;
    Ok(cut(dag, manifest.limits.jobs_per_block as usize))
}

/// Cuts the jobs into blocks of at most `jobs_max` jobs.
#[must_use]
pub fn cut(dag: Dag, jobs_max: usize) -> Plan {
    let preds: Vec<Vec<u32>> = dag.jobs.iter().map(predecessors).collect();
    let chains = fuse(&dag, &preds, jobs_max);
    let groups = batch(&dag, &preds, chains, jobs_max);
    join(dag, &preds, groups)
}

fn predecessors(job: &Job) -> Vec<u32> {
    let mut all: Vec<u32> = job.needs().map(|id| id.0).collect();
    all.sort_unstable();
    all.dedup();
    all
}

fn units(dag: &Dag, jobs: &[u32]) -> u64 {
    let work = |id: &u32| dag.jobs.get(*id as usize).map_or(0, |job| job.size.work().units());
    jobs.iter().map(work).fold(0, u64::saturating_add)
}

/// Whether two jobs may be sold together: on the same terms, and if those are about a stage, of
/// the same one.
fn may_share(a: &Job, b: &Job) -> bool {
    let same = Arc::ptr_eq(&a.terms, &b.terms) || a.terms == b.terms;
    same && (a.stage == b.stage || !a.terms.is_of_a_stage())
}

/// Rule 1. Returns chains of jobs; every job is in one.
fn fuse(dag: &Dag, preds: &[Vec<u32>], jobs_max: usize) -> Vec<Vec<u32>> {
    let mut successors = vec![0u32; dag.jobs.len()];
    for pred in preds.iter().flatten() {
        if let Some(count) = successors.get_mut(*pred as usize) {
            *count += 1;
        }
    }
    let mut chains: Vec<Vec<u32>> = Vec::new();
    let mut chain_of: Vec<usize> = Vec::with_capacity(dag.jobs.len());
    for (id, (job, preds)) in (0u32..).zip(dag.jobs.iter().zip(preds)) {
        let joined = match preds.as_slice() {
            [only] if successors.get(*only as usize) == Some(&1) => {
                let before = dag.jobs.get(*only as usize);
                chain_of.get(*only as usize).copied().filter(|chain| {
                    chains.get(*chain).is_some_and(|jobs| {
                        jobs.len() < jobs_max
                            && units(dag, jobs) + job.size.work().units() <= FUSE_UNITS
                            && before.is_some_and(|before| may_share(before, job))
                    })
                })
            }
            _ => None,
        };
        let chain = joined.unwrap_or(chains.len());
        match chains.get_mut(chain) {
            Some(jobs) => jobs.push(id),
            None => chains.push(vec![id]),
        }
        chain_of.push(chain);
    }
    chains
}

/// Rule 2. Returns groups of jobs, ordered by their first job.
fn batch(dag: &Dag, preds: &[Vec<u32>], chains: Vec<Vec<u32>>, jobs_max: usize) -> Vec<Vec<u32>> {
    // Siblings: chains whose first jobs have one stage, and the same predecessors and terms.
    let mut siblings: BTreeMap<(&str, &[u32]), Vec<Vec<u32>>> = BTreeMap::new();
    for chain in chains {
        let first = chain.first().copied().unwrap_or_default() as usize;
        let stage = dag.jobs.get(first).map_or("", |job| &job.stage);
        let preds = preds.get(first).map_or(&[][..], Vec::as_slice);
        siblings.entry((stage, preds)).or_default().push(chain);
    }
    let mut groups: Vec<Vec<u32>> = Vec::new();
    for chains in siblings.into_values() {
        let terms = chains.first().and_then(|chain| dag.jobs.get(*chain.first()? as usize));
        let terms = terms.map(|job| &job.terms);
        // The failure of one must not be that of others where these are to be finished.
        let may_batch = terms.is_none_or(|terms| terms.ends_the_run());
        let parallel = terms.and_then(|terms| terms.parallel_max).unwrap_or(0) as usize;
        let share = if may_batch { chains.len().div_ceil(SIBLINGS.max(parallel)) } else { 1 };
        let (mut group, mut chains_in): (Vec<u32>, usize) = (Vec::new(), 0);
        for chain in chains {
            let fits = chains_in < share
                && group.len() + chain.len() <= jobs_max
                && units(dag, &group) + units(dag, &chain) <= FUSE_UNITS;
            if !group.is_empty() && !fits {
                groups.push(std::mem::take(&mut group));
                chains_in = 0;
            }
            group.extend(chain);
            chains_in += 1;
        }
        groups.push(group);
    }
    for group in &mut groups {
        group.sort_unstable();
    }
    groups.sort_unstable();
    groups
}

/// How many workers compute a group of jobs: it becomes as many blocks.
fn replicas(dag: &Dag, group: &[u32]) -> u32 {
    let first = group.first().and_then(|job| dag.jobs.get(*job as usize));
    first.map_or(1, |job| job.terms.replicas())
}

/// Names the groups and draws the edges between them. A block waits for all replicas of what it
/// needs: none of them is believed before all are done.
fn join(dag: Dag, preds: &[Vec<u32>], groups: Vec<Vec<u32>>) -> Plan {
    let mut lots: Vec<(u32, u32)> = Vec::with_capacity(groups.len());
    let mut block_of = vec![0u32; dag.jobs.len()];
    let mut next = 0u32;
    for group in &groups {
        let count = replicas(&dag, group);
        for job in group {
            if let Some(block) = block_of.get_mut(*job as usize) {
                *block = next;
            }
        }
        lots.push((next, count));
        next = next.saturating_add(count);
    }
    let of = |job: u32| block_of.get(job as usize).copied().unwrap_or_default();
    let mut blocks: Vec<Block> = Vec::with_capacity(next as usize);
    for (group, (lot, replicas)) in groups.iter().zip(&lots) {
        let before = group.iter().filter_map(|job| preds.get(*job as usize)).flatten();
        let mut lots_before: Vec<u32> =
            before.map(|job| of(*job)).filter(|before| before != lot).collect();
        lots_before.sort_unstable();
        lots_before.dedup();
        let siblings = |first: &u32| {
            let found = lots.binary_search_by_key(first, |(lot, _)| *lot).ok()?;
            lots.get(found).map(|(lot, count)| *lot..lot.saturating_add(*count))
        };
        let needs: Vec<u32> = lots_before.iter().filter_map(siblings).flatten().collect();
        let jobs: Vec<JobId> = group.iter().map(|job| JobId(*job)).collect();
        for _ in 0..*replicas {
            let (jobs, needs) = (jobs.clone(), needs.clone());
            blocks.push(Block { jobs, needs, feeds: Vec::new(), lot: *lot, replicas: *replicas });
        }
    }
    let edges: Vec<(u32, u32)> = (0u32..)
        .zip(&blocks)
        .flat_map(|(index, block)| block.needs.iter().map(move |need| (*need, index)))
        .collect();
    for (from, to) in edges {
        if let Some(block) = blocks.get_mut(from as usize) {
            block.feeds.push(to);
        }
    }
    Plan { dag, blocks, block_of }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::cost::Size;
    use crate::domain::graph::{Edge, From};
    use crate::domain::job::{Noop, Spec};
    use crate::domain::terms::Terms;
    use proptest::prelude::*;

    /// `preds[i]` are the predecessors of job i; `units` its work.
    fn dag(preds: &[Vec<u32>], units: u64) -> Dag {
        let terms = Arc::new(Terms::default());
        let job = |(i, preds): (usize, &Vec<u32>)| Job {
            stage: format!("s{}", i % 3),
            label: "".into(),
            spec: Spec::Noop(Noop { tag: i as u64 }),
            inputs: preds
                .iter()
                .map(|p| Edge {
                    name: "after".into(),
                    from: From::Job { id: JobId(*p), output: "done".into() },
                    each: false,
                })
                .collect(),
            after: Vec::new(),
            watches: Vec::new(),
            contest: None,
            size: Size { flop: (units - 100) * 1_000_000, ..Size::default() },
            terms: Arc::clone(&terms),
        };
        let jobs = preds.iter().enumerate().map(job).collect();
        Dag { jobs, ..Dag::default() }
    }

    #[track_caller]
    fn check(preds: &[&[u32]], jobs_max: usize, units: u64, expect: &[&[u32]]) {
        let preds: Vec<Vec<u32>> = preds.iter().map(|p| p.to_vec()).collect();
        let plan = cut(dag(&preds, units), jobs_max);
        let got: Vec<Vec<u32>> =
            plan.blocks.iter().map(|b| b.jobs.iter().map(|j| j.0).collect()).collect();
        assert_eq!(got, expect);
    }

    #[test]
    fn a_chain_is_fused_while_it_is_small() {
        check(&[&[], &[0], &[1]], 64, 100, &[&[0, 1, 2]]);
        check(&[&[], &[0], &[1]], 2, 100, &[&[0, 1], &[2]]);
        check(&[&[], &[0], &[1]], 1, 100, &[&[0], &[1], &[2]]);
        check(&[&[], &[0], &[1]], 64, 1_500, &[&[0], &[1], &[2]]);
    }

    #[test]
    fn a_fork_and_a_join_stay_apart() {
        check(&[&[], &[0], &[0], &[1, 2]], 64, 100, &[&[0], &[1], &[2], &[3]]);
    }

    #[test]
    fn many_siblings_share_blocks_evenly() {
        let preds: Vec<Vec<u32>> = vec![Vec::new(); 3 * 640];
        let plan = cut(dag(&preds, 100), 64);
        assert_eq!(plan.blocks.len(), 3 * SIBLINGS);
        assert!(plan.blocks.iter().all(|b| b.jobs.len() == 10));
        assert_eq!(cut(dag(&preds, 100), 1).blocks.len(), preds.len());
    }

    fn graphs() -> impl Strategy<Value = Vec<Vec<u32>>> {
        proptest::collection::vec(proptest::collection::vec(any::<u32>(), 0..4), 1..60).prop_map(
            |raw| {
                let below = |(i, picks): (usize, Vec<u32>)| {
                    let mut preds: Vec<u32> =
                        if i == 0 { vec![] } else { picks.iter().map(|p| p % i as u32).collect() };
                    preds.sort_unstable();
                    preds.dedup();
                    preds
                };
                raw.into_iter().enumerate().map(below).collect()
            },
        )
    }

    proptest! {
        #[test]
        fn cutting_keeps_every_job_once_and_every_block_convex(
            preds in graphs(), jobs_max in 1usize..8,
        ) {
            let plan = cut(dag(&preds, 100), jobs_max);
            let mut jobs: Vec<u32> =
                plan.blocks.iter().flat_map(|b| b.jobs.iter().map(|j| j.0)).collect();
            jobs.sort_unstable();
            prop_assert_eq!(jobs, (0..preds.len() as u32).collect::<Vec<_>>());
            prop_assert!(plan.blocks.iter().all(|b| b.jobs.len() <= jobs_max));
            // Convex everywhere = the graph of blocks has no cycle: settling in any order in which
            // the needs of a block are done must reach all of them.
            let mut done = vec![false; plan.blocks.len()];
            for _ in 0..plan.blocks.len() {
                for (i, block) in plan.blocks.iter().enumerate() {
                    done[i] = done[i] || block.needs.iter().all(|n| done[*n as usize]);
                }
            }
            prop_assert!(done.iter().all(|d| *d));
            // Reachability: every edge is inside a block or between a block and one it needs.
            for (job, preds) in preds.iter().enumerate() {
                let block = plan.block_of[job];
                for pred in preds {
                    let from = plan.block_of[*pred as usize];
                    prop_assert!(
                        from == block || plan.blocks[block as usize].needs.contains(&from)
                    );
                }
            }
        }
    }
}
