//! A dispute about real training: what worker and objector say states were, the one step that
//! settles it, and what re-execution traces. Never skips the store: states are fetched from it.

use crate::site::Site;
use ohc::base::canon::Digest;
use ohc::base::ids::{BlockId, JobId, LeaseId, RunId};
use ohc::domain::beacon::Seed;
use ohc::domain::bisection::Step;
use ohc::domain::job::Spec;
use ohc::domain::receipt::Receipt;
use ohc::domain::state::{Assignment, Duty, Query, Question, State, Task, TaskInput};
use ohc::domain::verdict::{Finding, Found, Segment};
use ohc::node::boot;
use ohc::node::home::Home;
use ohc::node::work::Bench;
use std::path::Path;

/// The training of a run that is settled, as its worker was given it.
fn training(state: &State) -> Assignment {
    let run = state.runs().values().next().unwrap();
    let is_training = |id: &JobId| matches!(run.plan.job(*id).unwrap().spec, Spec::Train(_));
    let job = (0..run.plan.dag.jobs.len() as u32).map(JobId).find(is_training).unwrap();
    let inputs = run.known_inputs(job).unwrap().into_iter();
    let inputs = inputs.map(|input| (input.name, TaskInput::Artifact(input.digest))).collect();
    let (spec, address) = (run.plan.job(job).unwrap().spec.clone(), "train".to_owned());
    let lease = LeaseId { block: BlockId { run: RunId(1), index: 0 }, attempt: 1 };
    Assignment { lease, tasks: vec![Task { job, address, spec, inputs, memory: None }] }
}

struct Court {
    bench: Bench,
    assignment: Assignment,
    receipt: Receipt,
    segment: Segment,
    _runtime: tokio::runtime::Runtime,
}

impl Court {
    fn new(site: &Site) -> Self {
        let manifest = site.path("iris.yaml");
        let home = site.path("home");
        let paths = (manifest.to_str().unwrap(), home.to_str().unwrap());
        let applied = site.run(&["apply", paths.0, "-y", "--home", paths.1]);
        assert_eq!(applied.code(), Some(0), "{}", applied.err());
        let home = Home::find(Some(&home), Path::new("."));
        let keys = boot::keys(&home, 0).unwrap();
        let booted = boot::boot(&home, keys.client.public(), keys.validator.public()).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
        let bench = Bench::new(booted.artifacts.clone(), runtime.handle().clone());
        let assignment = training(&booted.state);
        let outcome = bench.compute(&assignment, &mut |_| {}, &mut |_| {}).unwrap();
        let receipt = Receipt { lease: assignment.lease, outcome };
        let segment = Segment { job: assignment.tasks[0].job, index: 3 };
        Self { bench, assignment, receipt, segment, _runtime: runtime }
    }

    /// What a side says that the state was after so many steps; none for the end.
    fn state(&self, at: Option<u64>, publish: bool) -> (u64, Digest) {
        let (assignment, receipt) = (self.assignment.clone(), self.receipt.clone());
        let query = Query { assignment, receipt, segment: self.segment, round: 7, at, publish };
        let said = self.bench.testify(&query).unwrap().unwrap();
        assert_eq!((said.lease, said.round), (self.receipt.lease, 7));
        (said.steps, said.state)
    }

    fn duty(&self, question: Question, step: Option<Step>, probe: &str) -> Duty {
        Duty {
            question,
            assignment: self.assignment.clone(),
            receipt: self.receipt.clone(),
            id: self.receipt.id(),
            segments: vec![self.segment],
            step,
            probe: Seed(Digest::of(probe.as_bytes())),
        }
    }

    fn rules(&self, from: Digest, index: u64, worker: Digest) -> Finding {
        let step = Step { index, from, worker, objector: Digest::of(b"objector") };
        let duty = self.duty(Question::Dispute, Some(step), "");
        self.bench.check(&duty, Digest::default()).unwrap().finding
    }
}

#[test]
fn one_step_of_a_real_training_says_who_is_right() {
    let site = Site::new();
    let court = Court::new(&site);
    let (steps, end) = court.state(None, true);
    let claim = court.receipt.claim(court.segment.job).unwrap();
    assert_eq!(end, claim.segments[4], "what both begin with is what the receipt says");
    assert_eq!(court.state(None, false), (steps, end));
    let middle = steps / 2;
    let before = court.state(Some(middle), true).1;
    assert_eq!(court.state(Some(middle), false).1, before, "an honest objector says the same");
    let after = court.state(Some(middle + 1), false).1;
    let segment = court.segment;
    assert_eq!(court.rules(before, middle, after), Finding::Deny { segment });
    let lie = Digest::of(b"lie");
    let object = |found| Finding::Object { segment, found };
    assert_eq!(court.rules(before, middle, lie), object(Found::State(after)));
    assert_eq!(court.rules(Digest::of(b"nowhere"), middle, after), object(Found::Withheld));
    // The last step ends in the checkpoint itself.
    let last = court.state(Some(steps - 1), true).1;
    assert_eq!(court.rules(last, steps - 1, end), Finding::Deny { segment });
}

#[test]
fn what_re_execution_traces_follows_from_the_seed_and_is_the_same_for_all() {
    let site = Site::new();
    let court = Court::new(&site);
    let check = |probe| {
        let duty = court.duty(Question::Audit, None, probe);
        court.bench.check(&duty, Digest::of(b"salt")).unwrap()
    };
    let verdict = check("one seed");
    assert_eq!((verdict.finding, verdict.salt), (Finding::Agree, Digest::of(b"salt")));
    assert_eq!(check("one seed"), verdict);
    let others: Vec<Digest> = ["a", "b", "c", "d"].map(|seed| check(seed).trace).to_vec();
    assert!(others.iter().any(|trace| *trace != verdict.trace), "{others:?}");
    let claim = court.receipt.claim(court.segment.job).unwrap();
    assert!(!claim.segments.contains(&verdict.trace), "nobody publishes it");
}
