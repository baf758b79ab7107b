//! The published cost model: from a job and the shapes of its inputs to units of work.
//! Never sees money: `price` turns work into OhC. Integers only, so that every node agrees.
//!
//! work = 100 + ⌈FLOP / 10⁶⌉ + ⌈bytes moved / 64 KiB⌉ + ⌈bytes stored / 64 KiB⌉
//!
//! The constant is what it costs to lease, fetch, commit and settle a job of no size. A training
//! that may stop early is taken for all its epochs: nobody knows before how many it will run.

mod embed;
mod memory;
mod perplexity;
mod train;
mod transform;

pub use memory::Memory;

use super::job::{ColumnKind, Embed, Format, Generate, Ingest, Merge, Predict, Rule, Spec, Train};
use crate::base::amount::Work;
use crate::base::limits::ARTIFACT_BYTES_MAX;
use std::ops::RangeInclusive;

/// Units that every job costs.
pub const JOB_UNITS: u64 = 100;
/// Floating-point operations in one unit.
pub const FLOP_PER_UNIT: u64 = 1_000_000;
/// Bytes moved or stored in one unit.
pub const BYTES_PER_UNIT: u64 = 64 * 1024;
/// Classes of a label column, which no pin knows.
pub const CLASSES_ASSUMED: u64 = 10;
/// Tokens that a language model sees at once, which no plan knows.
const CONTEXT_ASSUMED: u64 = 64;
/// Bytes of a token of text, about.
const BYTES_PER_TOKEN: u64 = 3;
/// A training of more work than this is cut into parts at checkpoints, where each part then has
/// segments that are worth theirs.
pub const PART_UNITS: u64 = 20_000;
/// Operations of a segment for each byte of the state at its end. That state is made, hashed,
/// stored and looked at in some 3 ns a byte, which is 3 % of the time that these take.
const SEGMENT_FLOP_PER_BYTE: u64 = 8_000;
/// Segments of a part of a training. The least keeps audits small, which compute one of them again;
/// more than the most would have little to add.
const SEGMENTS: RangeInclusive<u64> = 8..=20;
/// Bytes of a chart, about.
const CHART_BYTES: u64 = 16 * 1024;
/// Shares of one embedding at the most.
const SHARES_MAX: u64 = 1_024;
/// Rows of a share of an embedding at the least, as they are estimated.
const ROWS_PER_SHARE: u64 = 16;
/// Parts of one training at the most.
pub const PARTS_MAX: u64 = 64;

/// What a report takes.
const REPORT: Shape = Shape { bytes: 1024, ..Shape::NONE };
/// What a card takes.
const CARD: Shape = Shape { bytes: 4096, ..Shape::NONE };

/// What is known of an artifact before it exists: an estimate, from the pins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Shape {
    /// Rows of a table; 0 for anything else.
    pub rows: u64,
    /// Columns of a table; 0 for anything else.
    pub columns: u64,
    /// Bytes.
    pub bytes: u64,
    /// Bytes of the largest of several tables one below the other; 0 of one artifact.
    pub chunk: u64,
    /// Different tokens of a table of tokens, at the most; 0 where nobody knows before the text is
    /// read, as with characters, and for anything else.
    pub tokens: u64,
    /// How many times more bytes than these there may be at the most: 1 means twice as many,
    /// [`Shape::UNKNOWN`] that nobody can tell before the data is read.
    pub over: u64,
    /// How many more rows there may be at the most.
    pub more_rows: u64,
    /// How many more columns there may be at the most.
    pub more_columns: u64,
    /// What it takes to bring raw rows here, or to what a model says of them.
    pub way: Way,
}

/// The way of raw rows through the steps of a recipe, and through the model that was trained on
/// what they make.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Way {
    /// Rows that a raw one becomes, where it becomes a stream of its tokens; 0 where it stays one.
    pub times: u64,
    /// Bytes of a raw row where it is largest.
    pub row: u64,
    /// The same at the most.
    pub row_most: u64,
    /// Bytes of the rows that go through the model at once; 0 of a table.
    pub batch: u64,
}

impl Shape {
    /// There may be any number more.
    pub const UNKNOWN: u64 = u64::MAX;
    /// Of nothing.
    pub const NONE: Self = Self {
        rows: 0,
        columns: 0,
        bytes: 0,
        chunk: 0,
        tokens: 0,
        over: 0,
        more_rows: 0,
        more_columns: 0,
        way: Way { times: 0, row: 0, row_most: 0, batch: 0 },
    };

