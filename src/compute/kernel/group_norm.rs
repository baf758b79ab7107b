//! Group normalisation of images (Wu and He 2018, arXiv 1803.08494), channels last, and what
//! follows it: activation, max-pooling. Forward and backward.
//! Never mixes images: what is normalised are the channels of one group of one image.
//!
//! Sums over the pixels of a channel are chains of [`CHAIN`] pixels, added in order; those over the
//! channels of a group are added in order; those over images likewise.

use super::Engine;
use super::dense::{bend, unbend};
use super::isa::{Body, on};
use super::pool::Pool;
use crate::domain::job::Activation;

/// Pixels over which a sum is one chain.
const CHAIN: usize = 32;
/// Added to the variance, as everywhere.
pub const EPS: f32 = 1e-5;

/// A layer's arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupNorm {
    /// How it runs.
    pub engine: Engine,
    /// Lines of an image.
    pub height: usize,
    /// Pixels of a line.
    pub width: usize,
    /// Values of a pixel.
    pub channels: usize,
    /// Groups of neighbouring channels; divides the channels.
    pub groups: usize,
    /// What bends the result; not GELU, whose slope does not follow from what comes out.
    pub activation: Option<Activation>,
    /// The side of the squares of which the largest value is kept; 1 keeps all.
    pub pool: usize,
}

/// What a normalisation gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Normed {
    /// The output, image by image.
    pub y: Vec<f32>,
    /// Which value of each square was kept; empty where all are.
    pub picks: Vec<u8>,
    /// Of every image: what is subtracted from each channel, then what it is multiplied with.
    pub moments: Vec<f32>,
}

/// A layer of which a backward pass is made.
#[derive(Clone, Copy)]
pub struct Past<'a> {
    /// Its input.
    pub x: &'a [f32],
    /// The factor of every channel.
    pub gamma: &'a [f32],
    /// Its output, picks and moments.
    pub normed: (&'a [f32], &'a [u8], &'a [f32]),
    /// The gradient by the output.
    pub by_output: &'a [f32],
}

/// Where the gradients of a layer go.
pub struct Gradients<'a> {
    /// By the factor of every channel.
    pub gamma: &'a mut [f32],
    /// By what is added to every channel.
    pub beta: &'a mut [f32],
    /// By the input.
    pub input: &'a mut [f32],
}

/// Adds (x − mean)² of every pixel to the sum of its channel.
pub(super) struct Squares<'a> {
    pub(super) x: &'a [f32],
    pub(super) mean: &'a [f32],
    pub(super) out: &'a mut [f32],
}

impl Body for Squares<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        for row in self.x.chunks_exact(self.mean.len()) {
            for ((sum, &x), &mean) in self.out.iter_mut().zip(row).zip(self.mean) {
                *sum = (x - mean).mul_add(x - mean, *sum);
            }
        }
    }
}

/// Adds g·x̂ of every pixel to the sum of its channel, x̂ = (x − mean)·scale.
pub(super) struct Slopes<'a> {
    pub(super) x: &'a [f32],
    pub(super) g: &'a [f32],
    pub(super) mean: &'a [f32],
    pub(super) scale: &'a [f32],
    pub(super) out: &'a mut [f32],
}

impl Body for Slopes<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let width = self.mean.len();
        for (row, g) in self.x.chunks_exact(width).zip(self.g.chunks_exact(width)) {
            let moments = self.mean.iter().zip(self.scale);
            for (((sum, &x), &g), (mean, scale)) in self.out.iter_mut().zip(row).zip(g).zip(moments)
            {
                *sum = g.mul_add((x - mean) * scale, *sum);
            }
        }
    }
}

/// z = x̂·γ
pub(super) struct Scaled<'a> {
    pub(super) x: &'a [f32],
    pub(super) mean: &'a [f32],
    pub(super) scale: &'a [f32],
    pub(super) gamma: &'a [f32],
    pub(super) z: &'a mut [f32],
}

impl Body for Scaled<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let width = self.mean.len();
        for (row, z) in self.x.chunks_exact(width).zip(self.z.chunks_exact_mut(width)) {
            let channels = self.mean.iter().zip(self.scale).zip(self.gamma);
            for ((z, &x), ((mean, scale), gamma)) in z.iter_mut().zip(row).zip(channels) {
                *z = (x - mean) * scale * gamma;
            }
        }
    }
}

/// scale·(g·γ − a − x̂·b), where a and b are the means of g·γ and g·γ·x̂ over the group.
pub(super) struct ByInput<'a> {
    pub(super) x: &'a [f32],
    pub(super) g: &'a [f32],
    pub(super) mean: &'a [f32],
    pub(super) scale: &'a [f32],
    pub(super) gamma: &'a [f32],
    pub(super) a: &'a [f32],
    pub(super) b: &'a [f32],
    pub(super) out: &'a mut [f32],
}

