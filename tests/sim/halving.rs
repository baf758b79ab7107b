//! Sweeps whose losers are stopped: who goes on, in whatever order results come, and what it costs.
//! On the bare fold; never runs a role.

use crate::fold::{Fold, WORKER};
use crate::ground::{noops, ohc, pin, submission};
use ohc::base::amount::Ohc;
use ohc::base::ids::JobId;
use ohc::domain::command::Command;
use ohc::domain::event::{Ending, Skip};
use ohc::domain::state::run::{Gone, Run, Status};
use ohc::domain::verdict::Finding;
use std::collections::BTreeMap;

const CELLS: usize = 6;

fn sweep(matrix: &str) -> String {
    let train = format!(
        "train: {{ uses: train, verification: full, matrix: {{ axes: {{ seed: [1, 2, 3, 4, 5, 6] }}\
         {matrix} }}, inputs: {{ data: table.table }}, with: {{ model: {{ kind: mlp, hidden: [256] \
         }}, target: species, epochs: 800, validation: 0.2, seed: \"${{{{ matrix.seed }}}}\" }} }}"
    );
    let table = "table: { uses: ingest, inputs: { rows: sources.iris } }";
    let evaluate =
        "evaluate: { uses: evaluate, inputs: { models: \"train.*.model\", data: table.table } }";
    let spec = "  sources: { iris: { url: iris.csv, format: csv } }\n";
    noops("halving", spec, &[table, &train, evaluate])
}

const ASHA: &str = ", strategy: { kind: asha, first: 200, factor: 2 }";

/// A run of it, of which one of all leases that are held is worked off at a time: the one that
/// `choose` says of so many.
fn settled(text: &str, mut choose: impl FnMut(usize) -> usize) -> (Fold, Ohc) {
    let mut fold = Fold::new(1);
    fold.bid(WORKER, 500_000);
    fold.send(
        crate::fold::CLIENT,
        Command::Submit(Box::new(submission(text.to_owned(), vec![pin("iris")], ohc(500)))),
    );
    loop {
        let held = fold.held(WORKER);
        if held.is_empty() {
            break;
        }
        let receipt = fold.receipt(held[choose(held.len()) % held.len()]);
        fold.send(WORKER, Command::Deliver(vec![receipt.clone()]));
        fold.slot(0, &[]);
        fold.judge(0, &receipt, Finding::Agree);
    }
    let Status::Ended { ending, refund } = &run(&fold).status else { panic!("it goes on") };
    assert_eq!(*ending, Ending::Settled);
    let cost = ohc(500).checked_sub(*refund).unwrap();
    (fold, cost)
}

fn run(fold: &Fold) -> &Run {
    fold.state.runs().values().next().unwrap()
}

/// The jobs of each cell, rung by rung.
fn cells(run: &Run) -> Vec<Vec<JobId>> {
    let mut cells: BTreeMap<String, Vec<JobId>> = BTreeMap::new();
    for (id, job) in (0u32..).map(JobId).zip(&run.plan.dag.jobs) {
        if job.stage == "train" {
            let cell = job.label.split('#').next().unwrap().to_owned();
            cells.entry(cell).or_default().push(id);
        }
    }
    cells.into_values().collect()
}

fn loss(run: &Run, id: JobId) -> Option<f64> {
    let metrics = &run.result(id)?.metrics;
    metrics.iter().find(|(name, _)| name == "validationLoss").map(|(_, loss)| *loss)
}

#[test]
fn those_with_the_least_loss_go_on_and_the_others_come_to_no_cost() {
    let (fold, cost) = settled(&sweep(ASHA), |_| 0);
    let run = run(&fold);
    let cells = cells(run);
    assert_eq!(
        (cells.len(), cells[0].len()),
        (CELLS, 3),
        "rungs end after 200, 400 and 800 epochs"
    );
    let mut left: Vec<&Vec<JobId>> = cells.iter().collect();
    for (rung, places) in [(1, 3), (2, 1)] {
        left.sort_by(|a, b| {
            loss(run, a[rung - 1]).unwrap().total_cmp(&loss(run, b[rung - 1]).unwrap())
        });
        for beaten in left.split_off(places) {
            assert_eq!(run.gone.get(&beaten[rung]), Some(&Gone::Skipped(Skip::Beaten)));
            for later in &beaten[rung + 1..] {
                assert!(matches!(run.gone.get(later), Some(Gone::Skipped(Skip::Needs(_)))));
            }
        }
        assert!(left.iter().all(|cell| loss(run, cell[rung]).is_some()));
    }
    // The evaluation measures the one that is left, and a grid of the same cells costs more.
    let evaluate = JobId(run.plan.dag.jobs.len() as u32 - 1);
    assert_eq!(run.inputs(evaluate).len(), 2);
    let (_, all) = settled(&sweep(""), |_| 0);
    assert!(cost < all, "{cost} < {all}");
}

#[test]
fn who_goes_on_is_the_same_in_whatever_order_results_come() {
    let outcome = |choose: &mut dyn FnMut(usize) -> usize| {
        let (fold, cost) = settled(&sweep(ASHA), choose);
        let run = run(&fold);
        let of =
            |id| (run.result(id).map(|known| known.outputs.clone()), run.gone.get(&id).cloned());
        let all = (0..run.plan.dag.jobs.len() as u32).map(JobId).map(of).collect::<Vec<_>>();
        (all, cost)
    };
    let first = outcome(&mut |_| 0);
    assert_eq!(outcome(&mut |held| held - 1), first);
    for seed in 1..6usize {
        let mut n = seed;
        let lot = &mut |_| {
            n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            n >> 33
        };
        assert_eq!(outcome(lot), first, "seed {seed}");
    }
}
