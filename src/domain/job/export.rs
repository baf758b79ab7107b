//! Exports: in which form a model leaves the network.
//! Never writes a file.

use crate::base::canon::{canonical_enum, canonical_struct};

/// `uses: export`: inputs `model` and perhaps `report`; outputs `model` and `card`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Export {
    /// The form of the model.
    pub format: ModelFormat,
    /// What the card says first: what the model is for.
    pub description: Option<String>,
    /// Whether the pipeline has it that the report is about rows that no training saw.
    pub held_out: bool,
}
canonical_struct!(Export { format, description, held_out });

/// The form of a model.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ModelFormat {
    /// One safetensors file: parameters, and all that is needed to give it raw rows.
    Safetensors,
}
canonical_enum!(ModelFormat { 1 => Safetensors });

impl Export {
    /// The settings in which two of a stage differ, as the manifest names them.
    pub(super) fn differences(&self, other: &Self) -> Vec<(&'static str, bool)> {
        vec![
            ("format", self.format != other.format),
            ("description", self.description != other.description),
            ("report", self.held_out != other.held_out),
        ]
    }
}
