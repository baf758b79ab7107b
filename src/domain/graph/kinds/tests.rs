//! Kinds that do not fit, each with its place. Never a fault where a kind is not sure.

use crate::base::canon::Digest;
use crate::domain::graph::expand;
use crate::domain::job::{Chunk, Column, ColumnKind, Pin};
use crate::domain::manifest::{Diagnostic, compile};
use std::collections::BTreeMap;

const HEAD: &str = "apiVersion: ohc/v1alpha1\nkind: Pipeline\nmetadata: { name: t }\nspec:\n  \
                    sources: { s: { url: s.csv, format: csv } }\n  stages:\n    t: { uses: \
                    ingest, inputs: { rows: sources.s } }\n";
/// What the table has, besides `n` numbers.
const COLUMNS: [(&str, ColumnKind); 5] = [
    ("id", ColumnKind::Integer),
    ("amount", ColumnKind::Real),
    ("country", ColumnKind::Text),
    ("note", ColumnKind::Text),
    ("paid", ColumnKind::Truth),
];

/// The misfits of stages on the table `t.table`, and the text that they are about.
#[track_caller]
fn misfits(stages: &str, columns: Vec<Column>) -> (Vec<Diagnostic>, String) {
    let text = format!("{HEAD}{stages}");
    let (manifest, faults) = compile(&text, &BTreeMap::new());
    let manifest = manifest.unwrap_or_else(|| panic!("{faults:?}"));
    let (digest, bytes, rows) = (Digest::default(), 1000, 100);
    let chunks = vec![Chunk { digest, bytes, rows, first_line: 2, groups: None }];
    let pin = Pin { source: "s".to_owned(), digest, bytes, rows, columns, chunks };
    let dag = expand(&manifest, &BTreeMap::from([("s".to_owned(), pin)])).unwrap();
    (dag.misfits, text)
}

fn columns() -> Vec<Column> {
    let column = |(name, kind): &(&str, ColumnKind)| Column { name: (*name).into(), kind: *kind };
    COLUMNS.iter().map(column).collect()
}

/// What is said of stages, each with what is written at its place.
#[track_caller]
fn check(stages: &str, expected: &[(&str, &str)]) {
    let (found, text) = misfits(stages, columns());
    let told: Vec<(&str, &str)> = found
        .iter()
        .map(|each| {
            let end = each.place.offset + each.place.length;
            (text.get(each.place.offset..end).unwrap(), each.message.as_str())
        })
        .collect();
    assert_eq!(told, expected, "{stages}");
    assert!(found.iter().all(|each| each.is_error() && each.hint.is_some()));
}

fn steps(steps: &str) -> String {
    format!(
        "    x: {{ uses: transform, inputs: {{ table: t.table }}, with: {{ steps: [{steps}] }} }}\n"
    )
}

fn train(table: &str, with: &str) -> String {
    format!(
        "    m: {{ uses: train, inputs: {{ data: {table} }}, with: {{ epochs: 1, {with} }} }}\n"
    )
}

const MLP: &str = "model: { kind: mlp, hidden: [4] }";

#[test]
fn nothing_is_said_of_what_a_run_may_do_without() {
    let text = "task: regression, target: country, features: [id], model: { kind: linear }";
    let all =
        |more: &str| train("t.table", text).replace("uses: train", &format!("uses: train{more}"));
    assert_eq!(misfits(&all(""), columns()).0.len(), 1);
    for more in [", when: \"${{ 1 == 2 }}\"", ", onFailure: continue"] {
        assert_eq!(misfits(&all(more), columns()).0, [], "{more}");
    }
    // Nor of what waits for it.
    let after =
        format!("    n: {{ uses: noop, when: \"${{{{ 1 == 2 }}}}\" }}\n{}", all(", needs: [n]"));
    assert_eq!(misfits(&after, columns()).0, []);
}

