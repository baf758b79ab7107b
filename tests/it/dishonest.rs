//! A worker that lies, among real roles on a real log: it is caught and pays, and the run ends with
//! what an honest one gives. Never skips the market: it is leased its blocks like any other.

use crate::site::Site;
use ohc::base::amount::Ohc;
use ohc::base::canon::Digest;
use ohc::base::ids::JobId;
use ohc::compute::table::{Cells, Table};
use ohc::domain::command::Submission;
use ohc::domain::event::Event;
use ohc::domain::job::Spec;
use ohc::domain::state::State;
use ohc::effects::clock::Clock;
use ohc::node::boot;
use ohc::node::embedded::{Embedded, Happening};
use ohc::node::home::Home;
use ohc::node::pipeline::{self, Pipeline};
use ohc::node::work::{Bench, Made, Tamper};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Runs a manifest of a site with two workers, the first of which may lie; gives the events and the
/// state at the end.
fn run(site: &Site, home: &str, tamper: Option<Tamper>) -> (Vec<Event>, State) {
    let text = pipeline::read(&site.path("full.yaml")).unwrap();
    let home = Home::find(Some(&site.path(home)), Path::new("."));
    let pipeline = Pipeline::prepare(text, BTreeMap::new(), &site.path(""), Some(&home)).unwrap();
    let keys = boot::keys(&home, 2).unwrap();
    let booted = boot::boot(&home, keys.client.public(), keys.validator.public()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let bench = Bench::new(booted.artifacts.clone(), runtime.handle().clone());
    let mut network = Embedded::start(booted, keys, &bench, Clock::start(), Ohc::ZERO);
    if let Some(tamper) = tamper {
        network.replace_bench(0, bench.dishonest(tamper));
    }
    let submission = Submission {
        manifest: pipeline.text.clone(),
        params: Vec::new(),
        pins: pipeline.pins.clone(),
        budget: pipeline.manifest.budget.unwrap(),
        fresh: Vec::new(),
    };
    let mut events = Vec::new();
    let mut watch = |happening: Happening<'_>| {
        if let Happening::Folded(_, folded) = happening {
            events.extend_from_slice(folded);
        }
    };
    let client = boot::keys(&home, 0).unwrap().client;
    network.run(client, "iris".into(), submission, &mut watch).unwrap();
    let state = network.stop(&mut watch).unwrap();
    (events, state)
}

fn model(state: &State) -> Digest {
    let run = state.runs().values().next().unwrap();
    let output = &run.plan.dag.outputs["model"];
    run.result(output.job).unwrap().outputs[0]
}

#[track_caller]
fn check(tamper: Tamper) {
    let site = Site::new();
    site.vary("full.yaml", "{ audit: { rate: 0.25, segments: 1 } }", "full");
    let (honest_events, honest) = run(&site, "honest", None);
    let is_slash = |event: &&Event| matches!(event, Event::Slashed { .. });
    assert_eq!(honest_events.iter().filter(is_slash).count(), 0, "nobody honest is slashed");

    let (events, state) = run(&site, "liar", Some(tamper));
    let slashed: Vec<_> = events.iter().filter(is_slash).collect();
    assert!(!slashed.is_empty(), "the lie was not found");
    for event in slashed {
        let Event::Slashed { lease, worker, bond, segment } = event else { unreachable!() };
        let run = &state.runs()[&lease.block.run];
        let job: &Spec = &run.plan.job(JobId(segment.job.0)).unwrap().spec;
        assert!(matches!(job, Spec::Train(_)), "only training was tampered with");
        assert!(bond.nano() > 0);
        let again = events.iter().find_map(|event| match event {
            Event::Leased { lease: next, worker, .. }
                if next.block == lease.block && next.attempt > lease.attempt =>
            {
                Some(*worker)
            }
            _ => None,
        });
        assert!(again.is_some_and(|next| next != *worker), "the block goes to somebody else");
    }
    assert_eq!(model(&state), model(&honest), "the honest model comes out");
    assert_eq!(state.ledger().total(), honest.ledger().total());
}

#[test]
fn wrong_weights_are_caught_and_slashed_and_the_honest_model_comes_out() {
    check(Arc::new(|task, made| {
        if let (Spec::Train(_), Made::Done(done)) = (&task.spec, made) {
            let last = done.outputs[0].bytes.len() - 1;
            done.outputs[0].bytes[last] ^= 1;
        }
    }));
}

