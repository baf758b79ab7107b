//! Tests of cards: what they say, and what nobody can make them say.
//! Never test the model file: it is that of the training.

use super::*;
use crate::compute::evaluate::{self, Candidate};
use crate::compute::kernel::Engine;
use crate::compute::predictor::{About, Scales, Unit};
use crate::compute::table::Table;
use crate::compute::transform;
use crate::domain::job::{Evaluate, OneHot, Scale, Step, Transform, Unknown};

const SPEC: Export =
    Export { format: ModelFormat::Safetensors, description: None, held_out: false };
const ROWS: &str = "id,city,x,y\n1,Bern,1,no\n2,Genf,2,yes\n3,Bern,2.5,no\n";

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

fn rows() -> Table {
    let one_hot = OneHot { columns: names(&["city"]), unknown: Unknown::Zeros };
    let scale = Scale { columns: names(&["x"]), to: ScaleTo::Standard };
    let steps = vec![Step::Drop(names(&["id"])), Step::OneHot(one_hot), Step::Scale(scale)];
    let table = Table::from_csv(ROWS.as_bytes()).unwrap();
    transform::run(&Transform { steps }, table, None, None).unwrap()
}

fn model(classes: &[&str]) -> Predictor {
    let about = About {
        task: Task::Classification,
        targets: names(&["y"]),
        features: names(&["city=Bern", "city=Genf", "x"]),
        classes: names(classes),
        tokens: 0,
        recipe: rows().recipe().clone(),
    };
    let shape = Model::Mlp { hidden: vec![4], activation: Activation::Tanh };
    let parameters = vec![vec![0.5; 12], vec![0.0; 4], vec![0.25; 8], vec![0.0; 2]];
    let scales = (Scales::default(), Unit::default());
    Predictor::new(Engine::default(), &shape, about, scales, parameters).unwrap()
}

fn report(model: &Predictor, bytes: &[u8], names: &[&str]) -> Vec<u8> {
    let candidate = |name: &&str| Candidate { name: (*name).into(), bytes, model: model.clone() };
    let candidates: Vec<_> = names.iter().map(candidate).collect();
    let done = evaluate::run(&Evaluate { select: None }, &candidates, &rows(), None).unwrap();
    done.outputs[1].bytes.clone()
}

#[test]
fn a_card_says_what_the_model_is_for_what_it_takes_and_how_good_it_is() {
    let model = model(&["no", "yes"]);
    let bytes = model.to_bytes().unwrap();
    let report = report(&model, &bytes, &["models"]);
    let description = Some("Tells who moves.\n# Not a heading".to_owned());
    let spec = Export { description, ..SPEC };
    let (same, card) = run(&spec, &bytes, &model, Some(&report)).unwrap();
    assert_eq!(same, bytes);
    for part in [
        "# A model for classification of `y`\n",
        "## Intended use\n\nTells who moves.\n\\# Not a heading\n",
        "One of 2 classes: `no`, `yes`.",
        "| `city` | string |\n| `x` | number |\n",
        "1. drop `id`\n2. one-hot `city`: `Bern`, `Genf`\n3. scale `x` to mean 0 and deviation 1",
        "hidden layers of 4 with tanh; 3 features, 26 parameters of 32 bits.",
        "Measured on 3 rows",
        "| accuracy | 0.6667 | 0.6667 |",
        "from safetensors import safe_open",
    ] {
        assert!(card.contains(part), "{part}\n---\n{card}");
    }
    assert!(card.contains(&Digest::of(&bytes).to_string()));
    assert!(!card.contains("`id` |"), "a column that is dropped is not needed\n{card}");
    let (_, bare) = run(&SPEC, &bytes, &model, None).unwrap();
    assert!(!bare.contains("How good it is") && !bare.contains("Intended use"));
}

#[test]
fn a_card_claims_of_the_rows_only_what_is_known() {
    let model = model(&["no", "yes"]);
    let bytes = model.to_bytes().unwrap();
    let line = |held_out, names: &[&str]| {
        let report = report(&model, &bytes, names);
        let (_, card) = run(&Export { held_out, ..SPEC }, &bytes, &model, Some(&report)).unwrap();
        card.lines().find(|line| line.starts_with("Measured")).unwrap().to_owned()
    };
    assert_eq!(line(false, &["a"]), "Measured on 3 rows.");
    assert_eq!(line(true, &["a"]), "Measured on 3 rows that it was not trained on.");
    let chosen = "Measured on 3 rows that it was not trained on. Of 2 models it was chosen on \
                  them, by `accuracy`.";
    assert_eq!(line(true, &["a", "b"]), chosen);
}

#[test]
fn names_of_the_data_cannot_write_into_the_card() {
    let model = model(&["a`](http://x) | b\n# c", "yes"]);
    let (_, card) = run(&SPEC, &model.to_bytes().unwrap(), &model, None).unwrap();
    assert!(card.contains("`a'](http://x) ¦ b # c`"), "{card}");
    assert_eq!(code(""), "\"\"");
    assert_eq!(list("", &vec!["x".to_owned(); 60], |name| code(name)).matches("`x`").count(), 50);
}

#[test]
fn a_report_on_something_else_is_a_fault() {
    let one = model(&["no", "yes"]);
    let bytes = one.to_bytes().unwrap();
    let check = |report: &[u8], message: &str| {
        let fault = run(&SPEC, &bytes, &one, Some(report)).unwrap_err();
        assert!(fault.message.contains(message) && fault.hint.contains("best"), "{fault:?}");
    };
    check(b"{}", "is not that of an evaluation");
    check(b"[", "is not that of an evaluation");
    check(br#"{"kind":"Evaluation","model":"abc"}"#, "is about another model");
}
