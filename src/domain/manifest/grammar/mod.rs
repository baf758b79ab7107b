//! The grammar of a manifest as one table: what may stand where, what it means, what it defaults
//! to.
//! Never reads a manifest: `check` walks a text along this table, `schema` prints it for editors.

mod source;
mod terms;

use super::form::{Object, Tagged, Type, default, integer, optional, required};
use super::kind::KIND_NAMES;
use crate::base::limits::{
    INSTANCES_PER_STAGE_DEFAULT, JOBS_PER_BLOCK_MAX, JOBS_PER_RUN_MAX, SOURCES_MAX,
};
use source::{CHUNKS, SOURCE};
use terms::{duration, stage_budget};

/// The one version of the manifest that there is.
pub(super) const API_VERSION: &str = "ohc/v1alpha1";
/// Stages of one manifest.
pub(super) const STAGES_MAX: usize = 4_096;
/// Combinations that one matrix may exclude.
const EXCLUDES_MAX: usize = 256;
/// Combinations that one matrix may include.
const INCLUDES_MAX: usize = 256;
/// Items of a parameter that is a list.
const ITEMS_MAX: usize = 4_096;
// The texts of the table repeat these numbers for people.
const _: () = assert!(INSTANCES_PER_STAGE_DEFAULT == 256 && JOBS_PER_BLOCK_MAX == 64);

/// The whole manifest.
pub(super) static MANIFEST: Object = Object {
    name: "manifest",
    doc: "A pipeline: sources, stages that turn them into models, and where the results go.",
    fields: &[
        required(
            "apiVersion",
            Type::Word(&[API_VERSION]),
            "The version of this grammar.",
            API_VERSION,
        ),
        required("kind", Type::Word(&["Pipeline"]), "What the document describes.", "Pipeline"),
        required(
            "metadata",
            Type::Object(&METADATA),
            "What the pipeline is called.",
            "{ name: iris }",
        ),
        required(
            "spec",
            Type::Object(&SPEC),
            "What the pipeline does.",
            "{ stages: { first: { uses: noop } } }",
        ),
    ],
};

static METADATA: Object = Object {
    name: "metadata",
    doc: "What the pipeline is called.",
    fields: &[
        required("name", Type::DnsLabel, "Lower-case letters, digits and `-`, at most 63.", "iris"),
        optional(
            "labels",
            NOTES,
            "Words to select pipelines by; they change no result.",
            "{ team: a }",
        ),
        optional(
            "annotations",
            NOTES,
            "Notes for people and tools; they change no result.",
            "{ ticket: ML-12 }",
        ),
    ],
};

const NOTES: Type = Type::Map { of: &Type::Text(1024), noun: "note", min: 0, max: 64 };

static SPEC: Object = Object {
    name: "spec",
    doc: "What the pipeline does.",
    fields: &[
        optional(
            "params",
            Type::Map { of: &Type::Object(&PARAM), noun: "parameter", min: 0, max: 256 },
            "Values that `-p name=value` overrides and `${{ params.name }}` reads.",
            "{ epochs: { type: integer, default: 60, minimum: 1 } }",
        ),
        optional(
            "sources",
            Type::Map { of: &Type::Object(&SOURCE), noun: "source", min: 0, max: SOURCES_MAX },
            "Data from outside; a plan pins its size and digest.",
            "{ flowers: { url: data/iris.csv, format: csv } }",
        ),
        optional(
            "budget",
            Type::Object(&BUDGET),
            "What the run may cost.",
            "{ total: \"5.00\", onExhausted: pause }",
        ),
        optional(
            "defaults",
            Type::Object(&DEFAULTS),
            "What holds for stages that say nothing.",
            "{ timeout: 15m, cache: private }",
        ),
        optional("run", Type::Object(&RUN), "Bounds of the run as a whole.", "{ deadline: 8h }"),
        required(
            "stages",
            Type::Map { of: &Type::Object(&STAGE), noun: "stage", min: 1, max: STAGES_MAX },
            "What is done. Edges come from `inputs`; the order of the text means nothing.",
            "{ table: { uses: ingest, inputs: { rows: sources.flowers } } }",
        ),
        optional(
            "outputs",
            Type::Map { of: &Type::Object(&OUTPUT), noun: "output", min: 0, max: 256 },
            "What is written to disk when the run is settled.",
            "{ model: { from: evaluate.best, to: out/iris/ } }",
        ),
    ],
};

