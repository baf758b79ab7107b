//! The network of an encoder: BERT's blocks over tokens of many texts at once, without padding.
//! Never lets a text see another: all but the attention goes row by row, and that goes text by
//! text, so that the bits of a text do not depend on which others it came with.

mod stock;

use super::config::Config;
use super::tokens::Token;
use super::weights::Weights;
use crate::compute::Fault;
use crate::compute::kernel::Engine;
use crate::compute::kernel::gelu::gelu_biased;
use crate::compute::kernel::layer_norm::Norm;
use crate::compute::kernel::matmul::{Form, Shape, matmul};
use crate::compute::kernel::softmax::softmax;

/// The weights of an encoder, ready to run.
pub(in crate::compute::encoder) struct Network {
    width: usize,
    heads: usize,
    epsilon: f32,
    words: Vec<f32>,
    places: Vec<f32>,
    kinds: Vec<f32>,
    norm: Scaling,
    blocks: Vec<Block>,
}

/// A dense layer: weights `inputs × outputs`, and a bias.
struct Dense {
    weights: Vec<f32>,
    bias: Vec<f32>,
}

/// What a layer norm scales and shifts by.
struct Scaling {
    scale: Vec<f32>,
    shift: Vec<f32>,
}

struct Block {
    /// Queries, keys and values beside each other.
    seen: Dense,
    said: Dense,
    first: Scaling,
    up: Dense,
    down: Dense,
    second: Scaling,
}

impl Network {
    /// Takes the weights of a config's shapes.
    pub(super) fn read(config: &Config, weights: &Weights<'_>) -> Result<Self, Fault> {
        let (width, inner) = (config.width, config.inner);
        let table = |name: &str, rows: usize| {
            weights.tensor(&format!("embeddings.{name}_embeddings.weight"), &[rows, width])
        };
        let blocks = (0..config.layers).map(|index| {
            let at = |name: &str| format!("encoder.layer.{index}.{name}");
            let attention = ["query", "key", "value"]
                .map(|part| (at(&format!("attention.self.{part}")), width))
                .to_vec();
            Ok(Block {
                seen: dense(weights, &attention, width)?,
                said: dense(weights, &[(at("attention.output.dense"), width)], width)?,
                first: scaling(weights, &at("attention.output.LayerNorm"), width)?,
                up: dense(weights, &[(at("intermediate.dense"), inner)], width)?,
                down: dense(weights, &[(at("output.dense"), width)], inner)?,
                second: scaling(weights, &at("output.LayerNorm"), width)?,
            })
        });
        Ok(Self {
            width,
            heads: config.heads,
            epsilon: config.epsilon,
            words: table("word", config.vocabulary)?,
            places: table("position", config.positions)?,
            kinds: table("token_type", config.kinds)?,
            norm: scaling(weights, "embeddings.LayerNorm", width)?,
            blocks: blocks.collect::<Result<_, Fault>>()?,
        })
    }

    /// The width of a token.
    pub(super) const fn width(&self) -> usize {
        self.width
    }

    /// The vectors of all tokens of the texts, one text after the other. Each has at least one
    /// token and at most as many as there are positions, and the tokens are known.
    pub(super) fn forward(&self, engine: Engine, texts: &[Vec<Token>]) -> Vec<f32> {
        let mut x = self.looked_up(texts);
        self.norm.norm(self.epsilon).forward(engine.isa, &mut x);
        let lengths: Vec<usize> = texts.iter().map(Vec::len).collect();
        for block in &self.blocks {
            x = self.block(engine, block, &lengths, x);
        }
        x
    }

    fn looked_up(&self, texts: &[Vec<Token>]) -> Vec<f32> {
        fn row(table: &[f32], width: usize, at: usize) -> &[f32] {
            table.chunks_exact(width).nth(at).unwrap_or_default()
        }
        let tokens = texts.iter().map(Vec::len).sum::<usize>();
        let mut x = Vec::with_capacity(tokens * self.width);
        for text in texts {
            for (place, (word, kind)) in text.iter().enumerate() {
                let words = row(&self.words, self.width, *word as usize);
                let kinds = row(&self.kinds, self.width, *kind as usize);
                let places = row(&self.places, self.width, place);
                let sum = words.iter().zip(kinds).zip(places);
                x.extend(sum.map(|((word, kind), place)| (word + kind) + place));
            }
        }
        assert_eq!(x.len(), tokens * self.width, "tokens are checked before");
        x
    }

    fn block(&self, engine: Engine, block: &Block, lengths: &[usize], x: Vec<f32>) -> Vec<f32> {
        let width = self.width;
        let seen = block.seen.product(engine, width, &x);
        let mixed = self.attention(engine, &block.seen.bias, lengths, &seen);
        drop(seen);
        let mut said = block.said.product(engine, width, &mixed);
        let norm = block.first.norm(self.epsilon);
        norm.forward_sum(engine.isa, &mut said, (&x, &block.said.bias));
        let mut inner = block.up.product(engine, width, &said);
        gelu_biased(engine.isa, &mut inner, &block.up.bias);
        let mut down = block.down.product(engine, block.up.bias.len(), &inner);
        let norm = block.second.norm(self.epsilon);
        norm.forward_sum(engine.isa, &mut down, (&said, &block.down.bias));
        down
    }

