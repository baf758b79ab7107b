//! Tests of models of texts: what they learn, from raw text to raw text, and what they refuse.
//! Never measures time.

use super::*;
use crate::base::canon::Digest;
use crate::compute::predictor::Predictions;
use crate::compute::transform;
use crate::domain::job::{Formula, Layout, Step, Tokenize, Tokens, Transform};

/// Reviews that are told apart by one word each: no order, no length decides.
fn reviews() -> Table {
    let words = ["the", "film", "was", "long", "and", "in", "colour", "with", "music"];
    let rows = (0..120u32).map(|i| {
        let filler = |k: u32| words[((i * 7 + k * 5 + i / 9) % 9) as usize];
        let (word, label) = [("good", "yes"), ("dull", "no")][(i % 2) as usize];
        format!("{i},{} {} {word} {},{label}\n", filler(1), filler(2), filler(3))
    });
    cells(&format!("id,text,liked\n{}", rows.collect::<String>()))
}

fn text_spec() -> (Transform, Train) {
    let by = Tokens::Pairs { vocabulary: 320 };
    let tokenize = Tokenize { column: "text".into(), by, into: Layout::Rows { length: 24 } };
    let steps = vec![Step::Drop(vec!["id".into()]), Step::Tokenize(tokenize)];
    let model = Model::Text { width: 8, hidden: vec![6], activation: Activation::Tanh };
    let spec = spec_of(Task::Classification, &["liked"]);
    let spec = Train { model, epochs: 12, batch: 8, scaling: Scaling::Standard, ..spec };
    (Transform { steps }, spec)
}

#[test]
fn texts_are_told_apart_by_their_words_and_the_model_takes_raw_text() {
    let (steps, spec) = text_spec();
    let rows = transform::run(&steps, reviews(), None, None).unwrap();
    let lesson = Lesson::new(&spec, &rows, None).unwrap();
    let bytes = run(&spec, &lesson, None, &mut |_| ()).unwrap().outputs.remove(0).bytes;
    let model = Predictor::from_bytes(&bytes).unwrap();
    assert_eq!(model.to_bytes().unwrap(), bytes);
    assert_eq!(Digest::of(&bytes).short(), "7a511c6cb59c");
    let raw = cells("text\nin colour and dull\nlong good music\n");
    let Predictions::Classes { classes, probabilities } = model.predict(&raw).unwrap() else {
        unreachable!()
    };
    assert_eq!(classes, ["no", "yes"]);
    assert!(probabilities[0] > 0.9 && probabilities[3] > 0.9, "{probabilities:?}");
}

#[test]
fn a_model_of_texts_takes_tokens_and_nothing_else() {
    let (steps, spec) = text_spec();
    let numbers = cells("x,liked\n1,yes\n2,no\n");
    let learn = |rows: &Table| {
        let lesson = Lesson::new(&spec, rows, None).unwrap();
        run(&spec, &lesson, None, &mut |_| ()).unwrap_err()
    };
    let fault = learn(&numbers);
    assert!(fault.message.contains("reads tokens"), "{fault}");
    // A column that is no token is among the features.
    let steps = Transform { steps: steps.steps[1..].to_vec() };
    let rows = transform::run(&steps, reviews(), None, None).unwrap();
    let wide = Step::Derive(vec![("x".into(), Formula::parse("0.5").unwrap())]);
    let rows = transform::run(&Transform { steps: vec![wide] }, rows, None, None).unwrap();
    let fault = learn(&rows);
    assert!(fault.message.contains("no token of the model's vocabulary"), "{fault}");
    assert!(fault.hint.contains("features"));
}
