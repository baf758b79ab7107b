//! Tests of formulas: what reads, how it prints, what it is, and what is refused where.
//! Never computes a cell.

use super::*;
use crate::domain::job::{Column, ColumnKind};
use proptest::prelude::*;

#[track_caller]
fn check(text: &str, canonical: &str) {
    let formula = Formula::parse(text).unwrap_or_else(|e| panic!("{text}: {e:?}"));
    assert_eq!(formula.to_string(), canonical, "{text}");
    assert_eq!(Formula::parse(canonical), Ok(formula.clone()), "{text}");
    assert_eq!(Formula::from_bytes(&formula.to_bytes()), Ok(formula), "{text}");
}

#[track_caller]
fn refuse(text: &str, at: usize, message: &str, hint: &str) {
    let fault = Formula::parse(text).unwrap_err();
    assert_eq!((fault.at, fault.message.as_str()), (at, message), "{text}");
    assert!(fault.hint.contains(hint), "{text}: {}", fault.hint);
}

#[test]
fn formulas_print_with_the_fewest_brackets() {
    check("a+b*c", "a + b * c");
    check("(a+b)*c", "(a + b) * c");
    check("a-(b-c)-d", "a - (b - c) - d");
    check("((a and (b))) and c OR not d", "(a and b) and c or not d");
    check("a and b and c", "a and b and c");
    check("not (a or b)", "not (a or b)");
    check("not a = b", "not a = b");
    check("(a = b) = c", "(a = b) = c");
    check("x Is NOT Null", "x is not null");
    check("not (x is null)", "x is not null");
    check("x in (1,2.5,'a')", "x in (1, 2.5, 'a')");
    check("x + 1 not in (2)", "x + 1 not in (2)");
    check("a == b and a <> c", "a = b and a != c");
    check("if(x > 0, sqrt(x), -x)", "if(x > 0, sqrt(x), -x)");
    check("MAX(a, b, c % 2)", "max(a, b, c % 2)");
    check("`sepal length (cm)` / `a``b`", "`sepal length (cm)` / `a``b`");
    check("`and` = `plain`", "`and` = plain");
    check("'it''s'", "'it''s'");
    check("`größe`>0", "`größe` > 0");
}

#[test]
fn only_what_replaces_by_more_may_grow() {
    let growth = |text: &str| Formula::parse(text).unwrap().growth();
    assert_eq!(growth("lower(a)"), 0);
    assert_eq!(growth("replace(replace(a, '.', ''), ',', '.')"), 0);
    assert_eq!(growth("length(replace(a, '&', 'and'))"), REPLACE_GROWTH_MAX);
    assert_eq!(growth("replace(replace(a, b, ''), '', 'c')"), 2 * REPLACE_GROWTH_MAX);
}

#[test]
fn numbers_keep_their_sign_and_their_kind() {
    check("-5", "-5");
    check("-(5)", "-5");
    check("- -5", "5");
    check("-0.0", "-0.0");
    check("-(-9223372036854775808)", "--9223372036854775808");
    check("a--5", "a - -5");
    check("-x * -y", "-x * -y");
    check("-(x + y)", "-(x + y)");
    check("1e3", "1000.0");
    check("1E-400", "0.0");
    check("9223372036854775808", "9.223372036854776e18");
    check("2.5e300", "2.5e300");
}

#[test]
fn what_is_no_formula_is_refused_at_its_place() {
    refuse("", 0, "the formula ends too early", "a value");
    refuse("a +", 3, "the formula ends too early", "a value");
    refuse("a b", 2, "`b` does not belong here", "could end");
    refuse("a < b < c", 6, "comparisons do not chain", "and");
    refuse("a = \"x\"", 4, "`\\\"` means nothing here", "single quotes");
    refuse("a = 'x", 4, "' is opened but not closed", "end it");
    refuse("`` > 1", 0, "a column has a name", "");
    refuse("log(a)", 0, "there is no function `log`", "ln");
    refuse("sqrt(a, b)", 0, "`sqrt` takes one argument, not 2", "");
    refuse("min(a)", 0, "`min` takes at least 2 arguments, not 1", "");
    refuse("a in 1", 5, "`1` does not belong here", "`(`");
    refuse("a is 1", 5, "`1` does not belong here", "null");
    refuse("a not 1", 6, "`1` does not belong here", "in");
    refuse("(a", 2, "the formula ends too early", "`)`");
    refuse("größe > 3", 2, "`ö` means nothing here", "backticks");
    refuse("1e999", 0, "the number is beyond the range of reals", "");
    refuse("a && b", 2, "`&` means nothing here", "and");
}