impl Body for ByInput<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let width = self.mean.len();
        let rows = self.x.chunks_exact(width).zip(self.g.chunks_exact(width));
        for ((x, g), out) in rows.zip(self.out.chunks_exact_mut(width)) {
            let moments = self.mean.iter().zip(self.scale).zip(self.gamma);
            let channels = moments.zip(self.a.iter().zip(self.b));
            for (((out, &x), &g), (((mean, scale), gamma), (a, b))) in
                out.iter_mut().zip(x).zip(g).zip(channels)
            {
                let hat = (x - mean) * scale;
                *out = scale * (-hat).mul_add(*b, g.mul_add(*gamma, -a));
            }
        }
    }
}

impl GroupNorm {
    pub(super) const fn pooling(&self) -> Pool {
        let Self { height, width, channels, pool: side, .. } = *self;
        Pool { height, width, channels, side }
    }

    /// Values of an image, and of its output.
    #[must_use]
    pub const fn lengths(&self) -> (usize, usize) {
        self.pooling().lengths()
    }

    /// pool(act(x̂·γ + β)) of images, where x̂ has mean 0 and variance 1 over each group.
    ///
    /// # Panics
    /// If a slice does not fit the layer.
    #[must_use]
    pub fn forward(&self, images: usize, x: &[f32], gamma: &[f32], beta: &[f32]) -> Normed {
        let (before, after) = self.lengths();
        self.check(images, x, gamma);
        assert_eq!(beta.len(), self.channels, "a number for every channel");
        let mut y = vec![0.0; images * after];
        let mut picks = vec![0; if self.pool > 1 { images * after } else { 0 }];
        let mut moments = vec![0.0; images * 2 * self.channels];
        let share = images.div_ceil(self.engine.threads()).max(1);
        let mut rest = &mut *picks;
        let work = x.chunks(share * before.max(1)).zip(y.chunks_mut(share * after.max(1)));
        let work =
            work.zip(moments.chunks_mut(share * 2 * self.channels)).map(|((x, y), moments)| {
                let at = y.len().min(rest.len());
                let (picks, tail) = std::mem::take(&mut rest).split_at_mut(at);
                rest = tail;
                (x, y, picks, moments)
            });
        let run =
            |(x, y, picks, moments)| self.forward_images(x, (gamma, beta), (y, picks, moments));
        self.engine.share(work, run);
        Normed { y, picks, moments }
    }

    fn check(&self, images: usize, x: &[f32], gamma: &[f32]) {
        assert!(self.channels > 0 && self.groups > 0, "there are groups of channels");
        assert!(self.channels.is_multiple_of(self.groups), "groups divide the channels");
        assert_eq!(x.len(), images * self.lengths().0, "images fit the layer");
        assert_eq!(gamma.len(), self.channels, "a factor for every channel");
    }

    fn forward_images(
        &self,
        x: &[f32],
        (gamma, beta): (&[f32], &[f32]),
        (y, picks, moments): (&mut [f32], &mut [u8], &mut [f32]),
    ) {
        let (isa, pool) = (self.engine.isa, self.pooling());
        let (before, after) = self.lengths();
        if before == 0 || after == 0 {
            return;
        }
        let mut z = vec![0.0; before];
        let mut picks = picks.chunks_exact_mut(after);
        let images = x.chunks_exact(before).zip(y.chunks_exact_mut(after));
        for ((x, y), moments) in images.zip(moments.chunks_exact_mut(2 * self.channels)) {
            let (mean, scale) = moments.split_at_mut(self.channels);
            self.measure(x, mean, scale);
            if let Some(picks) = picks.next() {
                on(isa, Scaled { x, mean, scale, gamma, z: &mut z });
                pool.forward(isa, &z, y, picks);
            } else {
                on(isa, Scaled { x, mean, scale, gamma, z: y });
            }
            bend(isa, y, beta, self.activation);
        }
    }

    /// Mean and 1 / deviation of every group of an image, at every channel of it.
    fn measure(&self, x: &[f32], mean: &mut [f32], scale: &mut [f32]) {
        let isa = self.engine.isa;
        let sums = self.chained(|from, to, part| {
            super::reduce::add_columns(isa, x.get(from..to).unwrap_or_default(), part);
        });
        self.group_means(&sums, mean);
        let sums = self.chained(|from, to, out| {
            on(isa, Squares { x: x.get(from..to).unwrap_or_default(), mean, out });
        });
        self.group_means(&sums, scale);
        scale.iter_mut().for_each(|variance| *variance = 1.0 / (*variance + EPS).sqrt());
    }

