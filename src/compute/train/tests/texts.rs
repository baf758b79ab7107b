//! Tests of models of texts: what they learn, from raw text to raw text, and what they refuse.
//! Never measures time.

use super::*;
use crate::base::canon::Digest;
use crate::compute::evaluate::{self, Candidate};
use crate::compute::generate::{self, Choice, Writer};
use crate::compute::kernel::philox::{Philox, purpose};
use crate::compute::predictor::Predictions;
use crate::compute::transform;
use crate::domain::job::{
    Evaluate, Formula, Generate, Gpt, Layout, Norm, Positions, Reader, Step, Tokenize, Tokens,
    Transform,
};

/// Reviews that are told apart by one word each: no order, no length decides.
pub(super) fn reviews() -> Table {
    let words = ["the", "film", "was", "long", "and", "in", "colour", "with", "music"];
    let rows = (0..120u32).map(|i| {
        let filler = |k: u32| words[((i * 7 + k * 5 + i / 9) % 9) as usize];
        let (word, label) = [("good", "yes"), ("dull", "no")][(i % 2) as usize];
        format!("{i},{} {} {word} {},{label}\n", filler(1), filler(2), filler(3))
    });
    cells(&format!("id,text,liked\n{}", rows.collect::<String>()))
}

pub(super) fn text_spec() -> (Transform, Train) {
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

/// Who pays whom: the same two names, and only their order tells.
pub(super) fn payers() -> Table {
    let rows = (0..48u32).map(|i| {
        let (first, second) = if i % 2 == 0 { ("Ann", "Bob") } else { ("Bob", "Ann") };
        let when = ["", "now ", "then "][(i / 2 % 3) as usize];
        format!("{when}{first} pays {second},{first}\n")
    });
    cells(&format!("text,liked\n{}", rows.collect::<String>()))
}

pub(super) fn reader(dropout: f64) -> Model {
    Model::Reader(Reader {
        width: 8,
        blocks: 1,
        heads: 2,
        dropout,
        hidden: vec![],
        activation: Activation::Relu,
    })
}

#[test]
fn order_is_read_by_attention_and_not_by_the_mean_and_a_part_goes_on_where_one_ended() {
    let (steps, spec) = text_spec();
    let steps = Transform { steps: steps.steps[1..].to_vec() };
    let rows = transform::run(&steps, payers(), None, None).unwrap();
    let spec = Train { epochs: 16, optimizer: adamw(0.02), batch: 6, ..spec };
    let raw = cells("text\nnow Ann pays Bob\nnow Bob pays Ann\n");
    let probabilities = |bytes: &[u8]| {
        let model = Predictor::from_bytes(bytes).unwrap();
        assert_eq!(model.to_bytes().unwrap(), bytes);
        match model.predict(&raw).unwrap() {
            Predictions::Classes { probabilities, .. } => probabilities,
            _ => unreachable!(),
        }
    };
    let order = Train { model: reader(0.1), ..spec.clone() };
    let lesson = Lesson::new(&order, &rows, None).unwrap();
    let done = run(&order, &lesson, None, &mut |_| ()).unwrap();
    let said = probabilities(&done.outputs[0].bytes);
    assert!(said[0] > 0.9 && said[3] > 0.9, "{said:?}");
    for (k, pair) in (0..).zip(done.checkpoints.windows(2)) {
        let replayed = replay(&order, &lesson, None, k, Some(&pair[0]), 1).unwrap();
        assert_eq!(replayed.checkpoint, pair[1], "segment {k}");
    }
    let half = |from, to| Part { from, to, count: 2 };
    let first = Train { part: half(0, 1), ..order.clone() };
    let first = run(&first, &lesson, None, &mut |_| ()).unwrap();
    let second = Train { part: half(1, 2), ..order };
    let second = run(&second, &lesson, Some(&first.outputs[0].bytes), &mut |_| ()).unwrap();
    assert_eq!(second.outputs, done.outputs, "two parts are the whole");
    // The mean of the same vectors is the same.
    let lesson = Lesson::new(&spec, &rows, None).unwrap();
    let done = run(&spec, &lesson, None, &mut |_| ()).unwrap();
    let said = probabilities(&done.outputs[0].bytes);
    assert!((said[0] - said[2]).abs() < 1e-6, "{said:?}");
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

/// A song of three lines again and again, and who learns it.
pub(super) fn song(positions: Positions, tied: bool, norm: Norm, dropout: f64) -> (Train, Table) {
    let by = Tokens::Char;
    let into = Layout::Stream { separator: "\n".into() };
    let tokenize = Step::Tokenize(Tokenize { column: "text".into(), by, into });
    let song = "text\n".to_owned() + &"row the boat\nrow it far\ngo home\n".repeat(24);
    let steps = Transform { steps: vec![tokenize] };
    let rows = transform::run(&steps, cells(&song), None, None).unwrap();
    let (blocks, heads, width, context) = (1, 2, 16, 12);
    let model = Model::Gpt(Gpt { blocks, heads, width, context, positions, tied, dropout, norm });
    let spec = spec_of(Task::Language, &["token"]);
    (Train { model, epochs: 12, batch: 8, optimizer: adamw(0.02), ..spec }, rows)
}

pub(super) fn language(
    positions: Positions,
    tied: bool,
    norm: Norm,
    dropout: f64,
) -> (Train, Lesson) {
    let (spec, rows) = song(positions, tied, norm, dropout);
    let lesson = Lesson::new(&spec, &rows, None).unwrap();
    (spec, lesson)
}

/// Places that are learned or turned, tied or not, each norm, with dropout and without.
#[test]
fn r10_the_bytes_of_decoders_and_readers_are_golden() {
    let of = |(spec, lesson): (Train, Lesson)| {
        let spec = Train { epochs: 1, ..spec };
        Digest::of(&run(&spec, &lesson, None, &mut |_| ()).unwrap().outputs[0].bytes).short()
    };
    let learned = of(language(Positions::Learned, true, Norm::Layer, 0.0));
    let turned = of(language(Positions::Rotary, false, Norm::Rms, 0.1));
    let (steps, spec) = text_spec();
    let steps = Transform { steps: steps.steps[1..].to_vec() };
    let rows = transform::run(&steps, payers(), None, None).unwrap();
    let spec = Train { model: reader(0.1), ..spec };
    let lesson = Lesson::new(&spec, &rows, None).unwrap();
    let read = of((spec, lesson));
    assert_eq!([learned, turned, read], ["3afc8b4f9cf2", "cda285e98e63", "86960f3f8584"]);
}

/// A model that has learned it.
fn singer() -> (Predictor, Vec<u8>) {
    let (spec, lesson) = language(Positions::Learned, true, Norm::Layer, 0.0);
    let bytes = run(&spec, &lesson, None, &mut |_| ()).unwrap().outputs.remove(0).bytes;
    (Predictor::from_bytes(&bytes).unwrap(), bytes)
}

const WORDS: Generate = Generate {
    prompt: String::new(),
    samples: 1,
    tokens: 30,
    temperature: 0.0,
    top_k: None,
    line: true,
    seed: 1,
};

#[test]
fn a_model_goes_on_with_what_it_has_read_and_the_same_seed_writes_the_same() {
    let (model, _) = singer();
    let write = |spec: &Generate| generate::run(spec, &model, None).unwrap();
    let spec = Generate { prompt: "\nrow the".into(), ..WORDS };
    let written = write(&spec);
    let column = written.table.column("text").unwrap().texts();
    let [Some(text)] = column.as_slice() else { unreachable!() };
    assert_eq!(written.text, format!("\nrow the{text}\n"));
    assert!(!text.contains('\n') && (1..=30).contains(&written.tokens), "{text}");
    // From the middle of a text that is longer than what the model sees at once.
    let spec = Generate { prompt: "go home\nrow the boat\nrow it f".into(), ..WORDS };
    assert!(write(&spec).text.starts_with(&spec.prompt));
    let hot = Generate { temperature: 2.0, samples: 3, line: false, ..spec };
    let texts = |spec: &Generate| write(spec).table.column("text").unwrap().texts();
    assert_eq!(texts(&hot), texts(&hot));
    assert_ne!(texts(&hot)[0], texts(&hot)[1]);
    assert_ne!(texts(&hot), texts(&Generate { seed: 2, ..hot.clone() }));
    assert_eq!(write(&hot).tokens, 90);
    // Prompts of a table, one text of each.
    let prompts = cells("text\nrow the b\ngo h\n");
    let written = generate::run(&WORDS, &model, Some(&prompts)).unwrap();
    let texts: Vec<&str> = written.text.split("\n---\n").collect();
    assert!(texts.len() == 2 && texts[0].starts_with("row the b") && texts[1].starts_with("go h"));
}

#[test]
fn what_is_written_is_what_the_whole_row_says_within_the_context_and_beyond_it() {
    let (model, _) = singer();
    let mut seen = Vec::new();
    model.recipe().tokenizer().unwrap().encoder().encode("\nrow", &mut seen);
    let choice = Choice { temperature: 1.5, top_k: None };
    let mut writer = Writer::new(&model, "\nrow", choice, (9, 4)).unwrap();
    let dice = Philox::new(9, purpose::GENERATE, 4);
    for at in 0..40 {
        let sight = &seen[seen.len().saturating_sub(model.width())..];
        let mut row: Vec<f32> = sight.iter().map(|token| *token as f32).collect();
        row.resize(model.width(), 0.0);
        let outputs = model.raw_outputs(&row, 1).unwrap();
        let outputs = &outputs[(sight.len() - 1) * model.tokens()..sight.len() * model.tokens()];
        let token = choice.token(outputs, dice.uniform(at));
        assert_eq!(writer.token(), Ok(token), "token {at}");
        seen.push(token);
    }
}

#[test]
fn who_cannot_write_says_so() {
    let (model, _) = singer();
    let fault = generate::run(&WORDS, &model, None).unwrap_err();
    assert_eq!(fault.message, "\"\" is no prompt to go on from");
    let (steps, spec) = text_spec();
    let rows = transform::run(&steps, reviews(), None, None).unwrap();
    let lesson = Lesson::new(&Train { epochs: 1, ..spec.clone() }, &rows, None).unwrap();
    let done = run(&Train { epochs: 1, ..spec }, &lesson, None, &mut |_| ()).unwrap();
    let reader = Predictor::from_bytes(&done.outputs[0].bytes).unwrap();
    let fault = generate::run(&WORDS, &reader, None).unwrap_err();
    assert_eq!(fault.message, "a model for classification does not write");
}

#[test]
fn a_language_model_is_measured_on_raw_text() {
    let (model, bytes) = singer();
    let candidate = || [Candidate { name: "singer".into(), bytes: &bytes, model: model.clone() }];
    let measure = |text: &str| {
        let table = cells(&format!("text\n{text}"));
        evaluate::run(&Evaluate { select: None }, &candidate(), &table, None)
    };
    let song = "go home\nrow the boat\nrow it far\n".repeat(5);
    let known = measure(&song).unwrap();
    let value = |done: &Done, name: &str| {
        done.metrics.iter().find(|(known, _)| known == name).map(|(_, value)| *value).unwrap()
    };
    let loss = value(&known, "loss");
    assert!(loss < 0.4 && value(&known, "accuracy") > 0.85, "{:?}", known.metrics);
    assert!((value(&known, "perplexity") - loss.exp()).abs() < 1e-9);
    let strange = measure(&"tar bot hero\n".repeat(8)).unwrap();
    assert!(value(&strange, "loss") > 1.0, "{:?}", strange.metrics);
    let report = String::from_utf8(known.outputs[1].bytes.clone()).unwrap();
    assert!(report.contains("\"baseline\":{\"accuracy\":0."), "{report}");
    let fault = measure("go\n").unwrap_err();
    assert_eq!(fault.message, "the text has fewer than 13 tokens");
}
