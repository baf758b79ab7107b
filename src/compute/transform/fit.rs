//! Fitting: what row-wise steps learn of all rows. Sums run in the order of the rows.
//! Never changes a table: what is learned is a step of a recipe.

use crate::compute::recipe::{Applied, Scaled, Tokenized, Vocabulary, numbers, texts};
use crate::compute::table::{Cells, Table};
use crate::compute::tokenizer::Tokenizer;
use crate::compute::{Fault, quote};
use crate::domain::job::{Cell, Fill, Filling, Layout, OneHot, Scale, ScaleTo, Step, Tokenize};
use std::collections::{BTreeMap, BTreeSet};

/// Values of a column that are worth a column each.
const VALUES_MAX: usize = 4_096;

/// The row-wise steps that a step becomes; none of one that is not row-wise.
pub(super) fn fit(step: &Step, table: &Table) -> Result<Vec<Applied>, Fault> {
    Ok(match step {
        Step::Select(columns) => vec![Applied::Select(columns.clone())],
        Step::Drop(columns) => vec![Applied::Drop(columns.clone())],
        Step::Rename(names) => vec![Applied::Rename(names.clone())],
        Step::Cast(cast) => vec![Applied::Cast(cast.clone())],
        Step::Derive(columns) => vec![Applied::Derive(columns.clone())],
        Step::Hash(hash) => vec![Applied::Hash(hash.clone())],
        Step::Fill(fill) => {
            let each = fill.columns.iter();
            let values = each.map(|name| Ok((name.clone(), filling(fill, name, table)?)));
            vec![Applied::Fill(values.collect::<Result<_, Fault>>()?)]
        }
        Step::OneHot(one_hot) => {
            let each = one_hot.columns.iter();
            each.map(|name| vocabulary(one_hot, name, table).map(Applied::OneHot))
                .collect::<Result<_, _>>()?
        }
        Step::Scale(scale) => {
            let each = scale.columns.iter().map(|name| scaled(scale, name, table));
            vec![Applied::Scale(each.collect::<Result<_, _>>()?)]
        }
        Step::Tokenize(tokenize) => vec![Applied::Tokenize(tokenized(tokenize, table)?)],
        Step::Filter(_)
        | Step::Dedupe(_)
        | Step::Sort(_)
        | Step::Shuffle { .. }
        | Step::Sample(_)
        | Step::Join(_)
        | Step::Aggregate(_) => Vec::new(),
    })
}

fn nothing_to_learn(name: &str) -> Fault {
    Fault::new(
        format!("column {} has no value in any row", quote(name)),
        "drop it, or fill it with a value of yours",
    )
}

/// The values of a numeric column, in the order of the rows: at least one.
fn values(name: &str, table: &Table) -> Result<Vec<f64>, Fault> {
    let cells = numbers(name, table.array(name)?)?;
    let values: Vec<f64> = cells.iter().flatten().collect();
    if values.is_empty() { Err(nothing_to_learn(name)) } else { Ok(values) }
}

fn filling(fill: &Fill, name: &str, table: &Table) -> Result<Cell, Fault> {
    match &fill.with {
        Filling::Value(value) => Ok(value.clone()),
        Filling::Mean => mean(name, &values(name, table)?).map(Cell::Real),
        Filling::Median => Ok(Cell::Real(median(values(name, table)?))),
        Filling::Mode => mode(name, table.column(name)?),
        Filling::Previous => {
            Err(Fault::new("the value above is none of the row's own", "fill it by itself"))
        }
    }
}

/// The mean; of values that are all one it is that value, where a sum would be rounded.
fn mean(name: &str, values: &[f64]) -> Result<f64, Fault> {
    let [least, most] = extremes(values);
    if least == most {
        return Ok(least);
    }
    let sum: f64 = values.iter().sum();
    finite(name, sum / values.len() as f64)
}

/// The smallest and the largest value. Of -0 and 0 either may be the smaller: they are both 0 here.
fn extremes(values: &[f64]) -> [f64; 2] {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    [least + 0.0, most + 0.0]
}

