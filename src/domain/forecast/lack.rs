//! What the workers lack that a block asks for, and in which words that is told. Never asks what a
//! worker's word costs.

use super::{BlockForecast, Stall};
use crate::domain::classes::Classes;
use crate::domain::plan::Block;
use crate::domain::terms::Equipment;

/// Why a block would find no worker, or too few.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lack {
    /// There are workers for it, but fewer than are to compute the same.
    Workers,
    /// Nobody has that much.
    Needs(Equipment),
    /// Nobody who has enough for them takes on all of these kinds of jobs.
    Classes(Classes),
    /// Nobody has that much, and nobody takes on all of these kinds of jobs.
    Both(Equipment, Classes),
    /// Some have that much and some take on all of these kinds of jobs, but nobody does both.
    Together(Equipment, Classes),
}

/// What there is too little of for a block; none where there is enough.
pub(super) fn of(block: &Block, forecast: &BlockForecast, stalls: &[Stall]) -> Option<Lack> {
    let BlockForecast { needs, classes, .. } = *forecast;
    let has = |stall: &&Stall| stall.bid.has.meets(&needs);
    let takes = |stall: &&Stall| stall.takes.has(classes);
    let able = stalls.iter().filter(has).filter(takes).take(block.replicas as usize).count();
    let short = short(needs, stalls);
    let (has, takes) = (stalls.iter().any(|stall| has(&stall)), stalls.iter().any(|s| takes(&s)));
    match (able, has || needs == Equipment::default(), takes) {
        (able, ..) if able >= block.replicas.max(1) as usize => None,
        (1.., ..) => Some(Lack::Workers),
        (0, false, true) => Some(Lack::Needs(short)),
        (0, true, false) => Some(Lack::Classes(classes)),
        (0, false, false) => Some(Lack::Both(short, classes)),
        // Who has enough takes on something else, where it matters how much one has.
        (0, true, true) => Some(Lack::Together(needs, classes)),
    }
}

/// Of what is asked for, that of which no worker has enough; all of it, where each has a worker.
fn short(needs: Equipment, stalls: &[Stall]) -> Equipment {
    let most = stalls.iter().fold(Equipment::default(), |most, stall| most.max(stall.bid.has));
    let over = |need: u64, most: u64| if need > most { need } else { 0 };
    let short = Equipment {
        cores: over(needs.cores, most.cores),
        memory: over(needs.memory, most.memory),
        gpus: over(needs.gpus, most.gpus),
    };
    if short == Equipment::default() { needs } else { short }
}

const LESS_NEEDS: &str = "lower its `resources`, or let a worker with more take part";
const MORE_CLASSES: &str = "start a worker whose `--classes` name all of them, or that names none";
const MORE_OF_BOTH: &str =
    "start a worker that has it and whose `--classes` name all of them, or that names none";
const LESS_REPLICAS: &str = "lower its `replicate`, or let more workers take part";

impl Lack {
    /// What is told of a stage with such blocks, each to be computed by so many workers, and what
    /// to do about it.
    pub(super) fn words(self, stage: &str, workers: u32) -> (String, &'static str) {
        match self {
            Self::Workers => {
                let what = "different workers for each job, and there are fewer that could do it";
                (format!("stage `{stage}` asks for {workers} {what}"), LESS_REPLICAS)
            }
            Self::Needs(needs) => {
                let needs = asked(needs);
                (format!("no worker has what stage `{stage}` asks for: {needs}"), LESS_NEEDS)
            }
            Self::Classes(classes) => {
                (format!("no worker takes on the jobs of stage `{stage}`: {classes}"), MORE_CLASSES)
            }
            Self::Both(needs, classes) => {
                let needs = asked(needs);
                let message = format!(
                    "no worker has what stage `{stage}` asks for: {needs}; and none takes on its \
                     jobs: {classes}"
                );
                (message, MORE_OF_BOTH)
            }
            Self::Together(needs, classes) => {
                let needs = asked(needs);
                let message = format!(
                    "no worker that has what stage `{stage}` asks for ({needs}) takes on its jobs: \
                     {classes}"
                );
                (message, MORE_OF_BOTH)
            }
        }
    }
}

/// What a worker must have, in the words of a manifest.
fn asked(needs: Equipment) -> String {
    let Equipment { cores, memory, gpus } = needs;
    let memory = (memory.div_ceil(1 << 30), "memory", "GiB");
    let all = [(cores, "cpu", ""), memory, (gpus, "gpu", "")];
    let some = all.iter().filter(|(amount, ..)| *amount > 0);
    let words = some.map(|(amount, name, unit)| format!("`{name}: {amount}{unit}..`"));
    words.collect::<Vec<_>>().join(", ")
}
