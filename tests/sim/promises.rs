//! Promises: what the terms of a manifest say about a run, watched from outside by its events.
//! Never looks at the state; the plan is derived from the submission, as anybody may do.

use crate::checker::{Checked, ensure};
use ohc::base::ids::{BlockId, JobId, RunId};
use ohc::base::keys::PublicKey;
use ohc::domain::command::{Bid, Command};
use ohc::domain::event::{Ending, Event, Skip};
use ohc::domain::plan::{self, Plan};
use ohc::domain::slot::Slot;
use ohc::domain::terms::{OnFailure, Terms};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Clone)]
struct Promise {
    plan: Plan,
    is_paused: bool,
    cached: BTreeSet<JobId>,
    /// Jobs that get no result; those that were tried, and not only skipped.
    gone: BTreeSet<JobId>,
    tried: BTreeSet<JobId>,
    settled: BTreeSet<u32>,
    /// Who holds or has answered a block, and which blocks are given up.
    hands: BTreeMap<u32, PublicKey>,
    given_up: BTreeSet<u32>,
    /// What is committed for the blocks that are on offer or at work.
    live: BTreeMap<u32, u64>,
    gas: BTreeMap<u32, u64>,
    spent: BTreeMap<String, u64>,
}

/// What was promised about every run.
#[derive(Clone, Default)]
pub struct Promises {
    runs: BTreeMap<RunId, Promise>,
}

impl Promise {
    fn terms(&self, block: u32) -> (&str, &Terms) {
        let job = &self.plan.dag.jobs[self.plan.blocks[block as usize].jobs[0].index()];
        (&job.stage, &job.terms)
    }

    fn offered(&mut self, block: u32, reserve: u64, gas: u64) -> Checked {
        ensure(!self.is_paused, "paused", || format!("block {block} is offered"))?;
        let jobs = &self.plan.blocks[block as usize].jobs;
        let is_needed = jobs.iter().any(|job| !self.gone.contains(job));
        ensure(is_needed, "skipped", || format!("block {block} is offered for nothing"))?;
        self.gas.insert(block, gas);
        self.live.insert(block, reserve + gas);
        self.within(block)
    }

    /// The bounds of the stage of a block.
    fn within(&self, block: u32) -> Checked {
        let (stage, terms) = self.terms(block);
        let live = self.live.iter().filter(|(other, _)| self.terms(**other).0 == stage);
        let (count, pending) = live.fold((0, 0), |(n, sum), (_, amount)| (n + 1, sum + amount));
        ensure(terms.parallel_max.is_none_or(|max| count <= max), "maxParallel", || {
            format!("{count} blocks of {stage}")
        })?;
        let cost = pending + self.spent.get(stage).copied().unwrap_or(0);
        ensure(terms.budget.is_none_or(|budget| cost <= budget.nano()), "stage budget", || {
            format!("{stage} costs {cost}")
        })
    }

    /// Replicas of a block are computed by different workers.
    fn in_other_hands(&mut self, block: u32, worker: PublicKey) -> Checked {
        let mut lot = self.plan.blocks[block as usize].siblings();
        let is_twice = lot.any(|other| other != block && self.hands.get(&other) == Some(&worker));
        self.hands.insert(block, worker);
        ensure(!is_twice, "replicas", || format!("block {block} is in the same hands"))
    }

    fn skipped(&mut self, job: JobId, why: Skip) -> Checked {
        let of = |id: JobId| &self.plan.dag.jobs[id.index()];
        let holds = match why {
            Skip::Condition => of(job).terms.when.is_some(),
            Skip::Beaten => of(job).contest.is_some(),
            Skip::Needs(other) => {
                let block = |job: JobId| self.plan.block_of[job.index()];
                let is_told = self.gone.contains(&other) || block(job) == block(other);
                is_told && (of(job).needs().any(|id| id == other) || block(job) == block(other))
            }
            Skip::FailFast(other) => {
                let same = of(job).stage == of(other).stage && of(job).terms.fail_fast;
                same && self.gone.contains(&other)
            }
        };
        let is_first = self.gone.insert(job) && !self.cached.contains(&job);
        ensure(holds && is_first, "skipped", || format!("{} because of {why:?}", of(job)))
    }

    /// A run that is settled has an answer for each job, and lost none that it must not lose.
    fn settled(&self) -> Checked {
        for (id, job) in (0u32..).map(JobId).zip(&self.plan.dag.jobs) {
            let block = &self.plan.blocks[self.plan.block_of[id.index()] as usize];
            let is_done = block.siblings().any(|block| self.settled.contains(&block))
                || self.cached.contains(&id)
                || self.gone.contains(&id);
            ensure(is_done, "settled", || format!("{job} has no answer"))?;
            let is_lost = self.tried.contains(&id) && job.terms.on_failure == OnFailure::Fail;
            ensure(!is_lost, "onFailure", || format!("{job} failed, and the run went on"))?;
        }
        Ok(())
    }
}

