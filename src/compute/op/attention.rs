//! Self-attention as an operation of candle's graph.
//! Never computes again how much positions look at each other: forward keeps it.

use super::{Kept, floats, lend};
use crate::compute::kernel::Engine;
use crate::compute::kernel::attention::{Attention, Rotation};
use candle_core::{CpuStorage, CustomOp1, Error, Layout, Result, Shape, Tensor};
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
        Tensor::from_vec(by_input, x.shape(), x.device()).map(Some)
    }
}
