//! Lessons: the rows of a training made ready for its steps, and those that validate it.
//! Never learns anything from a row that is held out.

use crate::compute::backing::Room;
use crate::compute::examples::{Examples, Truth};
use crate::compute::kernel::philox::{Philox, purpose};
use crate::compute::op::Wanted;
use crate::compute::port::Tables;
use crate::compute::predictor::{Scales, Unit};
use crate::compute::recipe::Recipe;
use crate::compute::rows::Rows;
use crate::compute::split;
use crate::compute::table::{Table, nearest};
use crate::compute::{Fault, quote};
use crate::domain::job::{ClassWeights, Model, Scaling, Train};
use std::borrow::Cow;
use std::sync::Arc;

/// What a training learns from and is validated on.
#[derive(Debug, Clone)]
pub struct Lesson {
    /// The rows to learn from.
    pub rows: Examples,
    /// The rows to validate on, if there are any.
    pub validation: Option<Examples>,
    /// How features are scaled.
    pub(super) scales: Scales,
    /// What a number is counted in.
    pub(super) unit: Unit,
    /// The weight of each class; empty where all weigh 1.
    weights: Arc<[f32]>,
}

impl Lesson {
    /// From the inputs of a training, with all rows in memory.
    pub fn new(
        spec: &Train,
        data: &dyn Tables,
        validation: Option<&dyn Tables>,
    ) -> Result<Self, Fault> {
        Self::within(Room::MEMORY, spec, data, validation)
    }

    /// From the inputs of a training: rows are held out of `data` by lot, or given.
    pub fn within(
        room: Room<'_>,
        spec: &Train,
        data: &dyn Tables,
        validation: Option<&dyn Tables>,
    ) -> Result<Self, Fault> {
        let Train { task, targets, .. } = spec;
        if let Model::Gpt(gpt) = &spec.model {
            return Self::of_tokens(room, spec, gpt.context as usize, data, validation);
        }
        let all = Examples::from_table(data, room, *task, targets, spec.features.as_deref())?;
        let (rows, validation) = match (spec.validation, validation) {
            (None, None) => (all, None),
            (Some(share), None) => {
                let (rows, held_out) = hold_out(all, share, spec.seed)?;
                (rows, Some(held_out))
            }
            (None, Some(tables)) => {
                let wanted: Vec<String> = all.features.iter().chain(targets).cloned().collect();
                let known = (all.features.as_slice(), all.truth.vocabulary());
                let checked = if all.recipe.steps().is_empty() {
                    let tables = Brought { tables, recipe: &all.recipe, columns: &wanted };
                    Examples::for_model(&tables, room, *task, targets, known)?
                } else {
                    // A step may ask for a row of each table.
                    let table = tables.whole()?;
                    let table = all.recipe.bring_toward(&table, &wanted)?;
                    Examples::for_model(&table, room, *task, targets, known)?
                };
                (all, Some(checked))
            }
            (Some(_), Some(_)) => {
                return Err(Fault::new(
                    "rows to validate on are given and held out",
                    "leave out the input `validation`, or the setting of that name",
                ));
            }
        };
        Self::of(spec, rows, validation)
    }

    /// From streams of tokens.
    fn of_tokens(
        room: Room<'_>,
        spec: &Train,
        context: usize,
        data: &dyn Tables,
        validation: Option<&dyn Tables>,
    ) -> Result<Self, Fault> {
        let [name] = spec.targets.as_slice() else {
            return Err(Fault::new("a language model learns one column", "leave `target` out"));
        };
        let all = Examples::of_stream(data, room, name, context, None)?;
        let Truth::Tokens { vocabulary, .. } = all.truth else {
            return Err(Fault::new("the rows are no tokens", "connect a stream of tokens"));
        };
        let (rows, validation) = match (spec.validation, validation) {
            (Some(share), _) => {
                let (rows, held_out) = hold_out(all, share, spec.seed)?;
                (rows, Some(held_out))
            }
            (None, Some(tables)) => {
                let table = tables.whole()?;
                let table = all.recipe.bring_toward(&table, std::slice::from_ref(name))?;
                let known = Some(vocabulary);
                let held_out = Examples::of_stream(&table, room, name, context, known)?;
                (all, Some(held_out))
            }
            (None, None) => (all, None),
        };
        Self::of(spec, rows, validation)
    }

