//! Recipes: the row-wise steps that made a table from a raw one, with all that they learned.
//! Never looks from one row at another, and never loses or adds a row, but for a stream of tokens:
//! there a row becomes as many as its text has tokens.
//!
//! A table carries its recipe, a model that of the table it was trained on. So a model takes raw
//! rows: the steps that they have not gone through yet are applied to them, with the statistics and
//! vocabularies of the training. Steps that choose or order rows leave the recipe as it is; those
//! after which a row is no longer one row of before (`join`, `aggregate`, `fill` with the previous
//! value) begin a new raw table.

mod apply;
mod loose;
#[cfg(test)]
mod tests;
mod tokens;

pub(super) use apply::{numbers, table_of};
pub(super) use tokens::texts;

use super::encoder::Settings;
use super::table::Table;
use super::tokenizer::Tokenizer;
use super::{Fault, quote};
use crate::base::canon::Digest;
use crate::base::canon::{
    Decode, DecodeError, Encode, Reader, Writer, canonical_enum, canonical_struct,
};
use crate::base::limits::{self, COLUMNS_MAX};
use crate::domain::job::{
    Cast, Cell, Column, Formula, Hash, Layout, Pooling, ScaleTo, TOKENS_PER_ROW_MAX, Unknown,
    embedded,
};
use std::borrow::Cow;
use std::collections::BTreeSet;

const MAGIC: &[u8] = b"ohc/recipe/1\n";
/// Steps of one recipe: more than any pipeline has, few enough to be applied to a row.
pub const STEPS_MAX: usize = 4_096;

/// The raw columns of a table, and the steps that were applied to them.
#[derive(Clone, PartialEq, Debug)]
pub struct Recipe {
    raw: Vec<Column>,
    steps: Vec<Applied>,
}

/// A row-wise step with all that it learned.
#[derive(Clone, PartialEq, Debug)]
pub enum Applied {
    /// Keeps these columns, in this order.
    Select(Vec<String>),
    /// Leaves these columns out.
    Drop(Vec<String>),
    /// Gives columns other names: the old one and the new one of each.
    Rename(Vec<(String, String)>),
    /// Turns cells into another kind.
    Cast(Cast),
    /// Puts a value of its own into the empty cells of each column.
    Fill(Vec<(String, Cell)>),
    /// Computes columns, one after the other.
    Derive(Vec<(String, Formula)>),
    /// Replaces a column by one of zeros and ones for each of its values.
    OneHot(Vocabulary),
    /// Subtracts from numbers, then divides them.
    Scale(Vec<Scaled>),
    /// Replaces a text column by counts of its words in buckets.
    Hash(Hash),
    /// Replaces a text column by its vectors. The encoder stays behind: only its digest is known.
    Embed(Embedding),
    /// Turns a text column into tokens.
    Tokenize(Tokenized),
}
canonical_enum!(Applied {
    1 => Select(x),
    2 => Drop(x),
    3 => Rename(x),
    4 => Cast(x),
    5 => Fill(x),
    6 => Derive(x),
    7 => OneHot(x),
    8 => Scale(x),
    9 => Hash(x),
    10 => Tokenize(x),
    11 => Embed(x),
});

/// The values of a column that a fit has seen.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vocabulary {
    /// The column.
    pub column: String,
    /// Its values as text, ascending by their bytes, each once.
    pub values: Vec<String>,
    /// What becomes of another.
    pub unknown: Unknown,
}
canonical_struct!(Vocabulary { column, values, unknown });

impl Vocabulary {
    /// The column that tells whether a cell has this value.
    pub(super) fn name(&self, value: &str) -> String {
        format!("{}={value}", self.column)
    }

    fn names(&self) -> impl Iterator<Item = String> {
        self.values.iter().map(|value| self.name(value))
    }
}

/// How the numbers of a column are scaled: `(x - shift) / divisor`.
#[derive(Clone, PartialEq, Debug)]
pub struct Scaled {
    /// The column.
    pub column: String,
    /// What the statistics were for: it is told to people and changes nothing.
    pub to: ScaleTo,
    /// What is subtracted.
    pub shift: f64,
    /// What is divided by: never 0.
    pub divisor: f64,
}
canonical_struct!(Scaled { column, to, shift, divisor });