    /// As large as it may be at the most: no artifact is larger than one may be.
    #[must_use]
    pub fn most(self) -> Self {
        let room = self.bytes.max(ARTIFACT_BYTES_MAX as u64);
        let bytes = self.bytes.saturating_mul(self.over.saturating_add(1)).min(room);
        // Rows of about as many bytes each.
        let fit = self.rows.saturating_mul(room.div_ceil(self.bytes.max(1)));
        let rows = self.rows.saturating_add(self.more_rows).min(fit.max(self.rows));
        let columns = self.columns.saturating_add(self.more_columns);
        let way = Way { row: self.way.row_most, ..self.way };
        let chunk = self.chunk.saturating_mul(self.over.saturating_add(1));
        let chunk = chunk.min(self.chunk.max(ARTIFACT_BYTES_MAX as u64));
        Self { rows, columns, bytes, chunk, over: 0, more_rows: 0, more_columns: 0, way, ..self }
    }

    /// Bytes of the largest artifact that it is made of.
    const fn largest(self) -> u64 {
        if self.chunk > 0 { self.chunk } else { self.bytes }
    }

    /// The same, of which there may be so many times as much.
    const fn times(self, times: u64) -> Self {
        let all = self.over.saturating_add(1).saturating_mul(times);
        Self { over: if self.over == Self::UNKNOWN { self.over } else { all - 1 }, ..self }
    }

    /// Two tables, one below the other.
    #[must_use]
    pub const fn below(self, other: Self) -> Self {
        Self {
            rows: self.rows.saturating_add(other.rows),
            columns: if self.columns > other.columns { self.columns } else { other.columns },
            bytes: self.bytes.saturating_add(other.bytes),
            chunk: if self.largest() > other.largest() { self.largest() } else { other.largest() },
            tokens: if self.tokens > other.tokens { self.tokens } else { other.tokens },
            over: if self.over > other.over { self.over } else { other.over },
            more_rows: self.more_rows.saturating_add(other.more_rows),
            more_columns: if self.more_columns > other.more_columns {
                self.more_columns
            } else {
                other.more_columns
            },
            way: if self.way.row_most > other.way.row_most { self.way } else { other.way },
        }
    }
}

/// What a job takes, estimated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Size {
    /// Floating-point operations.
    pub flop: u64,
    /// Bytes read.
    pub bytes_in: u64,
    /// Bytes written.
    pub bytes_out: u64,
    /// Steps of a training: no work in themselves, but each takes its time.
    pub steps: u64,
    /// What it takes of memory, where anybody can tell before.
    pub memory: Option<Memory>,
}

impl Size {
    /// Units of work.
    #[must_use]
    pub fn work(&self) -> Work {
        let units = [
            JOB_UNITS,
            self.flop.div_ceil(FLOP_PER_UNIT),
            self.bytes_in.div_ceil(BYTES_PER_UNIT),
            self.bytes_out.div_ceil(BYTES_PER_UNIT),
        ];
        Work::new(units.into_iter().fold(0, u64::saturating_add))
    }
}

/// The size of a job and the shapes of its outputs, from the shapes of its inputs in order.
#[must_use]
pub fn estimate(spec: &Spec, inputs: &[Shape]) -> (Size, Vec<Shape>) {
    let first = inputs.first().copied().unwrap_or_default();
    let bytes_in = inputs.iter().fold(0u64, |sum, shape| sum.saturating_add(shape.bytes));
    let (flop, outputs) = match spec {
        Spec::Ingest(ingest) => (first.bytes, vec![table(ingest, first), REPORT]),
        Spec::Split(split) => {
            // Shares are reals and the pure layers do no float arithmetic: each part is taken for
            // an equal share. The sum over the parts is right.
            let parts = split.ratios.len().max(1) as u64;
            let rows = first.rows / parts;
            let more_rows = first.more_rows.saturating_add(first.rows - rows);
            let part = Shape { rows, more_rows, bytes: first.bytes / parts, ..first };
            (cells(first), vec![part.times(parts); split.ratios.len()])
        }
        Spec::Train(train) => train::estimate(train, first, inputs.get(1..).unwrap_or_default()),
        Spec::Evaluate(_) => evaluated(inputs),
        Spec::Compare(_) => {
            let table = Shape { bytes: bytes_in, ..Shape::default() };
            (bytes_in, vec![table, Shape { bytes: CHART_BYTES, ..Shape::default() }])
        }
        Spec::Noop(_) => (0, vec![Shape::default()]),
        Spec::Predict(predict) => {
            let data = inputs.get(1).copied().unwrap_or_default();
            let flop = forward_flop(first.bytes, data.rows)
                .saturating_add(cells(data))
                .saturating_add(embed::flop(None, data, inputs.get(2)));
            (flop, vec![predicted(predict, data)])
        }
        Spec::Export(_) => (0, vec![first, CARD]),
        Spec::Embed(spec) => {
            let encoder = inputs.get(1).copied().unwrap_or_default();
            let (flop, table) = embed::estimate(spec, first, encoder);
            (flop, vec![table])
        }
        // A robust rule compares each number with its like. The way that is remembered is as large
        // as the parameters, which are a third of a state.
        Spec::Merge(merge) => {
            let shards = inputs.get(1..).unwrap_or_default();
            let largest = shards.iter().map(|shape| shape.bytes).max().unwrap_or(0);
            let times = if merge.rule == Rule::Mean { 1 } else { shards.len() as u64 };
            let bytes = largest.saturating_add(largest / 3);
            let over = first.over;
            ((bytes_in / 4).saturating_mul(times), vec![Shape { bytes, over, ..Shape::default() }])
        }
        Spec::MergeDeltas(merge) => heard(merge, inputs, bytes_in),
        Spec::Generate(generate) => written(generate, inputs),
        Spec::Perplexity(spec) => {
            let model = inputs.get(1).copied().unwrap_or_default();
            (perplexity::estimate(spec, first, model), vec![REPORT])
        }
        Spec::Transform(transform) => {
            let right = inputs.get(1).copied().unwrap_or_default();
            let (flop, table) = transform::estimate(transform, first, right);
            // A recipe is applied elsewhere: it tells what it makes of rows.
            let Shape { columns, more_columns, way, .. } = table;
            let recipe = Shape { bytes: 4096, columns, more_columns, way, ..Shape::NONE };
            let outputs = vec![recipe; spec.outputs().len().saturating_sub(1)];
            (flop, [vec![table], outputs].concat())
        }
    };
    // Each is one artifact, whatever it was made from.
    let outputs: Vec<Shape> = outputs.into_iter().map(|made| Shape { chunk: 0, ..made }).collect();
    let bytes_out = outputs.iter().fold(0u64, |sum, shape| sum.saturating_add(shape.bytes));
    let memory = memory::estimate(spec, inputs, &outputs);
    let steps = match spec {
        Spec::Train(train) => train::steps(train, first),
        _ => 0,
    };
    (Size { flop, bytes_in, bytes_out, steps, memory }, outputs)
}

