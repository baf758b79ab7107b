//! Tests of computed formulas: tables of cases, and a naive oracle that goes row by row.
//! Never tests how a formula is read.

use super::*;
use proptest::prelude::*;

fn table(csv: &str) -> Table {
    Table::from_csv(csv.as_bytes()).unwrap()
}

fn cells(formula: &str, table: &Table) -> Vec<Option<String>> {
    let array = evaluate(&Formula::parse(formula).unwrap(), table).unwrap();
    Cells::of(&array).unwrap().texts()
}

const TABLE: &str = "r,i,t,b,x\n1.5,2,Äpfel,true,\n-0.0,-7,b,false,1\n,9223372036854775807,,,3\n";

#[track_caller]
fn check(formula: &str, want: [&str; 3]) {
    let got = cells(formula, &table(TABLE));
    let got: Vec<_> = got.iter().map(|cell| cell.as_deref().unwrap_or("null")).collect();
    assert_eq!(got, want, "{formula}");
}

#[test]
fn texts_between_two_operations_are_bounded_too() {
    // What these formulas give is 16 bytes.
    let long = "a".repeat(40);
    let table = table(&format!("t,u\n{long},x\n{long},yz\n"));
    let bytes = |formula: &str, most| {
        let made = bounded(&Formula::parse(formula).unwrap(), &table, most);
        made.map(drop).map_err(|fault| fault.message)
    };
    for formula in [
        "length(upper(t))",
        "length(lower(t))",
        "length(replace(t, 'x', 'y'))",
        "length(coalesce(t, u))",
        "length(if(length(u) > 0, t, u))",
    ] {
        assert_eq!(bytes(formula, 1000), Ok(()), "{formula}");
        let fault = bytes(formula, 64).unwrap_err();
        assert!(fault.contains("gives too much"), "{formula}: {fault}");
    }
}

#[test]
fn arithmetic_gives_null_where_there_is_no_finite_number() {
    check("i + 1", ["3", "-6", "null"]);
    check("i * 2 - i", ["2", "-7", "null"]);
    check("i / 2", ["1", "-3.5", "4611686018427388000"]);
    check("i / (x - 1)", ["null", "null", "4611686018427388000"]);
    check("i % 2", ["0", "-1", "1"]);
    check("i % 0", ["null", "null", "null"]);
    check("r % 1", ["0.5", "-0", "null"]);
    check("r * 1e308 * 10", ["null", "-0", "null"]);
    check("-i", ["-2", "7", "-9223372036854775807"]);
    check("abs(i)", ["2", "7", "9223372036854775807"]);
    check("sqrt(i + 7.0)", ["3", "0", "3037000499.97605"]);
    check("sqrt(-i)", ["null", "2.6457513110645907", "null"]);
    check("ln(x)", ["null", "0", "1.0986122886681098"]);
    check("ln(r)", ["0.4054651081081644", "null", "null"]);
    check("exp(i)", ["7.38905609893065", "0.0009118819655545162", "null"]);
    check("round(r)", ["2", "-0", "null"]);
    check("floor(r + 0.25) + ceil(r + 0.25)", ["3", "1", "null"]);
    check("round(-r - 1)", ["-3", "-1", "null"]);
    check("min(r, i, 1)", ["1", "-7", "null"]);
    check("max(i, 0)", ["2", "0", "9223372036854775807"]);
}

#[test]
fn logic_has_three_values_as_in_sql() {
    check("b and r > 0", ["true", "false", "null"]);
    check("b and false", ["false", "false", "false"]);
    check("b or true", ["true", "true", "true"]);
    check("not b", ["false", "true", "null"]);
    check("x is null", ["true", "false", "false"]);
    check("x is not null and x > 1", ["false", "false", "true"]);
    check("null is null", ["true", "true", "true"]);
    check("r = 0", ["false", "true", "null"]);
    check("r = -r", ["false", "true", "null"]);
    check("i in (2, null)", ["true", "null", "null"]);
    check("i in (2, 3)", ["true", "false", "false"]);
    check("i not in (2.0, 3)", ["false", "true", "true"]);
    check("t < 'c'", ["false", "true", "null"]);
    check("b > false", ["true", "false", "null"]);
    check("if(b, i, 0 - i)", ["2", "7", "-9223372036854775807"]);
    check("if(b, null, 'no')", ["null", "no", "no"]);
    check("coalesce(r, x, 7)", ["1.5", "-0", "3"]);
    check("coalesce(t, '?')", ["Äpfel", "b", "?"]);
}

