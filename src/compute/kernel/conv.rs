//! Convolutions of images with odd square kernels, channels last, stride 1, and what follows them:
//! bias, activation, max-pooling. Forward and backward.
//! Never holds the windows of an image, nor the output before pooling of more than one at a time.
//!
//! Every output is one chain of fused multiply-adds over the window: its lines, in them its pixels,
//! in them the channels. Zeros around the image are terms like all others. Gradients of weights
//! and bias are a chain over the pixels of [`GROUP`] images each; these sums are added in order.
#![expect(clippy::indexing_slicing, reason = "offsets follow from shapes asserted on entry")]

use super::dense::{Gradients, bend, unbend};
use super::gather::{self, Product, Walk};
use super::pack::{self, View};
use super::pool::Pool;
use super::{Engine, reduce};
use crate::domain::job::Activation;

/// Images over which a gradient is one chain: what threads share out.
const GROUP: usize = 8;
/// Groups for each thread whose sums are held at once: so many that threads seldom wait.
const ROUND: usize = 4;

/// A layer's arithmetic: images of `height × width × channels` to `filters` channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv {
    /// How it runs.
    pub engine: Engine,
    /// Lines of an image.
    pub height: usize,
    /// Pixels of a line.
    pub width: usize,
    /// Values of a pixel.
    pub channels: usize,
    /// The side of the kernel, odd.
    pub kernel: usize,
    /// Zeros on each side of an image.
    pub margin: usize,
    /// Values of a pixel of the output.
    pub filters: usize,
    /// What bends the result; not GELU, whose slope does not follow from what comes out.
    pub activation: Option<Activation>,
    /// The side of the squares of which the largest value is kept; 1 keeps all.
    pub pool: usize,
}

/// What a convolution gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Convolved {
    /// The output, image by image.
    pub y: Vec<f32>,
    /// Which value of each square was kept; empty where all are.
    pub picks: Vec<u8>,
}

/// A layer of which a backward pass is made.
#[derive(Clone, Copy)]
pub struct Past<'a> {
    /// Its input.
    pub x: &'a [f32],
    /// Its weights.
    pub weights: &'a [f32],
    /// Its output and picks.
    pub y: &'a [f32],
    /// Which value of each square was kept.
    pub picks: &'a [u8],
    /// The gradient by the output.
    pub by_output: &'a [f32],
}

impl Conv {
    /// Height and width of the output before pooling.
    #[must_use]
    pub const fn extent(&self) -> (usize, usize) {
        let less = self.kernel - 1;
        (self.height + 2 * self.margin - less, self.width + 2 * self.margin - less)
    }

    /// What follows the convolution.
    const fn pooling(&self) -> Pool {
        let (height, width) = self.extent();
        Pool { height, width, channels: self.filters, side: self.pool }
    }

    /// Height and width of the output.
    #[must_use]
    pub const fn pooled(&self) -> (usize, usize) {
        self.pooling().pooled()
    }

    /// Values of an image, and of its output.
    #[must_use]
    pub const fn lengths(&self) -> (usize, usize) {
        (self.height * self.width * self.channels, self.pooling().lengths().1)
    }

    /// Terms of an output: weights of a filter.
    #[must_use]
    pub const fn depth(&self) -> usize {
        self.kernel * self.kernel * self.channels
    }

    /// pool(act(x∗W + b)) of `images` images; the weights are `depth × filters`.
    ///
    /// # Panics
    /// If a slice does not fit the layer.
    #[must_use]
    pub fn forward(&self, images: usize, x: &[f32], weights: &[f32], bias: &[f32]) -> Convolved {
        let (before, after) = self.lengths();
        assert_eq!(x.len(), images * before, "images fit the layer");
        assert_eq!(weights.len(), self.depth() * self.filters, "weights fit the layer");
        assert_eq!(bias.len(), self.filters, "a bias per filter");
        let mut y = vec![0.0; images * after];
        let mut picks = vec![0; if self.pool > 1 { images * after } else { 0 }];
        if y.is_empty() || before == 0 {
            return Convolved { y, picks };
        }
        let b = panels(self.engine, weights, self.filters);
        let share = images.div_ceil(self.engine.threads());
        let work = x.chunks(share * before).zip(y.chunks_mut(share * after));
        let mut rest = &mut *picks;
        let work = work.map(|(x, y)| {
            let at = y.len().min(rest.len());
            let (picks, tail) = std::mem::take(&mut rest).split_at_mut(at);
            rest = tail;
            (x, y, picks)
        });
        let run = |(x, y, picks)| self.forward_images(x, (&b, bias), y, picks);
        self.engine.share(work, run);
        Convolved { y, picks }
    }