/// How a text column was embedded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Embedding {
    /// The column.
    pub column: String,
    /// BLAKE3 of the artifact of the encoder.
    pub encoder: Digest,
    /// How many numbers a text became.
    pub width: u32,
    /// Tokens of a text at the most.
    pub length: u32,
    /// How tokens became one vector.
    pub pooling: Pooling,
    /// Whether the vector was divided by its length.
    pub normalize: bool,
}
canonical_struct!(Embedding { column, encoder, width, length, pooling, normalize });

impl Embedding {
    /// The columns that it makes.
    pub(super) fn names(&self) -> impl Iterator<Item = String> {
        (0..self.width).map(|place| embedded(&self.column, &place.to_string()))
    }

    /// How texts are encoded.
    pub(super) const fn settings(&self) -> Settings {
        Settings { length: self.length as usize, pooling: self.pooling, normalize: self.normalize }
    }

    /// What is said where texts are to be embedded and the encoder is not there.
    pub(super) fn absent(&self) -> Fault {
        let (column, encoder) = (quote(&self.column), self.encoder.short());
        Fault::new(
            format!("column {column} must be embedded by encoder {encoder}, which is not here"),
            "give the encoder (`--encoder FOLDER`, or the input `encoder` of the stage), or rows \
             that went through `uses: embed` with it",
        )
    }
}

/// How a text column becomes tokens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tokenized {
    /// The column.
    pub column: String,
    /// The vocabulary.
    pub tokenizer: Tokenizer,
    /// How the tokens lie in the table.
    pub into: Layout,
}
canonical_struct!(Tokenized { column, tokenizer, into });

impl Tokenized {
    /// The column of a stream of tokens.
    pub const TOKEN: &'static str = "token";

    fn names(&self) -> Vec<String> {
        match self.into {
            Layout::Stream { .. } => vec![Self::TOKEN.to_owned()],
            Layout::Rows { length } => (0..length).map(|place| self.name(place)).collect(),
        }
    }

    /// The column of the tokens at one place of the rows.
    pub(super) fn name(&self, place: u32) -> String {
        format!("{}#{place}", self.column)
    }

    fn is_sound(&self) -> bool {
        let fits = match &self.into {
            Layout::Stream { separator } => separator.len() <= limits::TEXT_BYTES_MAX,
            Layout::Rows { length } => (1..=TOKENS_PER_ROW_MAX).contains(length),
        };
        fits && self.tokenizer.is_sound()
    }
}

/// The column of one bucket of a hashed column.
pub(super) fn bucket_name(hash: &Hash, bucket: u32) -> String {
    format!("{}#{bucket}", hash.column)
}

impl Recipe {
    /// The recipe of a table to which nothing was done yet.
    #[must_use]
    pub const fn raw(columns: Vec<Column>) -> Self {
        Self { raw: columns, steps: Vec::new() }
    }

    /// The columns that it begins with.
    #[must_use]
    pub fn raw_columns(&self) -> &[Column] {
        &self.raw
    }

    /// What is done to them, in order.
    #[must_use]
    pub fn steps(&self) -> &[Applied] {
        &self.steps
    }

    /// How text was embedded last; none if it was not.
    #[must_use]
    pub fn embedding(&self) -> Option<&Embedding> {
        self.steps.iter().rev().find_map(|step| match step {
            Applied::Embed(embedding) => Some(embedding),
            _ => None,
        })
    }

    /// How text became the tokens of the table; none if it has none.
    #[must_use]
    pub fn tokenized(&self) -> Option<&Tokenized> {
        self.steps.iter().rev().find_map(|step| match step {
            Applied::Tokenize(tokenized) => Some(tokenized),
            _ => None,
        })
    }

