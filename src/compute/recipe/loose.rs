//! Columns of integers that may be read as reals: that all rows of a training were whole is chance.
//! Never changes what a whole number comes to.

use super::{Applied, Recipe};
use crate::compute::Fault;
use crate::compute::table::{Column, ColumnKind, Table};
use std::borrow::Cow;

/// Integers below this are reals of 64 bits, each its own.
const EXACT_END: u64 = 1 << 53;

impl Recipe {
    /// The raw columns that these features are made from, each of the widest kind that its cells
    /// may be read as.
    pub fn reads(&self, features: &[String]) -> Result<Vec<Column>, Fault> {
        let part = self.toward(features)?;
        let wide = |column: &Column| match column.kind {
            ColumnKind::Integer if part.takes_reals(&column.name) => ColumnKind::Real,
            kind => kind,
        };
        let each = part.raw.iter();
        Ok(each.map(|column| Column { name: column.name.clone(), kind: wide(column) }).collect())
    }

    /// This recipe for a table: where the table has reals, and the features do not care, so has it.
    pub fn read_as(&self, table: &Table, features: &[String]) -> Result<Cow<'_, Self>, Fault> {
        let is_real =
            |name: &str| table.column(name).is_ok_and(|cells| cells.kind() == ColumnKind::Real);
        let is_narrow = |column: &Column| column.kind == ColumnKind::Integer;
        if !self.raw.iter().any(|column| is_narrow(column) && is_real(&column.name)) {
            return Ok(Cow::Borrowed(self));
        }
        let mut wide = self.clone();
        for column in self.reads(features)? {
            let found = wide.raw.iter_mut().find(|raw| raw.name == column.name);
            if let Some(raw) = found.filter(|raw| is_real(&raw.name)) {
                raw.kind = column.kind;
            }
        }
        Ok(Cow::Owned(wide))
    }

    /// Whether nothing that is made of a column of integers tells whether it is one of reals.
    fn takes_reals(&self, column: &str) -> bool {
        let mut name = column;
        for step in &self.steps {
            match step {
                Applied::Select(names) if !names.iter().any(|each| each == name) => return true,
                Applied::Drop(names) if names.iter().any(|each| each == name) => return true,
                Applied::Rename(names) => {
                    let renamed = names.iter().find(|(old, _)| old == name);
                    name = renamed.map_or(name, |(_, new)| new);
                }
                Applied::Cast(cast) => {
                    if let Some((_, kind)) = cast.columns.iter().find(|(each, _)| each == name) {
                        return *kind == ColumnKind::Real;
                    }
                }
                Applied::Derive(formulas) => {
                    if formulas.iter().any(|(_, formula)| formula.columns().contains(&name)) {
                        return false;
                    }
                    if formulas.iter().any(|(made, _)| made == name) {
                        return true;
                    }
                }
                Applied::Scale(columns) if columns.iter().any(|each| each.column == name) => {
                    return true;
                }
                Applied::OneHot(words) if words.column == name => {
                    let is_exact = |word: &String| {
                        word.parse().is_ok_and(|x: i64| x.unsigned_abs() < EXACT_END)
                    };
                    return words.values.iter().all(is_exact);
                }
                Applied::Hash(hash) if hash.column == name => return false,
                Applied::Embed(embedding) if embedding.column == name => return false,
                Applied::Tokenize(tokenized) if tokenized.column == name => return false,
                _ => {}
            }
        }
        true
    }
}
