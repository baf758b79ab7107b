//! Fitting: the characters of texts, or the byte pairs that are joined, most frequent first.
//! Never lets chance decide: of equally frequent pairs the one of smaller tokens comes first.

use super::Pieces;
use super::pieces::pieces;
use crate::compute::Fault;
use crate::domain::job::{BYTES, VOCABULARY_MAX};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

type Pair = (u32, u32);

/// A pair that stands in the texts only once is not worth a token.
const OFTEN: u64 = 2;
/// Bytes of a piece that are learned from together: longer ones are cut, so that one pair costs no
/// more than the pieces that it stands in.
const LEARNED_BYTES: usize = 256;

/// The characters of the texts and of what is put behind them, ascending.
pub(super) fn chars<'a>(
    texts: impl Iterator<Item = &'a str>,
    separator: &str,
) -> Result<String, Fault> {
    let mut known: BTreeSet<char> = separator.chars().collect();
    for text in texts {
        known.extend(text.chars());
        if known.len() >= VOCABULARY_MAX as usize {
            let message = format!("the texts have more than {VOCABULARY_MAX} different characters");
            return Err(Fault::new(message, "take `kind: byte` or `kind: bpe`"));
        }
    }
    if known.is_empty() {
        return Err(Fault::new("the texts have no character", "leave the empty ones out"));
    }
    Ok(known.into_iter().collect())
}

/// The pairs to join, in order: at most so many that there are `vocabulary` tokens.
pub(super) fn pairs<'a>(
    texts: impl Iterator<Item = &'a str>,
    separator: &str,
    vocabulary: u32,
) -> Vec<Pair> {
    let mut corpus = Corpus::of(texts, separator);
    let most = vocabulary.min(VOCABULARY_MAX).saturating_sub(BYTES) as usize;
    let mut known = Pieces::bytes();
    let mut joined = Vec::new();
    while joined.len() < most
        && let Some(pair) = corpus.most_frequent()
    {
        if known.join(pair).is_none() {
            corpus.counts.remove(&pair);
            continue;
        }
        corpus.join(pair, BYTES + joined.len() as u32);
        joined.push(pair);
    }
    joined
}

/// The different pieces of the texts as tokens, and how often each pair stands in them.
struct Corpus {
    pieces: Vec<(Vec<u32>, u64)>,
    counts: BTreeMap<Pair, u64>,
    /// In which pieces a pair stands, or stood.
    places: BTreeMap<Pair, BTreeSet<usize>>,
    /// Every pair with a count that it has or had: the first that is true is the most frequent.
    heap: BinaryHeap<(u64, Reverse<Pair>)>,
}

impl Corpus {
    fn of<'a>(texts: impl Iterator<Item = &'a str>, separator: &str) -> Self {
        let mut counts: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        let mut whole = String::new();
        for text in texts {
            whole.clear();
            whole.push_str(text);
            whole.push_str(separator);
            let pieces = pieces(whole.as_bytes()).flat_map(|piece| piece.chunks(LEARNED_BYTES));
            for piece in pieces.filter(|piece| piece.len() > 1) {
                match counts.get_mut(piece) {
                    Some(count) => *count += 1,
                    None => drop(counts.insert(piece.to_vec(), 1)),
                }
            }
        }
        let tokens = |piece: Vec<u8>| piece.into_iter().map(u32::from).collect();
        let pieces = counts.into_iter().map(|(piece, count)| (tokens(piece), count)).collect();
        let (counts, places, heap) = Default::default();
        let mut corpus = Self { pieces, counts, places, heap };
        for (place, (piece, count)) in corpus.pieces.iter().enumerate() {
            for pair in neighbours(piece) {
                *corpus.counts.entry(pair).or_default() += count;
                corpus.places.entry(pair).or_default().insert(place);
            }
        }
        corpus.heap = corpus.counts.iter().map(|(pair, count)| (*count, Reverse(*pair))).collect();
        corpus
    }

    /// The pair that is to be joined next.
    fn most_frequent(&mut self) -> Option<Pair> {
        loop {
            let (count, Reverse(pair)) = self.heap.pop()?;
            match self.counts.get(&pair) {
                Some(now) if *now == count => return (count >= OFTEN).then_some(pair),
                // What became less frequent waits again, with what it is now.
                Some(now) if *now < count => self.heap.push((*now, Reverse(pair))),
                Some(_) | None => {}
            }
        }
    }

    /// Puts a token in the place of a pair, wherever it stands.
    fn join(&mut self, pair: Pair, token: u32) {
        let mut changed: BTreeSet<Pair> = BTreeSet::new();
        for place in self.places.remove(&pair).unwrap_or_default() {
            let Some((piece, count)) = self.pieces.get_mut(place) else { continue };
            for old in neighbours(piece) {
                let left = self.counts.get_mut(&old);
                left.into_iter().for_each(|left| *left = left.saturating_sub(*count));
            }
            *piece = replaced(piece, pair, token);
            for new in neighbours(piece) {
                *self.counts.entry(new).or_default() += *count;
                // Only pairs with the new token become more frequent than they were.
                if new.0 == token || new.1 == token {
                    changed.insert(new);
                    self.places.entry(new).or_default().insert(place);
                }
            }
        }
        self.counts.remove(&pair);
        for pair in changed {
            let count = self.counts.get(&pair).copied().unwrap_or_default();
            self.heap.push((count, Reverse(pair)));
        }
    }
}

fn neighbours(piece: &[u32]) -> impl Iterator<Item = Pair> {
    piece.iter().copied().zip(piece.iter().copied().skip(1))
}

/// A piece with a token in the place of each pair, from left to right.
fn replaced(piece: &[u32], pair: Pair, token: u32) -> Vec<u32> {
    let mut out = Vec::with_capacity(piece.len());
    let mut rest = piece;
    while let [first, behind @ ..] = rest {
        if behind.first().is_some_and(|second| (*first, *second) == pair) {
            out.push(token);
            rest = behind.get(1..).unwrap_or_default();
        } else {
            out.push(*first);
            rest = behind;
        }
    }
    out
}
