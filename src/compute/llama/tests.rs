//! Llamas against the paper in f64, against the same one in another file, against themselves in
//! other company, and against what a liar may write. Never on weights that mean anything.

use super::example::{self, COLUMNS, HEADS, KEYS, LAYERS, Named, VOCABULARY, WIDTH};
use super::*;
use crate::compute::kernel::{Isa, golden};
use std::collections::BTreeMap;

const TEXTS: [&str; 5] =
    ["ab b\nab abb", "", "b", "C bbb", "abab ab ab b b b b b b b b b ab\n\na b"];
const WINDOWS: Windows = Windows { length: 8, stride: 3 };

/// A Llama in f64, from its tensors, as the papers write it.
struct Wide(BTreeMap<String, (Vec<usize>, Vec<f64>)>);

type Rows = Vec<Vec<f64>>;

impl Wide {
    fn new(tensors: Vec<Named>) -> Self {
        let wide = |(name, shape, numbers): Named| {
            (name, (shape, numbers.into_iter().map(f64::from).collect()))
        };
        Self(tensors.into_iter().map(wide).collect())
    }

    fn row(&self, name: &str, at: usize) -> &[f64] {
        let (shape, numbers) = &self.0[&format!("{name}.weight")];
        let width = *shape.last().unwrap();
        &numbers[at * width..(at + 1) * width]
    }

    fn times(&self, name: &str, rows: &Rows) -> Rows {
        let outputs = self.0[&format!("{name}.weight")].0[0];
        let dot = |row: &Vec<f64>, at: usize| -> f64 {
            row.iter().zip(self.row(name, at)).map(|(x, w)| x * w).sum()
        };
        rows.iter().map(|row| (0..outputs).map(|at| dot(row, at)).collect()).collect()
    }

    fn norm(&self, name: &str, rows: &Rows) -> Rows {
        let scale = self.row(name, 0);
        let each = |row: &Vec<f64>| {
            let square = row.iter().map(|x| x * x).sum::<f64>() / row.len() as f64;
            let root = (square + 1e-5).sqrt();
            row.iter().zip(scale).map(|(x, g)| x / root * g).collect()
        };
        rows.iter().map(each).collect()
    }

    /// The columns of a head, turned.
    fn turned(row: &[f64], head: usize, place: usize) -> Vec<f64> {
        let own = &row[head * COLUMNS..(head + 1) * COLUMNS];
        let half = COLUMNS / 2;
        let turn = |column: usize| {
            let pair = column % half;
            let angle = place as f64 * 10_000f64.powf(-2.0 * pair as f64 / COLUMNS as f64);
            let (a, b) = (own[pair], own[pair + half]);
            if column < half {
                a * angle.cos() - b * angle.sin()
            } else {
                a * angle.sin() + b * angle.cos()
            }
        };
        (0..COLUMNS).map(turn).collect()
    }

    fn attention(&self, at: &str, x: &Rows) -> Rows {
        let part = |name: &str| self.times(&format!("{at}.self_attn.{name}_proj"), x);
        let (queries, keys, values) = (part("q"), part("k"), part("v"));
        let mut out = vec![vec![0.0; WIDTH]; x.len()];
        for head in 0..HEADS {
            let group = head / (HEADS / KEYS);
            for place in 0..x.len() {
                let query = Self::turned(&queries[place], head, place);
                let score = |other: usize| {
                    let key = Self::turned(&keys[other], group, other);
                    let dot: f64 = query.iter().zip(&key).map(|(q, k)| q * k).sum();
                    (dot / (COLUMNS as f64).sqrt()).exp()
                };
                let scores: Vec<f64> = (0..=place).map(score).collect();
                let all: f64 = scores.iter().sum();
                for column in 0..COLUMNS {
                    let value = |other: usize| values[other][group * COLUMNS + column];
                    let mixed = scores.iter().enumerate().map(|(other, s)| s * value(other));
                    out[place][head * COLUMNS + column] = mixed.sum::<f64>() / all;
                }
            }
        }
        self.times(&format!("{at}.self_attn.o_proj"), &out)
    }

