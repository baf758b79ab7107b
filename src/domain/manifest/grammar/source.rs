//! The grammar of sources: where data comes from, and how its bytes are to be read.
//! Never reads a manifest: `manifest/source.rs` does.

use super::super::form::{Object, Tagged, Type, default, integer, optional, required, unless};
use crate::base::limits::{CHUNK_BYTES_MAX, COLUMNS_MAX, TEXT_BYTES_MAX};
use crate::domain::job::{ColumnKind, DIGITS_MAX, MADE_ROWS_MAX};

/// Words that stand for null, of one source.
const NULLS_MAX: usize = 64;
/// Bytes of a chunk, at least: each is a job.
const CHUNK_BYTES_MIN: u64 = 1024;

pub(super) static SOURCE: Object = Object {
    name: "source",
    doc: "Data from outside, or data that is made.",
    fields: &[
        unless(
            "generate",
            "url",
            Type::Text(1024),
            "A path beside the manifest, or an address: file://, s3://, gs://, az://, https://. \
             One file, a pattern such as `data/*.csv`, or all files of a folder: `data/`.",
            "data/iris.csv",
        ),
        unless(
            "generate",
            "format",
            Type::Word(&["csv", "json", "parquet", "arrow", "text", "png", "huggingface", "gguf"]),
            "How the bytes are to be read: `csv`, `json` (an object per line), `parquet`, `arrow` \
             (IPC, a file or a stream), `text` (a row per line, in the one column `text`), `png` \
             (a row per file, a column per pixel); or `huggingface`: the folder of an encoder, for \
             `uses: embed`, or of a language model, for `uses: perplexity`; or `gguf`: the one \
             file of such a model.",
            "csv",
        ),
        optional(
            "csv",
            Type::Object(&CSV),
            "How comma-separated values are written, where it is not as RFC 4180 says.",
            "{ delimiter: \";\", header: false }",
        ),
        optional(
            "png",
            Type::Object(&PNG),
            "What the names of images say, and how their pixels are taken.",
            "{ label: first, mark: \"-\", pixels: grey }",
        ),
        default(
            "nulls",
            Type::List { of: &Type::Scalar, min: 0, max: NULLS_MAX },
            "[\"\"] for csv, none for other formats",
            "Cells that stand for null.",
            "[\"\", NA, -999]",
        ),
        optional(
            "columns",
            Type::Either(&[
                Type::Columns {
                    of: &Type::Word(ColumnKind::WORDS),
                    noun: "column",
                    min: 1,
                    max: COLUMNS_MAX,
                },
                Type::List { of: &Type::Text(TEXT_BYTES_MAX), min: 1, max: COLUMNS_MAX },
            ]),
            "Kinds of columns; those of all others follow from all rows. Or a list: the names of \
             the columns of a csv without a header, or the only columns of other formats to read.",
            "{ zip: string, age: integer }",
        ),
        default(
            "onBadRow",
            Type::Word(&["fail", "skip", "null"]),
            "fail",
            "What becomes of a row that cannot be read: the source is refused, the row is left \
             out, or what cannot be read of it is null. The report of the ingest counts them.",
            "skip",
        ),
        optional(
            "auth",
            Type::Object(&AUTH),
            "Who asks for it, if not the credentials of the environment.",
            "{ secretRef: lake }",
        ),
        optional(
            "generate",
            Type::Tagged(&GENERATE),
            "Rows that are made instead of read, and all that decides them: the same settings \
             make the same rows everywhere. It stands alone, without `url` and `format`.",
            "{ task: addition, digits: 3, rows: 20000, seed: 1 }",
        ),
    ],
};

static GENERATE: Tagged = Tagged {
    name: "made",
    doc: "Rows that are made, to see what a model can learn.",
    tag: "task",
    default: None,
    variants: &[Object {
        name: "addition",
        doc: "Sums of two numbers, each written with so many digits: the columns `question` \
              (`012+345=`), `answer` (`0357`) and `text` (both). No question comes twice.",
        fields: &[
            required(
                "digits",
                integer(1, DIGITS_MAX as u64),
                "Digits of each number; the sum has one more.",
                "3",
            ),
            required(
                "rows",
                integer(1, MADE_ROWS_MAX),
                "How many: of one digit there are no more than 100, of two no more than 10000.",
                "20000",
            ),
            default("seed", integer(0, u64::MAX), "0", "Seed of the lots.", "1"),
        ],
    }],
};

static AUTH: Object = Object {
    name: "auth",
    doc: "Who asks for a source.",
    fields: &[required(
        "secretRef",
        Type::DnsLabel,
        "The name of a secret: the variables `OHC_SECRET_NAME_…`, or the lines of \
         `~/.config/ohc/secrets/NAME`. Only its name leaves this machine.",
        "lake",
    )],
};

static PNG: Object = Object {
    name: "png",
    doc: "What the names of images say, and how their pixels are taken.",
    fields: &[
        default(
            "label",
            Type::Word(&["folder", "first", "last", "none"]),
            "folder",
            "What the column `label` says: the folder of the file, what stands in its name before \
             the first `mark`, or behind the last one; `none` makes no such column.",
            "first",
        ),
        default(
            "mark",
            Type::Mark { or: "space" },
            "\"_\"",
            "What divides a name for `label: first` and `last`: one ASCII character, or `space`.",
            "\"-\"",
        ),
        optional(
            "pixels",
            Type::Word(&["grey", "rgb"]),
            "Brings all images to one value for each pixel (`grey`), or to three. Without it they \
             are taken as they are, and all must be alike.",
            "grey",
        ),
    ],
};

static CSV: Object = Object {
    name: "csv",
    doc: "How comma-separated values are written.",
    fields: &[
        default(
            "delimiter",
            Type::Mark { or: "tab" },
            "\",\"",
            "What stands between two cells: one ASCII character, or `tab`.",
            "\";\"",
        ),
        default(
            "quote",
            Type::Mark { or: "none" },
            "'\"'",
            "What a cell may be wrapped in, or `none`: then every character is meant as it is.",
            "none",
        ),
        default(
            "escape",
            Type::Mark { or: "none" },
            "none: a quote that is written twice",
            "What stands, in a quoted cell, before a character that is meant literally.",
            "'\\'",
        ),
        default("header", Type::Bool, "true", "Whether the first line names the columns.", "false"),
        optional(
            "comment",
            Type::Mark { or: "none" },
            "Lines that begin with this are no rows.",
            "\"#\"",
        ),
        default(
            "trim",
            Type::Bool,
            "false",
            "Whether spaces and tabs around a cell, outside its quotes, are dropped.",
            "true",
        ),
        default(
            "skipLines",
            integer(0, 1_000_000),
            "0",
            "Lines before the header, or the first row, that are no part of the table.",
            "2",
        ),
    ],
};

/// Chunks of an ingest.
pub(super) static CHUNKS: Object = Object {
    name: "chunks",
    doc: "How a source is divided into chunks, each read by a job of its own.",
    fields: &[
        required("by", Type::Word(&["rows", "bytes"]), "What the target counts.", "rows"),
        required(
            "target",
            Type::Amounts { rows: 1_000_000_000, bytes: (CHUNK_BYTES_MIN, CHUNK_BYTES_MAX as u64) },
            "How large a chunk is to be: it ends with the row that reaches this. Bytes have a \
             unit, and are those of the source; no chunk is larger than 256MiB.",
            "250000",
        ),
    ],
};
const _: () = assert!(CHUNK_BYTES_MAX == 256 << 20);