    fn forward_images(
        &self,
        x: &[f32],
        (b, bias): (&[f32], &[f32]),
        y: &mut [f32],
        picks: &mut [u8],
    ) {
        let (isa, pool) = (self.engine.isa, self.pooling());
        let (before, after) = self.lengths();
        let framed = self.framed();
        let (mut frame, starts) = (framed.space(), framed.windows(self.extent()));
        let mut z = vec![0.0; pool.lengths().0];
        let walk = framed.window(self.kernel);
        let images = x.chunks_exact(before).zip(y.chunks_exact_mut(after));
        for (i, (x, y)) in images.enumerate() {
            framed.fill(x, &mut frame);
            let columns = self.filters;
            let product = Product { isa, a: &frame, walk, b, columns, carry: false };
            if self.pool > 1 {
                product.run(&starts, &mut z);
                pool.forward(isa, &z, y, &mut picks[i * after..(i + 1) * after]);
            } else {
                product.run(&starts, y);
            }
            bend(isa, y, bias, self.activation);
        }
    }

    /// The input with its margin.
    const fn framed(&self) -> Frame {
        let Self { height, width, channels, margin, .. } = *self;
        Frame { height, width, channels, margin }
    }

    /// The gradients; those of weights and bias are written, not added.
    ///
    /// # Panics
    /// If a slice does not fit the layer.
    pub fn backward(&self, images: usize, past: Past<'_>, into: Gradients<'_>) {
        let (before, after) = self.lengths();
        let Past { x, weights, y, picks, by_output } = past;
        assert_ne!(self.activation, Some(Activation::Gelu), "the slope follows from the output");
        assert_eq!((x.len(), y.len()), (images * before, images * after), "images fit the layer");
        assert_eq!(by_output.len(), y.len(), "a gradient for every output");
        assert_eq!(picks.len(), if self.pool > 1 { y.len() } else { 0 }, "a pick for every output");
        assert_eq!(weights.len(), self.depth() * self.filters, "weights fit the layer");
        assert_eq!(into.weights.len(), weights.len(), "a gradient for every weight");
        assert_eq!(into.bias.len(), self.filters, "a bias per filter");
        let Gradients { weights: by_weights, bias: by_bias, input } = into;
        by_weights.fill(0.0);
        by_bias.fill(0.0);
        let mut by_input = input.unwrap_or_default();
        assert!(by_input.is_empty() || by_input.len() == x.len(), "a gradient for every input");
        if y.is_empty() || before == 0 {
            return by_input.fill(0.0);
        }
        let turned = if by_input.is_empty() { Vec::new() } else { self.turned(weights) };
        let at_once = GROUP * self.engine.threads() * ROUND;
        for first in (0..images).step_by(at_once) {
            let most = images.min(first + at_once);
            let mut work = Vec::new();
            for from in (first..most).step_by(GROUP) {
                let to = most.min(from + GROUP);
                let (own, rest) =
                    by_input.split_at_mut(if turned.is_empty() { 0 } else { (to - from) * before });
                by_input = rest;
                let part = Past {
                    x: &x[from * before..to * before],
                    weights: &turned,
                    y: &y[from * after..to * after],
                    picks: if self.pool > 1 { &picks[from * after..to * after] } else { &[] },
                    by_output: &by_output[from * after..to * after],
                };
                work.push((part, own));
            }
            for (weights, bias) in self.groups(work) {
                add(by_weights, &weights);
                add(by_bias, &bias);
            }
        }
    }

