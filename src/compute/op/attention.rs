//! Self-attention as an operation of candle's graph.
//! Never computes again how much positions look at each other: forward keeps it.

use super::{Kept, Stock, floats, lend};
use crate::compute::kernel::attention::{Attention, Rotation};
use crate::compute::kernel::{Engine, spare};
use candle_core::{CpuStorage, CustomOp1, D, Device, Error, Layout, Result, Shape, Tensor};
use std::sync::Arc;

/// Attention of rows of queries, keys and values: `rows × 3·width` to `rows × width`.
pub(in crate::compute) struct AttentionOp {
    /// How it runs.
    pub engine: Engine,
    /// Heads of the width.
    pub heads: usize,
    /// Rows of one sequence.
    pub length: usize,
    /// How positions are told, if by turning.
    pub rotation: Option<Arc<Rotation>>,
    /// How many positions of each sequence are looked at, by all of them; without it each looks at
    /// those before it.
    pub seen: Option<Arc<[usize]>>,
    /// How much positions look at each other.
    pub looks: Kept<Vec<f32>>,
}

impl AttentionOp {
    fn attention(&self, width: usize) -> Attention<'_> {
        let (engine, heads, length) = (self.engine, self.heads, self.length);
        Attention { engine, heads, width, length, rotation: self.rotation.as_deref() }
    }
}

impl CustomOp1 for AttentionOp {
    fn name(&self) -> &'static str {
        "exact-attention"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (rows, columns) = layout.shape().dims2()?;
        let width = columns / 3;
        let whole = self.length > 0 && rows.is_multiple_of(self.length);
        let divides = self.heads > 0 && width > 0 && width.is_multiple_of(self.heads);
        if !whole || !divides || columns != 3 * width {
            return Err(Error::msg("the rows are not whole sequences of heads"));
        }
        let (attention, x) = (self.attention(width), floats(x, layout)?);
        let (y, looks) = match &self.seen {
            Some(seen) if seen.len() * self.length != rows => {
                return Err(Error::msg("not as many sequences as are told of"));
            }
            Some(seen) => attention.forward_seen(x, seen),
            None => attention.forward(x),
        };
        self.looks.set(Some(looks));
        Ok((CpuStorage::F32(y), Shape::from((rows, width))))
    }

    fn bwd(&self, x: &Tensor, _y: &Tensor, by_output: &Tensor) -> Result<Option<Tensor>> {
        let width = x.dim(1)? / 3;
        let looks = self.looks.take().ok_or_else(|| Error::msg("attention learns once"))?;
        let attention = self.attention(width);
        let backward = |x: &[f32], dy: &[f32]| match &self.seen {
            Some(seen) => attention.backward_seen((x, &looks), seen, dy),
            None => attention.backward(x, &looks, dy),
        };
        let by_input = lend(x, |x| lend(by_output, |dy| Ok(backward(x, dy))))?;
        spare::leave(looks);
        Tensor::from_vec(by_input, x.shape(), x.device()).map(Some)
    }
}

/// What is added to the fit of a position that is not looked at.
const UNSEEN: f32 = -1e30;

impl AttentionOp {
    /// What is added to how well positions fit: `sequences or 1 × 1 × length or 1 × length`.
    fn unseen(&self, device: &Device) -> Result<Tensor> {
        let length = self.length;
        let (shape, counts) = match &self.seen {
            Some(seen) => ((seen.len(), 1, 1, length), seen.to_vec()),
            None => ((1, 1, length, length), (1..=length).collect()),
        };
        let row = |count| (0..length).map(move |at| if at < count { 0.0 } else { UNSEEN });
        let mask: Vec<f32> = counts.into_iter().flat_map(row).collect();
        Tensor::from_vec(mask, shape, device)
    }

    /// Queries or keys (`sequences × heads × length × columns`), turned.
    fn turned(&self, x: &Tensor) -> Result<Tensor> {
        let Some(rotation) = &self.rotation else { return Ok(x.clone()) };
        let (cosines, sines) = rotation.angles();
        let (columns, pairs) = (x.dim(D::Minus1)?, rotation.pairs());
        let angles = |of: &[f32]| Tensor::from_slice(of, (self.length, pairs), x.device());
        let (c, s) = (angles(cosines)?, angles(sines)?);
        let (a, b) = (x.narrow(D::Minus1, 0, pairs)?, x.narrow(D::Minus1, pairs, pairs)?);
        let low = (a.broadcast_mul(&c)? - b.broadcast_mul(&s)?)?;
        let high = (a.broadcast_mul(&s)? + b.broadcast_mul(&c)?)?;
        let last = x.narrow(D::Minus1, 2 * pairs, columns - 2 * pairs)?;
        Tensor::cat(&[low, high, last], D::Minus1)
    }
}

impl Stock<1> for AttentionOp {
    fn stock(&self, [x]: [&Tensor; 1]) -> Result<Tensor> {
        let (rows, columns) = x.dims2()?;
        let (width, sequences) = (columns / 3, rows / self.length);
        let each = width / self.heads;
        let apart = x.reshape((sequences, self.length, 3, self.heads, each))?;
        let part = |i: usize| apart.narrow(2, i, 1)?.squeeze(2)?.transpose(1, 2)?.contiguous();
        let (q, k, v) = (self.turned(&part(0)?)?, self.turned(&part(1)?)?, part(2)?);
        let fits = (q.matmul(&k.t()?.contiguous()?)? * (1.0 / (each as f64).sqrt()))?;
        let fits = fits.broadcast_add(&self.unseen(x.device())?)?;
        let most = fits.max_keepdim(D::Minus1)?.detach();
        let looks = fits.broadcast_sub(&most)?.exp()?;
        let looks = looks.broadcast_div(&looks.sum_keepdim(D::Minus1)?)?;
        looks.matmul(&v)?.transpose(1, 2)?.contiguous()?.reshape((rows, width))
    }
}