    /// What each token takes from those of its text, head by head beside each other.
    fn attention(&self, engine: Engine, bias: &[f32], lengths: &[usize], seen: &[f32]) -> Vec<f32> {
        let (width, each) = (self.width, self.width / self.heads);
        let mut mixed = vec![0.0; seen.len() / 3];
        let (mut seen, mut out) = (seen, mixed.as_mut_slice());
        let mut head = Head::new(each);
        for &length in lengths {
            let (text, others) = seen.split_at(length * 3 * width);
            let (said, rest) = std::mem::take(&mut out).split_at_mut(length * width);
            (seen, out) = (others, rest);
            for at in (0..width).step_by(each) {
                head.gather(text, bias, (at, width), length);
                head.mix(engine, length);
                for (row, from) in said.chunks_exact_mut(width).zip(head.out.chunks_exact(each)) {
                    row.iter_mut().skip(at).zip(from).for_each(|(x, y)| *x = *y);
                }
            }
        }
        mixed
    }
}

/// One head of the attention over one text: space that is used again for the next.
struct Head {
    width: usize,
    scale: f32,
    parts: [Vec<f32>; 3],
    scores: Vec<f32>,
    out: Vec<f32>,
}

impl Head {
    fn new(width: usize) -> Self {
        let scale = 1.0 / (width as f32).sqrt();
        Self { width, scale, parts: Default::default(), scores: Vec::new(), out: Vec::new() }
    }

    /// Copies the queries, keys and values of this head, their biases added, queries scaled.
    fn gather(&mut self, text: &[f32], bias: &[f32], (at, width): (usize, usize), length: usize) {
        for (part, kept) in self.parts.iter_mut().enumerate() {
            kept.clear();
            kept.reserve(length * self.width);
            let from = part * width + at;
            let scale = if part == 0 { self.scale } else { 1.0 };
            let bias = bias.get(from..from + self.width).unwrap_or_default();
            for row in text.chunks_exact(3 * width) {
                let row = row.get(from..from + self.width).unwrap_or_default();
                kept.extend(row.iter().zip(bias).map(|(x, b)| (x + b) * scale));
            }
        }
    }

    /// softmax(Q·Kᵀ)·V.
    fn mix(&mut self, engine: Engine, length: usize) {
        let [queries, keys, values] = &self.parts;
        self.scores.resize(length * length, 0.0);
        let shape = Shape { m: length, n: length, k: self.width };
        matmul(engine, Form::Nt, shape, queries, keys, &mut self.scores);
        softmax(engine.isa, &mut self.scores, length);
        self.out.resize(length * self.width, 0.0);
        let shape = Shape { m: length, n: self.width, k: length };
        matmul(engine, Form::Nn, shape, &self.scores, values, &mut self.out);
    }
}

impl Dense {
    /// x·W of rows of `inputs`, without the bias: whoever follows adds it.
    fn product(&self, engine: Engine, inputs: usize, x: &[f32]) -> Vec<f32> {
        let shape = Shape { m: x.len() / inputs, n: self.bias.len(), k: inputs };
        let mut out = vec![0.0; shape.m * shape.n];
        matmul(engine, Form::Nn, shape, x, &self.weights, &mut out);
        out
    }
}

impl Scaling {
    fn norm(&self, epsilon: f32) -> Norm<'_> {
        Norm { scale: &self.scale, shift: &self.shift, epsilon }
    }
}

/// Layers of the same input as one whose outputs stand beside each other.
fn dense(weights: &Weights<'_>, parts: &[(String, usize)], inputs: usize) -> Result<Dense, Fault> {
    let outputs: usize = parts.iter().map(|(_, outputs)| outputs).sum();
    let mut turned = vec![0.0; inputs * outputs];
    let mut bias = Vec::with_capacity(outputs);
    for (name, part) in parts {
        let stored = weights.tensor(&format!("{name}.weight"), &[*part, inputs])?;
        for (column, row) in stored.chunks_exact(inputs).enumerate() {
            let at = bias.len() + column;
            let cells = turned.iter_mut().skip(at).step_by(outputs);
            cells.zip(row).for_each(|(cell, x)| *cell = *x);
        }
        bias.extend(weights.tensor(&format!("{name}.bias"), &[*part])?);
    }
    Ok(Dense { weights: turned, bias })
}

fn scaling(weights: &Weights<'_>, name: &str, width: usize) -> Result<Scaling, Fault> {
    Ok(Scaling {
        scale: weights.tensor(&format!("{name}.weight"), &[width])?,
        shift: weights.tensor(&format!("{name}.bias"), &[width])?,
    })
}