    /// Works on groups side by side; their sums come in order.
    fn groups(&self, work: Vec<(Past<'_>, &mut [f32])>) -> Vec<(Vec<f32>, Vec<f32>)> {
        let mut sums = Vec::new();
        sums.resize_with(work.len(), Default::default);
        let work = work.into_iter().zip(&mut sums);
        self.engine.share(work, |((past, own), sums)| *sums = self.backward_group(past, own));
        sums
    }

    /// The sums of one group by weights and bias; `past.weights` are turned and packed.
    fn backward_group(&self, past: Past<'_>, by_input: &mut [f32]) -> (Vec<f32>, Vec<f32>) {
        let (isa, filters, pool) = (self.engine.isa, self.filters, self.pooling());
        let (before, after) = self.lengths();
        let (mut by_weights, mut by_bias) = (vec![0.0; self.depth() * filters], vec![0.0; filters]);
        let (mut bent, mut packed) = (vec![0.0; after], Vec::new());
        let mut by_z = vec![0.0; pool.lengths().0];
        let (framed, outer) = (self.framed(), self.outer());
        let (mut frame, mut wide) = (framed.space(), outer.space());
        let (terms, pixels) = (framed.terms(self.kernel), framed.pixels(self.extent()));
        let (windows, window) =
            (outer.windows((self.height, self.width)), outer.window(self.kernel));
        for (i, x) in past.x.chunks_exact(before).enumerate() {
            let at = i * after..(i + 1) * after;
            unbend(
                isa,
                &past.by_output[at.clone()],
                &past.y[at.clone()],
                self.activation,
                &mut bent,
            );
            reduce::add_columns(isa, &bent, &mut by_bias);
            let by_z = if self.pool > 1 {
                pool.backward(isa, &bent, &past.picks[at], &mut by_z);
                &by_z
            } else {
                &bent
            };
            framed.fill(x, &mut frame);
            let view = View { values: by_z, stride: filters, transposed: false };
            let panel = gather::extent(isa).columns;
            let b = pack::columns_of_b(
                isa,
                view,
                (0, filters),
                panel,
                (0, by_z.len() / filters),
                &mut packed,
            );
            let walk = pixels;
            let product = Product { isa, a: &frame, walk, b, columns: filters, carry: i > 0 };
            product.run(&terms, &mut by_weights);
            if !by_input.is_empty() {
                outer.fill(by_z, &mut wide);
                let (b, columns) = (past.weights, self.channels);
                let product = Product { isa, a: &wide, walk: window, b, columns, carry: false };
                product.run(&windows, &mut by_input[i * before..(i + 1) * before]);
            }
        }
        (by_weights, by_bias)
    }

    /// The gradient by the output before pooling, with the margin by which the gradient by the
    /// input is a convolution of it.
    const fn outer(&self) -> Frame {
        let (height, width) = self.extent();
        Frame { height, width, channels: self.filters, margin: self.kernel - 1 - self.margin }
    }

    /// The weights turned by half a circle, filters and channels swapped, packed.
    fn turned(&self, weights: &[f32]) -> Vec<f32> {
        let (channels, filters) = (self.channels, self.filters);
        let mut out = vec![0.0; weights.len()];
        let places = weights.chunks_exact(channels * filters).rev();
        for (from, to) in places.zip(out.chunks_exact_mut(channels * filters)) {
            for (c, from) in from.chunks_exact(filters).enumerate() {
                for (f, &weight) in from.iter().enumerate() {
                    to[f * channels + c] = weight;
                }
            }
        }
        panels(self.engine, &out, channels)
    }
}

fn add(sum: &mut [f32], other: &[f32]) {
    for (sum, x) in sum.iter_mut().zip(other) {
        *sum += x;
    }
}

/// A whole matrix of `columns` columns, packed.
fn panels(engine: Engine, values: &[f32], columns: usize) -> Vec<f32> {
    let view = View { values, stride: columns, transposed: false };
    let (panel, depth) = (gather::extent(engine.isa).columns, values.len() / columns.max(1));
    let space = &mut Vec::new();
    pack::columns_of_b(engine.isa, view, (0, columns), panel, (0, depth), space).to_vec()
}

/// An image in a frame of zeros.
#[derive(Clone, Copy)]
struct Frame {
    height: usize,
    width: usize,
    channels: usize,
    margin: usize,
}

impl Frame {
    /// Values of a line, margins included.
    const fn line(self) -> usize {
        (self.width + 2 * self.margin) * self.channels
    }

    /// The frame without an image.
    fn space(self) -> Vec<f32> {
        vec![0.0; (self.height + 2 * self.margin) * self.line()]
    }

    /// Puts an image into a frame.
    fn fill(self, image: &[f32], frame: &mut [f32]) {
        let width = self.width * self.channels;
        let lines = frame.chunks_exact_mut(self.line()).skip(self.margin);
        for (line, image) in lines.zip(image.chunks_exact(width)) {
            line[self.margin * self.channels..][..width].copy_from_slice(image);
        }
    }

    /// The beginnings of all windows, `extent` of them.
    fn windows(self, (height, width): (usize, usize)) -> Vec<usize> {
        let of_line = |y| (0..width).map(move |x| y * self.line() + x * self.channels);
        (0..height).flat_map(of_line).collect()
    }

    /// The walk over one window.
    const fn window(self, kernel: usize) -> Walk {
        Walk { turns: kernel, length: kernel * self.channels, step: 1, jump: self.line() }
    }

    /// The beginnings of all terms of a window: where each meets its first pixel.
    fn terms(self, kernel: usize) -> Vec<usize> {
        let of_line = |y| (0..kernel * self.channels).map(move |x| y * self.line() + x);
        (0..kernel).flat_map(of_line).collect()
    }

    /// The walk of a term over all pixels, `extent` of them.
    const fn pixels(self, (height, width): (usize, usize)) -> Walk {
        Walk { turns: height, length: width, step: self.channels, jump: self.line() }
    }
}

#[cfg(test)]
mod tests;