    /// The fit of every token after each of some.
    fn outputs(&self, tokens: &[u32]) -> Rows {
        let add = |x: &mut Rows, y: Rows| {
            x.iter_mut().zip(y).for_each(|(x, y)| x.iter_mut().zip(y).for_each(|(x, y)| *x += y));
        };
        let words = tokens.iter().map(|token| self.row("model.embed_tokens", *token as usize));
        let mut x: Rows = words.map(<[f64]>::to_vec).collect();
        for layer in 0..LAYERS {
            let at = format!("model.layers.{layer}");
            let seen = self.norm(&format!("{at}.input_layernorm"), &x);
            add(&mut x, self.attention(&at, &seen));
            let seen = self.norm(&format!("{at}.post_attention_layernorm"), &x);
            let up = self.times(&format!("{at}.mlp.up_proj"), &seen);
            let mut gate = self.times(&format!("{at}.mlp.gate_proj"), &seen);
            for (gate, up) in gate.iter_mut().flatten().zip(up.iter().flatten()) {
                *gate = *gate / (1.0 + (-*gate).exp()) * up;
            }
            add(&mut x, self.times(&format!("{at}.mlp.down_proj"), &gate));
        }
        self.times("lm_head", &self.norm("model.norm", &x))
    }

    /// Nats and tokens of a text, window by window.
    fn surprise(&self, tokens: &[u32], windows: Windows) -> (f64, u64) {
        let (mut nats, mut count) = (0.0, 0);
        for at in 1..tokens.len() {
            // The first window that has it.
            let begins = (0..).map(|i| i * windows.stride);
            let begin = begins.into_iter().find(|begin| at < begin + windows.length).unwrap();
            let outputs = self.outputs(&tokens[begin..at]);
            let last = outputs.last().unwrap();
            let sum: f64 = last.iter().map(|x| x.exp()).sum();
            nats += sum.ln() - last[tokens[at] as usize];
            count += 1;
        }
        (nats, count)
    }
}

fn surprise(bytes: &[u8], texts: &[&str]) -> Surprise {
    let llama = Llama::from_bytes(bytes).unwrap();
    llama.surprise(Engine::default(), WINDOWS, texts.iter().copied()).unwrap()
}

#[test]
fn what_it_says_is_what_the_papers_say() {
    let packed = example::packed(&example::tensors());
    let llama = Llama::from_bytes(&packed).unwrap();
    let wide = Wide::new(example::tensors());
    let (mut nats, mut count) = (0.0, 0);
    for text in TEXTS {
        let tokens = llama.tokens.of(text).unwrap();
        let short = &tokens[..tokens.len().min(example::POSITIONS)];
        let rows = llama.network.forward(Engine::default(), &[short]);
        let outputs = llama.network.outputs(Engine::default(), &llama.network.head(), &rows);
        let expect = wide.outputs(short);
        for (x, y) in outputs.iter().zip(expect.iter().flatten()) {
            assert!((f64::from(*x) - y).abs() < 1e-5, "{text:?}: {x} {y}");
        }
        let of_text = wide.surprise(&tokens, WINDOWS);
        nats += of_text.0;
        count += of_text.1;
    }
    let got = surprise(&packed, &TEXTS);
    assert!((got.nats - nats).abs() < 1e-5 * nats, "{got:?} {nats}");
    // The empty text has no token but the one before it.
    assert_eq!((got.tokens, got.texts), (count, 4));
}

#[test]
fn a_file_of_llama_cpp_is_the_same_model_to_the_bit() {
    let (packed, gguf) = (example::packed(&example::tensors()), example::gguf());
    let (one, other) = (Llama::from_bytes(&packed).unwrap(), Llama::from_bytes(&gguf).unwrap());
    for text in TEXTS {
        assert_eq!(one.tokens.of(text).unwrap(), other.tokens.of(text).unwrap(), "{text:?}");
    }
    assert_eq!(surprise(&packed, &TEXTS), surprise(&gguf, &TEXTS));
    assert_ne!(one.digest(), other.digest());
    // Another number in one matrix is another model.
    let mut tensors = example::tensors();
    tensors[5].2[17] += 0.5;
    assert_ne!(surprise(&example::packed(&tensors), &TEXTS).nats, surprise(&gguf, &TEXTS).nats);
}