/// What is made of deltas, as if all were of AdamW: a delta has three bytes of a parameter, the
/// state seven, and the way that is remembered four. The least of the inputs is a delta.
fn heard(merge: &Merge, inputs: &[Shape], bytes_in: u64) -> (u64, Vec<Shape>) {
    let shards = inputs.get(1..).unwrap_or_default();
    let parameters = shards.iter().map(|shape| shape.bytes).min().unwrap_or(0) / 3;
    let times = if merge.rule == Rule::Mean { 1 } else { shards.len() as u64 };
    let over = inputs.first().map_or(0, |state| state.over);
    let of = |each| Shape { bytes: parameters.saturating_mul(each), over, ..Shape::default() };
    let outputs = if merge.momentum > 0.0 { vec![of(7), of(4)] } else { vec![of(7)] };
    ((bytes_in / 3).saturating_mul(times), outputs)
}

/// What is measured: every row by every model, and raw texts by the encoder once.
fn evaluated(inputs: &[Shape]) -> (u64, Vec<Shape>) {
    let data = inputs.iter().find(|shape| shape.rows > 0).copied().unwrap_or_default();
    // An encoder has columns to give, a model has none.
    let models = || inputs.iter().filter(|shape| shape.rows == 0 && shape.columns == 0);
    let encoder = inputs.iter().find(|shape| shape.rows == 0 && shape.columns > 0);
    let flop = models().fold(embed::flop(None, data, encoder), |sum, model| {
        sum.saturating_add(forward_flop(model.bytes, data.rows))
    });
    let bytes = models().map(|shape| shape.bytes).max().unwrap_or(0);
    let over = models().map(|shape| shape.over).max().unwrap_or(0);
    let way = models().map(|shape| shape.way).max_by_key(|way| way.row_most).unwrap_or_default();
    (flop, vec![Shape { bytes, over, way, ..Shape::default() }, REPORT])
}

/// The table of predictions: columns of the rows, and what is said.
fn predicted(spec: &Predict, data: Shape) -> Shape {
    let kept = spec.keep.as_ref().map_or(data.columns, |keep| keep.len() as u64);
    let (probabilities, more) = match spec.probabilities {
        true => (CLASSES_ASSUMED, memory::CLASSES_MAX - CLASSES_ASSUMED),
        false => (0, 0),
    };
    let columns = kept.saturating_add(1 + probabilities);
    let bytes = data.rows.saturating_mul(columns).saturating_mul(8);
    let more_columns = more.saturating_add(data.more_columns);
    // What is kept may be all that is large.
    let most = data.rows.saturating_mul(columns.saturating_add(more)).saturating_mul(8);
    let most = most.saturating_add(data.bytes);
    let over = data.times(most.div_ceil(bytes.max(1)).max(1)).over;
    let way = Way::default();
    Shape { rows: data.rows, columns, bytes, tokens: 0, over, more_columns, way, ..data }
}

