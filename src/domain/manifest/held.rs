//! Held-out rows: whether models are measured on other rows than those that they learned from.
//! Never looks at a row: it goes back from stage to stage, and claims nothing that those do not
//! tell.

use super::diagnostic::Faults;
use super::{InputRef, Place, Stage};
use crate::domain::job::{Spec, Step};
use std::collections::{BTreeMap, BTreeSet};

/// Stages that are gone back through for one manifest; beyond them nothing is told.
const HOPS_MAX: usize = 100_000;

type Stages = BTreeMap<String, Stage>;

/// What is known of the rows that a model is measured on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rows {
    /// None of them was trained on, and no training was stopped by them.
    Others,
    /// Some or all of them were trained on.
    Same,
    Open,
}

/// Warns of evaluations on rows that were trained on, and tells exports of which it is known that
/// the rows were others.
pub(super) fn check(stages: &mut Stages, faults: &mut Faults) {
    let mut others = BTreeSet::new();
    let mut walk = Walk::new(stages, HOPS_MAX);
    for (name, stage) in stages.iter() {
        match walk.measured(stage) {
            Some((Rows::Others, _)) => {
                others.insert(name.clone());
            }
            Some((Rows::Same, place)) => {
                let message = format!("`{name}` measures models on rows that they were trained on");
                let hint = "train and evaluate on different parts of a `split`".to_owned();
                faults.warn(place, message, hint);
            }
            Some((Rows::Open, _)) | None => {}
        }
    }
    for stage in stages.values_mut() {
        let report = input(stage, "report").and_then(|(from, _)| Some(named(from)?.0));
        let is_other = report.is_some_and(|evaluation| others.contains(evaluation));
        for instance in &mut stage.instances {
            if let Spec::Export(export) = &mut instance.spec {
                export.held_out = is_other;
            }
        }
    }
}

fn input<'a>(stage: &'a Stage, port: &str) -> Option<(&'a InputRef, Place)> {
    let found = stage.inputs.iter().find(|(name, ..)| name == port);
    found.map(|(_, from, place)| (from, *place))
}

/// Stage and output of a reference.
fn named(from: &InputRef) -> Option<(&str, &str)> {
    match from {
        InputRef::Source(_) => None,
        InputRef::Output { stage, output } | InputRef::Each { stage, output } => {
            Some((stage, output))
        }
    }
}

/// A stage, by what all its instances do.
struct Doing<'a> {
    stage: &'a Stage,
    /// The input that its table is made from.
    port: Option<&'static str>,
    /// Whether that table has all rows of the one that it is made from.
    has_all: bool,
}

/// A table on the way back to where its rows come from.
struct Table<'a> {
    from: &'a InputRef,
    /// Whether it has all rows of the one that it is made from.
    has_all: bool,
    is_part: bool,
    /// Whether there are several, one for each cell of a matrix.
    is_many: bool,
}

impl<'a> Table<'a> {
    /// What makes it this table and no other.
    fn key(&self) -> (bool, &'a str, &'a str) {
        match self.from {
            InputRef::Source(name) => (true, name, ""),
            InputRef::Output { stage, output } | InputRef::Each { stage, output } => {
                (false, stage, output)
            }
        }
    }
}

/// Goes back from stage to stage, so many times.
struct Walk<'a> {
    stages: BTreeMap<&'a str, Doing<'a>>,
    hops: usize,
}