    /// From rows: what is to be known of all of them before the first step.
    pub fn of(spec: &Train, rows: Examples, validation: Option<Examples>) -> Result<Self, Fault> {
        if spec.early_stopping.is_some() && validation.is_none() {
            return Err(Fault::new(
                "early stopping needs rows to validate on",
                "hold some out, such as `validation: 0.1`, or connect the input `validation`",
            ));
        }
        let scales = match spec.scaling {
            Scaling::Standard if !spec.model.reads_tokens() => scales(&rows.values)?,
            Scaling::Standard | Scaling::None => Scales::default(),
        };
        let (unit, weights) = match &rows.truth {
            Truth::Real(of) => (unit(of), Vec::new()),
            Truth::Classes { classes, of } => {
                (Unit::default(), weights(&spec.class_weights, classes, of)?)
            }
            Truth::Labels { .. } | Truth::Tokens { .. } => (Unit::default(), Vec::new()),
        };
        Ok(Self { rows, validation, scales, unit, weights: weights.into() })
    }

    /// How many numbers a model gives of a row.
    pub(super) fn outputs(&self) -> usize {
        match &self.rows.truth {
            Truth::Real(_) => 1,
            Truth::Tokens { vocabulary, .. } => *vocabulary,
            truth => truth.vocabulary().len(),
        }
    }

    /// What a loss is multiplied with to be in the units of the target.
    pub(super) fn loss_unit(&self) -> f64 {
        self.unit.deviation * self.unit.deviation
    }

    /// Some rows to learn from: their features, scaled, and what is wanted of them.
    pub(super) fn batch(&self, rows: &[u32]) -> Result<(Vec<f32>, Wanted), Fault> {
        let places = || rows.iter().map(|&row| row as usize);
        Ok((self.scaled(&self.rows, places())?, self.wanted(&self.rows.truth, places())))
    }

    /// The features of the rows at these places, scaled.
    pub(super) fn scaled(
        &self,
        rows: &Examples,
        places: impl ExactSizeIterator<Item = usize>,
    ) -> Result<Vec<f32>, Fault> {
        let mut values = Vec::with_capacity(places.len() * rows.width());
        rows.values.each(places, |row| self.scales.append(row, &mut values))?;
        Ok(values)
    }

    /// What is wanted of the rows at these places.
    pub(super) fn wanted(&self, truth: &Truth, rows: impl Iterator<Item = usize>) -> Wanted {
        match truth {
            Truth::Classes { of, .. } => Wanted::Classes {
                labels: rows.filter_map(|row| of.get(row).copied()).collect(),
                weights: self.weights.clone(),
            },
            Truth::Real(of) => {
                let Unit { mean, deviation } = self.unit;
                let standard = |x: &f64| ((x - mean) / deviation) as f32;
                Wanted::Real(rows.filter_map(|row| of.get(row).map(standard)).collect())
            }
            Truth::Tokens { context, of, .. } => {
                let rows = rows.filter_map(|row| of.get(row * context..(row + 1) * context));
                Wanted::Classes { labels: rows.flatten().copied().collect(), weights: [].into() }
            }
            Truth::Labels { labels, of } => {
                let width = labels.len();
                let marks = rows.filter_map(|row| of.get(row * width..(row + 1) * width));
                Wanted::Labels(marks.flatten().copied().collect())
            }
        }
    }
}

/// The columns that are wanted of raw tables.
struct Brought<'a> {
    tables: &'a dyn Tables,
    recipe: &'a Recipe,
    columns: &'a [String],
}

impl Tables for Brought<'_> {
    fn each(&self, take: &mut dyn FnMut(&Table) -> Result<(), Fault>) -> Result<(), Fault> {
        self.tables.each(&mut |table| take(&self.recipe.bring_toward(table, self.columns)?))
    }

    fn whole(&self) -> Result<Cow<'_, Table>, Fault> {
        let table = self.tables.whole()?;
        self.recipe.bring_toward(&table, self.columns).map(Cow::Owned)
    }
}

/// The rows to learn from and those that are held out: each class in proportion.
fn hold_out(all: Examples, share: f64, seed: u64) -> Result<(Examples, Examples), Fault> {
    let strata = match &all.truth {
        Truth::Classes { classes, of } => {
            let mut strata = vec![Vec::new(); classes.len()];
            for (row, &class) in of.iter().enumerate() {
                strata.get_mut(class as usize).into_iter().for_each(|rows| rows.push(row));
            }
            strata
        }
        Truth::Real(_) | Truth::Labels { .. } | Truth::Tokens { .. } => {
            vec![(0..all.rows()).collect()]
        }
    };
    let parts = split::deal(&strata, &[1.0 - share, share], |stratum, rows| {
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        Philox::new(seed, purpose::VALIDATION, stratum).permutation(rows)
    });
    let [learn, check] = parts.as_slice() else { return Err(none_left(share, all.rows())) };
    if learn.is_empty() || check.is_empty() {
        return Err(none_left(share, all.rows()));
    }
    Ok((all.pick(learn), all.pick(check)))
}

