//! Terms: on what conditions the jobs of a stage are run. They decide when, how often and at what
//! price a job runs, never what comes out of it: no term is part of a job's key.

use super::verdict::Verification;
use crate::base::amount::Ohc;
use crate::base::canon::{canonical_enum, canonical_struct};
use crate::base::limits::REPLICAS_MAX;
use std::collections::BTreeSet;

/// What a stage says about the running of its jobs; every default is in its place.
#[derive(Clone, PartialEq, Debug)]
pub struct Terms {
    /// How much of the work validators do again.
    pub verification: Verification,
    /// What follows a lost attempt.
    pub retry: Retry,
    /// Milliseconds that one attempt may take.
    pub timeout_ms: u64,
    /// Milliseconds from the first offer of a job to its settlement, over all attempts.
    pub deadline_ms: Option<u64>,
    /// What a worker must have.
    pub resources: Resources,
    /// The most that all jobs of the stage may cost together.
    pub budget: Option<Ohc>,
    /// Which settled results may be used again.
    pub cache: Cache,
    /// What the failure of one job means for the run.
    pub on_failure: OnFailure,
    /// Jobs of the stage that are at work at the same time, at most.
    pub parallel_max: Option<u32>,
    /// Whether the first failure of a job voids the jobs of the stage that are not done.
    pub fail_fast: bool,
    /// How blocks of the stage are sold.
    pub auction: Auction,
    /// The jobs are skipped unless this holds when all that they wait for is settled.
    pub when: Option<Condition>,
    /// Of a merge: milliseconds for which the other shards are waited for, once there is a quorum.
    pub grace_ms: Option<u64>,
}

/// How a block is sold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Auction {
    /// To the bids that stand, at the next slot.
    #[default]
    Standing,
    /// To bids for this block alone: sealed for so long, then told for so long.
    Sealed {
        /// Milliseconds of each of the two windows.
        window_ms: u64,
    },
}

/// What follows a lost attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Retry {
    /// Attempts in all: at least 1.
    pub attempts_max: u32,
    /// Waits between attempts.
    pub backoff: Backoff,
    /// The causes that another attempt is made for.
    pub on: BTreeSet<Cause>,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            attempts_max: 4,
            backoff: Backoff { initial_ms: 1000, factor: 2, max_ms: 5 * 60 * 1000 },
            on: Cause::ALL.iter().map(|(_, cause)| *cause).collect(),
        }
    }
}

/// Waits between attempts: the first, how many times as long each further one is, the longest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Backoff {
    /// Milliseconds before the second attempt.
    pub initial_ms: u64,
    /// At least 1.
    pub factor: u32,
    /// Milliseconds at the most.
    pub max_ms: u64,
}

impl Backoff {
    /// How long to wait after so many attempts (at least 1): `initial · factor^(attempts − 1)`, at
    /// most `max`, in milliseconds.
    #[must_use]
    pub fn wait_ms(&self, attempts: u32) -> u64 {
        let factor = u64::from(self.factor).saturating_pow(attempts.saturating_sub(1));
        self.initial_ms.saturating_mul(factor).min(self.max_ms)
    }
}

/// Why an attempt came to nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Cause {
    /// The worker fell silent.
    WorkerLost,
    /// The attempt took longer than its time-out.
    Timeout,
    /// The receipt was found to be false.
    VerificationFailed,
    /// Nobody took the block at its price: it is repriced.
    NoBids,
}

canonical_enum!(Cause { 1 => WorkerLost, 2 => Timeout, 3 => VerificationFailed, 4 => NoBids });

impl Cause {
    /// The word of the manifest.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::WorkerLost => "worker-lost",
            Self::Timeout => "timeout",
            Self::VerificationFailed => "verification-failed",
            Self::NoBids => "no-bids",
        }
    }

    /// All of them, with the words of the manifest.
    pub const ALL: [(&'static str, Self); 4] = [
        (Self::WorkerLost.word(), Self::WorkerLost),
        (Self::Timeout.word(), Self::Timeout),
        (Self::VerificationFailed.word(), Self::VerificationFailed),
        (Self::NoBids.word(), Self::NoBids),
    ];
}

