//! Blocks: the forms in which weights are kept, and the f32 that each of them means.
//! Never rounds: what a form means is computed as the reference does, in its order.
#![expect(clippy::indexing_slicing, reason = "blocks are arrays of the length of their form")]

use crate::compute::encoder::half;

/// A form of weights. Those with a number are quantised: so many bits for a weight, and a scale for
/// each block of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    F32,
    F16,
    Bf16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
}

/// Weights of a block with sub-blocks.
const LARGE: usize = 256;

impl Form {
    /// The form of a number in a GGUF file.
    pub(super) const fn of_gguf(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            10 => Self::Q2K,
            11 => Self::Q3K,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            30 => Self::Bf16,
            _ => return None,
        })
    }

    /// Weights of a block, and its bytes.
    pub(super) const fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 | Self::Bf16 => (1, 2),
            Self::Q4_0 => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q8_0 => (32, 34),
            Self::Q2K => (LARGE, 84),
            Self::Q3K => (LARGE, 110),
            Self::Q4K => (LARGE, 144),
            Self::Q5K => (LARGE, 176),
            Self::Q6K => (LARGE, 210),
        }
    }

    /// Appends what whole blocks mean.
    pub(super) fn read(self, bytes: &[u8], out: &mut Vec<f32>) {
        fn each<const N: usize>(
            bytes: &[u8],
            out: &mut Vec<f32>,
            read: impl Fn(&[u8; N], &mut Vec<f32>),
        ) {
            bytes.as_chunks::<N>().0.iter().for_each(|block| read(block, out));
        }
        match self {
            Self::F32 => each(bytes, out, |x, out| out.push(f32::from_le_bytes(*x))),
            Self::F16 => each(bytes, out, |x, out| out.push(half(u16::from_le_bytes(*x)))),
            Self::Bf16 => each(bytes, out, |x, out| {
                out.push(f32::from_bits(u32::from(u16::from_le_bytes(*x)) << 16));
            }),
            Self::Q4_0 => each::<18>(bytes, out, |b, out| {
                small(out, scale(b, 0), None, 8, |j| nibble(&b[2..], j));
            }),
            Self::Q4_1 => each::<20>(bytes, out, |b, out| {
                small(out, scale(b, 0), Some(scale(b, 2)), 0, |j| nibble(&b[4..], j));
            }),
            Self::Q5_0 => each::<22>(bytes, out, |b, out| {
                small(out, scale(b, 0), None, 16, |j| fifth(&b[2..6], nibble(&b[6..], j), j));
            }),
            Self::Q5_1 => each::<24>(bytes, out, |b, out| {
                let least = Some(scale(b, 2));
                small(out, scale(b, 0), least, 0, |j| fifth(&b[4..8], nibble(&b[8..], j), j));
            }),
            Self::Q8_0 => each::<34>(bytes, out, |b, out| {
                let d = scale(b, 0);
                out.extend(b[2..].iter().map(|q| f32::from(*q as i8) * d));
            }),
            Self::Q2K => each(bytes, out, two_bits),
            Self::Q3K => each(bytes, out, three_bits),
            Self::Q4K => each::<144>(bytes, out, |b, out| four_or_five(b, None, &b[16..], out)),
            Self::Q5K => {
                each::<176>(bytes, out, |b, out| four_or_five(b, Some(&b[16..48]), &b[48..], out));
            }
            Self::Q6K => each(bytes, out, six_bits),
        }
    }
}

/// The half at a place of a block.
fn scale(block: &[u8], at: usize) -> f32 {
    half(u16::from_le_bytes([block[at], block[at + 1]]))
}

/// The j-th of 32 numbers of four bits: the low halves of all bytes stand before the high ones.
fn nibble(bytes: &[u8], j: usize) -> u8 {
    if j < 16 { bytes[j] & 15 } else { bytes[j - 16] >> 4 }
}

/// A number of four bits with its fifth.
fn fifth(bits: &[u8], low: u8, j: usize) -> u8 {
    low | (bits[j / 8] >> (j % 8) & 1) << 4
}

/// A block of 32 with one scale, and perhaps a least value.
fn small(out: &mut Vec<f32>, d: f32, least: Option<f32>, zero: i16, quant: impl Fn(usize) -> u8) {
    out.extend((0..32).map(|j| {
        let x = f32::from(i16::from(quant(j)) - zero) * d;
        least.map_or(x, |least| x + least)
    }));
}

fn two_bits(b: &[u8; 84], out: &mut Vec<f32>) {
    let (scales, quants, d, least) = (&b[..16], &b[16..80], scale(b, 80), scale(b, 82));
    for at in 0..LARGE {
        // 128 at a time, of which 32 share bytes and 16 a scale.
        let (part, shift, byte) = (at / 128, at % 128 / 32 * 2, at % 32);
        let s = scales[at / 16];
        let q = quants[part * 32 + byte] >> shift & 3;
        out.push(d * f32::from(s & 15) * f32::from(q) - least * f32::from(s >> 4));
    }
}