/// What is written: each token asks the model for all that it sees again.
fn written(generate: &Generate, inputs: &[Shape]) -> (u64, Vec<Shape>) {
    let model = inputs.first().copied().unwrap_or_default();
    let prompts = inputs.get(1).map_or(1, |prompts| prompts.rows.max(1));
    let rows = prompts.saturating_mul(u64::from(generate.samples));
    let tokens = rows.saturating_mul(u64::from(generate.tokens));
    let flop = forward_flop(model.bytes, tokens).saturating_mul(CONTEXT_ASSUMED);
    let bytes = tokens.saturating_mul(BYTES_PER_TOKEN);
    // A token may be a whole word.
    let over = BYTES_PER_TOKEN;
    let table = Shape { rows, columns: 2, bytes, over, ..Shape::NONE };
    (flop, vec![table, Shape { bytes, over, ..Shape::default() }])
}

/// How many parts a training, or a part of one, is cut into: so many that a lost worker costs at
/// most one part, and no more than have their checkpoints for little.
#[must_use]
pub fn parts(train: &Train, data: Shape) -> u32 {
    let (size, _) = estimate(&Spec::Train(train.clone()), &[data]);
    let segment = segment_flop(train, data) / FLOP_PER_UNIT;
    let part = PART_UNITS.max(segment.saturating_mul(*SEGMENTS.start()));
    let parts = size.work().units().div_ceil(part).clamp(1, PARTS_MAX);
    u32::try_from(parts.min(train::steps(train, data).max(1))).unwrap_or(1)
}

/// How many segments a job of a training is committed in: as many as are worth their checkpoints,
/// and no more than it has steps.
#[must_use]
pub fn segments(train: &Train, inputs: &[Shape]) -> u32 {
    let data = inputs.first().copied().unwrap_or_default();
    let (flop, _) = train::estimate(train, data, inputs.get(1..).unwrap_or_default());
    let worth = flop / segment_flop(train, data).max(1);
    let segments = worth.clamp(*SEGMENTS.start(), *SEGMENTS.end());
    u32::try_from(segments.min(train::steps(train, data)).max(1)).unwrap_or(1)
}

/// The least that a segment has to do to be worth its checkpoint.
fn segment_flop(train: &Train, data: Shape) -> u64 {
    train::state_bytes(train, data).saturating_mul(SEGMENT_FLOP_PER_BYTE)
}

/// How many shares an embedding is cut into, so that a lost worker costs at most one of them.
#[must_use]
pub fn shares(spec: &Embed, table: Shape, encoder: Shape) -> u32 {
    let (flop, made) = embed::estimate(spec, table, encoder);
    let (bytes_in, bytes_out) = (table.bytes, made.bytes);
    let size = Size { flop, bytes_in, bytes_out, ..Size::default() };
    let work = size.work();
    // Nobody knows for sure how many rows there will be, and no share may be empty.
    let most = (table.rows / ROWS_PER_SHARE).clamp(1, SHARES_MAX);
    u32::try_from(work.units().div_ceil(PART_UNITS).clamp(1, most)).unwrap_or(1)
}

/// Operations of a model of so many bytes on so many rows: two for each parameter of four bytes.
fn forward_flop(model_bytes: u64, rows: u64) -> u64 {
    (model_bytes / 2).saturating_mul(rows)
}

/// The table of an ingest: 8 bytes for a number, 1 for a boolean, and for a string 4 and its share
/// of the source.
fn table(ingest: &Ingest, source: Shape) -> Shape {
    let rows = ingest.limit.map_or(source.rows, |limit| limit.min(source.rows));
    let share = source.bytes / source.rows.max(1) / source.columns.max(1);
    let columns = ingest.table(&ingest.columns);
    let row = columns.iter().fold(0u64, |sum, column| {
        sum.saturating_add(match column.kind {
            ColumnKind::Real | ColumnKind::Integer => 8,
            ColumnKind::Truth => 1,
            ColumnKind::Text => share.saturating_add(4),
        })
    });
    let bytes = rows.saturating_mul(row);
    let shape = Shape { rows, columns: columns.len() as u64, bytes, ..Shape::NONE };
    let has_text = columns.iter().any(|column| column.kind == ColumnKind::Text);
    match ingest.reading.format {
        _ if !has_text => shape,
        // What is packed may be any number of bytes.
        Format::Parquet | Format::Arrow => Shape { over: Shape::UNKNOWN, ..shape },
        // All of the source may be in one of the columns.
        _ => shape.times(bytes.saturating_add(source.bytes).div_ceil(bytes.max(1))),
    }
}

fn cells(shape: Shape) -> u64 {
    shape.rows.saturating_mul(shape.columns)
}