impl Default for Terms {
    /// The terms of a stage that says nothing.
    fn default() -> Self {
        Self {
            verification: Verification::Audit { rate_ppm: 250_000, segments: 1 },
            retry: Retry::default(),
            timeout_ms: 15 * 60 * 1000,
            deadline_ms: None,
            resources: Resources::default(),
            budget: None,
            cache: Cache { mode: CacheMode::Settled, age_max_ms: None },
            on_failure: OnFailure::Fail,
            parallel_max: None,
            fail_fast: true,
            auction: Auction::Standing,
            when: None,
            grace_ms: None,
        }
    }
}

impl Terms {
    /// Whether they say something about the stage as a whole, or about what follows a failure: then
    /// its jobs are not sold together with those of another stage.
    #[must_use]
    pub fn is_of_a_stage(&self) -> bool {
        self.deadline_ms.is_some()
            || self.budget.is_some()
            || self.parallel_max.is_some()
            || self.when.is_some()
            || !self.ends_the_run()
    }

    /// Whether the first failure of a job ends the run at once.
    #[must_use]
    pub fn ends_the_run(&self) -> bool {
        self.fail_fast && self.on_failure == OnFailure::Fail
    }

    /// How many workers compute each block.
    #[must_use]
    pub fn replicas(&self) -> u32 {
        match self.verification {
            Verification::Replicate { workers } => workers.clamp(1, REPLICAS_MAX),
            _ => 1,
        }
    }

    /// Milliseconds until a block of the stage is tried again after so many attempts, the last of
    /// which came to nothing for this cause; `None` if it is not.
    #[must_use]
    pub fn wait_ms(&self, attempts: u32, cause: Cause) -> Option<u64> {
        let again = attempts < self.retry.attempts_max && self.retry.on.contains(&cause);
        again.then(|| self.retry.backoff.wait_ms(attempts))
    }
}

/// What a worker must have: at least `min`; more than `max` is not used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Resources {
    /// Cores.
    pub cpu: Amounts,
    /// Bytes of memory.
    pub memory: Amounts,
    /// Graphics cards.
    pub gpu: Amounts,
}

/// What a worker has, as it declares itself. Nobody checks it: who declares more than there is
/// loses its bonds by attempts that come to nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Equipment {
    /// Cores.
    pub cores: u64,
    /// Bytes of memory.
    pub memory: u64,
    /// Graphics cards.
    pub gpus: u64,
}
canonical_struct!(Equipment { cores, memory, gpus });

impl Equipment {
    /// Whether it is at least what is asked for.
    #[must_use]
    pub const fn meets(&self, needs: &Self) -> bool {
        self.cores >= needs.cores && self.memory >= needs.memory && self.gpus >= needs.gpus
    }

    /// Enough for both.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            cores: self.cores.max(other.cores),
            memory: self.memory.max(other.memory),
            gpus: self.gpus.max(other.gpus),
        }
    }
}

impl Resources {
    /// The least that a worker must have.
    #[must_use]
    pub const fn least(&self) -> Equipment {
        Equipment { cores: self.cpu.min, memory: self.memory.min, gpus: self.gpu.min }
    }
}

/// A range of a resource.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Amounts {
    /// The least that is needed.
    pub min: u64,
    /// The most that is used; `None` is no bound.
    pub max: Option<u64>,
}

/// Which settled results may be used instead of running a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cache {
    /// Whose.
    pub mode: CacheMode,
    /// How old they may be, in milliseconds since they were settled.
    pub age_max_ms: Option<u64>,
}

/// Whose results may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CacheMode {
    /// Nobody's: the job runs at every apply.
    Off,
    /// Those of the same client.
    Private,
    /// Everybody's; those of other clients if all of them was computed again.
    Settled,
}

/// What the failure of one job means for its run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnFailure {
    /// The run ends.
    Fail,
    /// The run goes on without what depends on the job.
    Continue,
}

/// What follows where a budget does not cover the next block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnExhausted {
    /// The run stands still until its client adds to the budget.
    Pause,
    /// The run ends.
    Fail,
}

