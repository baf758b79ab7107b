//! The network of an encoder in candle's own operations: what `mode: fast` embeds with, on the CPU
//! or on a card. Texts go through it side by side, the shorter ones padded.
//! Never promises the bits of the kernels, only about the same numbers.

use super::super::tokens::Token;
use super::{Block, Dense, Network, Scaling};
use crate::compute::kernel::Engine;
use crate::compute::op::{AttentionOp, Kept, Stock, copied, standard};
use candle_core::{D, Device, Result, Tensor};

/// Tokens that go through the network together, the padding among them.
const TOKENS_TOGETHER: usize = 8_192;

/// The weights of an encoder on a device.
pub(in crate::compute::encoder) struct StockNetwork {
    device: Device,
    width: usize,
    heads: usize,
    epsilon: f32,
    words: Tensor,
    places: Tensor,
    kinds: Tensor,
    norm: StockPair,
    blocks: Vec<StockBlock>,
}

/// Weights and bias, or scale and shift.
type StockPair = [Tensor; 2];

struct StockBlock {
    seen: StockPair,
    said: StockPair,
    first: StockPair,
    up: StockPair,
    down: StockPair,
    second: StockPair,
}

impl Network {
    /// The same network on a device.
    pub(in crate::compute::encoder) fn on(&self, device: &Device) -> Result<StockNetwork> {
        let table = |numbers: &[f32]| {
            Tensor::from_slice(numbers, (numbers.len() / self.width, self.width), device)
        };
        let row = |numbers: &[f32]| Tensor::from_slice(numbers, numbers.len(), device);
        let dense = |dense: &Dense| -> Result<StockPair> {
            let outputs = dense.bias.len();
            let shape = (dense.weights.len() / outputs, outputs);
            Ok([Tensor::from_slice(&dense.weights, shape, device)?, row(&dense.bias)?])
        };
        let norm =
            |norm: &Scaling| -> Result<StockPair> { Ok([row(&norm.scale)?, row(&norm.shift)?]) };
        let block = |block: &Block| {
            Ok(StockBlock {
                seen: dense(&block.seen)?,
                said: dense(&block.said)?,
                first: norm(&block.first)?,
                up: dense(&block.up)?,
                down: dense(&block.down)?,
                second: norm(&block.second)?,
            })
        };
        Ok(StockNetwork {
            device: device.clone(),
            width: self.width,
            heads: self.heads,
            epsilon: self.epsilon,
            words: table(&self.words)?,
            places: table(&self.places)?,
            kinds: table(&self.kinds)?,
            norm: norm(&self.norm)?,
            blocks: self.blocks.iter().map(block).collect::<Result<_>>()?,
        })
    }

    /// Bytes of all weights.
    pub(in crate::compute::encoder) fn bytes(&self) -> usize {
        let dense = |dense: &Dense| dense.weights.len() + dense.bias.len();
        let norm = |norm: &Scaling| norm.scale.len() + norm.shift.len();
        let block = |block: &Block| {
            let Block { seen, said, first, up, down, second } = block;
            [seen, said, up, down].map(dense).iter().sum::<usize>() + norm(first) + norm(second)
        };
        let tables = self.words.len() + self.places.len() + self.kinds.len();
        let all = tables + norm(&self.norm) + self.blocks.iter().map(block).sum::<usize>();
        all * size_of::<f32>()
    }
}

impl StockNetwork {
    /// The vectors of all tokens of the texts, one text after the other, as [`Network::forward`]
    /// has them.
    pub(in crate::compute::encoder) fn forward(&self, texts: &[Vec<Token>]) -> Result<Vec<f32>> {
        let mut from = Vec::with_capacity(texts.len());
        let all = texts.iter().fold(0, |sum, text| {
            from.push(sum);
            sum + text.len() * self.width
        });
        let mut out = vec![0.0; all];
        let mut order: Vec<(usize, &[Token])> =
            from.into_iter().zip(texts.iter().map(Vec::as_slice)).collect();
        order.sort_by_key(|(_, text)| std::cmp::Reverse(text.len()));
        let mut rest = order.as_slice();
        while let Some((_, longest)) = rest.first() {
            let length = longest.len();
            let (batch, others) = rest.split_at(rest.len().min((TOKENS_TOGETHER / length).max(1)));
            rest = others;
            let rows = self.padded(batch, length)?;
            let texts = rows.chunks_exact(length * self.width);
            for ((from, text), row) in batch.iter().zip(texts) {
                let len = text.len() * self.width;
                let into = out.iter_mut().skip(*from).take(len);
                into.zip(row).for_each(|(x, y)| *x = *y);
            }
        }
        Ok(out)
    }

    /// The vectors of texts that are padded to a length: `texts × length × width` numbers.
    fn padded(&self, batch: &[(usize, &[Token])], length: usize) -> Result<Vec<f32>> {
        let ids = |of: fn(&Token) -> u32| {
            let text = |(_, text): &(usize, &[Token])| {
                let padding = std::iter::repeat_n(0, length - text.len());
                text.iter().map(of).chain(padding).collect::<Vec<u32>>()
            };
            let ids: Vec<u32> = batch.iter().flat_map(text).collect();
            Tensor::from_vec(ids, batch.len() * length, &self.device)
        };
        let words = self.words.index_select(&ids(|token| token.0)?, 0)?;
        let kinds = self.kinds.index_select(&ids(|token| token.1)?, 0)?;
        let x = (words + kinds)?.reshape((batch.len(), length, self.width))?;
        let x = x.broadcast_add(&self.places.narrow(0, 0, length)?)?;
        let mut x = self.normed(&x.reshape(((), self.width))?, &self.norm)?;
        let attention = AttentionOp {
            engine: Engine::default(),
            heads: self.heads,
            length,
            rotation: None,
            seen: Some(batch.iter().map(|(_, text)| text.len()).collect()),
            looks: Kept::default(),
        };
        for block in &self.blocks {
            let mixed = attention.stock([&dense(&x, &block.seen)?])?;
            let said = (dense(&mixed, &block.said)? + &x)?;
            let said = self.normed(&said, &block.first)?;
            let inner = dense(&said, &block.up)?.gelu_erf()?;
            x = self.normed(&(dense(&inner, &block.down)? + said)?, &block.second)?;
        }
        copied(&x)
    }

    fn normed(&self, x: &Tensor, [scale, shift]: &StockPair) -> Result<Tensor> {
        standard(x, D::Minus1, self.epsilon)?.broadcast_mul(scale)?.broadcast_add(shift)
    }
}

fn dense(x: &Tensor, [weights, bias]: &StockPair) -> Result<Tensor> {
    x.matmul(weights)?.broadcast_add(bias)
}