impl Promises {
    /// The plans of the runs that begin in a slot.
    pub fn read(&mut self, slot: &Slot, events: &[Event]) {
        let submitted = slot.commands.iter().filter_map(|order| match &order.body.command {
            Command::Submit(submission) => Some((order.author, submission)),
            _ => None,
        });
        for (author, submission) in submitted {
            let began = events.iter().find_map(|event| match event {
                Event::Submitted { run, client, subject, budget }
                    if *client == author
                        && *subject == submission.subject()
                        && *budget == submission.budget
                        && !self.runs.contains_key(run) =>
                {
                    Some(*run)
                }
                _ => None,
            });
            let (Some(run), Ok((_, plan))) = (began, plan::derive(submission)) else { continue };
            let promise = Promise {
                plan,
                is_paused: false,
                cached: BTreeSet::new(),
                gone: BTreeSet::new(),
                tried: BTreeSet::new(),
                settled: BTreeSet::new(),
                hands: BTreeMap::new(),
                given_up: BTreeSet::new(),
                live: BTreeMap::new(),
                gas: BTreeMap::new(),
                spent: BTreeMap::new(),
            };
            self.runs.insert(run, promise);
        }
    }

    fn of(&mut self, block: &BlockId) -> &mut Promise {
        self.runs.get_mut(&block.run).unwrap()
    }

    pub fn event(&mut self, event: &Event, bids: &BTreeMap<PublicKey, Bid>) -> Checked {
        match event {
            Event::Offered { block, reserve, gas, .. } => {
                self.of(block).offered(block.index, reserve.nano(), gas.nano())
            }
            Event::Repriced { block, reserve } => {
                let promise = self.of(block);
                let gas = promise.gas[&block.index];
                promise.live.insert(block.index, reserve.nano() + gas);
                promise.within(block.index)
            }
            Event::Leased { lease, worker, .. } => {
                let promise = self.of(&lease.block);
                ensure(!promise.is_paused, "paused", || format!("{lease} is leased"))?;
                promise.in_other_hands(lease.block.index, *worker)?;
                let needs = promise.terms(lease.block.index).1.resources.least();
                let has = bids.get(worker).map(|bid| bid.has).unwrap_or_default();
                ensure(has.meets(&needs), "resources", || format!("{lease}: {has:?}"))
            }
            Event::Settled { lease, reward, gas, .. } => {
                let promise = self.of(&lease.block);
                let stage = promise.terms(lease.block.index).0.to_owned();
                promise.live.remove(&lease.block.index);
                promise.settled.insert(lease.block.index);
                *promise.spent.entry(stage).or_default() += reward.nano() + gas.nano();
                Ok(())
            }
            Event::Cached { run, job } => {
                self.runs.get_mut(run).unwrap().cached.insert(*job);
                Ok(())
            }
            Event::Lapsed { lease, .. }
            | Event::Slashed { lease, .. }
            | Event::Released { lease, .. } => {
                let promise = self.of(&lease.block);
                promise.live.remove(&lease.block.index);
                promise.hands.remove(&lease.block.index);
                Ok(())
            }
            Event::Failed { run, job, .. } => {
                let promise = self.runs.get_mut(run).unwrap();
                promise.gone.insert(*job);
                promise.tried.insert(*job);
                Ok(())
            }
            Event::GivenUp { block, .. } => {
                let promise = self.of(block);
                promise.live.remove(&block.index);
                promise.given_up.insert(block.index);
                let mut lot = promise.plan.blocks[block.index as usize].siblings();
                if !lot.all(|block| promise.given_up.contains(&block)) {
                    return Ok(()); // another worker computes the same
                }
                for job in promise.plan.blocks[block.index as usize].jobs.clone() {
                    if !promise.cached.contains(&job) {
                        promise.gone.insert(job);
                        promise.tried.insert(job);
                    }
                }
                Ok(())
            }
            Event::Skipped { run, job, why } => self.runs.get_mut(run).unwrap().skipped(*job, *why),
            Event::Paused { run, .. } => {
                let promise = self.runs.get_mut(run).unwrap();
                promise.is_paused = true;
                // Offers are taken back; what is leased, delivered or judged goes on.
                promise.live.clear();
                Ok(())
            }
            Event::Resumed { run, .. } => {
                self.runs.get_mut(run).unwrap().is_paused = false;
                Ok(())
            }
            Event::Ended { run, ending: Ending::Settled, .. } => {
                self.runs.get(run).unwrap().settled()
            }
            _ => Ok(()),
        }
    }
}
