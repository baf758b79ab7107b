//! Bills: what a run cost, per stage and in all, to the last nano-OhC.
//! Reads the state; never reckons a price.

use crate::base::amount::Ohc;
use crate::base::ids::JobId;
use crate::domain::state::run::{Phase, Run, Status};
use std::collections::BTreeMap;

/// What a run cost.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bill {
    /// What was locked for it.
    pub(crate) budget: Ohc,
    /// What the workers got.
    pub(crate) reward: Ohc,
    /// What the validators got.
    pub(crate) gas: Ohc,
    /// What the commands about it cost beside the budget; nobody got it.
    pub(crate) fees: Ohc,
    /// What went back to the client.
    pub(crate) refunded: Ohc,
    /// Blocks that were run.
    pub(crate) blocks_run: usize,
    /// Blocks of which all was known.
    pub(crate) blocks_cached: usize,
    /// Stages in the order of their first block.
    pub(crate) lines: Vec<Line>,
}

/// What a stage cost; stages that were sold together have one line: `table+split`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Line {
    /// Its name.
    pub(crate) stage: String,
    /// What the workers got.
    pub(crate) reward: Ohc,
    /// What the validators got.
    pub(crate) gas: Ohc,
    /// Jobs that were run.
    pub(crate) run: usize,
    /// Jobs whose results were known.
    pub(crate) cached: usize,
}

impl Bill {
    /// What the client has paid.
    pub(crate) fn total(&self) -> Ohc {
        Ohc::sum([self.reward, self.gas, self.fees]).unwrap_or_default()
    }

    /// The bill of a run as it stands. Panics if a run that is over does not add up.
    pub(crate) fn of(run: &Run) -> Self {
        let (reward, gas) = run.spent();
        let mut bill = Self { budget: run.budget, reward, gas, fees: run.fees, ..Self::default() };
        let mut by_stage: BTreeMap<String, usize> = BTreeMap::new();
        for (index, block) in (0u32..).zip(&run.blocks) {
            let stage = run.plan.stages_of(index);
            let place = *by_stage.entry(stage.clone()).or_insert(bill.lines.len());
            if place == bill.lines.len() {
                bill.lines.push(Line { stage, ..Line::default() });
            }
            let jobs = run.plan.blocks.get(index as usize).map_or(&[][..], |block| &block.jobs);
            let ours = |id: &&JobId| run.result(**id).is_some_and(|k| k.lease.block.run == run.id);
            let known = jobs.iter().filter(|id| run.result(**id).is_some()).count();
            let ran = jobs.iter().filter(ours).count();
            match &block.phase {
                Phase::Settled(_) => bill.blocks_run += 1,
                Phase::Cached => bill.blocks_cached += 1,
                _ => {}
            }
            let Some(line) = bill.lines.get_mut(place) else { continue };
            line.run += ran;
            line.cached += known - ran;
            if let Phase::Settled(paid) = &block.phase {
                line.reward = line.reward.checked_add(paid.reward).unwrap_or_default();
                line.gas = line.gas.checked_add(paid.gas).unwrap_or_default();
            }
        }
        if let Status::Ended { refund, .. } = &run.status {
            bill.refunded = *refund;
            let all = Ohc::sum([bill.reward, bill.gas, bill.refunded]);
            assert!(all == Some(run.budget), "R-1: a bill adds up to the budget");
            let lines = bill.lines.iter().flat_map(|line| [line.reward, line.gas]);
            let lines = lines.chain([bill.fees]);
            assert!(Ohc::sum(lines) == Some(bill.total()), "R-1: a bill is the sum of its lines");
        }
        bill
    }
}
