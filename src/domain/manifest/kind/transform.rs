//! `uses: transform`: its settings, inputs and outputs.
//! Never reads a setting: `read` turns them into a spec, and says where they do not fit together.

mod read;

use super::{seed, tokenize};
use crate::domain::job::ColumnKind;
use crate::domain::manifest::form::{
    Field, Good, Object, OneOf, Port, StageKind, Type, default, integer, optional, required,
};

/// Steps of one stage.
const STEPS_MAX: usize = 256;
/// Columns that one step names.
const NAMES_MAX: usize = 4_096;
/// Bytes of the name of a column.
const NAME_BYTES_MAX: usize = 256;
/// Decimal places of a share.
const SHARE_PLACES: usize = 9;

const NAME: Type = Type::Text(NAME_BYTES_MAX);
const NAMES: Type = Type::List { of: &NAME, min: 1, max: NAMES_MAX };
const FORMULA: Type = Type::Text(1024);

/// `uses: transform`
pub(super) static TRANSFORM: StageKind = StageKind {
    name: "transform",
    doc: "Turns a table into another, step by step. Row-wise steps (select, drop, rename, cast, \
          fill, derive, oneHot, standardise, minMax, hash, tokenize) are fitted on this table and \
          travel with every model that is trained on the result, so that a model takes raw rows. \
          The output `fitted` is what was learned: connected as the input `fitted` of a transform \
          without steps, it treats other rows, such as held-out ones, in the very same way.",
    with: Object {
        name: "transform",
        doc: "What is done to the rows, in order.",
        fields: &[optional(
            "steps",
            Type::List { of: &Type::OneOf(&STEP), min: 1, max: STEPS_MAX },
            "The steps; none only where `fitted` gives them.",
            "[{ filter: \"age >= 18\" }, { standardise: [age] }]",
        )],
    },
    inputs: Some(&[
        Port {
            name: "table",
            good: Good::Table,
            many: false,
            optional: false,
            doc: "The table to transform.",
        },
        Port {
            name: "right",
            good: Good::Table,
            many: false,
            optional: true,
            doc: "The other table of a join.",
        },
        Port {
            name: "fitted",
            good: Good::Recipe,
            many: false,
            optional: true,
            doc: "The output `fitted` of a transform: its steps are applied with what they \
                  learned there, instead of steps of this stage.",
        },
    ]),
    outputs: Some(&[("table", Good::Table), ("fitted", Good::Recipe)]),
    spec: read::spec,
    sound: read::sound,
    metrics: &[("rows", "Rows of the result."), ("columns", "Columns of the result.")],
};

/// A step: the key says which.
static STEP: OneOf = OneOf {
    name: "step",
    doc: "One step of a transform: the key says what is done.",
    variants: &[
        required("select", NAMES, "Keeps these columns, in this order.", "[age, income]"),
        required("drop", NAMES, "Leaves these columns out.", "[id]"),
        required(
            "rename",
            Type::Columns { noun: "column", of: &NAME, min: 1, max: NAMES_MAX },
            "Gives columns other names: the old name and the new one.",
            "{ \"sepal length (cm)\": sepal }",
        ),
        required(
            "cast",
            Type::Object(&CAST),
            "Turns cells into another kind.",
            "{ columns: { age: integer }, onBadCell: clear }",
        ),
        required(
            "fill",
            Type::Object(&FILL),
            "Puts values where there are none.",
            "{ columns: [age], with: median }",
        ),
        required(
            "filter",
            FORMULA,
            "Keeps the rows for which a formula holds. Not part of what a model carries.",
            "\"age >= 18 and city is not null\"",
        ),
        required(
            "derive",
            Type::Columns { noun: "column", of: &FORMULA, min: 1, max: 256 },
            "Computes columns from those of the same row, one after the other.",
            "{ ratio: \"a / b\", big: \"if(ratio > 10, 1, 0)\" }",
        ),
        required(
            "oneHot",
            Type::Object(&ONE_HOT),
            "Replaces columns by one of zeros and ones for each of their values: `city=Bern`.",
            "{ columns: [city], unknown: zeros }",
        ),
        required(
            "standardise",
            NAMES,
            "Shifts and scales numbers to mean 0 and standard deviation 1.",
            "[age, income]",
        ),
        required("minMax", NAMES, "Shifts and scales numbers to 0 to 1.", "[age]"),
        required(
            "hash",
            Type::Object(&HASH),
            "Replaces a text column by counts of its words in buckets: `note#0`, `note#1`, ….",
            "{ column: note, buckets: 64 }",
        ),
        required(
            "dedupe",
            Type::Object(&DEDUPE),
            "Keeps the first of all rows that are equal.",
            "{ by: [id] }",
        ),
        required(
            "sort",
            Type::Columns {
                noun: "column",
                of: &Type::Word(&["ascending", "descending"]),
                min: 1,
                max: 64,
            },
            "Orders the rows by columns, the first above all; nulls come last.",
            "{ age: descending, name: ascending }",
        ),
        required(
            "shuffle",
            Type::Object(&SHUFFLE),
            "Brings the rows into an order by lot.",
            "{ seed: 7 }",
        ),
        required(
            "sample",
            Type::Object(&SAMPLE),
            "Keeps rows by lot, in their order: `rows` or `share`.",
            "{ share: 0.1, seed: 7 }",
        ),
        required(
            "join",
            Type::Object(&JOIN),
            "Adds the columns of the rows of the input `right` that have the same keys. A new raw \
             table begins: earlier steps are not part of what a model carries.",
            "{ on: [id], kind: left }",
        ),
        required(
            "aggregate",
            Type::Object(&AGGREGATE),
            "Turns each group of rows into one. A new raw table begins, as with `join`.",
            "{ by: [city], measures: { people: { count: \"*\" }, age: { mean: age } } }",
        ),
        required(
            "tokenize",
            Type::Object(&tokenize::STEP),
            "Turns a text column into tokens: numbers that a model of texts reads.",
            "{ column: review, kind: bpe, vocabulary: 1024, into: { length: 64 } }",
        ),
    ],
};

