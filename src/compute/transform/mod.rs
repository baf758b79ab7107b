//! Transforms, executed: the steps of a spec, one after the other, from a table to a table.
//! Never knows where tables come from, and does nothing that depends on more than its arguments.
//!
//! A row-wise step is fitted (it learns what it must of all rows), applied, and written into the
//! recipe of the table. The other steps choose or order rows, which the recipe does not know of; or
//! they make rows that no raw row stands behind, and then a new recipe begins.

mod aggregate;
mod fit;
mod group;
mod join;
mod rows;
#[cfg(test)]
mod tests;

use super::Fault;
use super::recipe::Recipe;
use super::table::Table;
use crate::domain::job::{Filling, Step, Transform};

/// Transforms a table. `right` is the other table of a join; `fitted` is an earlier recipe, which
/// is applied instead of steps that are fitted here.
pub fn run(
    spec: &Transform,
    table: Table,
    right: Option<&Table>,
    fitted: Option<&Recipe>,
) -> Result<Table, Fault> {
    match fitted {
        Some(_) if !spec.steps.is_empty() => Err(Fault::new(
            "a transform with the input `fitted` has no steps of its own",
            "leave `steps` out: they are those of the fit",
        )),
        Some(recipe) => recipe.bring(&table),
        None if spec.steps.is_empty() => Err(Fault::new(
            "a transform without steps needs the input `fitted`",
            "give it `steps`, or connect `fitted` to the transform whose fit it applies",
        )),
        None => spec.steps.iter().try_fold(table, |table, step| self::step(step, table, right)),
    }
}

fn step(step: &Step, table: Table, right: Option<&Table>) -> Result<Table, Fault> {
    match step {
        Step::Fill(fill) if fill.with == Filling::Previous => {
            rows::fill_from_above(&fill.columns, &table)
        }
        Step::Filter(formula) => rows::filter(formula, &table),
        Step::Dedupe(by) => rows::dedupe(by, &table),
        Step::Sort(by) => rows::sort(by, &table),
        Step::Shuffle { seed } => Ok(rows::shuffle(*seed, &table)),
        Step::Sample(sample) => Ok(rows::sample(sample, &table)),
        Step::Join(join) => {
            let right = right.ok_or_else(|| {
                Fault::new(
                    "a join needs the input `right`",
                    "connect the other table: `inputs: { table: …, right: … }`",
                )
            })?;
            join::run(join, &table, right)
        }
        Step::Aggregate(spec) => aggregate::run(spec, &table),
        Step::Select(_)
        | Step::Drop(_)
        | Step::Rename(_)
        | Step::Cast(_)
        | Step::Fill(_)
        | Step::Derive(_)
        | Step::OneHot(_)
        | Step::Scale(_)
        | Step::Hash(_)
        | Step::Tokenize(_) => {
            let mut table = table;
            for applied in fit::fit(step, &table)? {
                let mut recipe = table.recipe().clone();
                table = applied.apply(&table)?;
                recipe.push(applied)?;
                table = table.with_recipe(recipe);
            }
            Ok(table)
        }
    }
}