    /// The vocabulary of the tokens of the table; none if it has none.
    #[must_use]
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.tokenized().map(|tokenized| &tokenized.tokenizer)
    }

    /// The columns of a raw table whose cells become one of the values of the training, and how
    /// many have another.
    #[must_use]
    pub fn unseen(&self, table: &Table) -> Vec<(String, usize)> {
        let (mut changed, mut all) = (BTreeSet::new(), Vec::new());
        for step in &self.steps {
            match step {
                Applied::Rename(names) => changed.extend(names.iter().map(|(_, new)| new)),
                Applied::Cast(cast) => changed.extend(cast.columns.iter().map(|(name, _)| name)),
                Applied::Derive(formulas) => changed.extend(formulas.iter().map(|(name, _)| name)),
                Applied::OneHot(words) if !changed.contains(&words.column) => {
                    let Ok(cells) = table.column(&words.column) else { continue };
                    let known = |text: &str| {
                        words.values.binary_search_by(|value| value.as_str().cmp(text)).is_ok()
                    };
                    let texts = cells.each_text().flatten();
                    let count = texts.filter(|text| !known(text)).count();
                    all.extend((count > 0).then(|| (words.column.clone(), count)));
                }
                _ => {}
            }
        }
        all
    }

    /// Adds a step that was applied to a table of this recipe.
    pub(super) fn push(&mut self, step: Applied) -> Result<(), Fault> {
        if self.steps.len() == STEPS_MAX {
            let message = format!("a table goes through at most {STEPS_MAX} steps");
            return Err(Fault::new(message, "do several things in one step"));
        }
        self.steps.push(step);
        Ok(())
    }

    /// Whether a table of this recipe has gone through the first steps of another one.
    #[must_use]
    pub fn is_prefix_of(&self, other: &Self) -> bool {
        other.steps.starts_with(&self.steps)
    }

    /// What is left to do after the steps of `done`, whose table has these columns; `None` if this
    /// recipe does not begin with those steps.
    #[must_use]
    pub fn remaining(&self, done: &Self, columns: Vec<Column>) -> Option<Self> {
        let steps = self.steps.strip_prefix(done.steps.as_slice())?.to_vec();
        Some(Self { raw: columns, steps })
    }

    /// Brings a table to where this recipe ends: all of it for a raw table, what is left of it for
    /// one that has gone through the first steps, nothing for one that is there.
    pub fn bring(&self, table: &Table) -> Result<Table, Fault> {
        let rest = self.remaining(table.recipe(), table.schema()).ok_or_else(|| {
            Fault::new(
                "the table has gone through other steps than those that were fitted",
                "give raw rows, or rows that come from the same transforms",
            )
        })?;
        if rest.steps.is_empty() {
            return Ok(table.clone());
        }
        // A raw table is brought from the raw columns of this recipe: what else it has is left out.
        let begin = if table.recipe().steps.is_empty() { self } else { &rest };
        Ok(begin.apply(table)?.with_recipe(self.clone()))
    }

    /// As [`Recipe::bring`], but for these columns alone: a table need not have what only other
    /// columns are made from, such as the label that is to be predicted.
    pub fn bring_toward(&self, table: &Table, wanted: &[String]) -> Result<Table, Fault> {
        match self.rest_toward(table, wanted)? {
            Some(rest) => rest.apply(table),
            None => self.bring(table),
        }
    }

    /// What is left to do to a table for these columns alone; `None` if it has gone through other
    /// steps.
    pub(super) fn rest_toward(
        &self,
        table: &Table,
        wanted: &[String],
    ) -> Result<Option<Self>, Fault> {
        if table.recipe().steps.is_empty() {
            return self.toward(wanted).map(Some);
        }
        let rest = self.remaining(table.recipe(), table.schema());
        rest.map(|rest| rest.toward(wanted)).transpose()
    }

    /// The raw columns that these columns are made from, with what they must be.
    pub fn needs(&self, wanted: &[String]) -> Result<Vec<Column>, Fault> {
        Ok(self.toward(wanted)?.raw)
    }

    /// The part of the recipe that makes these columns and no others, in this order.
    pub fn toward(&self, wanted: &[String]) -> Result<Self, Fault> {
        // What is alive, and what is done, from the last to the first.
        let mut live: BTreeSet<String> = wanted.iter().cloned().collect();
        let mut steps = vec![Applied::Select(wanted.to_vec())];
        for step in self.steps.iter().rev() {
            // What makes nothing that is alive changes nothing of it.
            let Some(part) = step.only(&live) else { continue };
            // What is dead goes at once: a later step may use its name again.
            let dead = part.dead(&live);
            if !live.is_empty() && !dead.is_empty() {
                steps.push(Applied::Drop(dead));
            }
            part.before(&mut live);
            steps.push(part);
        }
        steps.reverse();
        let mut raw: Vec<Column> =
            self.raw.iter().filter(|column| live.contains(&column.name)).cloned().collect();
        let there: BTreeSet<&String> = raw.iter().map(|column| &column.name).collect();
        if let Some(missing) = live.iter().find(|name| !there.contains(name)) {
            return Err(Fault::new(
                format!("column {} is made from nothing that the rows have", quote(missing)),
                "give rows with the columns that the model was trained on",
            ));
        }
        if raw.is_empty() {
            // Only constants are wanted: something must tell how many rows there are.
            raw.extend(self.raw.first().cloned());
        }
        Ok(Self { raw, steps })
    }

    /// Applies every step to a table that has the raw columns; others are left out.
    pub fn apply(&self, table: &Table) -> Result<Table, Fault> {
        self.apply_by(table, &|embedding, _| Err(embedding.absent()))
    }

    /// As [`Recipe::apply`], where somebody embeds texts.
    pub(super) fn apply_by(
        &self,
        table: &Table,
        embed: &dyn Fn(&Embedding, &Table) -> Result<Table, Fault>,
    ) -> Result<Table, Fault> {
        let mut table = apply::raw(table, &self.raw)?;
        for step in &self.steps {
            table = match step {
                Applied::Embed(embedding) => embed(embedding, &table)?,
                step => step.apply(&table)?,
            };
        }
        Ok(table)
    }

    /// Reads the bytes of the artifact and refuses everything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Fault> {
        if !bytes.starts_with(MAGIC) {
            return Err(Fault::new(
                "these bytes are not a recipe",
                "connect this input to the output `fitted` of a transform",
            ));
        }
        <Self as Decode>::from_bytes(bytes).map_err(|error| {
            Fault::new(
                format!("the bytes of a recipe are damaged: {error}"),
                "fetch the artifact again; if its digest holds, its maker wrote a wrong recipe",
            )
        })
    }
}

