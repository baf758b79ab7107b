//! Why a job would run: its fate, from what is known, what changed since the last run, and what
//! the terms of its stage let be used. Never looks at money.

use super::Fate;
use crate::base::canon::Digest;
use crate::base::ids::JobId;
use crate::base::keys::PublicKey;
use crate::domain::event::Skip;
use crate::domain::graph::{Edge, From, Job};
use crate::domain::job::{Input, job_key};
use crate::domain::plan::Plan;
use crate::domain::state::State;
use crate::domain::state::run::{Known, Origin, Run, goes_on, holds, needs_what_is_gone};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that the fate of a job depends on, besides those of the jobs before it.
pub(super) struct Asked<'a> {
    state: &'a State,
    plan: &'a Plan,
    client: &'a PublicKey,
    last: BTreeMap<(&'a str, &'a str), (&'a Run, JobId)>,
    again: &'a BTreeSet<JobId>,
    is_present: &'a dyn Fn(&Digest) -> bool,
}

impl<'a> Asked<'a> {
    pub(super) fn new(
        state: &'a State,
        plan: &'a Plan,
        client: &'a PublicKey,
        last: Option<&'a Run>,
        again: &'a BTreeSet<JobId>,
        is_present: &'a dyn Fn(&Digest) -> bool,
    ) -> Self {
        let last = last.map(jobs).unwrap_or_default();
        Self { state, plan, client, last, again, is_present }
    }

    /// The fate of a job, given those of all before it.
    pub(super) fn fate(&self, fates: &[Fate], id: JobId) -> Fate {
        let Some(job) = self.plan.job(id) else { return Fate::New };
        let is_gone = |id: JobId| fates.get(id.index()).is_some_and(Fate::is_gone);
        if let Some(needed) = needs_what_is_gone(job, &is_gone) {
            return Fate::Skipped(Skip::Needs(needed));
        }
        let runs = |id: &JobId| fates.get(id.index()).is_none_or(Fate::runs);
        // Before what it reads has run, nobody knows whether a condition holds.
        if !job.watches.iter().any(runs) && !holds(self.plan, job, &|id| cached(fates, id)) {
            return Fate::Skipped(Skip::Condition);
        }
        if let Some(fate) = self.contested(fates, job) {
            return fate;
        }
        let left = job.inputs.iter().filter(|edge| !edge.each || !is_gone_edge(edge, &is_gone));
        let inputs: Vec<(&str, Option<Digest>)> =
            left.map(|edge| (edge.name.as_str(), self.origin(fates, &edge.from))).collect();
        let known = |(name, digest): &(&str, Option<Digest>)| {
            Some(Input { name: (*name).to_owned(), digest: (*digest)? })
        };
        let all: Option<Vec<Input>> = inputs.iter().map(known).collect();
        if let Some(fate) = all.and_then(|inputs| self.known(id, job, &inputs)) {
            return fate;
        }
        self.changed(job, &inputs)
    }

    /// What a contest makes of a job: nothing where it goes on. Before all that are compared have
    /// run, the dearest of them are taken for the best: it will not cost more.
    fn contested(&self, fates: &[Fate], job: &Job) -> Option<Fate> {
        let state = job.state()?;
        let Some(places) = job.contest else {
            let before = fates.get(state.index());
            return (before == Some(&Fate::Contested)).then_some(Fate::Contested);
        };
        let fate = |id: JobId| fates.get(id.index());
        let is_open =
            |id: &JobId| fate(*id).is_none_or(|fate| fate.runs() || *fate == Fate::Contested);
        if !job.watches.iter().any(is_open) {
            let is_best = goes_on(job, &|id| cached(fates, id));
            return (!is_best).then_some(Fate::Skipped(Skip::Beaten));
        }
        let work = |id: JobId| self.plan.job(id).map(|job| job.size.work());
        let is_dearer = |id: &&JobId| {
            fate(**id).is_some_and(|fate| !fate.is_gone())
                && work(state).cmp(&work(**id)).then(id.cmp(&&state)).is_lt()
        };
        let dearer = job.watches.iter().filter(is_dearer).count();
        (dearer >= places as usize).then_some(Fate::Contested)
    }

    /// What follows from what is settled under the key of a job.
    fn known(&self, id: JobId, job: &Job, inputs: &[Input]) -> Option<Fate> {
        let key = job_key(&job.spec, inputs);
        if let Some(failure) = self.state.failure(&key) {
            return Some(Fate::Fails(failure.clone()));
        }
        match self.state.known(&key, &job.terms, self.client) {
            Some(_) if self.again.contains(&id) => Some(Fate::Again(key)),
            Some(known) if known.outputs.iter().all(self.is_present) => {
                Some(Fate::Cached(Known::clone(known)))
            }
            Some(_) => Some(Fate::Lost(key)),
            None => {
                let known = self.state.cache().get(&key)?;
                let why = self.state.unused(known, &job.terms, self.client)?;
                Some(Fate::Unused(why))
            }
        }
    }

