//! Laws of expansion, against models that share no code with it: which cells a matrix has, and what
//! an expression comes to. Never compares texts of faults.

use super::*;
use proptest::prelude::*;

const HEAD: &str =
    "apiVersion: ohc/v1alpha1\nkind: Pipeline\nmetadata: { name: t }\nspec:\n  stages:\n";
/// The names of axes; what is included may also name `e`, which is none.
const AXES: [&str; 3] = ["a", "b", "c"];

/// Names and small numbers: a combination, a rule, or an inclusion.
type Row = BTreeMap<&'static str, u8>;

fn row(names: &'static [&'static str], values: u8) -> impl Strategy<Value = Row> {
    let each = names.iter().map(|name| (Just(*name), prop::option::of(0..values)));
    each.collect::<Vec<_>>()
        .prop_map(|all| all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
}

fn flow(row: &Row) -> String {
    let entries: Vec<String> = row.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    format!("{{ {} }}", entries.join(", "))
}

fn label(row: &Row) -> String {
    let entries: Vec<String> = row.iter().map(|(name, value)| format!("{name}={value}")).collect();
    entries.join(",")
}

fn agrees(row: &Row, rule: &Row) -> bool {
    rule.iter().all(|(name, value)| row.get(name) == Some(value))
}

/// What the documentation says, word by word: all combinations, the last axis fastest; without
/// those that a rule matches; then each inclusion extends what it agrees with, or is a cell.
fn model(sizes: &[u8], excludes: &[Row], includes: &[Row]) -> Vec<String> {
    let mut rows = vec![Row::new()];
    for (name, size) in AXES.iter().zip(sizes) {
        let longer = |row: Row| {
            (0..*size).map(move |value| {
                let mut row = row.clone();
                row.insert(name, value);
                row
            })
        };
        rows = rows.into_iter().flat_map(longer).collect();
    }
    rows.retain(|row| !excludes.iter().any(|rule| agrees(row, rule)));
    let grid = rows.clone();
    for include in includes {
        let mut axes = include.clone();
        axes.retain(|name, _| AXES.iter().zip(sizes).any(|(axis, _)| axis == name));
        if !grid.iter().any(|row| agrees(row, &axes)) {
            rows.push(include.clone());
        }
    }
    rows.iter().map(label).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_cells_of_a_matrix_are_those_of_the_model_and_no_address_is_given_twice(
        sizes in prop::collection::vec(1u8..4, 1..=3),
        excludes in prop::collection::vec(row(&AXES, 3), 0..4),
        includes in prop::collection::vec(row(&["a", "b", "c", "e"], 5), 0..4),
    ) {
        // A rule may name what the matrix has, and must name something.
        let known = |rule: &Row| {
            !rule.is_empty() && rule.iter().all(|(name, value)| {
                AXES.iter().zip(&sizes).any(|(axis, size)| axis == name && value < size)
            })
        };
        let excludes: Vec<Row> = excludes.into_iter().filter(known).collect();
        let includes: Vec<Row> = includes.into_iter().filter(|row| !row.is_empty()).collect();
        let axes = AXES.iter().zip(&sizes).map(|(name, size)| {
            let values: Vec<String> = (0..*size).map(|value| value.to_string()).collect();
            format!("{name}: [{}]", values.join(", "))
        });
        let list = |rows: &[Row]| rows.iter().map(flow).collect::<Vec<_>>().join(", ");
        let text = format!(
            "{HEAD}    s: {{ uses: noop, matrix: {{ axes: {{ {} }}, exclude: [{}], include: [{}] \
             }} }}\n",
            axes.collect::<Vec<_>>().join(", "), list(&excludes), list(&includes),
        );
        let expect = model(&sizes, &excludes, &includes);
        let distinct: std::collections::BTreeSet<&String> = expect.iter().collect();
        let (manifest, faults) = compile(&text, &BTreeMap::new());
        // Nothing left, or one cell included twice, is a fault; nothing else of this is.
        let is_sound = !expect.is_empty() && distinct.len() == expect.len();
        prop_assert_eq!(manifest.is_some(), is_sound, "{}{:?}", text, faults);
        if let Some(manifest) = manifest {
            let stage = &manifest.stages["s"];
            let labels: Vec<String> = stage.instances.iter().map(|i| i.label.clone()).collect();
            prop_assert_eq!(labels, expect, "{}", text);
        }
    }

    #[test]
    fn an_expression_comes_to_what_integers_come_to(sum in sum(3)) {
        let (text, value) = sum;
        let text =
            format!("{HEAD}    s: {{ uses: noop, with: {{ tag: \"${{{{ {text} }}}}\" }} }}\n");
        let (manifest, faults) = compile(&text, &BTreeMap::new());
        let fits = u64::try_from(value);
        prop_assert_eq!(manifest.is_some(), fits.is_ok(), "{}{:?}", text, faults);
        if let (Some(manifest), Ok(value)) = (manifest, fits) {
            let spec = &manifest.stages["s"].instances[0].spec;
            let Spec::Noop(noop) = spec else { panic!("{spec:?}") };
            prop_assert_eq!(noop.tag, value, "{}", text);
        }
    }

    #[test]
    fn a_condition_of_constants_holds_where_the_comparison_does(
        (left, a) in sum(2), (right, b) in sum(2), sign in 0usize..6, negated in any::<bool>(),
    ) {
        let signs = ["==", "!=", "<", "<=", ">", ">="];
        let holds = [a == b, a != b, a < b, a <= b, a > b, a >= b][sign] != negated;
        let not = if negated { "!" } else { "" };
        let text = format!(
            "{HEAD}    s: {{ uses: noop, when: \"${{{{ {not}({left} {} {right}) }}}}\" }}\n",
            signs[sign],
        );
        let (manifest, faults) = compile(&text, &BTreeMap::new());
        prop_assert!(manifest.is_some(), "{}{:?}", text, faults);
        let when = manifest.and_then(|manifest| manifest.stages["s"].terms.when.clone());
        prop_assert_eq!(when, Some(crate::domain::terms::Condition::Constant(holds)), "{}", text);
    }
}

/// An expression of small integers as it is written, and its value. Sums are left without
/// parentheses where they bind to the left.
fn sum(depth: u32) -> impl Strategy<Value = (String, i128)> {
    let number = (0i128..50).prop_map(|value| (value.to_string(), value));
    number.prop_recursive(depth, 24, 2, |inner| {
        (inner.clone(), 0usize..3, inner).prop_map(|((left, a), op, (right, b))| match op {
            0 => (format!("{left} + ({right})"), a + b),
            1 => (format!("{left} - ({right})"), a - b),
            _ => (format!("({left}) * ({right})"), a * b),
        })
    })
}