/// A parameter.
pub(super) static PARAM: Object = Object {
    name: "param",
    doc: "A value that can be set from outside.",
    fields: &[
        required(
            "type",
            Type::Word(&["integer", "number", "string", "boolean", "list"]),
            "What its value is.",
            "integer",
        ),
        default(
            "of",
            Type::Word(&["integer", "number", "string", "boolean"]),
            "string",
            "What the items are, if it is a list.",
            "integer",
        ),
        optional(
            "default",
            Type::Either(&[Type::Scalar, Type::List { of: &Type::Scalar, min: 0, max: ITEMS_MAX }]),
            "Its value unless it is overridden.",
            "60",
        ),
        optional(
            "enum",
            Type::List { of: &Type::Scalar, min: 1, max: 64 },
            "The only values it, or an item of it, may have.",
            "[16, 32]",
        ),
        optional("minimum", Type::Scalar, "The smallest number it, or an item, may be.", "1"),
        optional("maximum", Type::Scalar, "The largest number it, or an item, may be.", "1000"),
        optional("description", Type::Text(1024), "What it is for.", "Passes over the rows"),
    ],
};

static BUDGET: Object = Object {
    name: "budget",
    doc: "What the run may cost.",
    fields: &[
        required(
            "total",
            Type::Amount,
            "The most that the run may cost: OhC as quoted decimal text.",
            "\"5.00\"",
        ),
        default(
            "onExhausted",
            Type::Word(&["pause", "fail"]),
            "pause",
            "What happens when it is used up: the run waits for more, or ends.",
            "fail",
        ),
    ],
};

static DEFAULTS: Object = Object {
    name: "defaults",
    doc: "What holds for stages that say nothing: merged into every stage, the stage wins.",
    fields: &[
        terms::verification(),
        terms::market(),
        terms::retry(),
        terms::timeout(),
        terms::deadline(),
        terms::resources(),
        terms::cache(),
        terms::on_failure(),
    ],
};

static RUN: Object = Object {
    name: "run",
    doc: "Bounds of the run as a whole.",
    fields: &[
        optional(
            "deadline",
            duration(1000),
            "The longest that the run may take; then it ends as failed.",
            "8h",
        ),
        optional("limits", Type::Object(&LIMITS), "Bounds of the run.", "{ instances: 1000 }"),
    ],
};

static LIMITS: Object = Object {
    name: "limits",
    doc: "Bounds of the run.",
    fields: &[
        default(
            "instances",
            integer(1, JOBS_PER_RUN_MAX as u64),
            "256",
            "Instances that one stage may have.",
            "1000",
        ),
        default(
            "jobsPerBlock",
            integer(1, JOBS_PER_BLOCK_MAX as u64),
            "64",
            "Jobs that are sold together at the most.",
            "16",
        ),
    ],
};

/// A stage.
pub(super) static STAGE: Object = Object {
    name: "stage",
    doc: "One step of the pipeline.",
    fields: &[
        required("uses", Type::Word(KIND_NAMES), "What the stage does.", "train"),
        optional(
            "inputs",
            Type::Map { of: &Type::Text(256), noun: "input", min: 0, max: 64 },
            "What flows in: `sources.NAME`, `STAGE.OUTPUT`, or `STAGE.*.OUTPUT` of all instances.",
            "{ data: split.train }",
        ),
        optional(
            "needs",
            Type::List { of: &Type::Text(64), min: 0, max: 256 },
            "Stages that must be done first, though nothing flows from them.",
            "[split]",
        ),
        optional(
            "with",
            Type::With,
            "Settings, by the kind of the stage.",
            "{ ratios: { train: 0.8, test: 0.2 } }",
        ),
        optional(
            "matrix",
            Type::Object(&MATRIX),
            "One instance per combination of values.",
            "{ axes: { width: [16, 32], seed: [1, 2] } }",
        ),
        optional(
            "foreach",
            Type::Object(&FOREACH),
            "One instance per item of a list: a matrix of one axis.",
            "{ as: lang, in: [en, de, fr] }",
        ),
        optional(
            "when",
            Type::Condition,
            "The stage is skipped unless this holds when all that it waits for is settled; it \
             may read `metrics.STAGE.NAME`.",
            "${{ metrics.evaluate.accuracy >= 0.9 }}",
        ),
        optional(
            "split",
            Type::Object(&CHUNKS),
            "One job for each chunk of the source, side by side: for `uses: ingest` only. Whoever \
             takes the table gets all chunks, in order.",
            "{ by: rows, target: 250000 }",
        ),
        terms::verification(),
        terms::market(),
        terms::retry(),
        terms::timeout(),
        terms::deadline(),
        terms::resources(),
        stage_budget(),
        terms::cache(),
        terms::on_failure(),
    ],
};