#[test]
fn a_text_is_as_hard_in_any_company_and_by_any_path() {
    let packed = example::packed(&example::tensors());
    let llama = Llama::from_bytes(&packed).unwrap();
    let bits = |engine, windows: &[&[u32]]| {
        let rows = llama.network.forward(engine, windows);
        let outputs = llama.network.outputs(engine, &llama.network.head(), &rows);
        outputs.iter().map(|x| x.to_bits()).collect::<Vec<_>>()
    };
    let texts: Vec<Vec<u32>> = TEXTS.iter().map(|text| llama.tokens.of(text).unwrap()).collect();
    let windows: Vec<&[u32]> = texts.iter().map(|text| &text[..text.len().min(20)]).collect();
    let alone: Vec<u32> =
        windows.iter().flat_map(|window| bits(Engine::default(), &[window])).collect();
    for isa in Isa::all() {
        for threads in [1, 3] {
            assert_eq!(bits(Engine::with(isa, threads), &windows), alone, "{isa:?} {threads}");
        }
    }
    golden::check(&alone.into_iter().map(f32::from_bits).collect::<Vec<_>>(), "llama");
}

#[test]
fn every_token_but_the_first_counts_once_with_all_that_a_window_holds() {
    for (length, stride) in [(2, 1), (8, 3), (8, 7), (5, 4), (100, 50)] {
        for tokens in 0..60 {
            let windows: Vec<_> = Windows { length, stride }.of(tokens).collect();
            let counted = windows.iter().flat_map(|(seen, counted)| {
                counted.clone().map(|at| seen.start + at).collect::<Vec<_>>()
            });
            assert_eq!(counted.collect::<Vec<_>>(), (1..tokens.max(1)).collect::<Vec<_>>());
            for (index, (seen, counted)) in windows.iter().enumerate() {
                assert_eq!((seen.start, counted.end), (index * stride, seen.len()));
                assert!(seen.len() <= length && counted.start >= 1);
            }
        }
    }
}

#[test]
fn what_no_model_can_say_is_a_fault() {
    let packed = example::packed(&example::tensors());
    let llama = Llama::from_bytes(&packed).unwrap();
    let long = Windows { length: example::POSITIONS + 1, stride: 1 };
    let fault = llama.surprise(Engine::default(), long, TEXTS.into_iter()).unwrap_err();
    assert_eq!(fault.hint, "take at most 24");
    let mut tensors = example::tensors();
    tensors[0].2[6 * WIDTH] = f32::NAN;
    let packed = example::packed(&tensors);
    let llama = Llama::from_bytes(&packed).unwrap();
    let surprise = |text| llama.surprise(Engine::default(), WINDOWS, [text].into_iter());
    assert!(surprise("bb").is_ok());
    assert!(surprise("a b").unwrap_err().message.contains("gives no number"));
}

#[test]
fn what_is_missing_or_of_another_shape_is_named() {
    let refused = |change: &dyn Fn(&mut Vec<Named>)| {
        let mut tensors = example::tensors();
        change(&mut tensors);
        Llama::from_bytes(&example::packed(&tensors)).err().unwrap().message
    };
    let gone = refused(&|tensors| tensors.retain(|(name, ..)| !name.contains("1.mlp.up_proj")));
    assert_eq!(gone, "the weights have no matrix \"model.layers.1.mlp.up_proj.weight\"");
    let less = refused(&|tensors| {
        tensors[0].1[0] -= 1;
        tensors[0].2.truncate((VOCABULARY - 1) * WIDTH);
    });
    assert!(less.contains("is of shape (11, 32), the config says (12, 32)"), "{less}");
    assert!(is_meant(&example::packed(&[])) && is_meant(b"GGUF") && !is_meant(b"PK"));
    assert!(Llama::from_bytes(b"PK").err().unwrap().hint.contains("huggingface"));
}

#[test]
fn a_damaged_file_is_refused_or_another_model_and_never_a_panic() {
    let gguf = example::gguf();
    for cut in (0..gguf.len()).step_by(61) {
        assert!(Llama::from_bytes(&gguf[..cut]).is_err(), "{cut}");
    }
    // All that is said, and some of the numbers.
    for at in (4..2_600).step_by(3).chain((2_600..gguf.len()).step_by(997)) {
        for with in [0x01, 0xff] {
            let mut lie = gguf.clone();
            lie[at] = with;
            if let Ok(llama) = Llama::from_bytes(&lie) {
                let _ = llama.surprise(Engine::default(), WINDOWS, TEXTS.into_iter());
            }
        }
    }
}
