//! What the steps of a transform take of memory, beside the tables that they are given and make.
//! Never knows a value: keys are taken for different ones, and texts for as long as the table lets
//! them be.

use super::{CELL, CLASSES_ASSUMED, VALUES_MAX, added, after, brought};
use crate::domain::cost::Shape;
use crate::domain::job::{Filling, Step, Summary, Tokens, Transform};

/// Bytes of a cell that is made text on the way, beside the text.
const OF_A_TEXT: u64 = 64;
/// Bytes of a row among keys that are looked up, beside its key.
const OF_A_KEY: u64 = 112;
/// Bytes of each cell of a key.
const OF_A_KEY_CELL: u64 = 9;
/// Bytes of a row whose place is changed.
const OF_A_PLACE: u64 = 24;
/// Bytes of a number that is summed up, or looked for in the middle of all.
const OF_A_NUMBER: u64 = 32;
/// Bytes of a row of each table of a join, its key aside.
const OF_A_PARTNER: u64 = 160;
const OF_A_LEFT_ROW: u64 = 32;
const OF_A_JOINED_ROW: u64 = 48;
/// Bytes that pairs take to be learned of each byte of text that is not there twice; most is.
const OF_A_LEARNED_BYTE: u64 = 64;
const OF_A_TEXT_BYTE: u64 = 4;
/// Bytes of pieces that are remembered while text becomes tokens.
const REMEMBERED: u64 = 16 << 20;

/// The inputs as bytes and as tables, which grow; what the dearest step holds, or the last table
/// and its bytes as they grow and as they are given.
pub(in crate::domain::cost) fn memory(
    spec: &Transform,
    table: Shape,
    right: Shape,
    at_most: bool,
) -> u64 {
    let bounded = |shape: Shape| if at_most { shape.most() } else { shape };
    let mut shape = table;
    let mut most = if spec.steps.is_empty() {
        shape = bounded(brought(table, right));
        table.rows.saturating_mul(right.way.row)
    } else {
        0
    };
    for step in &spec.steps {
        let made = bounded(after(step, shape, right));
        let beside = beside(step, shape, (right, made), at_most);
        let held = [shape.bytes, fresh(step, shape, made, at_most), beside];
        most = most.max(held.into_iter().fold(0, u64::saturating_add));
        shape = made;
    }
    let inputs = table.bytes.saturating_add(right.bytes).saturating_mul(3);
    inputs.saturating_add(most.max(shape.bytes.saturating_mul(4)))
}

/// Bytes of the cells that a step makes; others are those of before.
fn fresh(step: &Step, before: Shape, made: Shape, at_most: bool) -> u64 {
    let added = || added(step, before, if at_most { VALUES_MAX } else { CLASSES_ASSUMED });
    match step {
        Step::Select(_) | Step::Drop(_) | Step::Rename(_) => 0,
        Step::Cast(_)
        | Step::Fill(_)
        | Step::Scale(_)
        | Step::Derive(_)
        | Step::OneHot(_)
        | Step::Hash(_) => added(),
        Step::Filter(_)
        | Step::Dedupe(_)
        | Step::Sort(_)
        | Step::Shuffle { .. }
        | Step::Sample(_)
        | Step::Join(_)
        | Step::Aggregate(_)
        | Step::Tokenize(_) => made.bytes,
    }
}

/// Bytes that are held while a step goes on, beside the tables.
fn beside(step: &Step, table: Shape, (right, made): (Shape, Shape), at_most: bool) -> u64 {
    let of_rows = |bytes: u64| table.rows.saturating_mul(bytes);
    let key = |of: Shape, cells: usize| {
        let own = of.rows.saturating_mul(OF_A_KEY_CELL.saturating_mul(cells as u64));
        // One column may be all that is large.
        let share = if at_most { 1 } else { of.columns.max(1).div_ceil(cells.max(1) as u64) };
        own.saturating_add(of.bytes / share)
    };
    match step {
        Step::Select(_) | Step::Drop(_) | Step::Rename(_) | Step::Filter(_) => 0,
        Step::Cast(_) | Step::OneHot(_) => of_rows(OF_A_TEXT).saturating_add(table.bytes),
        Step::Fill(fill) if fill.with == Filling::Mode => of_rows(OF_A_TEXT),
        Step::Fill(_) | Step::Scale(_) => of_rows(OF_A_NUMBER),
        Step::Derive(_) => of_rows(CELL),
        Step::Hash(_) => 0,
        Step::Dedupe(by) => {
            let cells = if by.is_empty() { table.columns as usize } else { by.len() };
            of_rows(OF_A_KEY).saturating_add(key(table, cells))
        }
        Step::Sort(by) => of_rows(OF_A_PLACE + CELL.saturating_mul(by.len() as u64)),
        Step::Shuffle { .. } | Step::Sample(_) => of_rows(OF_A_PLACE),
        Step::Join(join) => [
            right.rows.saturating_mul(OF_A_PARTNER),
            key(right, join.on.len()),
            of_rows(OF_A_LEFT_ROW),
            made.rows.saturating_mul(OF_A_JOINED_ROW),
        ]
        .into_iter()
        .fold(0, u64::saturating_add),
        Step::Aggregate(aggregate) => {
            let differ = |of: Summary| of == Summary::Distinct;
            let differ = aggregate.measures.iter().any(|(_, measure)| differ(measure.of));
            let sets = if differ { of_rows(OF_A_KEY).saturating_add(key(table, 1)) } else { 0 };
            let groups = of_rows(OF_A_KEY).saturating_add(key(table, aggregate.by.len()));
            groups.saturating_add(sets).saturating_add(of_rows(OF_A_NUMBER))
        }
        Step::Tokenize(tokenize) => {
            let grown = made.bytes.saturating_mul(2);
            let learned = match tokenize.by {
                Tokens::Char | Tokens::Byte => 0,
                Tokens::Pairs { .. } => {
                    let each = if at_most { OF_A_LEARNED_BYTE } else { OF_A_TEXT_BYTE };
                    table.bytes.saturating_mul(each).saturating_add(REMEMBERED.min(table.bytes))
                }
            };
            grown.saturating_add(learned)
        }
    }
}
