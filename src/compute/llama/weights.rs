//! Weights: matrices as they are kept, by the names that Hugging Face has for them.
//! Never believes a shape: it must be the one that the config says, and the bytes must be there.

use super::blocks::Form;
use crate::compute::{Fault, quote};
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;

/// Weights of one matrix: it is once all f32 in memory.
const WEIGHTS_MAX: usize = 1 << 28;

/// The matrices of a model.
#[derive(Debug, Default)]
pub(super) struct Weights<'a>(BTreeMap<String, Stored<'a>>);

/// A matrix as it is kept; a vector has one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored<'a> {
    form: Form,
    bytes: &'a [u8],
    rows: usize,
    columns: usize,
    /// Heads whose rows stand in pairs beside each other, not in halves one after the other.
    paired: Option<usize>,
}

impl<'a> Stored<'a> {
    /// A matrix of these bytes, if they are as many as it has.
    pub(super) fn new(
        form: Form,
        (rows, columns): (usize, usize),
        bytes: &'a [u8],
    ) -> Option<Self> {
        let (weights, size) = form.block();
        let all = rows.checked_mul(columns).filter(|all| *all <= WEIGHTS_MAX)?;
        let is_whole = columns.is_multiple_of(weights) && all / weights * size == bytes.len();
        is_whole.then_some(Self { form, bytes, rows, columns, paired: None })
    }

    /// The same, with the rows of heads in pairs, as llama.cpp keeps queries and keys.
    pub(super) const fn paired(self, heads: usize) -> Self {
        Self { paired: Some(heads), ..self }
    }

    /// Rows and columns.
    pub(super) const fn shape(&self) -> (usize, usize) {
        (self.rows, self.columns)
    }

    /// The numbers of a row, behind others.
    pub(super) fn row(&self, at: usize, out: &mut Vec<f32>) {
        let (weights, size) = self.form.block();
        let bytes = self.columns / weights * size;
        self.form.read(self.bytes.get(at * bytes..(at + 1) * bytes).unwrap_or_default(), out);
    }

    /// All numbers, row by row.
    pub(super) fn values(&self) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.rows * self.columns);
        match self.paired {
            None => self.form.read(self.bytes, &mut values),
            Some(heads) => {
                let each = self.rows / heads.max(1);
                for row in 0..self.rows {
                    let (head, at) = (row / each, row % each);
                    let (half, pair) = (at / (each / 2), at % (each / 2));
                    self.row(head * each + 2 * pair + half, &mut values);
                }
            }
        }
        values
    }
}

impl<'a> Weights<'a> {
    /// Reads the header of model.safetensors.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Fault> {
        let file = SafeTensors::deserialize(bytes).map_err(|_| {
            // Not in the crate's words, which name a tensor by chance where several are wrong.
            let hint = "fetch it again; weights in several files are not read";
            Fault::new("model.safetensors cannot be read: its header is wrong", hint)
        })?;
        let mut weights = Self::default();
        for (name, tensor) in file.iter() {
            let form = match tensor.dtype() {
                Dtype::F32 => Form::F32,
                Dtype::F16 => Form::F16,
                Dtype::BF16 => Form::Bf16,
                // Whoever needs it will miss it.
                _ => continue,
            };
            let shape = match *tensor.shape() {
                [columns] => (1, columns),
                [rows, columns] => (rows, columns),
                _ => continue,
            };
            if let Some(stored) = Stored::new(form, shape, tensor.data()) {
                weights.add(name, stored);
            }
        }
        Ok(weights)
    }

    /// Adds a matrix.
    pub(super) fn add(&mut self, name: impl Into<String>, stored: Stored<'a>) {
        self.0.insert(name.into(), stored);
    }

    /// The matrix of that name, if it is there.
    pub(super) fn get(&self, name: &str) -> Option<Stored<'a>> {
        self.0.get(name).copied()
    }

    /// The matrix of that name, which must be of that shape.
    pub(super) fn need(&self, name: &str, shape: (usize, usize)) -> Result<Stored<'a>, Fault> {
        let stored = self.get(name).ok_or_else(|| {
            let hint = "it must hold a Llama of F32, F16, BF16 or quantised weights, in one file";
            Fault::new(format!("the weights have no matrix {}", quote(name)), hint)
        })?;
        if stored.shape() == shape {
            return Ok(stored);
        }
        let message =
            format!("{} is of shape {:?}, the config says {shape:?}", quote(name), stored.shape());
        Err(Fault::new(message, "both must be of one model: fetch them again"))
    }

    /// The numbers of a vector that must be there.
    pub(super) fn vector(&self, name: &str, width: usize) -> Result<Vec<f32>, Fault> {
        Ok(self.need(name, (1, width))?.values())
    }
}
