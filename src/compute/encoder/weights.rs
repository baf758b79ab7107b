//! Weights: the tensors of model.safetensors as f32, by the names that BERT's have.
//! Never believes a shape: it must be the one that config.json says.

use super::folder::WEIGHTS;
use crate::compute::{Fault, quote};
use safetensors::{Dtype, SafeTensors};

/// What stands before names where the encoder was saved as a part of a larger model.
const PREFIX: &str = "bert.";

/// The tensors of a file.
pub(super) struct Weights<'a> {
    file: SafeTensors<'a>,
    prefix: &'static str,
}

impl<'a> Weights<'a> {
    /// Reads the header of model.safetensors.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let file = SafeTensors::deserialize(bytes).map_err(|_| {
            // Not in the crate's words, which name a tensor by chance where several are wrong.
            let hint = "fetch it again; weights in pytorch_model.bin are not read";
            Fault::new(format!("{WEIGHTS} cannot be read: its header is wrong"), hint)
        })?;
        let prefix =
            if file.names().iter().any(|name| name.starts_with(PREFIX)) { PREFIX } else { "" };
        Ok(Self { file, prefix })
    }

    /// The numbers of a tensor, row by row.
    pub(super) fn tensor(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Fault> {
        let name = format!("{}{name}", self.prefix);
        let tensor = self.file.tensor(&name).map_err(|_| {
            let message = format!("{WEIGHTS} has no tensor {}", quote(&name));
            Fault::new(message, "it must hold a BERT encoder: the one that config.json describes")
        })?;
        if tensor.shape() != shape {
            let message = format!(
                "{} is of shape {:?}, config.json says {shape:?}",
                quote(&name),
                tensor.shape()
            );
            return Err(Fault::new(message, "both files must be of one model: fetch them again"));
        }
        let bytes = tensor.data();
        let halves = || bytes.as_chunks::<2>().0.iter().map(|x| u16::from_le_bytes(*x));
        match tensor.dtype() {
            Dtype::F32 => {
                Ok(bytes.as_chunks::<4>().0.iter().map(|x| f32::from_le_bytes(*x)).collect())
            }
            Dtype::BF16 => Ok(halves().map(|x| f32::from_bits(u32::from(x) << 16)).collect()),
            Dtype::F16 => Ok(halves().map(half).collect()),
            other => Err(Fault::new(
                format!("{} is of type {other:?}", quote(&name)),
                "weights are read as F32, F16 or BF16",
            )),
        }
    }
}

/// The value of an IEEE 754 half, which every f32 can hold.
pub(in crate::compute) fn half(bits: u16) -> f32 {
    let bits = u32::from(bits);
    let (sign, exponent, fraction) = ((bits & 0x8000) << 16, (bits >> 10) & 0x1f, bits & 0x3ff);
    let size = match exponent {
        // Below the normal range: so many 2^-24.
        0 => return f32::from_bits(sign | (fraction as f32 / 16_777_216.0).to_bits()),
        0x1f => 0x7f80_0000 | (fraction << 13),
        _ => ((exponent + 112) << 23) | (fraction << 13),
    };
    f32::from_bits(sign | size)
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::tensor::TensorView;

    fn file(name: &str, dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Vec<u8> {
        let view = TensorView::new(dtype, shape.to_vec(), bytes).unwrap();
        safetensors::serialize([(name, view)], None).unwrap()
    }

    #[test]
    fn halves_are_read_exactly() {
        let cases = [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x0001, 5.960_464_5e-8),
            (0x83ff, -6.097_555e-5),
            (0x7bff, 65_504.0),
            (0x7c00, f32::INFINITY),
            (0x3555, 0.333_251_95),
        ];
        for (bits, expect) in cases {
            assert_eq!(half(bits), expect);
        }
        assert!(half(0x7e00).is_nan());
        let bytes: Vec<u8> = [0x3f80u16, 0xc000].iter().flat_map(|x| x.to_le_bytes()).collect();
        let bfloat = file("x", Dtype::BF16, &[2], &bytes);
        assert_eq!(Weights::read(&bfloat).unwrap().tensor("x", &[2]).unwrap(), [1.0, -2.0]);
    }

    #[test]
    fn names_may_stand_below_bert() {
        let bytes = file("bert.x", Dtype::F32, &[1], &2f32.to_le_bytes());
        assert_eq!(Weights::read(&bytes).unwrap().tensor("x", &[1]).unwrap(), [2.0]);
    }

    #[test]
    fn what_is_missing_or_of_another_shape_is_named() {
        let bytes = file("x", Dtype::I64, &[1], &[0; 8]);
        let weights = Weights::read(&bytes).unwrap();
        let message =
            |name: &str, shape: &[usize]| weights.tensor(name, shape).unwrap_err().message;
        assert_eq!(message("y", &[1]), "model.safetensors has no tensor \"y\"");
        assert_eq!(message("x", &[2]), "\"x\" is of shape [1], config.json says [2]");
        assert_eq!(message("x", &[1]), "\"x\" is of type I64");
        assert!(Weights::read(b"PK").err().unwrap().hint.contains("pytorch_model.bin"));
    }
}
