//! Encoders against BERT in f64, against themselves in other company, and against their own past.
//! Never on weights that mean anything: those of the project are fetched by `tests/it`.

use super::example::{self, HEADS, LAYERS, WIDTH};
use super::*;
use crate::compute::kernel::Isa;
use crate::domain::job::{Mode, Part};
use std::collections::BTreeMap;

const TEXTS: [Option<&str>; 6] = [
    Some("good films"),
    Some("bad plot, bad film, the plot"),
    None,
    Some(""),
    Some("the good, the bad"),
    Some("good good good good good good good good good good good good good good good good good"),
];

fn encoder() -> Encoder {
    Encoder::from_bytes(&example::folder().pack().unwrap()).unwrap()
}

fn mean() -> Settings {
    Settings { length: 40, pooling: Pooling::Mean, normalize: false }
}

fn embed() -> Embed {
    Embed {
        column: "text".into(),
        length: None,
        pooling: None,
        normalize: None,
        part: Part::WHOLE,
        mode: Mode::Exact,
    }
}

/// BERT in f64, from its tensors, as the paper writes it.
struct Wide(BTreeMap<String, (Vec<usize>, Vec<f64>)>);

type Rows = Vec<Vec<f64>>;

impl Wide {
    fn new() -> Self {
        let wide = |(name, shape, numbers): (String, Vec<usize>, Vec<f32>)| {
            (name, (shape, numbers.into_iter().map(f64::from).collect()))
        };
        Self(example::tensors().into_iter().map(wide).collect())
    }

    fn row(&self, name: &str, at: usize) -> &[f64] {
        let (shape, numbers) = &self.0[name];
        let width = *shape.last().unwrap();
        &numbers[at * width..(at + 1) * width]
    }

    fn dense(&self, name: &str, rows: &Rows) -> Rows {
        let bias = self.row(&format!("{name}.bias"), 0);
        let output = |row: &Vec<f64>, j: usize| {
            let weights = self.row(&format!("{name}.weight"), j);
            bias[j] + row.iter().zip(weights).map(|(x, w)| x * w).sum::<f64>()
        };
        rows.iter().map(|row| (0..bias.len()).map(|j| output(row, j)).collect()).collect()
    }

    fn norm(&self, name: &str, rows: &Rows) -> Rows {
        let (scale, shift) =
            (self.row(&format!("{name}.weight"), 0), self.row(&format!("{name}.bias"), 0));
        let each = |row: &Vec<f64>| {
            let mean = row.iter().sum::<f64>() / row.len() as f64;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / row.len() as f64;
            let deviation = (variance + 1e-12).sqrt();
            (0..row.len()).map(|i| (row[i] - mean) / deviation * scale[i] + shift[i]).collect()
        };
        rows.iter().map(each).collect()
    }

    fn attention(&self, at: &str, x: &Rows) -> Rows {
        let part = |name: &str| self.dense(&format!("{at}.attention.self.{name}"), x);
        let (queries, keys, values) = (part("query"), part("key"), part("value"));
        let each = WIDTH / HEADS;
        let mut out = vec![vec![0.0; WIDTH]; x.len()];
        for head in 0..HEADS {
            let columns = head * each..(head + 1) * each;
            for (query, out) in queries.iter().zip(&mut out) {
                let score = |key: &Vec<f64>| {
                    let dot: f64 = columns.clone().map(|i| query[i] * key[i]).sum();
                    (dot / (each as f64).sqrt()).exp()
                };
                let scores: Vec<f64> = keys.iter().map(score).collect();
                let all: f64 = scores.iter().sum();
                for i in columns.clone() {
                    let mixed = scores.iter().zip(&values).map(|(s, value)| s * value[i]);
                    out[i] = mixed.sum::<f64>() / all;
                }
            }
        }
        self.dense(&format!("{at}.attention.output.dense"), &out)
    }

    fn mean(&self, tokens: &[Token]) -> Vec<f64> {
        let looked_up = tokens.iter().enumerate().map(|(place, (word, kind))| {
            let word = self.row("embeddings.word_embeddings.weight", *word as usize);
            let place = self.row("embeddings.position_embeddings.weight", place);
            let kind = self.row("embeddings.token_type_embeddings.weight", *kind as usize);
            (0..WIDTH).map(|i| word[i] + place[i] + kind[i]).collect()
        });
        let mut x = self.norm("embeddings.LayerNorm", &looked_up.collect());
        let sum = |a: Rows, b: &Rows| -> Rows {
            let row =
                |(a, b): (&Vec<f64>, &Vec<f64>)| a.iter().zip(b).map(|(a, b)| a + b).collect();
            a.iter().zip(b).map(row).collect()
        };
        for layer in 0..LAYERS {
            let at = format!("encoder.layer.{layer}");
            let said = self.attention(&at, &x);
            x = self.norm(&format!("{at}.attention.output.LayerNorm"), &sum(said, &x));
            let mut inner = self.dense(&format!("{at}.intermediate.dense"), &x);
            inner.iter_mut().flatten().for_each(|x| *x *= normal(*x));
            let down = self.dense(&format!("{at}.output.dense"), &inner);
            x = self.norm(&format!("{at}.output.LayerNorm"), &sum(down, &x));
        }
        (0..WIDTH).map(|i| x.iter().map(|row| row[i]).sum::<f64>() / x.len() as f64).collect()
    }
}