#[test]
fn a_step_fits_the_kinds_of_its_columns() {
    let fill = "fill: { columns: [amount, country], with: median }";
    let hint = "`fill: { with: median }` takes numbers, but `country` is text";
    check(&steps(&format!("{{ {fill} }}")), &[("fill", hint)]);
    for (step, message) in [
        (
            "fill: { columns: [paid], with: mean }",
            "`fill: { with: mean }` takes numbers, but `paid` is a truth value",
        ),
        ("fill: { columns: [id], value: none }", "`fill` has text for `id`, which is an integer"),
        ("fill: { columns: [note], value: 0 }", "`fill` has an integer for `note`, which is text"),
        ("standardise: [country]", "`standardise` takes numbers, but `country` is text"),
        ("minMax: [id, paid]", "`minMax` takes numbers, but `paid` is a truth value"),
        ("hash: { column: id, buckets: 4 }", "`hash` takes text, but `id` is an integer"),
        ("filter: amount + 1", "`filter` takes a condition, but `amount + 1` is a number"),
        ("filter: country > 1", "`filter`: `>` takes values of one kind, not text, an integer"),
        ("derive: { d: amount * country }", "`derive`: `*` takes numbers, but `country` is text"),
        (
            "aggregate: { by: [id], measures: { m: { mean: note } } }",
            "`mean` takes numbers, but `note` is text",
        ),
    ] {
        let key = step.split(':').next().unwrap();
        check(&steps(&format!("{{ {step} }}")), &[(key, message)]);
    }
    for fine in [
        "fill: { columns: [amount, id], with: median }",
        "fill: { columns: [country, paid, id], with: mode }",
        "fill: { columns: [amount], value: 1 }",
        "fill: { columns: [id], value: 0.5 }",
        "standardise: [id, amount]",
        "oneHot: { columns: [id, country, paid] }",
        "hash: { column: note, buckets: 4 }",
        "filter: paid and amount > id",
        "derive: { d: amount * id, e: 'if(paid, d, length(country))' }",
        "sort: { country: ascending }",
    ] {
        check(&steps(&format!("{{ {fine} }}")), &[]);
    }
}

#[test]
fn a_kind_goes_with_its_column_through_the_steps() {
    let last = |step: &str| steps(&format!("{step}, {{ standardise: [c] }}"));
    let told = [("standardise", "`standardise` takes numbers, but `c` is text")];
    check(&last("{ rename: { country: c } }"), &told);
    check(&last("{ derive: { c: lower(note) } }"), &told);
    check(&last("{ cast: { columns: { id: string } } }, { rename: { id: c } }"), &told);
    check(&last("{ select: [note, id] }, { rename: { note: c } }"), &told);
    check(&last("{ aggregate: { by: [id], measures: { c: { first: country } } } }"), &told);
    check(&last("{ fill: { columns: [note], with: mode } }, { rename: { note: c } }"), &told);
    for fine in [
        "{ cast: { columns: { country: number } } }, { rename: { country: c } }",
        "{ derive: { c: length(note) } }",
        "{ aggregate: { by: [country], measures: { c: { distinct: note } } } }",
        "{ rename: { country: id, id: c } }",
        "{ oneHot: { columns: [country] } }, { rename: { country=a: c } }",
    ] {
        check(&last(fine), &[]);
    }
}

#[test]
fn a_model_reads_numbers_and_predicts_what_its_task_says() {
    let told = |what| ("m", what);
    let one = "features are numbers or true and false, but `note` is text";
    let two = "features are numbers or true and false, but `country`, `note` are text";
    check(&train("t.table", &format!("{MLP}, target: country")), &[told(one)]);
    check(&train("t.table", &format!("{MLP}, target: id")), &[told(two)]);
    let listed = format!("{MLP}, target: id, features: [amount, note]");
    check(&train("t.table", &listed), &[("features", one)]);
    check(&train("t.table", &format!("{MLP}, target: note, features: [id, paid]")), &[]);
    let regression = format!("{MLP}, task: regression, features: [id]");
    for (target, is) in [("country", "text"), ("paid", "a truth value")] {
        let message = format!("a regression predicts numbers, but `{target}` is {is}");
        let with = format!("{regression}, target: {target}");
        check(&train("t.table", &with), &[(target, message.as_str())]);
    }
    check(&train("t.table", &format!("{regression}, target: amount")), &[]);
    let message = "`amount` holds decimals, which would be one class each";
    let with = format!("{MLP}, features: [id], target: amount");
    check(&train("t.table", &with), &[("amount", message)]);
    // Numbers that are classes.
    let classes = steps("{ cast: { columns: { amount: integer } } }");
    check(&format!("{classes}{}", train("x.table", &with)), &[]);
    check(&train("t.table", &with.replace("target: amount", "target: paid")), &[]);
    let labels = format!("{MLP}, task: multi-label, features: [id], targets: [paid, note]");
    let message = "a label is 0 or 1, but `note` is text";
    check(&train("t.table", &labels), &[("targets", message)]);
    // What the steps made of it counts, not what it was.
    let encoded = steps("{ oneHot: { columns: [country] } }, { drop: [note] }");
    check(&format!("{encoded}{}", train("x.table", &format!("{MLP}, target: paid"))), &[]);
}

