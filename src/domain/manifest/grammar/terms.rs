//! The grammar of terms: on what conditions the jobs of a stage are run.
//! Never reads them: `read` does.

use super::super::form::{Field, Object, Type, Unit, default, integer, optional, required};
use crate::base::limits::{ATTEMPTS_MAX, JOBS_PER_RUN_MAX, REPLICAS_MAX, SEGMENTS_PER_JOB_MAX};

/// The words of `terms::Cause`.
const CAUSES: &[&str] = &["worker-lost", "timeout", "verification-failed", "no-bids"];
/// The words of `terms::CacheMode`.
const CACHE_MODES: &[&str] = &["settled", "private", "off"];
/// The words that stand for an amount of verification.
const VERIFICATION_WORDS: &[&str] = &["full", "none"];

pub(super) const fn verification() -> Field {
    default(
        "verification",
        Type::WordOr(VERIFICATION_WORDS, &VERIFICATION),
        "audit: { rate: 0.25, segments: 1 }",
        "How much of the work is done again: a sample by validators, all of it (`full`), `none`, \
         or all of it by several workers.",
        "{ audit: { rate: 0.25, segments: 1 } }",
    )
}

pub(super) const fn market() -> Field {
    optional(
        "market",
        Type::Object(&MARKET),
        "How the blocks of the stage are sold.",
        "{ auction: sealed, window: 2s }",
    )
}

static MARKET: Object = Object {
    name: "market",
    doc: "How the blocks of a stage are sold.",
    fields: &[
        default(
            "auction",
            Type::Word(&["standing", "sealed"]),
            "standing",
            "To the bids that stand, at once; or to bids for this block alone that nobody can read \
             before all are there (`sealed`): slower, for dear blocks.",
            "sealed",
        ),
        default(
            "window",
            duration(1000),
            "2s",
            "How long a sealed auction takes bids, and then how long they are told.",
            "5s",
        ),
    ],
};

pub(super) const fn retry() -> Field {
    default(
        "retry",
        Type::Object(&RETRY),
        "{ maxAttempts: 4 }",
        "What follows a lost attempt.",
        "{ maxAttempts: 4, retryOn: [worker-lost, timeout], backoff: { initial: 1s, max: 5m } }",
    )
}

pub(super) const fn timeout() -> Field {
    default("timeout", duration(1000), "15m", "The longest that one attempt may take.", "15m")
}

pub(super) const fn duration(min_ms: u64) -> Type {
    Type::Duration { min_ms, max_ms: 30 * 24 * 60 * 60 * 1000 }
}

static VERIFICATION: Object = Object {
    name: "verification",
    doc: "How much of the work is done again: `audit` or `replicate`.",
    fields: &[
        optional(
            "audit",
            Type::Object(&AUDIT),
            "Validators do a sample again, drawn after delivery.",
            "{ rate: 0.25, segments: 1 }",
        ),
        optional(
            "replicate",
            integer(2, REPLICAS_MAX as u64),
            "So many different workers do all of it, and are paid for it; where they disagree, \
             validators do it again.",
            "3",
        ),
    ],
};

static AUDIT: Object = Object {
    name: "audit",
    doc: "The sample that validators do again.",
    fields: &[
        default(
            "rate",
            Type::Share { places: 6 },
            "0.25",
            "The share of blocks that is audited, above 0.",
            "0.25",
        ),
        default(
            "segments",
            integer(1, SEGMENTS_PER_JOB_MAX as u64),
            "1",
            "Segments of an audited job that are done again.",
            "1",
        ),
    ],
};

