//! The network of a Llama: blocks of attention and a gated perceptron over the tokens of many
//! windows at once. Never lets a window see another: all but the attention goes row by row, and
//! that goes window by window, so that the bits of a token do not depend on what came with it.

use super::config::Config;
use super::weights::{Stored, Weights};
use crate::compute::Fault;
use crate::compute::kernel::Engine;
use crate::compute::kernel::attention::{Grouped, Rotation};
use crate::compute::kernel::matmul::{Form, Shape, matmul};
use crate::compute::kernel::rms_norm::Norm;
use crate::compute::kernel::swiglu::swiglu;

/// A model, ready to run.
pub(super) struct Network<'a> {
    config: Config,
    words: Stored<'a>,
    blocks: Vec<Block<'a>>,
    norm: Vec<f32>,
    head: Stored<'a>,
}

struct Block<'a> {
    first: Vec<f32>,
    queries: Stored<'a>,
    keys: Stored<'a>,
    values: Stored<'a>,
    said: Stored<'a>,
    second: Vec<f32>,
    gate: Stored<'a>,
    up: Stored<'a>,
    down: Stored<'a>,
}

impl<'a> Network<'a> {
    /// Takes the weights of a config's shapes.
    pub(super) fn read(config: Config, weights: &Weights<'a>) -> Result<Self, Fault> {
        const WORDS: &str = "model.embed_tokens.weight";
        let Config { width, inner, vocabulary, .. } = config;
        let wide = config.heads * config.columns;
        let narrow = config.keys * config.columns;
        let block = |layer: usize| {
            let matrix = |name: &str, shape| {
                weights.need(&format!("model.layers.{layer}.{name}.weight"), shape)
            };
            let norm =
                |name: &str| weights.vector(&format!("model.layers.{layer}.{name}.weight"), width);
            Ok(Block {
                first: norm("input_layernorm")?,
                queries: matrix("self_attn.q_proj", (wide, width))?,
                keys: matrix("self_attn.k_proj", (narrow, width))?,
                values: matrix("self_attn.v_proj", (narrow, width))?,
                said: matrix("self_attn.o_proj", (width, wide))?,
                second: norm("post_attention_layernorm")?,
                gate: matrix("mlp.gate_proj", (inner, width))?,
                up: matrix("mlp.up_proj", (inner, width))?,
                down: matrix("mlp.down_proj", (width, inner))?,
            })
        };
        let head = if config.is_tied { WORDS } else { "lm_head.weight" };
        Ok(Self {
            words: weights.need(WORDS, (vocabulary, width))?,
            blocks: (0..config.layers).map(block).collect::<Result<_, Fault>>()?,
            norm: weights.vector("model.norm.weight", width)?,
            head: weights.need(head, (vocabulary, width))?,
            config,
        })
    }

    /// The width of a token.
    pub(super) const fn width(&self) -> usize {
        self.config.width
    }

    /// Tokens that there are.
    pub(super) const fn vocabulary(&self) -> usize {
        self.config.vocabulary
    }

    /// Tokens of a window at the most.
    pub(super) const fn positions(&self) -> usize {
        self.config.positions
    }

    /// The weights of the head.
    pub(super) fn head(&self) -> Vec<f32> {
        self.head.values()
    }

    /// How well each token fits after rows that the blocks gave.
    pub(super) fn outputs(&self, engine: Engine, head: &[f32], rows: &[f32]) -> Vec<f32> {
        let rows = self.norm(&self.norm).of(engine, rows);
        product(engine, self.width(), self.vocabulary(), &rows, head)
    }

    /// What the blocks make of all tokens of the windows, one window after the other. The tokens
    /// are known, and no window is longer than there are positions.
    pub(super) fn forward(&self, engine: Engine, windows: &[&[u32]]) -> Vec<f32> {
        let count = windows.iter().map(|window| window.len()).sum::<usize>();
        let mut x = Vec::with_capacity(count * self.width());
        for token in windows.iter().copied().flatten() {
            self.words.row(*token as usize, &mut x);
        }
        let longest = windows.iter().map(|window| window.len()).max().unwrap_or(0);
        let rotation = Rotation::at(longest, &self.config.speeds);
        let lengths: Vec<usize> = windows.iter().map(|window| window.len()).collect();
        for block in &self.blocks {
            let seen = self.norm(&block.first).of(engine, &x);
            let mixed = self.attention(engine, block, &rotation, (&lengths, &seen));
            add(&mut x, &times(engine, &mixed, &block.said));
            let seen = self.norm(&block.second).of(engine, &x);
            let mut gate = times(engine, &seen, &block.gate);
            swiglu(engine.isa, &mut gate, &times(engine, &seen, &block.up));
            add(&mut x, &times(engine, &gate, &block.down));
        }
        x
    }

    /// What each token takes from those before it in its window.
    fn attention(
        &self,
        engine: Engine,
        block: &Block<'_>,
        rotation: &Rotation,
        (lengths, seen): (&[usize], &[f32]),
    ) -> Vec<f32> {
        let Config { heads, keys, columns, .. } = self.config;
        let grouped = Grouped { engine, heads, keys, columns, rotation };
        let all = [&block.queries, &block.keys, &block.values].map(|it| times(engine, seen, it));
        let mut rest = all.each_ref().map(Vec::as_slice);
        let mut mixed = Vec::with_capacity(rest.first().map_or(0, |queries| queries.len()));
        for length in lengths {
            let split = [heads, keys, keys].map(|heads| length * heads * columns);
            let [q, k, v] = rest;
            let [a, b, c] = split;
            let ((q, q_rest), (k, k_rest), (v, v_rest)) =
                (q.split_at(a), k.split_at(b), v.split_at(c));
            mixed.extend(grouped.forward([q, k, v]));
            rest = [q_rest, k_rest, v_rest];
        }
        mixed
    }

    fn norm<'b>(&self, scale: &'b [f32]) -> Norm<'b> {
        Norm { scale, epsilon: self.config.epsilon }
    }
}

/// x·Wᵀ of a matrix as it is kept.
fn times(engine: Engine, x: &[f32], matrix: &Stored<'_>) -> Vec<f32> {
    let (outputs, inputs) = matrix.shape();
    product(engine, inputs, outputs, x, &matrix.values())
}

fn product(engine: Engine, k: usize, n: usize, x: &[f32], weights: &[f32]) -> Vec<f32> {
    let shape = Shape { m: x.len() / k, n, k };
    let mut out = vec![0.0; shape.m * n];
    matmul(engine, Form::Nt, shape, x, weights, &mut out);
    out
}

fn add(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}