fn none_left(share: f64, rows: usize) -> Fault {
    Fault::new(
        format!("`validation: {share}` leaves no row of {rows} on one of its sides"),
        "hold out another share, or connect the input `validation`",
    )
}

/// Mean and standard deviation of numbers in f64, in their order.
fn moments(of: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let (rows, sum) = of.clone().fold((0.0, 0.0), |(rows, sum), x| (rows + 1.0, sum + x));
    let mean = sum / rows;
    let squares: f64 = of.map(|x| (x - mean) * (x - mean)).sum();
    (mean, (squares / rows).sqrt())
}

/// Mean and reciprocal standard deviation of every feature, in f64 and in the order of the rows.
/// Of one that never changes nothing can be learned: it is 0, on new rows too.
fn scales(rows: &Rows) -> Result<Scales, Fault> {
    let (all, mut means) = (rows.count() as f64, vec![0.0f64; rows.width()]);
    rows.each(0..rows.count(), |row| {
        means.iter_mut().zip(row).for_each(|(sum, x)| *sum += f64::from(*x));
    })?;
    means.iter_mut().for_each(|sum| *sum /= all);
    let mut squares = vec![0.0f64; rows.width()];
    rows.each(0..rows.count(), |row| {
        for ((sum, mean), x) in squares.iter_mut().zip(&means).zip(row) {
            let x = f64::from(*x) - mean;
            *sum += x * x;
        }
    })?;
    let mut scales = Scales::default();
    for (mean, squares) in means.iter().zip(squares) {
        let scale = (1.0 / (squares / all).sqrt()) as f32;
        scales.mean.push(*mean as f32);
        scales.scale.push(if scale.is_finite() { scale } else { 0.0 });
    }
    Ok(scales)
}

/// Mean and standard deviation of a target. One that never changes is only centred.
fn unit(of: &[f64]) -> Unit {
    // The mean of equal numbers may be none of them, by rounding.
    if let Some((first, rest)) = of.split_first()
        && rest.iter().all(|x| x == first)
    {
        return Unit { mean: *first, deviation: 1.0 };
    }
    let (mean, deviation) = moments(of.iter().copied());
    Unit { mean, deviation: if deviation > 0.0 { deviation } else { 1.0 } }
}

