//! Measures against those of scikit-learn, on what nobody would choose by hand: ties, classes that
//! do not occur, certainty, a single row. Never trains anything.

use crate::site::python;
use ohc::compute::evaluate::{Said, measure};
use ohc::compute::examples::Truth;
use serde_json::{Value, json};
use std::io::Write;
use std::process::Stdio;

/// Numbers that look random and are the same every time (Knuth's linear congruence).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn measures(truth: &Truth, said: &Said) -> Value {
    let measured = measure(truth, said).unwrap();
    measured.into_iter().map(|(metric, value)| (metric.word().to_owned(), value)).collect()
}

/// Probabilities of few different values, so that many are tied; some are 0 and 1.
fn classes(dice: &mut Dice, count: u32, rows: usize, occurring: u32) -> Value {
    let (mut of, mut predicted, mut probabilities) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rows {
        let mut weights: Vec<u64> = (0..count).map(|_| dice.below(4)).collect();
        weights[0] += u64::from(weights.iter().all(|weight| *weight == 0));
        let total: u64 = weights.iter().sum();
        let row: Vec<f64> = weights.iter().map(|x| *x as f64 / total as f64).collect();
        let largest = row.iter().fold(0.0f64, |a, b| a.max(*b));
        predicted.push(row.iter().position(|x| *x == largest).unwrap() as u32);
        of.push(dice.below(u64::from(occurring)) as u32);
        probabilities.extend(row);
    }
    let names = (0..count).map(|class| format!("{class:02}")).collect();
    let said = Said::Classes { predicted: predicted.clone(), probabilities: probabilities.clone() };
    let truth = Truth::Classes { classes: names, of: of.clone() };
    json!({
        "name": format!("{rows} rows of {occurring} of {count} classes"), "kind": "classes",
        "classes": count, "actual": of, "predicted": predicted, "probabilities": probabilities,
        "measures": measures(&truth, &said),
    })
}

fn labels(dice: &mut Dice, count: usize, rows: usize) -> Value {
    let cells = count * rows;
    let probabilities: Vec<f64> = (0..cells).map(|_| dice.below(9) as f64 / 8.0).collect();
    let predicted: Vec<bool> = probabilities.iter().map(|p| *p > 0.5).collect();
    // The first label is one that no row has.
    let actual: Vec<bool> = (0..cells).map(|i| i % count > 0 && dice.below(3) == 0).collect();
    let names = (0..count).map(|label| format!("l{label}")).collect();
    let of = actual.iter().map(|is| f32::from(u8::from(*is))).collect();
    let said = Said::Labels { predicted: predicted.clone(), probabilities: probabilities.clone() };
    json!({
        "name": format!("{rows} rows of {count} labels"), "kind": "labels", "labels": count,
        "actual": actual, "predicted": predicted, "probabilities": probabilities,
        "measures": measures(&Truth::Labels { labels: names, of }, &said),
    })
}

fn real(dice: &mut Dice, rows: usize, spread: u64) -> Value {
    let mut numbers =
        || -> Vec<f64> { (0..rows).map(|_| dice.below(spread) as f64 / 7.0 - 3.0).collect() };
    let (actual, predicted) = (numbers(), numbers());
    json!({
        "name": format!("{rows} numbers of {spread} values"), "kind": "real",
        "actual": actual, "predicted": predicted,
        "measures": measures(&Truth::Real(actual.clone()), &Said::Real(predicted.clone())),
    })
}

#[test]
fn every_measure_is_that_of_scikit_learn() {
    let mut dice = Dice(7);
    let mut cases = Vec::new();
    for rows in [1, 2, 3, 10, 57, 400] {
        for (count, occurring) in [(2, 2), (2, 1), (3, 3), (3, 2), (5, 5), (11, 4), (11, 11)] {
            cases.push(classes(&mut dice, count, rows, occurring));
        }
        for count in [2, 5] {
            cases.push(labels(&mut dice, count, rows));
        }
        for spread in [1, 3, 1_000_000] {
            cases.push(real(&mut dice, rows, spread));
        }
    }
    let mut peer =
        python("metrics.py").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = peer.stdin.take().unwrap();
    stdin.write_all(Value::Array(cases).to_string().as_bytes()).unwrap();
    drop(stdin);
    let said = peer.wait_with_output().unwrap();
    assert!(said.status.success(), "the peer's own report is above");
    let compared: usize = String::from_utf8(said.stdout).unwrap().trim().parse().unwrap();
    assert!(compared > 400, "{compared}");
}