#[test]
fn a_model_of_texts_reads_tokens() {
    let text = "model: { kind: text, width: 8 }";
    let message = "a model of texts reads tokens, but the rows have none";
    let with = format!("{text}, target: country, features: [note]");
    check(&train("t.table", &with), &[("model", message)]);
    let tokens = "    x: { uses: tokenize, inputs: { table: t.table }, with: { column: note, kind: \
                  byte, into: { length: 8 } } }\n    y: { uses: transform, inputs: { table: \
                  x.table }, with: { steps: [{ drop: [id, amount, paid] }] } }\n";
    check(&format!("{tokens}{}", train("y.table", &format!("{text}, target: country"))), &[]);
    let number = tokens.replace("column: note", "column: amount").replace(", amount", "");
    let told = [("x", "`tokenize` takes text, but `amount` is a number")];
    check(&number.replace(" y:", " y2:"), &told);
}

#[test]
fn an_image_has_as_many_values_as_there_are_features() {
    let cnn = |image: &str| {
        let model =
            format!("model: {{ kind: cnn, image: {image}, convolutions: [{{ filters: 2 }}] }}");
        train("t.table", &format!("{model}, target: label"))
    };
    let pixels = |height: usize, width: usize, more: &[&str]| {
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| format!("y{y}x{x}")));
        let column = |name| Column { name, kind: ColumnKind::Integer };
        let label = Column { name: "label".into(), kind: ColumnKind::Text };
        let more = more.iter().map(|name| (*name).to_owned());
        pixels.chain(more).map(column).chain([label]).collect::<Vec<_>>()
    };
    let (found, _) = misfits(&cnn("[16, 16, 1]"), pixels(12, 10, &[]));
    let [misfit] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(misfit.message, "the image has 256 values, but the rows have 120 features");
    assert_eq!(misfit.hint.as_deref(), Some("write `image: [12, 10, 1]`"));
    assert_eq!(misfits(&cnn("[12, 10, 1]"), pixels(12, 10, &[])).0, []);
    let (found, _) = misfits(&cnn("[12, 10, 1]"), pixels(12, 10, &["age"]));
    assert!(found[0].hint.as_ref().unwrap().contains("product"), "{found:?}");
}

#[test]
fn what_is_not_sure_is_not_told() {
    let axes = "matrix: { axes: { c: [country, amount] } }";
    let matrix = format!(
        "    x: {{ uses: transform, {axes}, inputs: {{ table: t.table }}, with: {{ steps: [{{ \
         select: [\"${{{{ matrix.c }}}}\", id] }}] }} }}\n    y: {{ uses: transform, {axes}, \
         inputs: {{ table: x.table }}, with: {{ steps: [{{ standardise: [country] }}] }} }}\n"
    );
    check(&matrix, &[]);
    // Beside a column of any kind, what cannot fit whatever it is.
    let open =
        matrix.replace("standardise: [country]", "derive: { d: country + 1, e: d * (id > 1) }");
    let told = "`derive`: `*` takes numbers, but `id > 1` is a truth value";
    let (found, _) = misfits(&open, columns());
    assert_eq!(found.iter().map(|each| each.message.as_str()).collect::<Vec<_>>(), [told]);
    let join = "    x: { uses: transform, inputs: { table: t.table, right: t.table }, with: { \
                steps: [{ join: { on: [id] } }, { standardise: [country] }] } }\n";
    check(join, &[]);
}