impl<'a> Walk<'a> {
    fn new(stages: &'a Stages, hops: usize) -> Self {
        let doing = |stage: &'a Stage| Doing {
            stage,
            port: match stage.instances.first().map(|instance| &instance.spec) {
                Some(Spec::Ingest(_)) => Some("rows"),
                Some(Spec::Split(_) | Spec::Transform(_) | Spec::Embed(_)) => Some("table"),
                Some(Spec::Predict(_)) => Some("data"),
                _ => None,
            },
            has_all: stage.instances.iter().all(|instance| has_all(&instance.spec)),
        };
        let stages = stages.iter().map(|(name, stage)| (name.as_str(), doing(stage)));
        Self { stages: stages.collect(), hops }
    }

    fn hop(&mut self) -> Option<()> {
        self.hops = self.hops.checked_sub(1)?;
        Some(())
    }

    /// What is known of the rows of an evaluation, and where it names them.
    fn measured(&mut self, stage: &'a Stage) -> Option<(Rows, Place)> {
        if !matches!(stage.instances.first()?.spec, Spec::Evaluate(_)) {
            return None;
        }
        let (data, place) = input(stage, "data")?;
        let (training, each) = self.training(input(stage, "models")?.0)?;
        let data = self.way(data)?;
        let learned = self.way(input(training, "data")?.0)?;
        let rows = match (compare(&learned, &data, each), input(training, "validation")) {
            (Rows::Others, Some((validation, _))) => {
                match compare(&self.way(validation)?, &data, each) {
                    Rows::Others => Rows::Others,
                    Rows::Same | Rows::Open => Rows::Open,
                }
            }
            (rows, _) => rows,
        };
        Some((rows, place))
    }

    /// The stage that trained a model, and whether models of all its instances are meant.
    fn training(&mut self, mut from: &'a InputRef) -> Option<(&'a Stage, bool)> {
        let mut each = false;
        loop {
            self.hop()?;
            each |= matches!(from, InputRef::Each { .. });
            let stage = self.stages.get(named(from)?.0)?.stage;
            let port = match stage.instances.first()?.spec {
                Spec::Train(_) => return Some((stage, each)),
                Spec::Evaluate(_) => "models",
                Spec::Export(_) => "model",
                _ => return None,
            };
            from = input(stage, port)?.0;
        }
    }

    /// A table, that which it is made from, and so on.
    fn way(&mut self, mut from: &'a InputRef) -> Option<Vec<Table<'a>>> {
        let mut way = Vec::new();
        loop {
            self.hop()?;
            let doing = match from {
                InputRef::Output { stage, .. } => self.stages.get(stage.as_str()),
                InputRef::Source(_) | InputRef::Each { .. } => None,
            };
            let port = doing.and_then(|doing| doing.port);
            let is_one = |doing: &Doing<'_>| doing.stage.instances.len() == 1;
            way.push(Table {
                from,
                has_all: doing.is_some_and(|doing| doing.has_all),
                is_part: doing.is_some_and(|doing| {
                    let first = doing.stage.instances.first();
                    first.is_some_and(|instance| matches!(instance.spec, Spec::Split(_)))
                }),
                is_many: !matches!(from, InputRef::Source(_)) && !doing.is_some_and(is_one),
            });
            match doing.zip(port).and_then(|(doing, port)| input(doing.stage, port)) {
                Some((before, _)) => from = before,
                None => return Some(way),
            }
        }
    }
}

/// Whether the table that a job gives has all rows of the one that it takes.
fn has_all(spec: &Spec) -> bool {
    match spec {
        Spec::Ingest(ingest) => ingest.limit.is_none(),
        Spec::Transform(transform) => !transform.steps.iter().any(|step| {
            matches!(step, Step::Filter(_) | Step::Sample(_) | Step::Join(_) | Step::Aggregate(_))
        }),
        Spec::Embed(_) | Spec::Predict(_) => true,
        _ => false,
    }
}

