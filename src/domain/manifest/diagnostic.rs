//! Faults of a manifest: where, what, and what to do about it; all of them, in order of place.
//! Never decides what is a fault and never prints.

use std::collections::BTreeSet;
use std::fmt;

/// Faults that one compilation reports: who has more is helped by the first.
pub const FAULTS_MAX: usize = 200;
/// Words longer than this get no `did you mean`: the distance costs the product of the lengths.
const WORD_CHARS_MAX: usize = 64;
/// Words that one is compared with: who has more names is helped by the first.
const KNOWN_MAX: usize = 512;

/// A place in the text of a manifest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Place {
    /// Bytes before it.
    pub offset: usize,
    /// Bytes of it.
    pub length: usize,
    /// From 1; 0 where the place is unknown.
    pub line: u32,
    /// In characters, from 1; 0 where the place is unknown.
    pub column: u32,
}

/// How grave a fault is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Nothing can be run.
    Error,
    /// It can be run, but is hardly what was meant.
    Warning,
}

/// One fault: the place, what is wrong, and perhaps what to do.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Diagnostic {
    /// Where.
    pub place: Place,
    /// How grave.
    pub severity: Severity,
    /// What is wrong: one sentence without a full stop.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error; texts from outside that it quotes cannot move a cursor or turn a line around.
    #[must_use]
    pub fn new(place: Place, message: &str, hint: Option<String>) -> Self {
        let (message, hint) = (printable(message), hint.map(|hint| printable(&hint)));
        Self { place, severity: Severity::Error, message, hint }
    }

    /// Whether nothing can be run.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Whether a character steers a terminal instead of showing something (control, bidirectional).
pub(crate) fn is_steering(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if is_steering(c) { '\u{fffd}' } else { c }).collect()
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let warning = if self.is_error() { "" } else { "warning: " };
        write!(f, "{}:{}: {warning}{}", self.place.line, self.place.column, self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Collects faults: each once, in order of place, at most [`FAULTS_MAX`].
#[derive(Debug, Default)]
pub(crate) struct Faults(BTreeSet<Diagnostic>);

impl Faults {
    /// Adds a fault without advice.
    pub(crate) fn add(&mut self, place: Place, message: impl Into<String>) {
        self.advise(place, message, None);
    }

    /// Adds a fault with advice.
    pub(crate) fn advise(
        &mut self,
        place: Place,
        message: impl Into<String>,
        hint: impl Into<Option<String>>,
    ) {
        self.push(Diagnostic::new(place, &message.into(), hint.into()));
    }

    /// Adds a warning with advice.
    pub(crate) fn warn(
        &mut self,
        place: Place,
        message: impl Into<String>,
        hint: impl Into<Option<String>>,
    ) {
        let fault = Diagnostic::new(place, &message.into(), hint.into());
        self.push(Diagnostic { severity: Severity::Warning, ..fault });
    }

    /// Adds a fault that is already made.
    pub(crate) fn push(&mut self, fault: Diagnostic) {
        if !self.is_full() {
            self.0.insert(fault);
        }
    }

    /// Takes over all faults of another collection.
    pub(crate) fn merge(&mut self, other: Self) {
        other.0.into_iter().for_each(|fault| self.push(fault));
    }

    /// Whether further faults would be dropped: loops over hostile input end here.
    pub(crate) fn is_full(&self) -> bool {
        self.0.len() >= FAULTS_MAX
    }

    /// Whether one of them is an error.
    pub(crate) fn has_errors(&self) -> bool {
        self.0.iter().any(Diagnostic::is_error)
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The faults, in order of place.
    pub(crate) fn into_vec(self) -> Vec<Diagnostic> {
        self.0.into_iter().collect()
    }
}

/// `did you mean …`, or what there is to choose from.
pub(crate) fn suggest<'a>(
    word: &str,
    known: impl IntoIterator<Item = &'a str> + Clone,
) -> Option<String> {
    if let Some(near) = nearest(word, known.clone()) {
        return Some(format!("did you mean `{near}`?"));
    }
    let all: Vec<&str> = known.into_iter().take(13).collect();
    match all.as_slice() {
        [] => None,
        [one] => Some(format!("there is only `{one}`")),
        some if some.len() <= 12 => Some(format!("known are {}", list(some))),
        _ => None,
    }
}

/// Words in backticks, divided by commas.
pub(crate) fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// Whether a word is `known`, or that misspelt.
#[must_use]
pub fn is_near(word: &str, known: &str) -> bool {
    nearest(word, [known]).is_some()
}

/// The known word that is nearest to `word`, if one is near; the first of several.
fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.chars().count() > WORD_CHARS_MAX {
        return None;
    }
    let length = word.chars().count();
    let limit = length / 3 + 1;
    known
        .into_iter()
        .take(KNOWN_MAX)
        // Words whose lengths differ by more than the limit are at least that far apart.
        .filter(|other| other.chars().take(length + limit + 1).count().abs_diff(length) <= limit)
        .map(|other| (distance(word, other), other))
        .filter(|(distance, other)| *distance <= limit && *distance < other.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}

/// The edit distance (Levenshtein), blind to the case of letters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().flat_map(char::to_lowercase).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().flat_map(char::to_lowercase).enumerate() {
        let mut left = i + 1;
        let mut next = vec![left];
        for (cb, (&diagonal, &above)) in b.iter().zip(row.iter().zip(row.iter().skip(1))) {
            left = (diagonal + usize::from(ca != *cb)).min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(word: &str, known: &[&str], expect: Option<&str>) {
        assert_eq!(nearest(word, known.iter().copied()), expect, "{word}");
    }

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        check("wdith", &["seed", "width"], Some("width"));
        check("Epochs", &["epochs"], Some("epochs"));
        check("epoch", &["epochs", "seed"], Some("epochs"));
        check("colour", &["epochs", "seed"], None);
        check("x", &["y"], None);
        check(&"a".repeat(100_000), &["a"], None);
    }

    #[test]
    fn quoted_texts_cannot_steer_a_terminal() {
        let fault = Diagnostic::new(Place::default(), "a\u{1b}[31mb\u{202e}c", Some("\n".into()));
        assert_eq!(fault.message, "a\u{fffd}[31mb\u{fffd}c");
        assert_eq!(fault.hint.as_deref(), Some("\u{fffd}"));
    }

    #[test]
    fn the_distance_counts_edits() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
    }

    #[test]
    fn a_fault_is_kept_once_and_faults_are_bounded() {
        let mut faults = Faults::default();
        faults.add(Place::default(), "twice");
        faults.add(Place::default(), "twice");
        assert_eq!(faults.0.len(), 1);
        (0..1000).for_each(|n| faults.add(Place::default(), format!("fault {n}")));
        assert_eq!(faults.into_vec().len(), FAULTS_MAX);
    }
}
