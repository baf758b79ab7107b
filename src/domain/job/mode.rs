//! Modes: in which arithmetic a job runs, and how near it must come to the exact one.
//! Never measures how near it came (`compute` does).

use crate::base::canon::canonical_enum;

/// In which arithmetic a job runs, and so how it is checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// The same bits on every machine: checked bit for bit.
    #[default]
    Exact,
    /// Whatever is fastest where it runs, such as a graphics card: checked against the exact
    /// arithmetic, within a [`Tolerance`].
    Fast,
}
canonical_enum!(Mode { 1 => Exact, 2 => Fast });

/// How far a fast job may be from the exact one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tolerance {
    /// A training: the end of a segment, as a share of how far the segment leads.
    Way,
    /// An embedding: the vector of a text, as a share of its length.
    Vector,
}

impl Mode {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Exact, Self::Fast];

    /// The word of a manifest.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Fast => "fast",
        }
    }

    /// The mode that a word means.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.word() == word)
    }
}

impl Tolerance {
    /// The share.
    #[must_use]
    pub const fn share(self) -> f64 {
        match self {
            Self::Way => 0.05,
            Self::Vector => 0.01,
        }
    }
}