    /// Sums per channel: `chain` adds the pixels of a range of values to what it is given.
    pub(super) fn chained(&self, mut chain: impl FnMut(usize, usize, &mut [f32])) -> Vec<f32> {
        let (len, step) = (self.lengths().0, CHAIN * self.channels);
        let (mut sums, mut part) = (vec![0.0; self.channels], vec![0.0; self.channels]);
        for from in (0..len).step_by(step) {
            part.fill(0.0);
            chain(from, len.min(from + step), &mut part);
            add(&mut sums, &part);
        }
        sums
    }

    /// The mean over every group, from sums per channel, at every channel of it.
    fn group_means(&self, sums: &[f32], out: &mut [f32]) {
        let width = self.channels / self.groups;
        let values = (self.height * self.width * width) as f32;
        for (sums, out) in sums.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            out.fill(sums.iter().fold(0.0, |sum, x| sum + x) / values);
        }
    }

    /// The gradients; all are written, not added.
    ///
    /// # Panics
    /// If a slice does not fit the layer.
    pub fn backward(&self, images: usize, past: Past<'_>, into: Gradients<'_>) {
        let (before, after) = self.lengths();
        let Past { x, gamma, normed: (y, picks, moments), by_output } = past;
        assert_ne!(self.activation, Some(Activation::Gelu), "the slope follows from the output");
        self.check(images, x, gamma);
        assert_eq!((y.len(), by_output.len()), (images * after, images * after), "outputs fit");
        assert_eq!(picks.len(), if self.pool > 1 { y.len() } else { 0 }, "a pick for every output");
        assert_eq!(moments.len(), images * 2 * self.channels, "moments fit");
        assert_eq!(into.input.len(), x.len(), "a gradient for every input");
        into.gamma.fill(0.0);
        into.beta.fill(0.0);
        if before == 0 || after == 0 {
            return into.input.fill(0.0);
        }
        let share = images.div_ceil(self.engine.threads()).max(1);
        let mut sums = vec![0.0; images * 2 * self.channels];
        let inputs = into.input.chunks_mut(share * before);
        let work = inputs.zip(sums.chunks_mut(share * 2 * self.channels)).enumerate();
        let run = |(i, (by_input, sums))| self.backward_images(i * share, past, by_input, sums);
        self.engine.share(work, run);
        for sums in sums.chunks_exact(2 * self.channels) {
            let (beta, gamma) = sums.split_at(self.channels);
            add(into.beta, beta);
            add(into.gamma, gamma);
        }
    }

    /// The images from `first` on, as many as `by_input` holds; the sums of each are by β and γ.
    fn backward_images(
        &self,
        first: usize,
        past: Past<'_>,
        by_input: &mut [f32],
        sums: &mut [f32],
    ) {
        let (isa, pool) = (self.engine.isa, self.pooling());
        let (before, after) = self.lengths();
        let Past { x, gamma, normed: (y, picks, moments), by_output } = past;
        let (mut bent, mut by_z) = (vec![0.0; after], vec![0.0; before]);
        let (mut a, mut b) = (vec![0.0; self.channels], vec![0.0; self.channels]);
        let images = x.chunks_exact(before).zip(moments.chunks_exact(2 * self.channels));
        let outputs = y.chunks_exact(after).zip(by_output.chunks_exact(after)).enumerate();
        let images = images.zip(outputs).skip(first).zip(by_input.chunks_exact_mut(before));
        let images = images.zip(sums.chunks_exact_mut(2 * self.channels));
        for ((((x, moments), (i, (y, by_output))), out), sums) in images {
            let (mean, scale) = moments.split_at(self.channels);
            unbend(isa, by_output, y, self.activation, &mut bent);
            let g = match picks.get(i * after..(i + 1) * after) {
                Some(picks) => {
                    pool.backward(isa, &bent, picks, &mut by_z);
                    &by_z
                }
                None => &bent,
            };
            let by_beta = self.chained(|from, to, part| {
                super::reduce::add_columns(isa, g.get(from..to).unwrap_or_default(), part);
            });
            let by_gamma = self.chained(|from, to, out| {
                let (x, g) = (x.get(from..to), g.get(from..to));
                let (x, g) = (x.unwrap_or_default(), g.unwrap_or_default());
                on(isa, Slopes { x, g, mean, scale, out });
            });
            self.group_means(&times(&by_beta, gamma), &mut a);
            self.group_means(&times(&by_gamma, gamma), &mut b);
            on(isa, ByInput { x, g, mean, scale, gamma, a: &a, b: &b, out });
            let (beta, gamma) = sums.split_at_mut(self.channels);
            beta.copy_from_slice(&by_beta);
            gamma.copy_from_slice(&by_gamma);
        }
    }
}

pub(super) fn times(xs: &[f32], factors: &[f32]) -> Vec<f32> {
    xs.iter().zip(factors).map(|(x, factor)| x * factor).collect()
}

pub(super) fn add(sum: &mut [f32], other: &[f32]) {
    for (sum, x) in sum.iter_mut().zip(other) {
        *sum += x;
    }
}

#[cfg(test)]
pub(super) mod tests;