#[test]
fn a_wrong_checkpoint_in_the_middle_is_caught() {
    check(Arc::new(|task, made| {
        if let (Spec::Train(_), Made::State(index, state)) = (&task.spec, made)
            && index == task.spec.segments().div_ceil(2)
        {
            let last = state.len() - 1;
            state[last] ^= 1;
        }
    }));
}

/// How often somebody is slashed in a run whose trainings are fast or not, all of it checked, with
/// a worker that changes this byte, counted from the end, of a state in the middle.
fn slashed(mode: &str, byte: usize, by: u8) -> usize {
    let site = Site::new();
    site.vary("full.yaml", "{ audit: { rate: 0.25, segments: 1 } }", "full");
    let text = std::fs::read_to_string(site.path("full.yaml")).unwrap();
    let mode = format!("mode: {mode}\n        target: species");
    site.write("full.yaml", &text.replace("target: species", &mode));
    let tamper: Tamper = Arc::new(move |task, made| {
        if let (Spec::Train(_), Made::State(3, state)) = (&task.spec, made) {
            let at = state.len() - byte;
            state[at] ^= by;
        }
    });
    let (events, state) = run(&site, "home", Some(tamper));
    assert!(state.runs().values().all(|run| run.is_over()));
    events.iter().filter(|event| matches!(event, Event::Slashed { .. })).count()
}

/// Where the last number of the last bias, and the last of its second moments, end in a state:
/// behind them are the best value, which is empty, and before it two moments of three numbers.
const BIAS: usize = 4 + 2 * (4 + 12) + 4;
const MOMENT: usize = 4;

#[test]
fn what_is_off_in_the_last_bit_is_a_lie_of_an_exact_training_and_not_of_a_fast_one() {
    for end in [BIAS, MOMENT] {
        // Little-endian: the lowest byte of a number is the first of its four.
        assert_eq!(slashed("fast", end + 4, 1), 0);
        assert!(slashed("exact", end + 4, 1) > 0);
    }
}

#[test]
fn a_fast_training_that_ends_far_from_the_exact_one_is_a_lie() {
    for end in [BIAS, MOMENT] {
        assert!(slashed("fast", end + 1, 0x40) > 0);
    }
}

/// How often somebody is slashed in a run whose texts are embedded in shares, fast or not, all of
/// it checked, with a worker that changes this bit of the first number of its first vectors.
fn slashed_by_vectors(mode: &str, bit: usize) -> usize {
    let site = Site::of_all();
    let text = std::fs::read_to_string(site.path("reviews-shares.yaml")).unwrap();
    let text = text.replace("default: exact", &format!("default: {mode}"));
    let full = "  defaults: { verification: full }\n  stages:\n";
    site.write("full.yaml", &text.replace("  stages:\n", full));
    let tamper: Tamper = Arc::new(move |task, made| {
        if let (Spec::Embed(_), Made::Done(done)) = (&task.spec, made) {
            let bytes = &mut done.outputs[0].bytes;
            let table = Table::from_bytes(bytes).unwrap();
            let Cells::Real(cells) = table.column("text@0").unwrap() else { unreachable!() };
            let number = cells.value(0).to_le_bytes();
            let at = bytes.windows(8).position(|eight| eight == number).unwrap();
            bytes[at + bit / 8] ^= 1 << (bit % 8);
        }
    });
    let (events, state) = run(&site, "home", Some(tamper));
    assert!(state.runs().values().all(|run| run.is_over()));
    events.iter().filter(|event| matches!(event, Event::Slashed { .. })).count()
}

#[test]
fn a_vector_that_is_off_in_the_last_bit_is_a_lie_of_an_exact_embedding_and_not_of_a_fast_one() {
    // A number of an encoder is an f32: 23 of the 52 bits of a fraction.
    let (last, sign) = (52 - 23, 63);
    assert_eq!(slashed_by_vectors("fast", last), 0);
    assert!(slashed_by_vectors("exact", last) > 0);
    // Far from the exact one; and near, but none that an encoder gives.
    assert!(slashed_by_vectors("fast", sign) > 0);
    assert!(slashed_by_vectors("fast", 0) > 0);
}