fn finite(name: &str, value: f64) -> Result<f64, Fault> {
    if value.is_finite() {
        return Ok(value);
    }
    let message = format!("the numbers of column {} are too large for statistics", quote(name));
    Err(Fault::new(message, "derive a smaller unit or a logarithm of it first"))
}

/// The value in the middle; of two, what is halfway between them.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = |place: usize| values.get(place).copied().unwrap_or_default();
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { at(middle) } else { at(middle - 1) * 0.5 + at(middle) * 0.5 }
}

/// The most frequent value; of several, the smallest.
fn mode(name: &str, cells: Cells<'_>) -> Result<Cell, Fault> {
    fn most<K: Ord>(values: impl Iterator<Item = K>) -> Option<K> {
        let mut counts: BTreeMap<K, usize> = BTreeMap::new();
        values.for_each(|value| *counts.entry(value).or_default() += 1);
        // Ascending, and only more beats the best so far: the smallest of equals stays.
        let better = |best: Option<(K, usize)>, next: (K, usize)| match best {
            Some(best) if best.1 >= next.1 => Some(best),
            _ => Some(next),
        };
        counts.into_iter().fold(None, better).map(|(value, _)| value)
    }
    let found = match cells {
        Cells::Real(cells) => {
            // As integers of the same order; -0 counts as 0.
            let ordered = |x: f64| {
                let bits = (x + 0.0).to_bits() as i64;
                bits ^ (((bits >> 63) as u64) >> 1) as i64
            };
            let back = |key: i64| f64::from_bits((key ^ (((key >> 63) as u64) >> 1) as i64) as u64);
            most(cells.iter().flatten().map(ordered)).map(|key| Cell::Real(back(key)))
        }
        Cells::Integer(cells) => most(cells.iter().flatten()).map(Cell::Integer),
        Cells::Text(cells) => most(cells.iter().flatten()).map(|text| Cell::Text(text.to_owned())),
        Cells::Truth(cells) => most(cells.iter().flatten()).map(Cell::Truth),
    };
    found.ok_or_else(|| nothing_to_learn(name))
}

fn vocabulary(one_hot: &OneHot, name: &str, table: &Table) -> Result<Vocabulary, Fault> {
    let mut values = BTreeSet::new();
    for text in table.column(name)?.each_text().flatten() {
        values.insert(text.into_owned());
        if values.len() > VALUES_MAX {
            let message = format!("column {} has more than {VALUES_MAX} values", quote(name));
            return Err(Fault::new(message, "hash it, or leave it out"));
        }
    }
    if values.is_empty() {
        return Err(nothing_to_learn(name));
    }
    let values = values.into_iter().collect();
    Ok(Vocabulary { column: name.to_owned(), values, unknown: one_hot.unknown })
}

/// A table with the texts of which the vocabulary is learned.
fn tokenized(tokenize: &Tokenize, table: &Table) -> Result<Tokenized, Fault> {
    let Tokenize { column, by, into } = tokenize.clone();
    let separator = match &into {
        Layout::Stream { separator } => separator.as_str(),
        Layout::Rows { .. } => "",
    };
    let cells = texts(&column, table.column(&column)?)?;
    let tokenizer = Tokenizer::fit(by, cells.iter().flatten(), separator)?;
    Ok(Tokenized { column, tokenizer, into })
}

/// Where all values are one, the divisor is 1: they become 0.
fn scaled(scale: &Scale, name: &str, table: &Table) -> Result<Scaled, Fault> {
    let values = values(name, table)?;
    let (shift, divisor) = match scale.to {
        ScaleTo::Standard => {
            let mean = mean(name, &values)?;
            let squares: f64 = values.iter().map(|x| (x - mean) * (x - mean)).sum();
            (mean, (squares / values.len() as f64).sqrt())
        }
        ScaleTo::MinMax => {
            let [least, most] = extremes(&values);
            (least, most - least)
        }
    };
    let divisor = finite(name, divisor)?;
    let divisor = if divisor == 0.0 { 1.0 } else { divisor };
    Ok(Scaled { column: name.to_owned(), to: scale.to, shift, divisor })
}
