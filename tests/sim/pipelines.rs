//! Pipelines of every shape, compiled by the real compiler. Never the same twice, always the same
//! for the same dice.

use crate::dice::Dice;
use crate::ground::{noops, params, pin, submission};
use crate::labour::FAILING_TAG;
use ohc::base::amount::Ohc;
use ohc::domain::command::Submission;
use ohc::domain::{plan, price};

/// A name and what to submit.
#[derive(Clone)]
pub struct Want {
    pub name: String,
    pub submission: Submission,
}

/// How much of the work is checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checked {
    Full,
    Any,
}

fn verification(dice: &mut Dice, checked: Checked) -> &'static str {
    let all = ["full", "none", "{ audit: { rate: 0.5, segments: 1 } }", "{ replicate: 2 }"];
    match checked {
        Checked::Full => "full",
        Checked::Any => all[dice.index(4)],
    }
}

fn terms(dice: &mut Dice, checked: Checked) -> String {
    let verification = verification(dice, checked);
    let (attempts, jobs) = (dice.between(2, 6), *dice.pick(&[1, 2, 4, 64]));
    let is_sealed = dice.percent(10) && !verification.contains("replicate");
    let market = if is_sealed { "market: { auction: sealed, window: 2s }, " } else { "" };
    format!(
        "  defaults: {{ {market}verification: {verification}, \
         retry: {{ maxAttempts: {attempts} }}, timeout: 1m }}\n  \
         run: {{ limits: {{ jobsPerBlock: {jobs} }} }}\n"
    )
}

pub fn fan(name: &str, spec: &str, tag: u64, width: u64) -> String {
    let cells: Vec<String> = (0..width).map(|n| n.to_string()).collect();
    let cells = cells.join(", ");
    let stages = [
        format!("seed: {{ uses: noop, with: {{ tag: {tag} }} }}"),
        format!(
            "fan: {{ uses: noop, matrix: {{ axes: {{ cell: [{cells}] }} }}, \
             inputs: {{ after: seed.done }}, with: {{ tag: \"${{{{ matrix.cell }}}}\" }} }}"
        ),
        "join: { uses: noop, inputs: { all: \"fan.*.done\" } }".to_owned(),
    ];
    noops(name, spec, &stages.each_ref().map(String::as_str))
}

pub fn chain(name: &str, spec: &str, tag: u64, length: u64, fails: bool) -> String {
    let mut stages = vec![format!("s0: {{ uses: noop, with: {{ tag: {tag} }} }}")];
    for n in 1..length {
        let tag = if fails && n + 1 == length { FAILING_TAG } else { n };
        let before = n - 1;
        stages.push(format!(
            "s{n}: {{ uses: noop, inputs: {{ x: s{before}.done }}, with: {{ tag: {tag} }} }}"
        ));
    }
    let stages: Vec<&str> = stages.iter().map(String::as_str).collect();
    noops(name, spec, &stages)
}

fn diamond(name: &str, spec: &str, tag: u64) -> String {
    let seed = format!("a: {{ uses: noop, with: {{ tag: {tag} }} }}");
    let stages = [
        seed.as_str(),
        "b: { uses: noop, inputs: { x: a.done }, with: { tag: 1 } }",
        "c: { uses: noop, inputs: { x: a.done }, with: { tag: 2 } }",
        "d: { uses: noop, inputs: { x: b.done, y: c.done } }",
    ];
    noops(name, spec, &stages)
}

/// Ingest, split, a few trainings of several segments, evaluate.
pub fn iris(name: &str, spec: &str, seed: u64) -> String {
    let spec = format!("{spec}  sources: {{ flowers: {{ url: a.csv, format: csv }} }}\n");
    let split = "split: { uses: split, inputs: { table: table.table }, with: { ratios: \
                 { train: 0.8, test: 0.2 }, stratify: species, seed: 7 } }";
    let train = format!(
        "train: {{ uses: train, matrix: {{ axes: {{ width: [4, 8], seed: [{seed}] }} }}, \
         inputs: {{ data: split.train }}, with: {{ model: {{ kind: mlp, hidden: \
         [\"${{{{ matrix.width }}}}\"] }}, target: species, epochs: 12, optimizer: {{ kind: adamw, \
         lr: 0.01 }}, seed: \"${{{{ matrix.seed }}}}\" }} }}"
    );
    let evaluate = "evaluate: { uses: evaluate, inputs: { models: \"train.*.model\", \
                    data: split.test }, with: { select: { metric: accuracy, goal: max } } }";
    let table = "table: { uses: ingest, inputs: { rows: sources.flowers } }";
    noops(name, &spec, &[table, split, &train, evaluate])
}

/// What a plan costs if nothing is repriced and every block goes at its reserve.
fn least(submission: &Submission) -> Ohc {
    let (_, plan) = plan::derive(submission).expect("a pipeline of this file compiles");
    let params = params();
    let of = |block: &plan::Block| {
        let jobs = block.jobs.iter().filter_map(|id| plan.job(*id));
        price::ceiling(jobs, params.base_price, &params, 0).unwrap().total().unwrap()
    };
    Ohc::sum(plan.blocks.iter().map(of)).unwrap()
}

/// Any pipeline, with a budget that is too small, just enough or ample.
pub fn any(dice: &mut Dice, checked: Checked) -> Want {
    let spec = terms(dice, checked);
    // Few tags: pipelines of one world share results.
    let tag = dice.below(3);
    let (name, manifest) = match dice.below(10) {
        0..3 => ("fan", fan("fan", &spec, tag, dice.between(2, 6))),
        3..5 => ("chain", chain("chain", &spec, tag, dice.between(1, 4), false)),
        5 => ("failing", chain("failing", &spec, tag, dice.between(2, 4), true)),
        6..8 => ("diamond", diamond("diamond", &spec, tag)),
        _ => ("iris", iris("iris", &spec, tag)),
    };
    let pins = if name == "iris" { vec![pin("flowers")] } else { Vec::new() };
    let mut submission = submission(manifest, pins, Ohc::ZERO);
    let least = least(&submission).nano();
    let budget = match dice.below(6) {
        0 => dice.below(least),
        1 => least,
        _ => least * 3,
    };
    submission.budget = Ohc::from_nano(budget);
    Want { name: name.to_owned(), submission }
}