/// A condition on metrics of settled jobs. Numbers are compared, never computed with.
#[derive(Clone, PartialEq, Debug)]
pub enum Condition {
    /// All hold.
    All(Vec<Condition>),
    /// One holds.
    Any(Vec<Condition>),
    /// It does not hold.
    Not(Box<Condition>),
    /// Known when the manifest was compiled.
    Constant(bool),
    /// Two numbers compare like this; a metric that was not reported compares like nothing.
    Compare(Operand, Comparison, Operand),
}

/// A number in a condition.
#[derive(Clone, PartialEq, Debug)]
pub enum Operand {
    /// A finite number of the manifest.
    Number(f64),
    /// `metrics.STAGE.NAME`: reported by the one job of a stage.
    Metric {
        /// The stage; it has one instance.
        stage: String,
        /// The name of the metric.
        name: String,
    },
}

/// How two numbers compare.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Condition {
    /// Whether it holds, given the metrics that jobs reported: `(stage, name) → value`.
    pub fn holds(&self, metric: &dyn Fn(&str, &str) -> Option<f64>) -> bool {
        match self {
            Self::All(all) => all.iter().all(|each| each.holds(metric)),
            Self::Any(any) => any.iter().any(|each| each.holds(metric)),
            Self::Not(inner) => !inner.holds(metric),
            Self::Constant(constant) => *constant,
            Self::Compare(left, comparison, right) => {
                let value = |operand: &Operand| match operand {
                    Operand::Number(number) => Some(*number),
                    Operand::Metric { stage, name } => metric(stage, name),
                };
                match (value(left), value(right)) {
                    (Some(left), Some(right)) => comparison.holds(left, right),
                    _ => false,
                }
            }
        }
    }

    /// The stages whose metrics it reads, in order and perhaps more than once.
    #[must_use]
    pub fn stages(&self) -> Vec<&str> {
        self.metrics().into_iter().map(|(stage, _)| stage).collect()
    }

    /// Stage and name of the metrics that it reads, in order and perhaps more than once.
    #[must_use]
    pub fn metrics(&self) -> Vec<(&str, &str)> {
        match self {
            Self::All(each) | Self::Any(each) => each.iter().flat_map(Self::metrics).collect(),
            Self::Not(inner) => inner.metrics(),
            Self::Constant(_) => Vec::new(),
            Self::Compare(left, _, right) => {
                [left, right].into_iter().filter_map(Operand::metric).collect()
            }
        }
    }
}

impl Operand {
    fn metric(&self) -> Option<(&str, &str)> {
        match self {
            Self::Metric { stage, name } => Some((stage, name)),
            Self::Number(_) => None,
        }
    }
}

impl Comparison {
    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_least(number: f64) -> Condition {
        let metric = Operand::Metric { stage: "evaluate".into(), name: "accuracy".into() };
        Condition::Compare(metric, Comparison::GreaterOrEqual, Operand::Number(number))
    }

    #[track_caller]
    fn check(condition: &Condition, expect: bool) {
        let metric =
            |stage: &str, name: &str| (stage == "evaluate" && name == "accuracy").then_some(0.9);
        assert_eq!(condition.holds(&metric), expect, "{condition:?}");
    }

    #[test]
    fn a_condition_compares_metrics_with_numbers() {
        check(&at_least(0.9), true);
        check(&at_least(0.95), false);
        check(&Condition::Not(Box::new(at_least(0.95))), true);
        check(&Condition::All(vec![at_least(0.5), at_least(0.95)]), false);
        check(&Condition::Any(vec![at_least(0.5), at_least(0.95)]), true);
        check(&Condition::Constant(true), true);
        assert_eq!(Condition::All(vec![at_least(0.5)]).stages(), ["evaluate"]);
    }

    #[test]
    fn a_metric_that_was_not_reported_compares_like_nothing() {
        let metric = Operand::Metric { stage: "evaluate".into(), name: "f1".into() };
        for comparison in [Comparison::Less, Comparison::NotEqual, Comparison::GreaterOrEqual] {
            check(&Condition::Compare(metric.clone(), comparison, Operand::Number(0.0)), false);
        }
    }
}