#[test]
fn depth_and_size_are_bounded() {
    for (open, close) in [("(", ")"), ("-", ""), ("not ", ""), ("sqrt(", ")")] {
        let text = format!("{}a{}", open.repeat(100), close.repeat(100));
        let fault = Formula::parse(&text).unwrap_err();
        assert_eq!(fault.message, "a formula nests at most 32 deep", "{open}");
    }
    let chain = vec!["a"; 40].join(" + ");
    assert_eq!(Formula::parse(&chain).unwrap_err().message, "a formula nests at most 32 deep");
    check(&vec!["a"; 100].join(" or "), &vec!["a"; 100].join(" or "));
    let long = "a".repeat(1025);
    assert_eq!(Formula::parse(&long).unwrap_err().message, "a formula has at most 1024 bytes");
}

#[test]
fn only_the_canonical_text_decodes() {
    for text in ["a+b", "(a)", "A and b or", "`a`"] {
        let bytes = text.to_owned().to_bytes();
        assert_eq!(Formula::from_bytes(&bytes), Err(DecodeError::OutOfRange), "{text}");
    }
}

fn columns() -> Vec<Column> {
    let kinds = [ColumnKind::Real, ColumnKind::Integer, ColumnKind::Text, ColumnKind::Truth];
    let column = |(name, kind): (&str, ColumnKind)| Column { name: name.to_owned(), kind };
    ["r", "i", "t", "b"].into_iter().zip(kinds).map(column).collect()
}

#[test]
fn kinds_follow_from_the_columns() {
    let kind = |text: &str| Formula::parse(text).unwrap().kind(&columns());
    let (real, integer, text, truth) = (
        Ok(Some(ColumnKind::Real)),
        Ok(Some(ColumnKind::Integer)),
        Ok(Some(ColumnKind::Text)),
        Ok(Some(ColumnKind::Truth)),
    );
    assert_eq!(kind("i + 1"), integer);
    assert_eq!(kind("i + r"), real);
    assert_eq!(kind("i / 2"), real);
    assert_eq!(kind("coalesce(null, i, 2.5)"), real);
    assert_eq!(kind("if(b, t, null)"), text);
    assert_eq!(kind("i in (1, r, null)"), truth);
    assert_eq!(kind("null + null"), Ok(None));
    assert_eq!(kind("length(t) % 2"), integer);
    let misfit = |text: &str| match kind(text) {
        Err(Mismatch::Kind(message)) => message,
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(misfit("t + 1"), "`+` takes numbers, but `t` is text");
    assert_eq!(misfit("i and b"), "`and` takes truth values, but `i` is an integer");
    assert_eq!(misfit("t = 1"), "`=` takes values of one kind, not text, an integer");
    assert_eq!(misfit("if(i, 1, 2)"), "`if` takes a truth value first, not `i`");
    assert_eq!(
        misfit("coalesce(t, b)"),
        "`coalesce` takes values of one kind, not text, a truth value"
    );
    assert_eq!(kind("a + 1"), Err(Mismatch::Column("a".to_owned())));
}

/// Any formula that the parser can build, and some texts that it prints for it.
fn formula() -> impl Strategy<Value = Formula> {
    let leaf = prop_oneof![
        "[a-z_ `]{1,4}".prop_map(Expr::Column),
        Just(Expr::Null),
        any::<bool>().prop_map(Expr::Truth),
        any::<i64>().prop_map(Expr::Integer),
        any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(Expr::Real),
        "[a-zé' ]{0,4}".prop_map(Expr::Text),
    ];
    let node = leaf.prop_recursive(5, 40, 3, |inner| {
        let unary = prop_oneof![Just(Op::Not), Just(Op::IsNull), Just(Op::Abs), Just(Op::Length)];
        let pairs = prop_oneof![
            Just(Op::Add),
            Just(Op::Sub),
            Just(Op::Mul),
            Just(Op::Div),
            Just(Op::Rem),
            Just(Op::Eq),
            Just(Op::Lt),
            Just(Op::Ge),
            Just(Op::In),
            Just(Op::Contains),
        ];
        let many = prop_oneof![Just(Op::And), Just(Op::Or), Just(Op::Min), Just(Op::Coalesce)];
        prop_oneof![
            (unary, inner.clone()).prop_map(|(op, a)| Expr::Apply(op, vec![a])),
            (pairs, inner.clone(), inner.clone())
                .prop_map(|(op, a, b)| Expr::Apply(op, vec![a, b])),
            (many, prop::collection::vec(inner, 2..4)).prop_map(|(op, all)| Expr::Apply(op, all)),
        ]
    });
    node.prop_map(Formula)
}

proptest! {
    #[test]
    fn what_is_printed_reads_back(formula in formula()) {
        let text = formula.to_string();
        prop_assert_eq!(parse::formula(&text, parse::CANONICAL_BYTES_MAX), Ok(formula.0));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,60}", noise in "[a-c0-9+*()'`<>=, .eE-]{0,60}") {
        for text in [text, noise] {
            if let Ok(formula) = Formula::parse(&text) {
                prop_assert_eq!(Formula::parse(&formula.to_string()), Ok(formula.clone()));
                let _ = formula.kind(&columns());
            }
        }
    }
}