#[test]
fn text_is_counted_in_characters_and_knows_its_cases() {
    check("length(t)", ["5", "1", "null"]);
    check("lower(t)", ["äpfel", "b", "null"]);
    check("upper(t)", ["ÄPFEL", "B", "null"]);
    check("contains(t, 'pf')", ["true", "false", "null"]);
    check("starts_with(t, 'Ä')", ["true", "false", "null"]);
    check("contains(t, t)", ["true", "true", "null"]);
    check("replace(upper(t), 'P', '--')", ["Ä--FEL", "B", "null"]);
    check("replace(t, '', 'x') = t", ["true", "true", "null"]);
    check("replace(t, 'b', null)", ["null", "null", "null"]);
    // What would grow without bounds has no value.
    let more = |first: usize| {
        let (first, then) = ("y".repeat(first), "z".repeat(512));
        format!("length(replace(replace(t, 'b', '{first}'), 'y', '{then}'))")
    };
    check(&more(8), ["5", "4096", "null"]);
    check(&more(9), ["5", "null", "null"]);
}

#[test]
fn a_formula_that_does_not_fit_is_a_fault() {
    let fault = |text: &str| evaluate(&Formula::parse(text).unwrap(), &table(TABLE)).unwrap_err();
    assert_eq!(fault("q + 1").message, "the table has no column \"q\"");
    assert_eq!(fault("t + 1").message, "`+` takes numbers, but `t` is text");
    assert_eq!(fault("null").message, "the formula \"null\" is always null");
    let condition = rows_that_hold(&Formula::parse("i + 1").unwrap(), &table(TABLE)).unwrap_err();
    assert_eq!(condition.message, "the formula \"i + 1\" is no condition");
}

#[test]
fn rows_beyond_the_first_piece_are_computed_too() {
    let rows: String = (0..10_000).map(|i| format!("{i}\n")).collect();
    let got = cells("i * 2", &table(&format!("i\n{rows}")));
    let want: Vec<_> = (0..10_000).map(|i| Some((i * 2).to_string())).collect();
    assert_eq!(got, want);
}

/// One value, as a naive reader of the documentation would compute with it.
#[derive(Debug, Clone, PartialEq)]
enum One {
    Null,
    Truth(bool),
    Integer(i64),
    Real(f64),
    Text(String),
}

fn real(x: &One) -> Option<f64> {
    match x {
        One::Integer(x) => Some(*x as f64),
        One::Real(x) => Some(*x),
        _ => None,
    }
}

fn finite_one(x: f64) -> One {
    if x.is_finite() { One::Real(x) } else { One::Null }
}

fn compare_one(a: &One, b: &One) -> Option<std::cmp::Ordering> {
    match (a, b) {
        (One::Integer(a), One::Integer(b)) => Some(a.cmp(b)),
        (One::Text(a), One::Text(b)) => Some(a.cmp(b)),
        (One::Truth(a), One::Truth(b)) => Some(a.cmp(b)),
        _ => real(a)?.partial_cmp(&real(b)?),
    }
}

/// The naive oracle: one row, no arrays.
fn naive(expr: &Expr, row: &[(&str, One)]) -> One {
    let Expr::Apply(op, args) = expr else {
        return match expr {
            Expr::Column(name) => row.iter().find(|(n, _)| n == name).unwrap().1.clone(),
            Expr::Truth(x) => One::Truth(*x),
            Expr::Integer(x) => One::Integer(*x),
            Expr::Real(x) => One::Real(*x),
            Expr::Text(x) => One::Text(x.clone()),
            _ => One::Null,
        };
    };
    let args: Vec<One> = args.iter().map(|arg| naive(arg, row)).collect();
    let order = |a: &One, b: &One, fits: fn(std::cmp::Ordering) -> bool| match compare_one(a, b) {
        Some(order) => One::Truth(fits(order)),
        None => One::Null,
    };
    match (op, args.as_slice()) {
        (Op::Not, [One::Truth(x)]) => One::Truth(!x),
        (Op::And, all) if all.contains(&One::Truth(false)) => One::Truth(false),
        (Op::Or, all) if all.contains(&One::Truth(true)) => One::Truth(true),
        (Op::And, all) if !all.contains(&One::Null) => One::Truth(true),
        (Op::Or, all) if !all.contains(&One::Null) => One::Truth(false),
        (Op::IsNull, [x]) => One::Truth(*x == One::Null),
        (Op::Eq, [a, b]) => order(a, b, std::cmp::Ordering::is_eq),
        (Op::Lt, [a, b]) => order(a, b, std::cmp::Ordering::is_lt),
        (Op::Ge, [a, b]) => order(a, b, std::cmp::Ordering::is_ge),
        (Op::Coalesce, all) => all.iter().find(|x| **x != One::Null).cloned().unwrap_or(One::Null),
        (Op::If, [c, a, b]) => {
            if *c == One::Truth(true) {
                a.clone()
            } else {
                b.clone()
            }
        }
        (Op::Add, [One::Integer(a), One::Integer(b)]) => {
            a.checked_add(*b).map_or(One::Null, One::Integer)
        }
        (Op::Mul, [One::Integer(a), One::Integer(b)]) => {
            a.checked_mul(*b).map_or(One::Null, One::Integer)
        }
        (Op::Add | Op::Mul | Op::Div, [a, b]) => match (real(a), real(b)) {
            (Some(a), Some(b)) => finite_one(match op {
                Op::Add => a + b,
                Op::Mul => a * b,
                _ => a / b,
            }),
            _ => One::Null,
        },
        (Op::Length, [One::Text(text)]) => One::Integer(text.chars().count() as i64),
        _ => One::Null,
    }
}