    fn origin(&self, fates: &[Fate], from: &From) -> Option<Digest> {
        match from {
            From::Source { digest, .. } => Some(*digest),
            From::Job { id, output } => {
                let known = match fates.get(id.index())? {
                    Fate::Cached(known) => known,
                    // It will be computed again, and comes out the same.
                    Fate::Lost(key) | Fate::Again(key) => self.state.cache().get(key)?,
                    _ => return None,
                };
                let outputs = self.plan.job(*id)?.spec.outputs();
                known.outputs.get(outputs.iter().position(|o| *o == output.as_str())?).copied()
            }
        }
    }

    /// What is not as it was in the last run.
    fn changed(&self, job: &Job, inputs: &[(&str, Option<Digest>)]) -> Fate {
        let Some((run, old)) = self.last.get(&(job.stage.as_str(), job.label.as_str())) else {
            return Fate::New;
        };
        let parts = KeyParts::new(job, inputs, run, *old);
        if !parts.settings.is_empty() {
            return Fate::SpecChanged(parts.settings);
        }
        let differing = parts.inputs.into_iter().filter(|part| !part.is_same());
        let differing: Vec<String> = differing.map(|part| part.name).collect();
        match (run.result(*old).is_some(), differing.is_empty()) {
            (true, false) => Fate::InputChanged(differing),
            (true, true) => Fate::New,
            (false, _) => Fate::Unfinished,
        }
    }
}

/// What of the key of a job is as it was in another run, and what is not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyParts {
    /// The settings that differ.
    pub settings: Vec<&'static str>,
    /// The inputs as they are now, in their order.
    pub inputs: Vec<InputPart>,
}

/// An input as a part of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InputPart {
    /// Its name.
    pub name: String,
    /// Its digest in the other run, if it had one.
    pub before: Option<Digest>,
    /// Its digest now, if it is known.
    pub now: Option<Digest>,
}

impl InputPart {
    /// Whether it is known to be what it was.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.now.is_some() && self.now == self.before
    }
}

impl KeyParts {
    fn new(job: &Job, inputs: &[(&str, Option<Digest>)], run: &Run, old: JobId) -> Self {
        let settings = run.plan.job(old).map(|old| job.spec.differences(&old.spec));
        let before: BTreeMap<String, Digest> = run
            .known_inputs(old)
            .map(|inputs| inputs.into_iter().map(|input| (input.name, input.digest)).collect())
            .unwrap_or_default();
        let part = |(name, now): &(&str, Option<Digest>)| InputPart {
            name: (*name).to_owned(),
            before: before.get(*name).copied(),
            now: *now,
        };
        let inputs = inputs.iter().map(part).collect();
        Self { settings: settings.unwrap_or_default(), inputs }
    }
}

/// The key of a job of a run beside that of the same job of an earlier one, if it had that job.
#[must_use]
pub fn key_parts(run: &Run, id: JobId, earlier: &Run) -> Option<KeyParts> {
    let job = run.plan.job(id)?;
    let old = *jobs(earlier).get(&(job.stage.as_str(), job.label.as_str()))?;
    let origins = run.inputs(id);
    let known = |(name, origin): &(String, Origin)| match origin {
        Origin::Known(digest) => (name.clone(), Some(*digest)),
        Origin::Output { .. } => (name.clone(), None),
    };
    let inputs: Vec<(String, Option<Digest>)> = origins.iter().map(known).collect();
    let inputs: Vec<(&str, Option<Digest>)> =
        inputs.iter().map(|(name, digest)| (name.as_str(), *digest)).collect();
    Some(KeyParts::new(job, &inputs, earlier, old.1))
}

fn is_gone_edge(edge: &Edge, is_gone: &dyn Fn(JobId) -> bool) -> bool {
    matches!(&edge.from, From::Job { id, .. } if is_gone(*id))
}

fn cached(fates: &[Fate], id: JobId) -> Option<&Known> {
    match fates.get(id.index())? {
        Fate::Cached(known) => Some(known),
        _ => None,
    }
}

/// The jobs of a run by stage and label.
fn jobs(run: &Run) -> BTreeMap<(&str, &str), (&Run, JobId)> {
    let named = |(id, job)| named(run, id, job);
    (0u32..).map(JobId).zip(&run.plan.dag.jobs).map(named).collect()
}

fn named<'a>(run: &'a Run, id: JobId, job: &'a Job) -> ((&'a str, &'a str), (&'a Run, JobId)) {
    ((job.stage.as_str(), job.label.as_str()), (run, id))
}