static RETRY: Object = Object {
    name: "retry",
    doc: "What follows a lost attempt.",
    fields: &[
        default("maxAttempts", integer(1, ATTEMPTS_MAX as u64), "4", "Attempts in all.", "4"),
        default(
            "retryOn",
            Type::List { of: &Type::Word(CAUSES), min: 0, max: 4 },
            "all of them",
            "The causes that another attempt is made for.",
            "[worker-lost, timeout]",
        ),
        default(
            "backoff",
            Type::Object(&BACKOFF_OBJECT),
            "1s, then 2 times as long, up to 5m",
            "Waits between attempts.",
            "{ initial: 1s, factor: 2, max: 5m }",
        ),
    ],
};

static BACKOFF_OBJECT: Object = Object {
    name: "backoff",
    doc: "Waits between attempts.",
    fields: &[
        default("initial", duration(0), "1s", "The wait before the second attempt.", "1s"),
        default("factor", integer(1, 10), "2", "How many times as long each further wait is.", "2"),
        default("max", duration(0), "5m", "The longest wait.", "5m"),
    ],
};

pub(super) const fn deadline() -> Field {
    optional(
        "deadline",
        duration(1000),
        "The longest from the first offer of a job to its settlement, over all attempts.",
        "2h",
    )
}

pub(super) const fn resources() -> Field {
    optional(
        "resources",
        Type::Object(&RESOURCES),
        "What a worker must have, as ranges: `4` is exactly four, `2..` at least two, `..8` at \
         most eight.",
        "{ cpu: 2.., memory: 8GiB..32GiB }",
    )
}

static RESOURCES: Object = Object {
    name: "resources",
    doc: "What a worker must have, as ranges; more than the upper end is not used.",
    fields: &[
        optional("cpu", Type::Range(Unit::Some), "Cores.", "2..8"),
        optional(
            "memory",
            Type::Range(Unit::Bytes),
            "Memory, with a unit: KiB, MiB, GiB, TiB, or kB, MB, GB, TB. A job that takes more \
             than the upper end fails.",
            "8GiB..32GiB",
        ),
        optional("gpu", Type::Range(Unit::Any), "Graphics cards.", "\"1\""),
    ],
};

pub(super) const fn stage_budget() -> Field {
    optional(
        "budget",
        Type::Object(&STAGE_BUDGET),
        "What the jobs of the stage may cost together.",
        "{ total: \"1.50\" }",
    )
}

static STAGE_BUDGET: Object = Object {
    name: "stage-budget",
    doc: "What the jobs of a stage may cost together.",
    fields: &[required(
        "total",
        Type::Amount,
        "The most that they may cost: OhC as quoted decimal text.",
        "\"1.50\"",
    )],
};

pub(super) const fn cache() -> Field {
    default(
        "cache",
        Type::WordOr(CACHE_MODES, &CACHE),
        "settled",
        "Which results may be used instead of running a job; one word is short for `mode`.",
        "{ mode: settled, maxAge: 30d }",
    )
}

static CACHE: Object = Object {
    name: "cache",
    doc: "Which results may be used instead of running a job.",
    fields: &[
        default(
            "mode",
            Type::Word(CACHE_MODES),
            "settled",
            "Whose: everybody's that are settled (of other clients only what validators computed \
             again from end to end), those of the same client, or nobody's (`off`).",
            "private",
        ),
        optional(
            "maxAge",
            duration(1000),
            "How old they may be, counted from their settlement.",
            "30d",
        ),
    ],
};

pub(super) const fn on_failure() -> Field {
    default(
        "onFailure",
        Type::Word(&["fail", "continue"]),
        "fail",
        "What the failure of a job means: the run ends, or goes on without what depends on it.",
        "continue",
    )
}

pub(super) const fn parallel_max() -> Field {
    optional(
        "maxParallel",
        integer(1, JOBS_PER_RUN_MAX as u64),
        "Jobs of the stage that are at work at the same time, at most.",
        "4",
    )
}

pub(super) const fn fail_fast() -> Field {
    default(
        "failFast",
        Type::Bool,
        "true, but false where `onFailure` is `continue`",
        "Whether the first failure of a job voids the jobs of the stage that are not done.",
        "false",
    )
}