fn numbers() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![
        Just(Expr::Column("i".into())),
        Just(Expr::Column("r".into())),
        prop_oneof![(-3i64..4).boxed(), any::<i64>().boxed()].prop_map(Expr::Integer),
        prop_oneof![Just(0.0), Just(-0.0), -1e3..1e3, Just(1e308)].prop_map(Expr::Real),
        Just(Expr::Null),
        Just(Expr::Apply(Op::Length, vec![Expr::Column("t".into())])),
    ];
    leaf.prop_recursive(4, 16, 3, |inner| {
        let op = prop_oneof![Just(Op::Add), Just(Op::Mul), Just(Op::Div)];
        (op, inner.clone(), inner).prop_map(|(op, a, b)| Expr::Apply(op, vec![a, b]))
    })
}

fn conditions() -> impl Strategy<Value = Expr> {
    let op = prop_oneof![Just(Op::Eq), Just(Op::Lt), Just(Op::Ge)];
    let leaf = prop_oneof![
        (op, numbers(), numbers()).prop_map(|(op, a, b)| Expr::Apply(op, vec![a, b])),
        numbers().prop_map(|a| Expr::Apply(Op::IsNull, vec![a])),
        Just(Expr::Column("b".into())),
        any::<bool>().prop_map(Expr::Truth),
        Just(Expr::Null),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let op = prop_oneof![Just(Op::And), Just(Op::Or)];
        prop_oneof![
            inner.clone().prop_map(|a| Expr::Apply(Op::Not, vec![a])),
            (op, prop::collection::vec(inner, 2..4)).prop_map(|(op, all)| Expr::Apply(op, all)),
        ]
    })
}

proptest! {
    #[test]
    fn computation_agrees_with_a_naive_one_row_at_a_time(
        numbers in numbers(),
        others in numbers(),
        condition in conditions(),
        rows in prop::collection::vec(
            (any::<Option<i64>>(), prop::option::of(-1e3f64..1e3), any::<Option<bool>>(),
             prop::option::of("[a-é]{1,3}")),
            1..6,
        ),
    ) {
        let either = Expr::Apply(Op::Coalesce, vec![numbers, others]);
        let one = Expr::Apply(Op::If, vec![condition, either, Expr::Null]);
        // What is printed and read again is what a manifest could have said.
        let Ok(formula) = Formula::parse(&one.to_string()) else { return Ok(()) };
        let columns: Vec<(String, ArrayRef)> = vec![
            ("i".into(), Arc::new(Int64Array::from_iter(rows.iter().map(|row| row.0)))),
            ("r".into(), Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.1)))),
            ("b".into(), Arc::new(BooleanArray::from_iter(rows.iter().map(|row| row.2)))),
            ("t".into(), Arc::new(StringArray::from_iter(rows.iter().map(|row| row.3.clone())))),
        ];
        let table = Table::new(columns.into_iter()).unwrap();
        let Ok(got) = evaluate(&formula, &table) else { return Ok(()) };
        for (place, (i, r, b, t)) in rows.into_iter().enumerate() {
            let row = [
                ("i", i.map_or(One::Null, One::Integer)),
                ("r", r.map_or(One::Null, One::Real)),
                ("b", b.map_or(One::Null, One::Truth)),
                ("t", t.map_or(One::Null, One::Text)),
            ];
            let want = real(&naive(formula.root(), &row));
            let got = match Cells::of(&got).unwrap() {
                Cells::Integer(cells) => cells.is_valid(place).then(|| cells.value(place) as f64),
                Cells::Real(cells) => cells.is_valid(place).then(|| cells.value(place)),
                other => panic!("{other:?}"),
            };
            prop_assert_eq!(got.map(f64::to_bits), want.map(f64::to_bits), "{}", formula);
        }
    }
}
