//! Batch normalisation of images (Ioffe and Szegedy 2015, arXiv 1502.03167), channels last, and
//! what follows it: activation, max-pooling. Forward and backward.
//! Never remembers a batch: what is to be kept of its moments is who calls' business.
//!
//! Sums over the pixels of a channel of one image are those of the group norm; those over images
//! are added in their order.

use super::Engine;
use super::dense::{bend, unbend};
use super::group_norm::{ByInput, Gradients, GroupNorm, Normed, Past, Scaled, Slopes, Squares};
use super::group_norm::{EPS, add, times};
use super::isa::on;
use super::reduce::add_columns;
use crate::domain::job::Activation;

/// A layer's arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchNorm {
    /// How it runs.
    pub engine: Engine,
    /// Lines of an image.
    pub height: usize,
    /// Pixels of a line.
    pub width: usize,
    /// Values of a pixel.
    pub channels: usize,
    /// What bends the result; not GELU, whose slope does not follow from what comes out.
    pub activation: Option<Activation>,
    /// The side of the squares of which the largest value is kept; 1 keeps all.
    pub pool: usize,
}

impl BatchNorm {
    /// The same layer over groups, each of one channel of one image.
    const fn each(&self) -> GroupNorm {
        let Self { engine, height, width, channels, activation, pool } = *self;
        GroupNorm { engine, height, width, channels, groups: channels, activation, pool }
    }

    /// Values of an image, and of its output.
    #[must_use]
    pub const fn lengths(&self) -> (usize, usize) {
        self.each().lengths()
    }

    /// What it takes to estimate the variance of all pixels from that of so many images: n/(n − 1).
    #[must_use]
    pub fn correction(&self, images: usize) -> f32 {
        let values = images * self.height * self.width;
        values as f32 / values.saturating_sub(1).max(1) as f32
    }

    /// The mean of every channel over the images, and the mean of the squares of what differs from
    /// it.
    ///
    /// # Panics
    /// If the images do not fit the layer.
    #[must_use]
    pub fn measure(&self, images: usize, x: &[f32]) -> (Vec<f32>, Vec<f32>) {
        assert!(self.channels > 0, "there are channels");
        assert_eq!(x.len(), images * self.lengths().0, "images fit the layer");
        let (isa, each) = (self.engine.isa, self.each());
        let mean = self.means(x, |image| {
            each.chained(|from, to, part| {
                add_columns(isa, image.get(from..to).unwrap_or_default(), part);
            })
        });
        let variance = self.means(x, |image| {
            each.chained(|from, to, out| {
                on(isa, Squares { x: image.get(from..to).unwrap_or_default(), mean: &mean, out });
            })
        });
        (mean, variance)
    }

    /// The means over all pixels, from the sums per channel of each image.
    fn means(&self, x: &[f32], sums: impl Fn(&[f32]) -> Vec<f32> + Sync) -> Vec<f32> {
        let before = self.lengths().0.max(1);
        let images = x.len() / before;
        let mut all = vec![0.0; images * self.channels];
        let share = images.div_ceil(self.engine.threads()).max(1);
        let work = x.chunks(share * before).zip(all.chunks_mut(share * self.channels));
        self.engine.share(work, |(x, all)| {
            for (image, out) in x.chunks_exact(before).zip(all.chunks_exact_mut(self.channels)) {
                out.copy_from_slice(&sums(image));
            }
        });
        self.total(&all, images)
    }

    /// The sums of images, added in their order, by the number of pixels.
    fn total(&self, sums: &[f32], images: usize) -> Vec<f32> {
        let mut total = vec![0.0; self.channels];
        sums.chunks_exact(self.channels).for_each(|sums| add(&mut total, sums));
        let pixels = (images * self.height * self.width) as f32;
        total.iter_mut().for_each(|sum| *sum /= pixels);
        total
    }

    /// pool(act(x̂·γ + β)) of images, where x̂ = (x − mean) / √(variance + ε) by the given moments.
    ///
    /// # Panics
    /// If a slice does not fit the layer.
    #[must_use]
    pub fn forward(
        &self,
        images: usize,
        x: &[f32],
        (gamma, beta): (&[f32], &[f32]),
        (mean, variance): (&[f32], &[f32]),
    ) -> Normed {
        let (before, after) = self.lengths();
        assert_eq!(x.len(), images * before, "images fit the layer");
        let is_of_channels = |xs: &[f32]| xs.len() == self.channels;
        assert!([gamma, beta, mean, variance].into_iter().all(is_of_channels), "channels fit");
        let mut moments = mean.to_vec();
        moments.extend(variance.iter().map(|variance| 1.0 / (variance + EPS).sqrt()));
        let mut y = vec![0.0; images * after];
        let mut picks = vec![0; if self.pool > 1 { images * after } else { 0 }];
        if before == 0 || after == 0 {
            return Normed { y, picks, moments };
        }
        let share = images.div_ceil(self.engine.threads()).max(1);
        let mut rest = &mut *picks;
        let work = x.chunks(share * before).zip(y.chunks_mut(share * after)).map(|(x, y)| {
            let at = y.len().min(rest.len());
            let (picks, tail) = std::mem::take(&mut rest).split_at_mut(at);
            rest = tail;
            (x, y, picks)
        });
        let scale = moments.get(self.channels..).unwrap_or_default();
        let (isa, pool) = (self.engine.isa, self.each().pooling());
        self.engine.share(work, |(x, y, picks)| {
            let mut z = vec![0.0; before];
            let mut picks = picks.chunks_exact_mut(after);
            for (x, y) in x.chunks_exact(before).zip(y.chunks_exact_mut(after)) {
                if let Some(picks) = picks.next() {
                    on(isa, Scaled { x, mean, scale, gamma, z: &mut z });
                    pool.forward(isa, &z, y, picks);
                } else {
                    on(isa, Scaled { x, mean, scale, gamma, z: y });
                }
                bend(isa, y, beta, self.activation);
            }
        });
        Normed { y, picks, moments }
    }