/// The weight of each class; none where all weigh 1. A class of which no row is learned from
/// weighs 1.
fn weights(wanted: &ClassWeights, classes: &[String], of: &[u32]) -> Result<Vec<f32>, Fault> {
    match wanted {
        ClassWeights::Even => Ok(Vec::new()),
        ClassWeights::Balanced => {
            let weight = |class: u32| {
                let rows = of.iter().filter(|each| **each == class).count();
                let even = classes.len() as f64 * rows as f64;
                if rows == 0 { 1.0 } else { (of.len() as f64 / even) as f32 }
            };
            Ok((0u32..).take(classes.len()).map(weight).collect())
        }
        ClassWeights::Of(weights) => {
            if let Some(name) = weights.keys().find(|name| !classes.contains(name)) {
                let hint = match nearest(name, classes) {
                    Some(near) => format!("did you mean {}?", quote(near)),
                    None => format!("the target has {} classes", classes.len()),
                };
                return Err(Fault::new(format!("no row is of the class {}", quote(name)), hint));
            }
            let weight = |class| weights.get(class).map_or(1.0, |weight| *weight as f32);
            Ok(classes.iter().map(weight).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::train::tests::{cells, spec_of};
    use crate::domain::job::{EarlyStopping, Task};

    fn classes(lesson: &Examples) -> Vec<u32> {
        let Truth::Classes { of, .. } = &lesson.truth else { unreachable!() };
        of.clone()
    }

    #[test]
    fn rows_are_held_out_by_lot_and_in_proportion_to_the_classes() {
        let csv: String =
            (0..100).map(|i| format!("{i},{}\n", if i % 5 == 0 { "a" } else { "b" })).collect();
        let table = cells(&format!("x,y\n{csv}"));
        let mut spec = spec_of(Task::Classification, &["y"]);
        spec.validation = Some(0.2);
        let lesson = Lesson::new(&spec, &table, None).unwrap();
        let held_out = lesson.validation.clone().unwrap();
        assert_eq!((lesson.rows.rows(), held_out.rows()), (80, 20));
        assert_eq!(classes(&held_out).iter().filter(|class| **class == 0).count(), 4);
        // Together they are all rows, each once, and both keep the order of the table.
        let of = |rows: &Examples| rows.values.all().unwrap().into_owned();
        let (learn, check) = (of(&lesson.rows), of(&held_out));
        assert!(learn.is_sorted() && check.is_sorted());
        let mut all = [learn, check.clone()].concat();
        all.sort_by(f32::total_cmp);
        assert_eq!(all, (0..100).map(|i| i as f32).collect::<Vec<_>>());
        spec.seed += 1;
        let other = Lesson::new(&spec, &table, None).unwrap().validation.unwrap();
        assert_ne!(of(&other), check);
        // The statistics are those of the rows that are learned from.
        let mean = of(&lesson.rows).iter().sum::<f32>() / 80.0;
        assert!((lesson.scales.mean[0] - mean).abs() < 1e-4);
    }

    #[test]
    fn rows_to_validate_on_may_be_given_and_must_be_of_known_classes() {
        let spec = spec_of(Task::Classification, &["y"]);
        let table = cells("x,y\n1,a\n2,b\n3,a\n");
        let lesson = Lesson::new(&spec, &table, Some(&cells("y,z,x\nb,1,7\n"))).unwrap();
        let given = lesson.validation.unwrap();
        assert_eq!((classes(&given), given.values.all().unwrap()), (vec![1], vec![7.0].into()));
        let fault = Lesson::new(&spec, &table, Some(&cells("x,y\n1,c\n"))).unwrap_err();
        assert!(fault.message.contains("never saw"), "{fault}");
    }

    #[test]
    fn classes_weigh_what_the_manifest_says() {
        let (names, of) = (["a", "b", "c"].map(str::to_owned), [0, 0, 0, 1]);
        let weigh = |wanted: &ClassWeights| weights(wanted, &names, &of);
        assert!(weigh(&ClassWeights::Even).unwrap().is_empty());
        let third = 4.0 / (3.0 * 3.0);
        assert_eq!(weigh(&ClassWeights::Balanced).unwrap(), [third as f32, 4.0 / 3.0, 1.0]);
        let named = |name: &str| ClassWeights::Of([(name.to_owned(), 2.5)].into());
        assert_eq!(weigh(&named("b")).unwrap(), [1.0, 2.5, 1.0]);
        assert_eq!(weigh(&named("d")).unwrap_err().message, "no row is of the class \"d\"");
    }

    #[test]
    fn a_number_is_learned_in_deviations_from_its_mean() {
        let spec = spec_of(Task::Regression, &["y"]);
        let lesson = Lesson::new(&spec, &cells("x,y\n1,10\n2,30\n3,20\n4,20\n"), None).unwrap();
        let (x, wanted) = lesson.batch(&[1, 0]).unwrap();
        let deviation = 50f64.sqrt();
        assert_eq!(lesson.unit, Unit { mean: 20.0, deviation });
        let ten = (10.0 / deviation) as f32;
        assert_eq!((x.len(), wanted), (2, Wanted::Real(vec![ten, -ten])));
        assert!((lesson.loss_unit() - 50.0).abs() < 1e-9);
        for same in [7.0, 0.1] {
            let csv = format!("x,y\n{}", format!("1,{same}\n").repeat(30));
            let still = Lesson::new(&spec, &cells(&csv), None).unwrap();
            assert_eq!(still.unit, Unit { mean: same, deviation: 1.0 });
            // Whatever a new row has there: nothing was learned of it.
            assert_eq!((still.scales.mean[0], still.scales.scale[0]), (1.0, 0.0));
        }
    }

    #[test]
    fn what_leaves_nothing_to_learn_from_or_to_validate_on_is_a_fault() {
        let mut spec = spec_of(Task::Regression, &["y"]);
        let table = cells("x,y\n1,1\n2,2\n3,3\n");
        spec.validation = Some(0.01);
        let message = Lesson::new(&spec, &table, None).unwrap_err().message;
        assert_eq!(message, "`validation: 0.01` leaves no row of 3 on one of its sides");
        assert!(Lesson::new(&spec, &table, Some(&table)).is_err());
        spec.validation = None;
        spec.early_stopping = Some(EarlyStopping { patience: 1, min_delta: 0.0 });
        let message = Lesson::new(&spec, &table, None).unwrap_err().message;
        assert_eq!(message, "early stopping needs rows to validate on");
    }
}