static MATRIX: Object = Object {
    name: "matrix",
    doc: "One instance per combination of values.",
    fields: &[
        required(
            "axes",
            Type::Map {
                of: &Type::List { of: &Type::AxisValue, min: 1, max: JOBS_PER_RUN_MAX },
                noun: "axis",
                min: 1,
                max: 8,
            },
            "Names and their values; `${{ matrix.NAME }}` reads the value of an instance.",
            "{ width: [16, 32], seed: [1, 2] }",
        ),
        optional(
            "exclude",
            Type::List {
                of: &Type::Map { of: &Type::AxisValue, noun: "axis", min: 1, max: 8 },
                min: 0,
                max: EXCLUDES_MAX,
            },
            "Combinations to leave out; an axis that is not named matches any value.",
            "[{ width: 32, seed: 2 }]",
        ),
        optional(
            "include",
            Type::List {
                of: &Type::Map { of: &Type::AxisValue, noun: "name", min: 1, max: 16 },
                min: 0,
                max: INCLUDES_MAX,
            },
            "Names added to the combinations whose axes they do not contradict, or else \
             combinations of their own; after `exclude`.",
            "[{ width: 64, seed: 1 }, { width: 16, lr: 0.1 }]",
        ),
        default(
            "strategy",
            Type::Tagged(&STRATEGY),
            "{ kind: grid }",
            "Which combinations are computed to their end.",
            "{ kind: asha, first: 2 }",
        ),
        terms::parallel_max(),
        terms::fail_fast(),
    ],
};

static STRATEGY: Tagged = Tagged {
    name: "strategy",
    doc: "Which combinations of a matrix are computed to their end.",
    tag: "kind",
    default: Some("grid"),
    variants: &[
        Object { name: "grid", doc: "All of them.", fields: &[] },
        Object {
            name: "asha",
            doc: "The best of them (successive halving), for `uses: train` with rows to validate \
                  on. All are trained for the first epochs; one in `factor` of them, those with \
                  the least loss on these rows, goes on until `factor` times as many epochs are \
                  done, and so on. The others cost no more, and give no model. A comparison waits \
                  for all that are left: what comes out depends on no clock.",
            fields: &[
                default(
                    "first",
                    integer(1, u32::MAX as u64),
                    "1",
                    "Epochs after which they are compared first.",
                    "2",
                ),
                default(
                    "factor",
                    integer(2, 64),
                    "3",
                    "One in so many goes on, for so many times as many epochs.",
                    "3",
                ),
            ],
        },
    ],
};

static FOREACH: Object = Object {
    name: "foreach",
    doc: "One instance per item of a list.",
    fields: &[
        required("as", Type::Name, "The name: `${{ item.NAME }}` reads the item.", "lang"),
        required(
            "in",
            Type::List { of: &Type::AxisValue, min: 1, max: JOBS_PER_RUN_MAX },
            "The items, or an expression that is a list.",
            "[en, de, fr]",
        ),
        terms::parallel_max(),
        terms::fail_fast(),
    ],
};

static OUTPUT: Object = Object {
    name: "output",
    doc: "A result that is written to disk.",
    fields: &[
        required(
            "from",
            Type::Text(256),
            "The output of a stage: `STAGE.OUTPUT`.",
            "evaluate.best",
        ),
        required("to", Type::Text(1024), "A folder beside the manifest.", "out/iris/"),
        default(
            "format",
            Type::Word(&["csv", "parquet"]),
            "csv",
            "The form of a table; other results have one of their own.",
            "parquet",
        ),
        default(
            "publishWhen",
            Type::Word(&["settled"]),
            "settled",
            "When it is written: nothing that may still be found to be wrong leaves the network.",
            "settled",
        ),
    ],
};
