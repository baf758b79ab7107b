//! Embeddings: which text a frozen encoder turns into numbers, and how its tokens become one row.
//! Never encodes.

use super::{Column, Mode, Part};
use crate::base::canon::{canonical_enum, canonical_struct};

/// `uses: embed`: inputs `table` and `encoder`; output `table`, in which columns of an embedding
/// stand in the place of the text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Embed {
    /// The column with the texts.
    pub column: String,
    /// How many tokens of a text are looked at; `None` as the encoder says.
    pub length: Option<u32>,
    /// How tokens become one vector; `None` as the encoder says.
    pub pooling: Option<Pooling>,
    /// Whether the vector is divided by its length; `None` as the encoder says.
    pub normalize: Option<bool>,
    /// The share of the rows of its table.
    pub part: Part,
    /// In which arithmetic.
    pub mode: Mode,
}
canonical_struct!(Embed { column, length, pooling, normalize, part, mode });

/// How the vectors of all tokens of a text become one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pooling {
    /// Their mean.
    Mean,
    /// That of the first, which stands for the whole text.
    Cls,
}
canonical_enum!(Pooling { 1 => Mean, 2 => Cls });

/// The name of the column with the number of a text at one place of its vector.
#[must_use]
pub fn embedded(column: &str, place: &str) -> String {
    format!("{column}@{place}")
}

impl Embed {
    /// The columns of the table that it gives, from those of its table and its encoder.
    #[must_use]
    pub fn table(&self, columns: &[Column], encoder: &[Column]) -> Vec<Column> {
        let vector = |column: &Column| {
            let named = |each: &Column| Column {
                name: embedded(&column.name, &each.name),
                kind: each.kind,
            };
            if column.name == self.column {
                encoder.iter().map(named).collect()
            } else {
                vec![column.clone()]
            }
        };
        columns.iter().flat_map(vector).collect()
    }

    /// The settings in which two of a stage differ, as the manifest names them.
    pub(super) fn differences(&self, other: &Self) -> Vec<(&'static str, bool)> {
        vec![
            ("column", self.column != other.column),
            ("length", self.length != other.length),
            ("pooling", self.pooling != other.pooling),
            ("normalize", self.normalize != other.normalize),
            ("mode", self.mode != other.mode),
        ]
    }
}
