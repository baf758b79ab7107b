//! Tests of steps, each with nulls, empty columns and what it refuses.
//! Never tests the language of formulas.

use super::*;
use crate::domain::job::{
    Aggregate, Cast, Cell, ColumnKind, Direction, Fill, Formula, Hash, Join, JoinKind, Measure,
    OnBadCell, OneHot, Sample, SampleSize, Scale, ScaleTo, Summary, Unknown,
};

fn table(csv: &str) -> Table {
    Table::from_csv(csv.as_bytes()).unwrap()
}

fn names(text: &str) -> Vec<String> {
    text.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn formula(text: &str) -> Formula {
    Formula::parse(text).unwrap()
}

fn apply(step: Step, csv: &str) -> Result<Table, Fault> {
    run(&Transform { steps: vec![step] }, table(csv), None, None)
}

/// The table as text: names, then rows.
fn shown(table: &Table) -> String {
    let columns: Vec<_> = table.columns();
    let cells: Vec<_> = columns.iter().map(|name| table.column(name).unwrap().texts()).collect();
    let row = |row: usize| {
        let each = cells.iter().map(|cells| cells[row].clone().unwrap_or_default());
        each.collect::<Vec<_>>().join(",")
    };
    let rows: Vec<String> = (0..table.rows()).map(row).collect();
    format!("{} | {}", columns.join(","), rows.join(" | "))
}

#[track_caller]
fn check(step: Step, csv: &str, want: &str) {
    let table = apply(step, csv).unwrap();
    assert_eq!(shown(&table), want);
    assert_eq!(Table::from_bytes(&table.to_bytes()).unwrap(), table);
}

#[track_caller]
fn refuse(step: Step, csv: &str, message: &str) {
    let fault = apply(step, csv).unwrap_err();
    assert_eq!(fault.message, message);
    assert!(!fault.hint.is_empty());
}

fn cast(column: &str, to: ColumnKind, on_bad_cell: OnBadCell) -> Step {
    Step::Cast(Cast { columns: vec![(column.into(), to)], on_bad_cell })
}

fn fill(columns: &str, with: Filling) -> Step {
    Step::Fill(Fill { columns: names(columns), with })
}

#[test]
fn columns_are_selected_dropped_and_renamed() {
    let csv = "a,b,c\n1,x,\n2,y,3\n";
    check(Step::Select(names("c,a")), csv, "c,a | ,1 | 3,2");
    check(Step::Drop(names("b")), csv, "a,c | 1, | 2,3");
    let swap = vec![("a".into(), "b".into()), ("b".into(), "a".into())];
    check(Step::Rename(swap), csv, "b,a,c | 1,x, | 2,y,3");
    refuse(Step::Select(names("aa")), csv, "the table has no column \"aa\"");
    refuse(Step::Select(names("a,a")), csv, "two columns are called \"a\"");
    refuse(Step::Drop(names("a,b,c")), csv, "no column is left");
    refuse(Step::Rename(vec![("a".into(), "c".into())]), csv, "two columns are called \"c\"");
}

#[test]
fn cells_are_cast_or_refused_by_row() {
    use ColumnKind::{Integer, Real, Text, Truth};
    check(cast("a", Text, OnBadCell::Fail), "a\n1.50\n2\n", "a | 1.5 | 2");
    check(cast("a", Integer, OnBadCell::Fail), "a\n2.0\n1e3\n", "a | 2 | 1000");
    check(cast("a", Integer, OnBadCell::Null), "a\n2.5\n1e30\n3.0\n", "a |  |  | 3");
    check(cast("a", Real, OnBadCell::Null), "a\nx\ninf\n1e400\n-7\n", "a |  |  |  | -7");
    check(cast("a", Real, OnBadCell::Fail), "a\n7\n", "a | 7");
    check(cast("a", Truth, OnBadCell::Fail), "a\n0\n1\n", "a | false | true");
    check(cast("a", Integer, OnBadCell::Fail), "a\ntrue\nFALSE\n", "a | 1 | 0");
    let csv = "a\n1\nzwei\n";
    refuse(
        cast("a", Integer, OnBadCell::Fail),
        csv,
        "column \"a\" has \"zwei\" in row 2: no integer",
    );
}

#[test]
fn empty_cells_are_filled() {
    let csv = "n,r,t,e\n,,,\n1,0.5,b,\n4,,a,\n4,2.5,b,\n,1.5,a,\n";
    let only = |column: &str, with: Filling| {
        let table = apply(fill(column, with), csv).unwrap();
        shown(&Step::Select(names(column)).apply_to(&table))
    };
    assert_eq!(only("n", Filling::Value(Cell::Integer(7))), "n | 7 | 1 | 4 | 4 | 7");
    assert_eq!(only("n", Filling::Value(Cell::Real(0.5))), "n | 0.5 | 1 | 4 | 4 | 0.5");
    assert_eq!(only("n", Filling::Mean), "n | 3 | 1 | 4 | 4 | 3");
    assert_eq!(only("r", Filling::Median), "r | 1.5 | 0.5 | 1.5 | 2.5 | 1.5");
    assert_eq!(only("n", Filling::Mode), "n | 4 | 1 | 4 | 4 | 4");
    assert_eq!(only("t", Filling::Mode), "t | a | b | a | b | a");
    assert_eq!(only("r", Filling::Previous), "r |  | 0.5 | 0.5 | 2.5 | 1.5");
    assert_eq!(only("t", Filling::Value(Cell::Text("é".into()))), "t | é | b | a | b | a");
    refuse(fill("e", Filling::Mean), csv, "column \"e\" is string, not number");
    refuse(fill("e", Filling::Mode), csv, "column \"e\" has no value in any row");
    let bad = fill("n", Filling::Value(Cell::Text("x".into())));
    refuse(bad, csv, "column \"n\" is integer: the value does not fit it");
}

impl Step {
    fn apply_to(&self, table: &Table) -> Table {
        run(&Transform { steps: vec![self.clone()] }, table.clone(), None, None).unwrap()
    }
}

#[test]
fn columns_are_derived_one_after_the_other() {
    let steps = vec![("c".into(), formula("a + 1")), ("a".into(), formula("c * 2"))];
    check(Step::Derive(steps), "a\n1\n\n3\n", "a,c | 4,2 | 8,4");
    let csv = "a,b\n1,x\n,y\n";
    check(Step::Derive(vec![("c".into(), formula("a / 0"))]), csv, "a,b,c | 1,x, | ,y,");
    refuse(Step::Derive(vec![("c".into(), formula("q"))]), csv, "the table has no column \"q\"");
}

#[test]
fn values_become_columns_and_words_become_buckets() {
    let step = |unknown| Step::OneHot(OneHot { columns: names("t"), unknown });
    let csv = "a,t,b\n1,y,2\n1,,2\n1,ä x,2\n";
    check(step(Unknown::Fail), csv, "a,t=y,t=ä x,b | 1,1,0,2 | 1,0,0,2 | 1,0,1,2");
    refuse(step(Unknown::Fail), "a,t\n1,\n", "column \"t\" has no value in any row");
    let hash = Step::Hash(Hash { column: "t".into(), buckets: 3 });
    let table = apply(hash.clone(), "t,a\nthe cat the dog,1\n,2\n").unwrap();
    assert_eq!(table.columns(), ["t#0", "t#1", "t#2", "a"]);
    let count = |row: usize| {
        let each = ["t#0", "t#1", "t#2"].map(|name| table.column(name).unwrap().texts());
        each.iter().map(|c| c[row].clone().unwrap().parse::<u32>().unwrap()).sum::<u32>()
    };
    assert_eq!([count(0), count(1)], [4, 0]);
    refuse(hash, "t\n1\n", "column \"t\" is integer: only text is hashed");
}

#[test]
fn numbers_are_scaled_by_what_they_are_over_all_rows() {
    let step = |to| Step::Scale(Scale { columns: names("a"), to });
    check(step(ScaleTo::Standard), "a\n2\n4\n\n", "a | -1 | 1");
    check(step(ScaleTo::Standard), "a,b\n3,1\n3,1\n,1\n", "a,b | 0,1 | 0,1 | ,1");
    check(step(ScaleTo::MinMax), "a\n2.5\n0.5\n1.0\n", "a | 1 | 0 | 0.25");
    // The sums of these are rounded: the mean is none of them.
    for value in ["9.99", "0.1", "19.95", "0.0825", "-1e-300"] {
        let same = format!("a\n{}", format!("{value}\n").repeat(300));
        let scaled = |to| {
            let spec = Transform { steps: vec![step(to)] };
            let fitted = run(&spec, table(&same), None, None).unwrap();
            assert!(fitted.column("a").unwrap().texts().iter().all(|x| x.as_deref() == Some("0")));
            let none = Transform { steps: Vec::new() };
            let other = table("a\n10.5\n0.5\n");
            shown(&run(&none, other, None, Some(fitted.recipe())).unwrap())
        };
        let shift: f64 = value.parse().unwrap();
        let want = format!("a | {} | {}", 10.5 - shift, 0.5 - shift);
        assert_eq!((scaled(ScaleTo::Standard), scaled(ScaleTo::MinMax)), (want.clone(), want));
        let rows = format!("{same}\"\"\n");
        let filled = apply(fill("a", Filling::Mean), &rows).unwrap();
        assert_eq!(filled.column("a").unwrap().texts()[300], Some(shift.to_string()));
    }
    let large = "a\n1e308\n-1e308\n";
    refuse(
        step(ScaleTo::MinMax),
        large,
        "the numbers of column \"a\" are too large for statistics",
    );
    refuse(step(ScaleTo::MinMax), "a\nx\n", "column \"a\" is string, not number");
}

#[test]
fn rows_are_chosen_and_ordered() {
    let csv = "a,t\n2,x\n1,y\n2,x\n,x\n1,z\n";
    check(Step::Filter(formula("a >= 2 or t = 'z'")), csv, "a,t | 2,x | 2,x | 1,z");
    refuse(Step::Filter(formula("a > 9")), csv, "\"a > 9\" holds for no row");
    check(Step::Dedupe(Vec::new()), csv, "a,t | 2,x | 1,y | ,x | 1,z");
    check(Step::Dedupe(names("a")), csv, "a,t | 2,x | 1,y | ,x");
    let by = vec![("a".into(), Direction::Descending), ("t".into(), Direction::Ascending)];
    check(Step::Sort(by), csv, "a,t | 2,x | 2,x | 1,y | 1,z | ,x");
    check(
        Step::Sort(vec![("t".into(), Direction::Ascending)]),
        "t,n\nb,1\na,2\nb,3\n",
        "t,n | a,2 | b,1 | b,3",
    );
}

#[test]
fn lots_follow_from_their_seed() {
    let rows: String = (0..100).map(|i| format!("{i}\n")).collect();
    let csv = format!("i\n{rows}");
    let order = |step: Step| apply(step, &csv).unwrap().column("i").unwrap().texts();
    let all = table(&csv).column("i").unwrap().texts();
    let shuffled = order(Step::Shuffle { seed: 1 });
    assert_eq!(shuffled, order(Step::Shuffle { seed: 1 }));
    assert_ne!(shuffled, order(Step::Shuffle { seed: 2 }));
    assert_ne!(shuffled, all);
    let sample = |size| order(Step::Sample(Sample { size, seed: 3 }));
    let ten = sample(SampleSize::Rows(10));
    assert_eq!(ten, sample(SampleSize::PartsPerBillion(109_999_999)));
    let place = |text: &Option<String>| all.iter().position(|each| each == text).unwrap();
    assert!(ten.len() == 10 && ten.iter().map(place).is_sorted_by(|a, b| a < b));
    assert_eq!(sample(SampleSize::PartsPerBillion(1)).len(), 1);
    assert_eq!(sample(SampleSize::Rows(1000)), all);
}

fn join(left: &str, right: &str, kind: JoinKind) -> Result<Table, Fault> {
    let spec = Transform { steps: vec![Step::Join(Join { on: names("k"), kind })] };
    run(&spec, table(left), Some(&table(right)), None)
}

#[test]
fn rows_meet_their_partners_in_order() {
    let (left, right) = ("k,a\n2,x\n1,y\n,z\n2,w\n", "b,k\np,2\nq,3\nr,2\ns,\n");
    let inner = join(left, right, JoinKind::Inner).unwrap();
    assert_eq!(shown(&inner), "k,a,b | 2,x,p | 2,x,r | 2,w,p | 2,w,r");
    let outer = join(left, right, JoinKind::Left).unwrap();
    assert_eq!(shown(&outer), "k,a,b | 2,x,p | 2,x,r | 1,y, | ,z, | 2,w,p | 2,w,r");
    let fault = |right: &str| join(left, right, JoinKind::Inner).unwrap_err().message;
    assert_eq!(fault("k,b\n7,1\n"), "no row of the left table has a partner in the right one");
    assert_eq!(fault("k,a\n2,1\n"), "two columns are called \"a\"");
    assert_eq!(fault("k,b\nx,1\n"), "the key \"k\" is integer on the left and string on the right");
    let alone = apply(Step::Join(Join { on: names("k"), kind: JoinKind::Left }), left);
    assert_eq!(alone.unwrap_err().message, "a join needs the input `right`");
}

#[test]
fn a_join_that_would_not_fit_is_refused_before_it_is_made() {
    let rows = "1\n".repeat(20_000);
    let many = format!("k\n{rows}");
    let fault = join(&many, &many, JoinKind::Inner).unwrap_err();
    assert!(fault.message.starts_with("the join makes more than"), "{fault}");
}

#[test]
fn groups_become_rows_in_the_order_in_which_they_are_seen() {
    let measure = |name: &str, of, column: Option<&str>| {
        (name.to_owned(), Measure { of, column: column.map(str::to_owned) })
    };
    let measures = vec![
        measure("n", Summary::Count, None),
        measure("c", Summary::Count, Some("a")),
        measure("s", Summary::Sum, Some("a")),
        measure("m", Summary::Mean, Some("a")),
        measure("lo", Summary::Min, Some("t")),
        measure("hi", Summary::Max, Some("a")),
        measure("f", Summary::First, Some("a")),
        measure("d", Summary::Distinct, Some("a")),
    ];
    let csv = "k,a,t\ny,,b\nx,2,c\ny,3,a\ny,4,\n,1,d\ny,3,d\nz,,\n";
    let step = |by: &str| Step::Aggregate(Aggregate { by: names(by), measures: measures.clone() });
    check(
        step("k"),
        csv,
        "k,n,c,s,m,lo,hi,f,d | y,4,3,10,3.3333333333333335,a,4,3,2 | x,1,1,2,2,c,2,2,1 | \
         ,1,1,1,1,d,1,1,1 | z,1,0,,,,,,0",
    );
    check(step(""), csv, "n,c,s,m,lo,hi,f,d | 7,5,13,2.6,a,4,2,4");
    let sums = vec![measure("s", Summary::Sum, Some("a"))];
    let step = Step::Aggregate(Aggregate { by: Vec::new(), measures: sums });
    check(step.clone(), "a\n9223372036854775807\n1\n", "s | ");
    check(step.clone(), "a\n1e308\n1e308\n", "s | ");
    refuse(step, "a\nx\n", "column \"a\" is string, not number");
}

#[test]
fn steps_that_choose_rows_keep_the_recipe_and_new_rows_begin_another() {
    let csv = "a,k\n3,x\n1,y\n";
    let scale = Step::Scale(Scale { columns: names("a"), to: ScaleTo::MinMax });
    let after = |step: Step| {
        let spec = Transform { steps: vec![scale.clone(), step] };
        run(&spec, table(csv), Some(&table("k,b\nx,1\n")), None).unwrap().recipe().steps().len()
    };
    assert_eq!(after(Step::Filter(formula("a > 0"))), 1);
    assert_eq!(after(Step::Sort(vec![("a".into(), Direction::Ascending)])), 1);
    assert_eq!(after(Step::Shuffle { seed: 1 }), 1);
    assert_eq!(after(Step::Dedupe(Vec::new())), 1);
    assert_eq!(after(Step::Select(names("a"))), 2);
    assert_eq!(after(Step::Join(Join { on: names("k"), kind: JoinKind::Inner })), 0);
    assert_eq!(after(fill("a", Filling::Previous)), 0);
    let measures = vec![("n".into(), Measure { of: Summary::Count, column: None })];
    assert_eq!(after(Step::Aggregate(Aggregate { by: names("k"), measures })), 0);
}

#[test]
fn a_transform_has_steps_or_applies_a_fit() {
    let none = Transform { steps: Vec::new() };
    let fault = run(&none, table("a\n1\n"), None, None).unwrap_err();
    assert!(fault.message.contains("needs the input `fitted`"));
    let scale = Step::Scale(Scale { columns: names("a"), to: ScaleTo::MinMax });
    let spec = Transform { steps: vec![scale] };
    let train = run(&spec, table("a\n1\n3\n"), None, None).unwrap();
    let test = run(&none, table("a\n5\n"), None, Some(train.recipe())).unwrap();
    assert_eq!(shown(&test), "a | 2");
    let both = run(&spec, table("a\n5\n"), None, Some(train.recipe())).unwrap_err();
    assert!(both.message.contains("no steps of its own"));
    assert!(!spec.is_row_wise() && none.is_row_wise());
}

#[test]
fn a_long_text_is_not_repeated_beyond_what_a_table_holds() {
    let csv = |rows: usize| format!("t,n\n{},1\n{}", "x".repeat(8 << 20), ",1\n".repeat(rows));
    let fault = apply(fill("t", Filling::Previous), &csv(300)).unwrap_err();
    assert!(fault.message.contains("more than one artifact may have"), "{fault:?}");
    assert_eq!(apply(fill("t", Filling::Previous), &csv(3)).unwrap().rows(), 4);
}
