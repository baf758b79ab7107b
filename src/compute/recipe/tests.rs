//! Tests of recipes: what was fitted on some rows does the same to others.
//! Never tests a single step: the tests of transforms do.

use super::*;
use crate::base::canon::Digest;
use crate::compute::transform;
use crate::domain::job::{ColumnKind, OneHot, Scale, Step, Transform};

fn table(csv: &str) -> Table {
    Table::from_csv(csv.as_bytes()).unwrap()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn texts(table: &Table, column: &str) -> Vec<String> {
    let cells = table.column(column).unwrap().texts();
    cells.into_iter().map(|cell| cell.unwrap_or("null".into())).collect()
}

const TRAIN: &str = "id,city,a,y\n1,Bern,1,no\n2,Genf,2,yes\n3,Bern,6,no\n";
const TEST: &str = "id,city,a,y\n8,Genf,5,yes\n9,Rom,3,no\n";

/// One-hot, scale, derive, drop and rename: a chain with everything that is fitted.
fn chain() -> Transform {
    let columns = names(&["city"]);
    Transform {
        steps: vec![
            Step::OneHot(OneHot { columns, unknown: Unknown::Zeros }),
            Step::Scale(Scale { columns: names(&["a"]), to: ScaleTo::MinMax }),
            Step::Derive(vec![("d".into(), Formula::parse("a * 10 + id").unwrap())]),
            Step::Drop(names(&["id"])),
            Step::Rename(vec![("d".into(), "id".into())]),
        ],
    }
}

fn trained() -> Table {
    transform::run(&chain(), table(TRAIN), None, None).unwrap()
}

#[test]
fn held_out_rows_are_treated_with_what_was_learned_in_training() {
    let train = trained();
    assert_eq!(train.columns(), ["city=Bern", "city=Genf", "a", "y", "id"]);
    assert_eq!(texts(&train, "a"), ["0", "0.2", "1"]);
    let test = train.recipe().bring(&table(TEST)).unwrap();
    assert_eq!(test.columns(), train.columns());
    assert_eq!(texts(&test, "city=Bern"), ["0", "0"]);
    assert_eq!(texts(&test, "city=Genf"), ["1", "0"]);
    assert_eq!(texts(&test, "a"), ["0.8", "0.4"]);
    assert_eq!(texts(&test, "id"), ["16", "13"]);
    assert_eq!(test.recipe(), train.recipe());
    // What is there already is taken as it is.
    assert_eq!(train.recipe().bring(&test).unwrap(), test);
}

#[test]
fn rows_that_went_half_the_way_go_the_rest_of_it() {
    let half = Transform { steps: chain().steps[..2].to_vec() };
    let fitted = transform::run(&half, table(TRAIN), None, None).unwrap();
    let rest = Transform { steps: chain().steps[2..].to_vec() };
    let train = transform::run(&rest, fitted.clone(), None, None).unwrap();
    assert_eq!(train, trained());
    assert!(fitted.recipe().is_prefix_of(train.recipe()));
    assert!(!train.recipe().is_prefix_of(fitted.recipe()));
    let half_way = fitted.recipe().bring(&table(TEST)).unwrap();
    let all_the_way = train.recipe().bring(&half_way).unwrap();
    assert_eq!(all_the_way, train.recipe().bring(&table(TEST)).unwrap());
    // Statistics of other rows are other steps.
    let other = transform::run(&half, table(TEST), None, None).unwrap();
    let fault = train.recipe().bring(&other).unwrap_err();
    assert!(fault.message.contains("other steps"), "{fault}");
}

#[test]
fn a_model_asks_only_for_what_its_features_are_made_from() {
    let recipe = trained().recipe().clone();
    let features = names(&["a", "city=Genf"]);
    let needs: Vec<_> = recipe.needs(&features).unwrap().into_iter().map(|c| c.name).collect();
    assert_eq!(needs, ["city", "a"]);
    // Neither the label nor the id is there, and something else is.
    let rows = recipe.bring_toward(&table("z,a,city\n1,6,Genf\n"), &features).unwrap();
    assert_eq!(rows.columns(), ["a", "city=Genf"]);
    assert_eq!([texts(&rows, "a"), texts(&rows, "city=Genf")], [["1"], ["1"]]);
    let fault = recipe.bring_toward(&table("z,a\n1,6\n"), &features).unwrap_err();
    assert_eq!(fault.message, "the table has no column \"city\"");
    // The name `id` is that of a raw column, and after the rename that of another one.
    let rows = recipe.bring_toward(&table("id,a\n4,6\n"), &names(&["id"])).unwrap();
    assert_eq!(texts(&rows, "id"), ["14"]);
    let fault = recipe.toward(&names(&["nowhere"])).unwrap_err();
    assert!(fault.message.contains("nowhere"));
}

#[test]
fn what_is_dead_goes_at_once_and_leaves_its_name_to_others() {
    let words = names(&["Bern", "Genf"]);
    let city = Vocabulary { column: "city".into(), values: words, unknown: Unknown::Zeros };
    let formula = |text: &str| Formula::parse(text).unwrap();
    let steps = vec![
        Applied::OneHot(city),
        Applied::Drop(names(&["city=Bern"])),
        Applied::Derive(vec![("b".into(), formula("a * 2")), ("c".into(), formula("b + 1"))]),
        Applied::Rename(vec![("c".into(), "city=Bern".into())]),
        Applied::Drop(names(&["a", "b"])),
        Applied::Derive(vec![("a".into(), formula("`city=Bern` - 1"))]),
    ];
    let all = Recipe { raw: table(TRAIN).schema(), steps };
    let wanted = names(&["city=Bern", "city=Genf", "a"]);
    let (part, whole) = (all.toward(&wanted).unwrap(), all.apply(&table(TRAIN)).unwrap());
    assert_eq!(part.raw.iter().map(|column| &column.name).collect::<Vec<_>>(), ["city", "a"]);
    let part = part.apply(&table(TRAIN)).unwrap();
    assert_eq!(part.columns(), wanted);
    for name in &wanted {
        assert_eq!(texts(&part, name), texts(&whole, name), "{name}");
    }
}

#[test]
fn steps_that_do_nothing_for_what_is_wanted_cost_nothing() {
    let column = |i| Column { name: format!("c{i}"), kind: ColumnKind::Real };
    let raw: Vec<Column> = (0..COLUMNS_MAX).map(column).collect();
    let wanted: Vec<String> = raw.iter().map(|column| column.name.clone()).collect();
    let one = |i: usize| match i % 2 {
        0 => Applied::Drop(Vec::new()),
        _ => Applied::Fill(vec![(format!("c{i}"), Cell::Integer(0))]),
    };
    let recipe = Recipe { raw, steps: (0..STEPS_MAX).map(one).collect() };
    let part = recipe.toward(&wanted).unwrap();
    let names = |step: &Applied| match step {
        Applied::Select(names) | Applied::Drop(names) => names.len(),
        _ => 0,
    };
    assert_eq!(part.steps.len(), STEPS_MAX / 2 + 1);
    assert_eq!(part.steps.iter().map(names).sum::<usize>(), COLUMNS_MAX);
}

#[test]
fn raw_columns_are_taken_for_what_they_were() {
    let recipe = Recipe::raw(table("a,b\n0.5,x\n").schema());
    let rows = recipe.apply(&table("b,a\n,1\n")).unwrap();
    assert_eq!(rows.schema(), recipe.raw_columns());
    let fault = recipe.apply(&table("a,b\nx,y\n")).unwrap_err();
    assert_eq!(fault.message, "column \"a\" is string, not number");
}

#[test]
fn a_table_keeps_its_recipe_in_its_bytes() {
    let train = trained();
    let again = Table::from_bytes(&train.to_bytes()).unwrap();
    assert_eq!((again.recipe(), &again), (train.recipe(), &train));
    let bytes = train.recipe().to_bytes();
    assert_eq!(Recipe::from_bytes(&bytes).unwrap(), *train.recipe());
    for end in 0..bytes.len() {
        assert!(Recipe::from_bytes(&bytes[..end]).is_err());
    }
    let fault = Recipe::from_bytes(b"ohc/table/1\n").unwrap_err();
    assert_eq!(fault.message, "these bytes are not a recipe");
}

#[test]
fn the_bits_of_a_chain_are_golden() {
    let train = trained();
    let digests = [Digest::of(&train.to_bytes()), Digest::of(&train.recipe().to_bytes())];
    assert_eq!(digests.map(|d| d.short()), ["eaed9f7549e9", "be570b858998"]);
}

#[test]
fn integers_are_read_as_reals_where_no_feature_tells_them_apart() {
    let steps = vec![
        Step::Rename(vec![("a".into(), "b".into())]),
        Step::Derive(vec![("d".into(), Formula::parse("b / 2").unwrap())]),
        Step::Scale(Scale { columns: names(&["b"]), to: ScaleTo::MinMax }),
        Step::OneHot(OneHot { columns: names(&["c"]), unknown: Unknown::Zeros }),
    ];
    let train = table("a,c,e\n0,7,1\n4,9007199254740993,3\n");
    let small = table("a,c,e\n0,7,1\n4,17,3\n");
    let fitted =
        |table: Table| transform::run(&Transform { steps: steps.clone() }, table, None, None);
    let small = fitted(small).unwrap().recipe().clone();
    let reads = |recipe: &Recipe, features: &[&str]| {
        let reads = recipe.reads(&names(features)).unwrap();
        reads.into_iter().map(|column| column.kind.word()).collect::<Vec<_>>()
    };
    assert_eq!(reads(&small, &["b", "c=17", "e"]), ["number"; 3]);
    // A formula may tell, and integers that are too large for a real of 64 bits do.
    assert_eq!(reads(&small, &["d", "e"]), ["integer", "number"]);
    let large = fitted(train).unwrap().recipe().clone();
    assert_eq!(reads(&large, &["c=7", "e"]), ["integer", "number"]);

    let features = names(&["b", "c=17", "e"]);
    let rows = table("a,c,e\n1.5,17.0,1e1\n2,7.5,0.5\n");
    let brought = small.read_as(&rows, &features).unwrap().bring_toward(&rows, &features).unwrap();
    let all = ["b", "c=17", "e"].map(|name| texts(&brought, name));
    assert_eq!(all, [["0.375", "0.5"], ["1", "0"], ["10", "0.5"]]);
    let fault = small.bring_toward(&rows, &features).unwrap_err();
    assert_eq!(fault.message, "column \"a\" is number, not integer");
    // Reals that are whole are integers to a formula.
    let features = names(&["d"]);
    let rows = table("a,c,e\n3.0,17,1\n,17,1\n1e1,17,1\n");
    let brought = small.read_as(&rows, &features).unwrap().bring_toward(&rows, &features).unwrap();
    assert_eq!(texts(&brought, "d"), ["1.5", "null", "5"]);
    let features = names(&["b", "c=17", "e"]);
    // Whole numbers are what they were.
    let whole = table("a,c,e\n1,17,1\n");
    assert_eq!(*small.read_as(&whole, &features).unwrap(), small);
}
