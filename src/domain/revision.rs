//! Revisions: what differs between two versions of a pipeline, by stage, setting, parameter and
//! source. Never looks at how they are written, nor at what they cost.

use super::graph::{From, Job};
use super::job::Pin;
use super::manifest::Manifest;
use super::plan::Plan;
use super::terms::Terms;
use crate::base::amount::Ohc;
use std::collections::{BTreeMap, BTreeSet};

/// One version of a pipeline.
#[derive(Clone, Copy, Debug)]
pub struct Revision<'a> {
    /// What it says.
    pub manifest: &'a Manifest,
    /// What it says with its parameters, on its sources.
    pub plan: &'a Plan,
    /// Parameters that override its defaults.
    pub params: &'a BTreeMap<String, String>,
    /// What its sources are.
    pub pins: &'a [Pin],
}

/// One thing that differs: it is not in the first version, not in the second, or another in both.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Difference {
    /// A parameter that is set to other than its default.
    Param(Change<String>),
    /// A source, as its bytes and rows.
    Source(Change<(u64, u64)>),
    /// A stage, as the number of its jobs.
    Stage(Change<usize>, Parts),
    /// An output, as what it is and where it goes.
    Output(Change<String>),
    /// What a run may cost.
    Budget(Change<Ohc>),
    /// Bounds of the run other than its budget.
    Bounds,
}

/// Something by name, as it was and as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change<T> {
    /// What it is called.
    pub name: String,
    /// As it was; none if there was none.
    pub was: Option<T>,
    /// As it is; none if there is none.
    pub is: Option<T>,
}

/// What differs in a stage.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Parts {
    /// Settings and terms, as the manifest names them.
    pub settings: BTreeSet<&'static str>,
    /// Jobs that are new, by address.
    pub added: Vec<String>,
    /// Jobs that are gone, by address.
    pub removed: Vec<String>,
}

impl Parts {
    fn is_empty(&self) -> bool {
        self.settings.is_empty() && self.added.is_empty() && self.removed.is_empty()
    }
}

/// Everything that differs between two versions; nothing if they do the same.
#[must_use]
pub fn differences(was: &Revision<'_>, is: &Revision<'_>) -> Vec<Difference> {
    let mut all = Vec::new();
    let params = |revision: &Revision<'_>| revision.params.clone();
    all.extend(changes(params(was), params(is)).into_iter().map(Difference::Param));
    all.extend(sources(was.pins, is.pins));
    all.extend(stages(was.plan, is.plan));
    all.extend(changes(outputs(was.plan), outputs(is.plan)).into_iter().map(Difference::Output));
    let budget = |revision: &Revision<'_>| {
        BTreeMap::from_iter(revision.manifest.budget.map(|budget| ("budget".to_owned(), budget)))
    };
    all.extend(changes(budget(was), budget(is)).into_iter().map(Difference::Budget));
    let bounds = |revision: &Revision<'_>| {
        let manifest = revision.manifest;
        (manifest.on_exhausted, manifest.deadline_ms)
    };
    all.extend((bounds(was) != bounds(is)).then_some(Difference::Bounds));
    all
}

/// What is not the same in two maps.
fn changes<T: Clone + PartialEq>(
    was: BTreeMap<String, T>,
    is: BTreeMap<String, T>,
) -> Vec<Change<T>> {
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let change = |name: &String| {
        let (was, is) = (was.get(name).cloned(), is.get(name).cloned());
        (was != is).then(|| Change { name: name.clone(), was, is })
    };
    names.into_iter().filter_map(change).collect()
}

/// Sources whose bytes, or the columns read of them, are others.
fn sources(was: &[Pin], is: &[Pin]) -> Vec<Difference> {
    let by_name = |pins: &[Pin]| -> BTreeMap<String, Pin> {
        pins.iter().map(|pin| (pin.source.clone(), pin.clone())).collect()
    };
    let size = |pin: Pin| (pin.bytes, pin.rows);
    let sized = |change: Change<Pin>| {
        let Change { name, was, is } = change;
        Difference::Source(Change { name, was: was.map(size), is: is.map(size) })
    };
    changes(by_name(was), by_name(is)).into_iter().map(sized).collect()
}

fn outputs(plan: &Plan) -> BTreeMap<String, String> {
    let output = |(name, output): (&String, &super::graph::Output)| {
        let job = plan.job(output.job).map(ToString::to_string).unwrap_or_default();
        (name.clone(), format!("{job}.{} to {}", output.output, output.to))
    };
    plan.dag.outputs.iter().map(output).collect()
}

fn stages(was: &Plan, is: &Plan) -> Vec<Difference> {
    let (was_jobs, is_jobs) = (jobs(was), jobs(is));
    let names: BTreeSet<&str> = was_jobs.keys().chain(is_jobs.keys()).copied().collect();
    let none = BTreeMap::new();
    let difference = |name: &str| {
        let before = was_jobs.get(name).unwrap_or(&none);
        let after = is_jobs.get(name).unwrap_or(&none);
        let parts = parts((was, before), (is, after));
        let count = |jobs: &BTreeMap<&str, &Job>| (!jobs.is_empty()).then_some(jobs.len());
        let change = Change { name: name.to_owned(), was: count(before), is: count(after) };
        (!parts.is_empty()).then_some(Difference::Stage(change, parts))
    };
    names.into_iter().filter_map(difference).collect()
}

type Jobs<'a> = BTreeMap<&'a str, &'a Job>;

/// The jobs of each stage by label.
fn jobs(plan: &Plan) -> BTreeMap<&str, Jobs<'_>> {
    let mut all: BTreeMap<&str, Jobs<'_>> = BTreeMap::new();
    for job in &plan.dag.jobs {
        all.entry(&job.stage).or_default().insert(&job.label, job);
    }
    all
}