/// What rows of the one way are to those of the other, by the last table that both came from.
/// `each` says that models of all instances are measured on the rows of one.
fn compare(learned: &[Table<'_>], data: &[Table<'_>], each: bool) -> Rows {
    let places: BTreeMap<_, usize> =
        learned.iter().enumerate().map(|(at, table)| (table.key(), at)).collect();
    let meet = data.iter().enumerate().find_map(|(at, x)| Some((at, *places.get(&x.key())?)));
    let Some((to, from)) = meet else { return Rows::Open };
    let mut passed = data.iter().take(to + 1).chain(learned.iter().take(from + 1));
    if each && passed.any(|table| table.is_many) {
        return Rows::Open;
    }
    let below = |way: &[Table<'_>], at: usize| {
        let table = way.get(at.checked_sub(1)?).filter(|table| table.is_part)?;
        named(table.from).map(|(stage, _)| stage.to_owned())
    };
    // Both are parts of the table at which they meet: if of one split, of different parts.
    match (below(data, to), below(learned, from)) {
        (Some(one), Some(other)) if one == other => return Rows::Others,
        _ => {}
    }
    let whole = |way: &[Table<'_>], to: usize| way.iter().take(to).all(|table| table.has_all);
    if whole(data, to) || whole(learned, from) { Rows::Same } else { Rows::Open }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::manifest::{Diagnostic, Manifest, compile};

    /// A pipeline of one source with these stages, and an export of what `e` chose.
    fn compiled(stages: &str) -> (Option<Manifest>, Vec<Diagnostic>) {
        let text = format!(
            "apiVersion: ohc/v1alpha1\nkind: Pipeline\nmetadata: {{ name: t }}\nspec:\n  sources: \
             {{ s: {{ url: a.csv, format: csv }} }}\n  stages:\n    t: {{ uses: ingest, inputs: \
             {{ rows: sources.s }} }}\n{stages}    card: {{ uses: export, inputs: {{ model: \
             e.best, report: e.report }} }}\n  outputs: {{ m: {{ from: card.model, to: out/ }} }}\n"
        );
        compile(&text, &BTreeMap::new())
    }

    #[track_caller]
    fn check(stages: &str, warns: bool, held_out: bool) {
        let (manifest, faults) = compiled(stages);
        let manifest = manifest.unwrap_or_else(|| panic!("{faults:?}"));
        let about = "`e` measures models on rows that they were trained on";
        let told: Vec<&str> = faults.iter().map(|fault| fault.message.as_str()).collect();
        let wanted: &[&str] = if warns { &[about] } else { &[] };
        assert_eq!(told, wanted, "{stages}");
        let Spec::Export(export) = &manifest.stages["card"].instances[0].spec else { panic!() };
        assert_eq!(export.held_out, held_out, "{stages}");
    }

    fn split(more: &str) -> String {
        format!(
            "    p: {{ uses: split, inputs: {{ table: t.table }}, with: {{ ratios: {{ a: 0.6, b: \
             0.2, c: 0.2 }} }}{more} }}\n"
        )
    }

    fn train(inputs: &str, more: &str) -> String {
        format!(
            "    m: {{ uses: train, inputs: {{ {inputs} }}, with: {{ model: {{ kind: logistic }}, \
             target: y, epochs: 1 }}{more} }}\n"
        )
    }

    fn evaluate(models: &str, data: &str, more: &str) -> String {
        format!("    e: {{ uses: evaluate, inputs: {{ models: {models}, data: {data} }}{more} }}\n")
    }

    fn steps(name: &str, of: &str, steps: &str) -> String {
        format!(
            "    {name}: {{ uses: transform, inputs: {{ table: {of} }}, with: {{ steps: [{steps}] \
             }} }}\n"
        )
    }

    #[test]
    fn one_table_for_both_is_told_and_parts_of_a_split_are_known_to_differ() {
        let on = |data: &str| evaluate("m.model", data, "");
        check(&(train("data: t.table", "") + &on("t.table")), true, false);
        let parted = split("") + &train("data: p.a", "");
        check(&(parted.clone() + &on("p.b")), false, true);
        check(&(parted.clone() + &on("p.a")), true, false);
        // Most of the whole was trained on.
        check(&(parted + &on("t.table")), true, false);
    }

    #[test]
    fn what_transforms_make_of_rows_are_the_same_rows() {
        let on = |data: &str| evaluate("m.model", data, "");
        let scaled = steps("x", "p.a", "{ standardise: [z] }");
        let fitted = "    y: { uses: transform, inputs: { table: p.b, fitted: x.fitted } }\n";
        let learned = train("data: x.table", "");
        check(&(split("") + &scaled + fitted + &learned + &on("y.table")), false, true);
        check(&(split("") + &scaled + &learned + &on("p.a")), true, false);
        // Of two choices among the rows of one table nobody knows what they share.
        let chosen = |a: &str, b: &str| {
            let both = steps("x", "t.table", a) + &steps("y", "t.table", b);
            both + &learned + &on("y.table")
        };
        let (old, new) = ("{ filter: \"z < 3\" }", "{ filter: \"z >= 3\" }");
        check(&chosen(old, new), false, false);
        check(&chosen("{ shuffle: { seed: 1 } }", new), true, false);
    }

    #[test]
    fn rows_that_a_training_was_stopped_by_are_not_held_out() {
        let validated = |by: &str| train(&format!("data: p.a, validation: {by}"), "");
        let on = evaluate("m.model", "p.b", "");
        check(&(split("") + &validated("p.c") + &on), false, true);
        check(&(split("") + &validated("p.b") + &on), false, false);
    }

    #[test]
    fn of_a_matrix_of_splits_only_what_has_one_label_is_known() {
        let matrix = ", matrix: { axes: { k: [1, 2] } }";
        let all = split("") + &train("data: p.a", matrix) + &evaluate("m.*.model", "p.b", "");
        check(&all, false, true);
        let parted = split(matrix) + &train("data: p.a", matrix);
        let own = evaluate("m.model", "p.b", matrix).replace(" e:", " f:");
        let same = evaluate("m.model", "p.a", matrix).replace(" e:", " f:");
        let chosen = evaluate("f.*.best", "t.table", "");
        // A part of each split was learned by one and is measured of another.
        check(&(parted.clone() + &own + &chosen), false, false);
        let text = parted + &same + &chosen;
        let (_, faults) = compiled(&text);
        assert!(faults.iter().any(|fault| fault.message.starts_with("`f` measures")), "{faults:?}");
    }

    #[test]
    fn a_long_chain_takes_no_longer_than_it_may() {
        let stages = BTreeMap::new();
        let from = InputRef::Source("s".into());
        let mut walk = Walk::new(&stages, 1);
        assert_eq!(walk.way(&from).unwrap().len(), 1);
        assert!(walk.way(&from).is_none());
    }
}
