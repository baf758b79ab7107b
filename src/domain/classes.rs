//! Classes: which kinds of jobs there are in a block, and which a worker takes on. Never says what
//! a kind of job is.

use crate::base::canon::{Decode, DecodeError, Encode, Reader, Writer};
use std::fmt;

/// The kinds, by the words after `uses:`; a bit for each, in this order for ever.
const NAMES: [&str; 12] = [
    "ingest",
    "split",
    "train",
    "evaluate",
    "noop",
    "compare",
    "transform",
    "predict",
    "export",
    "embed",
    "generate",
    "perplexity",
];

/// A set of kinds of jobs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Classes(u32);

impl Classes {
    /// All there are.
    pub const ALL: Self = Self((1 << NAMES.len()) - 1);
    /// None: of a block without jobs. Nobody can take on so little.
    pub const NONE: Self = Self(0);

    /// The class of one kind.
    #[must_use]
    pub fn of(kind: &str) -> Option<Self> {
        NAMES.iter().position(|name| *name == kind).map(|bit| Self(1 << bit))
    }

    /// Those of some kinds together.
    #[must_use]
    pub fn of_all<'a>(kinds: impl Iterator<Item = &'a str>) -> Self {
        kinds.fold(Self::NONE, |all, kind| all.with(Self::of(kind).unwrap_or(Self::ALL)))
    }

    /// Those whose names stand here, with commas between them; at least one. A `uses: tokenize` is
    /// a transform.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let named = |sum: Self, name: &str| {
            let job = if name.trim() == "tokenize" { "transform" } else { name.trim() };
            Some(sum.with(Self::of(job)?))
        };
        text.split(',').try_fold(Self::NONE, named)
    }

    /// The names of all there are, as [`Classes::read`] takes them.
    #[must_use]
    pub fn known() -> String {
        Self::ALL.to_string()
    }

    /// Both together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of these are among them.
    #[must_use]
    pub const fn has(self, others: Self) -> bool {
        others.0 & !self.0 == 0
    }

    /// The names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let has = move |(bit, _): &(usize, &&str)| self.0 & (1 << bit) != 0;
        NAMES.iter().enumerate().filter(has).map(|(_, name)| *name)
    }
}

/// Who does not say takes on anything.
impl Default for Classes {
    fn default() -> Self {
        Self::ALL
    }
}

impl fmt::Display for Classes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.names().collect();
        f.write_str(&names.join(","))
    }
}

impl fmt::Debug for Classes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Classes({self})")
    }
}

impl Encode for Classes {
    fn encode(&self, w: &mut Writer) {
        self.0.encode(w);
    }
}

impl Decode for Classes {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let read = Self(u32::decode(r)?);
        if read == Self::NONE || !Self::ALL.has(read) {
            return Err(DecodeError::OutOfRange);
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_what_is_no_kind_is_refused() {
        let both = Classes::read("evaluate, train").unwrap();
        assert_eq!(both.to_string(), "train,evaluate");
        assert_eq!(Classes::read(&Classes::known()), Some(Classes::ALL));
        for text in ["", "train,", "train,trian", "all"] {
            assert_eq!(Classes::read(text), None, "{text}");
        }
        let train = Classes::of("train").unwrap();
        assert!(both.has(train) && !train.has(both) && Classes::ALL.has(both));
        assert!(train.has(train) && train.has(Classes::NONE));
    }

    #[test]
    fn r13_no_set_but_of_known_kinds_is_decoded() {
        let both = Classes::read("train,evaluate").unwrap();
        assert_eq!(Classes::from_bytes(&both.to_bytes()), Ok(both));
        for bits in [0, 1 << NAMES.len(), u32::MAX] {
            assert_eq!(Classes::from_bytes(&bits.to_bytes()), Err(DecodeError::OutOfRange));
        }
    }
}