impl Encode for Recipe {
    fn encode(&self, w: &mut Writer) {
        w.raw(MAGIC);
        self.raw.encode(w);
        self.steps.encode(w);
    }
}

impl Decode for Recipe {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        if r.raw(MAGIC.len())? != MAGIC {
            return Err(DecodeError::OutOfRange);
        }
        let (raw, steps) = (Vec::<Column>::decode(r)?, Vec::<Applied>::decode(r)?);
        let is_sound = |step: &Applied| match step {
            Applied::Select(names) | Applied::Drop(names) => names.len() <= COLUMNS_MAX,
            Applied::Rename(names) => names.len() <= COLUMNS_MAX,
            Applied::Cast(cast) => cast.columns.len() <= COLUMNS_MAX,
            Applied::Fill(columns) => columns.len() <= COLUMNS_MAX,
            Applied::Derive(columns) => columns.len() <= COLUMNS_MAX,
            Applied::Scale(columns) => {
                columns.len() <= COLUMNS_MAX && columns.iter().all(|each| each.divisor != 0.0)
            }
            Applied::OneHot(words) => words.values.is_sorted_by(|a, b| a < b),
            Applied::Hash(hash) => (1..=apply::BUCKETS_MAX).contains(&hash.buckets),
            Applied::Embed(embedding) => (1..=apply::BUCKETS_MAX).contains(&embedding.width),
            Applied::Tokenize(tokenized) => tokenized.is_sound(),
        };
        let good = !raw.is_empty() && steps.len() <= STEPS_MAX && steps.iter().all(is_sound);
        if good { Ok(Self { raw, steps }) } else { Err(DecodeError::OutOfRange) }
    }
}

impl Applied {
    /// From what must be there after the step to what must be there before it.
    fn before(&self, live: &mut BTreeSet<String>) {
        match self {
            Self::Rename(names) => {
                let old = |(old, new): &(String, String)| live.contains(new).then(|| old.clone());
                let old: Vec<String> = names.iter().filter_map(old).collect();
                live.retain(|name| !names.iter().any(|(_, new)| new == name));
                live.extend(old);
            }
            Self::Derive(columns) => {
                for (name, formula) in columns.iter().rev() {
                    if live.remove(name) {
                        live.extend(formula.columns().into_iter().map(str::to_owned));
                    }
                }
            }
            Self::OneHot(words) => replaced(words.names(), &words.column, live),
            Self::Hash(hash) => {
                let names = (0..hash.buckets).map(|bucket| bucket_name(hash, bucket));
                replaced(names, &hash.column, live);
            }
            Self::Embed(embedding) => replaced(embedding.names(), &embedding.column, live),
            Self::Tokenize(tokenized) => {
                replaced(tokenized.names().into_iter(), &tokenized.column, live);
            }
            Self::Select(_) | Self::Drop(_) | Self::Cast(_) | Self::Fill(_) | Self::Scale(_) => {}
        }
    }