static CAST: Object = Object {
    name: "cast",
    doc: "Turns cells into another kind.",
    fields: &[
        required(
            "columns",
            Type::Columns {
                noun: "column",
                of: &Type::Word(ColumnKind::WORDS),
                min: 1,
                max: NAMES_MAX,
            },
            "The columns, and what they become.",
            "{ age: integer, price: number }",
        ),
        default(
            "onBadCell",
            Type::Word(&["fail", "clear"]),
            "fail",
            "What becomes of a cell that cannot be read so: the job fails, or the cell is null.",
            "clear",
        ),
    ],
};

static FILL: Object = Object {
    name: "fill",
    doc: "Puts values where there are none.",
    fields: &[
        required("columns", NAMES, "The columns.", "[age]"),
        optional(
            "with",
            Type::Word(&["mean", "median", "mode", "previous"]),
            "A statistic of the column, or the value of the nearest row above that has one. With \
             `previous` a new raw table begins, as with `join`.",
            "median",
        ),
        optional("value", Type::Scalar, "This value instead.", "unknown"),
    ],
};

static ONE_HOT: Object = Object {
    name: "oneHot",
    doc: "Replaces columns by one of zeros and ones for each of their values.",
    fields: &[
        required("columns", NAMES, "The columns.", "[city]"),
        default(
            "unknown",
            Type::Word(&["zeros", "fail"]),
            "zeros",
            "What becomes of a value that the fit has not seen: zeros, or the job fails.",
            "fail",
        ),
    ],
};

static HASH: Object = Object {
    name: "hash",
    doc: "Replaces a text column by counts of its words in buckets.",
    fields: &[
        required("column", NAME, "The column.", "note"),
        required("buckets", integer(1, 4_096), "How many buckets there are.", "64"),
    ],
};

static DEDUPE: Object = Object {
    name: "dedupe",
    doc: "Keeps the first of all rows that are equal.",
    fields: &[optional("by", NAMES, "The columns to compare; all if there are none.", "[id]")],
};

static SHUFFLE: Object =
    Object { name: "shuffle", doc: "Brings the rows into an order by lot.", fields: &[LOT] };

static SAMPLE: Object = Object {
    name: "sample",
    doc: "Keeps rows by lot, in their order.",
    fields: &[
        optional("rows", integer(1, u64::MAX), "How many; all if there are no more.", "1000"),
        optional(
            "share",
            Type::Share { places: SHARE_PLACES },
            "Which share of them, rounded down; at least one.",
            "0.1",
        ),
        LOT,
    ],
};

const LOT: Field = seed("Seed of the lot.");

static JOIN: Object = Object {
    name: "join",
    doc: "Adds the columns of the rows of another table that have the same keys.",
    fields: &[
        required("on", NAMES, "Columns that both tables have; a null matches nothing.", "[id]"),
        default(
            "kind",
            Type::Word(&["inner", "left"]),
            "inner",
            "Whether a row without a partner is left out, or stays with nulls.",
            "left",
        ),
    ],
};

static AGGREGATE: Object = Object {
    name: "aggregate",
    doc: "Turns each group of rows into one, in the order in which groups are first seen.",
    fields: &[
        optional("by", NAMES, "The columns that make a group; none makes one of all.", "[city]"),
        required(
            "measures",
            Type::Columns { noun: "column", of: &Type::OneOf(&MEASURE), min: 1, max: 256 },
            "The columns of the result besides those, and what each is.",
            "{ people: { count: \"*\" }, oldest: { max: age } }",
        ),
    ],
};

static MEASURE: OneOf = OneOf {
    name: "measure",
    doc: "What is measured of a group; nulls are left out.",
    variants: &[
        required("count", NAME, "How many values there are; `*` counts rows.", "\"*\""),
        required(
            "sum",
            NAME,
            "The sum; null where it is beyond the numbers, as of integers beyond 64 bits.",
            "amount",
        ),
        required("mean", NAME, "The mean.", "amount"),
        required("min", NAME, "The smallest value.", "amount"),
        required("max", NAME, "The largest value.", "amount"),
        required("first", NAME, "The value of the first row that has one.", "amount"),
        required("distinct", NAME, "How many different values there are.", "customer"),
    ],
};