fn parts(was: (&Plan, &Jobs<'_>), is: (&Plan, &Jobs<'_>)) -> Parts {
    let only = |jobs: &Jobs<'_>, others: &Jobs<'_>| -> Vec<String> {
        let new = jobs.iter().filter(|(label, _)| !others.contains_key(*label));
        new.map(|(_, job)| job.to_string()).collect()
    };
    let mut settings = BTreeSet::new();
    for (label, job) in is.1 {
        let Some(old) = was.1.get(label) else { continue };
        settings.extend(job.spec.differences(&old.spec));
        settings.extend(terms(&old.terms, &job.terms));
        settings.extend((edges(was.0, old) != edges(is.0, job)).then_some("inputs"));
        let after = |plan: &Plan, job: &Job| -> BTreeSet<String> {
            job.after.iter().filter_map(|id| plan.job(*id)).map(ToString::to_string).collect()
        };
        settings.extend((after(was.0, old) != after(is.0, job)).then_some("needs"));
    }
    Parts { settings, added: only(is.1, was.1), removed: only(was.1, is.1) }
}

/// Where the inputs of a job come from, by address: numbers of jobs mean nothing in another plan.
fn edges(plan: &Plan, job: &Job) -> Vec<(String, String)> {
    let from = |from: &From| match from {
        From::Source { name, .. } => format!("sources.{name}"),
        From::Job { id, output } => {
            format!("{}.{output}", plan.job(*id).map(ToString::to_string).unwrap_or_default())
        }
    };
    job.inputs.iter().map(|edge| (edge.name.to_string(), from(&edge.from))).collect()
}

/// The terms in which two jobs differ, as the manifest names them.
fn terms(was: &Terms, is: &Terms) -> impl Iterator<Item = &'static str> {
    let pairs = [
        ("verification", was.verification != is.verification),
        ("retry", was.retry != is.retry),
        ("timeout", was.timeout_ms != is.timeout_ms),
        ("deadline", was.deadline_ms != is.deadline_ms),
        ("resources", was.resources != is.resources),
        ("budget", was.budget != is.budget),
        ("cache", was.cache != is.cache),
        ("onFailure", was.on_failure != is.on_failure),
        ("market", was.auction != is.auction),
        ("maxParallel", was.parallel_max != is.parallel_max),
        ("failFast", was.fail_fast != is.fail_fast),
        ("when", was.when != is.when),
    ];
    pairs.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::command::Submission;
    use crate::domain::plan;

    /// What changes if a part of a small pipeline is replaced.
    #[track_caller]
    fn check(from: &str, to: &str, expect: &[Difference]) {
        let text = "apiVersion: ohc/v1alpha1\nkind: Pipeline\nmetadata: { name: p }\nspec:\n  \
            params:\n    tag: { type: integer, default: 1 }\n  budget: { total: \"5.00\" }\n  \
            stages:\n    a: { uses: noop, with: { tag: 1 } }\n    b: { uses: noop, \
            with: { tag: 2 }, needs: [a], timeout: 5m, matrix: { axes: { n: [1, 2] } } }\n";
        assert!(text.contains(from), "{from:?}");
        let changed = text.replace(from, to);
        let versions = [text, &changed].map(|text| {
            let (manifest, params) = (text.to_owned(), Vec::new());
            let submission = Submission {
                manifest,
                params,
                pins: Vec::new(),
                budget: Ohc::ZERO,
                fresh: Vec::new(),
            };
            plan::derive(&submission).unwrap()
        });
        let params = BTreeMap::new();
        let [was, is] = versions.each_ref().map(|(manifest, plan)| Revision {
            manifest,
            plan,
            params: &params,
            pins: &[],
        });
        assert_eq!(differences(&was, &is), expect, "{from:?} -> {to:?}");
    }

    fn stage(name: &str, was: Option<usize>, is: Option<usize>, parts: Parts) -> Difference {
        Difference::Stage(Change { name: name.to_owned(), was, is }, parts)
    }

    fn of(settings: &[&'static str]) -> Parts {
        Parts { settings: settings.iter().copied().collect(), ..Parts::default() }
    }

    #[test]
    fn what_is_written_differently_but_does_the_same_is_no_difference() {
        check("total: \"5.00\"", "total: '5.0'", &[]);
    }

    #[test]
    fn settings_terms_and_order_are_named_by_stage() {
        check("tag: 1 }", "tag: 3 }", &[stage("a", Some(1), Some(1), of(&["tag"]))]);
        check("5m", "6m", &[stage("b", Some(2), Some(2), of(&["timeout"]))]);
        check("needs: [a], ", "", &[stage("b", Some(2), Some(2), of(&["needs"]))]);
    }

    #[test]
    fn jobs_and_stages_that_come_and_go_are_named() {
        let parts = Parts { added: vec!["b@n=3".into()], ..Parts::default() };
        check("[1, 2]", "[1, 2, 3]", &[stage("b", Some(2), Some(3), parts)]);
        let parts = Parts { added: vec!["c".into()], ..Parts::default() };
        let more = "stages:\n    c: { uses: noop }";
        check("stages:", more, &[stage("c", None, Some(1), parts)]);
    }

    #[test]
    fn a_budget_that_changes_is_told_with_both_amounts() {
        let amount = |text: &str| Some(text.parse::<Ohc>().unwrap());
        let name = "budget".to_owned();
        let change = Change { name, was: amount("5"), is: amount("6") };
        check("5.00", "6.00", &[Difference::Budget(change)]);
    }
}