    /// Columns that are there after the step although nobody needs them any more: what it made
    /// beside what is alive, and what only it had needed.
    fn dead(&self, live: &BTreeSet<String>) -> Vec<String> {
        let owned = Cow::<str>::Owned;
        match self {
            Self::Derive(columns) => {
                let read = columns.iter().flat_map(|(_, formula)| formula.columns());
                let made = columns.iter().map(|(name, _)| name.as_str());
                not_in(live, read.chain(made).map(Cow::Borrowed))
            }
            Self::OneHot(words) => not_in(live, words.names().map(owned)),
            Self::Hash(hash) => {
                not_in(live, (0..hash.buckets).map(|bucket| owned(bucket_name(hash, bucket))))
            }
            Self::Embed(embedding) => not_in(live, embedding.names().map(owned)),
            Self::Tokenize(tokenized) => not_in(live, tokenized.names().into_iter().map(owned)),
            // They make as many columns as they take.
            Self::Select(_)
            | Self::Drop(_)
            | Self::Rename(_)
            | Self::Cast(_)
            | Self::Fill(_)
            | Self::Scale(_) => Vec::new(),
        }
    }

    /// The part of the step that makes what must be there after it.
    fn only(&self, live: &BTreeSet<String>) -> Option<Self> {
        fn pick<T: Clone>(items: &[T], is_live: impl Fn(&T) -> bool) -> Option<Vec<T>> {
            let picked: Vec<T> = items.iter().filter(|item| is_live(item)).cloned().collect();
            (!picked.is_empty()).then_some(picked)
        }
        match self {
            Self::Select(_) | Self::Drop(_) => None,
            Self::Rename(names) => pick(names, |(_, new)| live.contains(new)).map(Self::Rename),
            Self::Cast(cast) => pick(&cast.columns, |(name, _)| live.contains(name))
                .map(|columns| Self::Cast(Cast { columns, ..cast.clone() })),
            Self::Fill(columns) => pick(columns, |(name, _)| live.contains(name)).map(Self::Fill),
            Self::Scale(columns) => {
                pick(columns, |each| live.contains(&each.column)).map(Self::Scale)
            }
            Self::Derive(columns) => {
                let mut live = live.clone();
                let mut kept: Vec<(String, Formula)> = Vec::new();
                for (name, formula) in columns.iter().rev() {
                    if live.remove(name) {
                        live.extend(formula.columns().into_iter().map(str::to_owned));
                        kept.push((name.clone(), formula.clone()));
                    }
                }
                kept.reverse();
                (!kept.is_empty()).then_some(Self::Derive(kept))
            }
            Self::OneHot(words) => {
                words.names().any(|name| live.contains(&name)).then(|| self.clone())
            }
            Self::Hash(hash) => {
                let mut names = (0..hash.buckets).map(|bucket| bucket_name(hash, bucket));
                names.any(|name| live.contains(&name)).then(|| self.clone())
            }
            Self::Embed(embedding) => {
                embedding.names().any(|name| live.contains(&name)).then(|| self.clone())
            }
            // A stream changes the rows: it is part of whatever comes after it.
            Self::Tokenize(tokenized) => {
                let names = tokenized.names();
                names.iter().any(|name| live.contains(name)).then(|| self.clone())
            }
        }
    }
}

/// Those of these names that are not alive, each once.
fn not_in<'a>(live: &BTreeSet<String>, names: impl Iterator<Item = Cow<'a, str>>) -> Vec<String> {
    let dead = names.filter(|name| !live.contains(name.as_ref()));
    dead.map(Cow::into_owned).collect::<BTreeSet<_>>().into_iter().collect()
}

/// One column becomes several: it must be there before if one of them must be there after.
fn replaced(names: impl Iterator<Item = String>, column: &str, live: &mut BTreeSet<String>) {
    let removed = names.filter(|name| live.remove(name)).count();
    if removed > 0 {
        live.insert(column.to_owned());
    }
}