    /// The gradients where the moments were those of these images; all are written, not added.
    ///
    /// # Panics
    /// If a slice does not fit the layer.
    pub fn backward(&self, images: usize, past: Past<'_>, into: Gradients<'_>) {
        let (before, after) = self.lengths();
        let Past { x, gamma, normed: (y, picks, moments), by_output } = past;
        assert_ne!(self.activation, Some(Activation::Gelu), "the slope follows from the output");
        assert_eq!(x.len(), images * before, "images fit the layer");
        assert_eq!((y.len(), by_output.len()), (images * after, images * after), "outputs fit");
        assert_eq!(picks.len(), if self.pool > 1 { y.len() } else { 0 }, "a pick for every output");
        assert_eq!((moments.len(), gamma.len()), (2 * self.channels, self.channels), "moments fit");
        assert_eq!(into.input.len(), x.len(), "a gradient for every input");
        into.gamma.fill(0.0);
        into.beta.fill(0.0);
        if before == 0 || after == 0 || images == 0 {
            return into.input.fill(0.0);
        }
        // First the gradients by what was normalised, in the place of those by the input.
        let share = images.div_ceil(self.engine.threads()).max(1);
        let width = 2 * self.channels;
        let mut sums = vec![0.0; images * width];
        let inputs = into.input.chunks_mut(share * before).zip(sums.chunks_mut(share * width));
        self.engine.share(inputs.enumerate(), |(i, (g, sums))| {
            self.slopes(i * share, past, g, sums);
        });
        for sums in sums.chunks_exact(width) {
            let (beta, gamma) = sums.split_at(self.channels);
            add(into.beta, beta);
            add(into.gamma, gamma);
        }
        let pixels = (images * self.height * self.width) as f32;
        let means = |sums: &[f32]| {
            let mut means = times(sums, gamma);
            means.iter_mut().for_each(|sum| *sum /= pixels);
            means
        };
        let (a, b) = (means(into.beta), means(into.gamma));
        let (mean, scale) = moments.split_at(self.channels);
        let isa = self.engine.isa;
        let work = into.input.chunks_mut(share * before).zip(x.chunks(share * before));
        self.engine.share(work, |(all, x)| {
            let mut g = vec![0.0; before];
            for (out, x) in all.chunks_exact_mut(before).zip(x.chunks_exact(before)) {
                g.copy_from_slice(out);
                on(isa, ByInput { x, g: &g, mean, scale, gamma, a: &a, b: &b, out });
            }
        });
    }

    /// The gradients by what was normalised of the images from `first` on, as many as `into` holds,
    /// and the sums of each by β and γ.
    fn slopes(&self, first: usize, past: Past<'_>, into: &mut [f32], sums: &mut [f32]) {
        let (isa, each) = (self.engine.isa, self.each());
        let (before, after) = self.lengths();
        let Past { x, normed: (y, picks, moments), by_output, .. } = past;
        let (mean, scale) = moments.split_at(self.channels);
        let mut bent = vec![0.0; after];
        let outputs = y.chunks_exact(after).zip(by_output.chunks_exact(after)).enumerate();
        let images = x.chunks_exact(before).zip(outputs).skip(first);
        let into = into.chunks_exact_mut(before).zip(sums.chunks_exact_mut(2 * self.channels));
        for ((x, (i, (y, by_output))), (g, sums)) in images.zip(into) {
            unbend(isa, by_output, y, self.activation, &mut bent);
            match picks.get(i * after..(i + 1) * after) {
                Some(picks) => each.pooling().backward(isa, &bent, picks, g),
                None => g.copy_from_slice(&bent),
            }
            let (beta, gamma) = sums.split_at_mut(self.channels);
            beta.copy_from_slice(&each.chained(|from, to, part| {
                add_columns(isa, g.get(from..to).unwrap_or_default(), part);
            }));
            gamma.copy_from_slice(&each.chained(|from, to, out| {
                let (x, g) = (x.get(from..to), g.get(from..to));
                let (x, g) = (x.unwrap_or_default(), g.unwrap_or_default());
                on(isa, Slopes { x, g, mean, scale, out });
            }));
        }
    }
}

#[cfg(test)]
mod tests;