/// The distribution function of the normal law, by its series.
fn normal(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..120 {
        term *= x * x / f64::from(2 * n + 1);
        sum += term;
    }
    0.5 + sum * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

#[test]
fn vectors_are_those_of_the_paper() {
    let encoder = encoder();
    let (wide, tokens) = (Wide::new(), encoder.tokens(40).unwrap());
    let vectors = encoder.encode(Engine::default(), mean(), TEXTS.into_iter()).unwrap();
    for (text, vector) in TEXTS.iter().zip(vectors.chunks(WIDTH)) {
        let Some(text) = text else {
            assert!(vector.iter().all(|x| *x == 0.0));
            continue;
        };
        let truth = wide.mean(&tokens.of(text).unwrap());
        for (x, truth) in vector.iter().zip(truth) {
            assert!((f64::from(*x) - truth).abs() < 1e-5, "{text}: {x} {truth}");
        }
    }
}

#[test]
fn a_text_has_the_same_bits_alone_and_among_others_on_every_path() {
    let encoder = encoder();
    // So many that they do not go through the network together.
    let texts: Vec<Option<&str>> = TEXTS.iter().copied().cycle().take(200).collect();
    let expect = |text| encoder.encode(Engine::with(Isa::PORTABLE, 1), mean(), [text].into_iter());
    let alone: Vec<f32> = texts.iter().flat_map(|text| expect(*text).unwrap()).collect();
    for isa in Isa::all() {
        for threads in 1..=4 {
            let engine = Engine::with(isa, threads);
            let together = encoder.encode(engine, mean(), texts.iter().copied()).unwrap();
            let same = together.iter().zip(&alone).all(|(x, y)| x.to_bits() == y.to_bits());
            assert!(same && together.len() == alone.len(), "{isa:?} threads={threads}");
        }
    }
}

#[test]
fn candles_operations_give_about_the_same_vectors() {
    let encoder = encoder();
    let device = crate::compute::device::gpu().unwrap_or(Device::Cpu);
    // Of many lengths, and more than go through the network together.
    let texts: Vec<Option<&str>> = TEXTS.iter().copied().cycle().take(3_000).collect();
    for settings in [mean(), Settings { pooling: Pooling::Cls, normalize: true, ..mean() }] {
        let exact = encoder.encode(Engine::default(), settings, texts.iter().copied()).unwrap();
        let fast = encoder.encode_fast(&device, settings, texts.iter().copied()).unwrap();
        assert_eq!(exact.len(), fast.len());
        assert_ne!(exact, fast, "they were computed by the same kernels");
        let mut most: f64 = 0.0;
        for (exact, fast) in exact.chunks(WIDTH).zip(fast.chunks(WIDTH)) {
            let off: f64 = exact.iter().zip(fast).map(|(h, c)| f64::from(c - h).powi(2)).sum();
            let length: f64 = exact.iter().map(|h| f64::from(*h).powi(2)).sum();
            most = most.max(if off == 0.0 { 0.0 } else { (off / length).sqrt() });
        }
        println!("{settings:?}: {most:.2e}");
        assert!(most < 1e-5, "{settings:?}: {most}");
    }
}

#[test]
fn the_bits_of_an_encoder_are_golden() {
    let vectors = encoder().encode(Engine::default(), mean(), TEXTS.into_iter()).unwrap();
    crate::compute::kernel::golden::check(&vectors, "encoder");
}

#[test]
fn pooling_and_length_change_what_they_say() {
    let encoder = encoder();
    let encode = |settings| {
        encoder.encode(Engine::default(), settings, [Some("good films")].into_iter()).unwrap()
    };
    let tokens = encoder.tokens(40).unwrap().of("good films").unwrap();
    let all = encoder.network.forward(Engine::default(), &[tokens]);
    assert_eq!(encode(Settings { pooling: Pooling::Cls, ..mean() }), &all[..WIDTH]);
    let unit = encode(Settings { normalize: true, ..mean() });
    let size: f32 = unit.iter().map(|x| x * x).sum();
    assert!((size - 1.0).abs() < 1e-6, "{size}");
    let short = encode(Settings { length: 3, ..mean() });
    let good = encoder.encode(Engine::default(), mean(), [Some("good")].into_iter()).unwrap();
    assert_eq!(short, good);
}

#[test]
fn what_a_stage_does_not_say_the_folder_does() {
    let encoder = encoder();
    assert_eq!(encoder.settings(&embed()).unwrap(), mean());
    let said = Embed { pooling: Some(Pooling::Cls), normalize: Some(true), ..embed() };
    let expect = Settings { pooling: Pooling::Cls, normalize: true, length: 40 };
    assert_eq!(encoder.settings(&said).unwrap(), expect);
    let long = Embed { length: Some(41), ..embed() };
    assert_eq!(encoder.settings(&long).unwrap_err().hint, "take at most 40");
}

#[test]
fn weights_that_are_no_numbers_are_a_fault_and_no_result() {
    let mut folder = example::folder();
    let mut weights = folder.need(folder::WEIGHTS).unwrap().to_vec();
    let end = weights.len();
    weights[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    folder = {
        let mut other = Folder::new();
        for name in [folder::CONFIG, folder::TOKENIZER] {
            other.add(name, folder.need(name).unwrap().to_vec()).unwrap();
        }
        other.add(folder::WEIGHTS, weights).unwrap();
        other
    };
    let encoder = Encoder::from_bytes(&folder.pack().unwrap()).unwrap();
    let texts = [None, Some("good bad , plot the films")].into_iter();
    let fault = encoder.encode(Engine::default(), mean(), texts).unwrap_err();
    assert!(fault.message.starts_with("the encoder gives no number for the text of row 2"));
}