fn three_bits(b: &[u8; 110], out: &mut Vec<f32>) {
    let (high, quants, scales, all) = (&b[..32], &b[32..96], &b[96..108], scale(b, 108));
    for at in 0..LARGE {
        let (part, shift, byte, which) = (at / 128, at % 128 / 32 * 2, at % 32, at / 16);
        // Scales have six bits: four in the first eight bytes, two in the last four.
        let low = if which < 8 { scales[which] & 15 } else { scales[which - 8] >> 4 };
        let top = scales[8 + which % 4] >> (which / 4 * 2) & 3;
        let s = i16::from(low | top << 4) - 32;
        let is_high = high[byte] >> (at / 32) & 1 == 1;
        let q = i16::from(quants[part * 32 + byte] >> shift & 3) - if is_high { 0 } else { 4 };
        out.push(all * f32::from(s) * f32::from(q));
    }
}

/// The scale and the least value of a sub-block, of six bits each.
fn scale_and_least(scales: &[u8], j: usize) -> (u8, u8) {
    if j < 4 {
        (scales[j] & 63, scales[j + 4] & 63)
    } else {
        let low = scales[j + 4];
        ((low & 15) | scales[j - 4] >> 6 << 4, low >> 4 | scales[j] >> 6 << 4)
    }
}

fn four_or_five(b: &[u8], fifths: Option<&[u8]>, quants: &[u8], out: &mut Vec<f32>) {
    let (d, least, scales) = (scale(b, 0), scale(b, 2), &b[4..16]);
    for sub in 0..LARGE / 32 {
        let (s, m) = scale_and_least(scales, sub);
        let (s, m) = (d * f32::from(s), least * f32::from(m));
        for byte in 0..32 {
            let pair = quants[sub / 2 * 32 + byte];
            let low = if sub % 2 == 0 { pair & 15 } else { pair >> 4 };
            let q = low | fifths.map_or(0, |bits| (bits[byte] >> sub & 1) << 4);
            out.push(s * f32::from(q) - m);
        }
    }
}

fn six_bits(b: &[u8; 210], out: &mut Vec<f32>) {
    let (low, high, scales, d) = (&b[..128], &b[128..192], &b[192..208], scale(b, 208));
    for at in 0..LARGE {
        let (part, which, byte) = (at / 128, at % 128 / 32, at % 32);
        let pair = low[part * 64 + which % 2 * 32 + byte];
        let four = if which < 2 { pair & 15 } else { pair >> 4 };
        let two = high[part * 32 + byte] >> (which * 2) & 3;
        let q = i16::from(four | two << 4) - 32;
        out.push(d * f32::from(scales[at / 16] as i8) * f32::from(q));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::kernel::philox::Philox;
    use candle_core::quantized::{GgmlDType, QTensor};
    use candle_core::{Device, Tensor};

    /// candle's own quantisation of numbers, and what candle says that it means.
    fn quantised(dtype: GgmlDType) -> (Vec<u8>, Vec<f32>) {
        let mut numbers = vec![0.0; 8 * LARGE];
        Philox::new(5, 6, 7).fill(-1.5, 2.5, &mut numbers);
        let tensor = Tensor::from_vec(numbers, (8, LARGE), &Device::Cpu).unwrap();
        let tensor = QTensor::quantize(&tensor, dtype).unwrap();
        let bytes = tensor.data().unwrap().to_vec();
        let meant = tensor.dequantize(&Device::Cpu).unwrap().flatten_all().unwrap();
        (bytes, meant.to_vec1().unwrap())
    }

    #[test]
    fn every_form_means_what_candle_says_to_the_bit() {
        for (number, dtype) in [
            (0, GgmlDType::F32),
            (1, GgmlDType::F16),
            (2, GgmlDType::Q4_0),
            (3, GgmlDType::Q4_1),
            (6, GgmlDType::Q5_0),
            (7, GgmlDType::Q5_1),
            (8, GgmlDType::Q8_0),
            (10, GgmlDType::Q2K),
            (11, GgmlDType::Q3K),
            (12, GgmlDType::Q4K),
            (13, GgmlDType::Q5K),
            (14, GgmlDType::Q6K),
            (30, GgmlDType::BF16),
        ] {
            let form = Form::of_gguf(number).unwrap();
            let (bytes, meant) = quantised(dtype);
            let (weights, size) = form.block();
            assert_eq!(bytes.len(), meant.len() / weights * size, "{form:?}");
            let mut read = Vec::new();
            form.read(&bytes, &mut read);
            let bits = |xs: &[f32]| xs.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&read), bits(&meant), "{form:?}");
        }
        assert_eq!((Form::of_gguf(9), Form::of_gguf(16)), (None, None));
    }
}
