//! Encoding: from text to tokens. Never takes more than n log n steps for n bytes, and remembers
//! pieces only to save time.

use super::Tokenizer;
use super::pieces::pieces;
use crate::domain::job::BYTES;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Different pieces that are remembered.
const REMEMBERED_MAX: usize = 65_536;

/// From text to tokens.
#[derive(Debug)]
pub struct Encoder<'a> {
    tokenizer: &'a Tokenizer,
    /// The token of every known character.
    chars: BTreeMap<char, u32>,
    /// The token of every pair.
    pairs: BTreeMap<(u32, u32), u32>,
    remembered: BTreeMap<Vec<u8>, Vec<u32>>,
}

impl<'a> Encoder<'a> {
    pub(super) fn new(tokenizer: &'a Tokenizer) -> Self {
        let (mut chars, mut pairs) = (BTreeMap::new(), BTreeMap::new());
        match tokenizer {
            Tokenizer::Chars(known) => chars.extend(known.chars().zip(1..)),
            Tokenizer::Bytes => {}
            Tokenizer::Pairs(joined) => pairs.extend(joined.iter().copied().zip(BYTES..)),
        }
        Self { tokenizer, chars, pairs, remembered: BTreeMap::new() }
    }

    /// Appends the tokens of a text.
    pub fn encode(&mut self, text: &str, out: &mut Vec<u32>) {
        match self.tokenizer {
            Tokenizer::Chars(_) => {
                out.extend(text.chars().map(|c| self.chars.get(&c).copied().unwrap_or_default()));
            }
            Tokenizer::Bytes => out.extend(text.bytes().map(u32::from)),
            Tokenizer::Pairs(_) => {
                for piece in pieces(text.as_bytes()) {
                    if let Some(tokens) = self.remembered.get(piece) {
                        out.extend_from_slice(tokens);
                        continue;
                    }
                    let tokens = joined(piece, &self.pairs);
                    out.extend_from_slice(&tokens);
                    if self.remembered.len() < REMEMBERED_MAX {
                        self.remembered.insert(piece.to_vec(), tokens);
                    }
                }
            }
        }
    }
}

/// One token of a piece and its neighbours; a token that was joined to the left is gone.
#[derive(Clone, Copy)]
struct Link {
    token: u32,
    before: usize,
    behind: usize,
    is_gone: bool,
}

const NONE: usize = usize::MAX;

/// The tokens of a piece: the pair that was learned first is joined first, from left to right.
fn joined(piece: &[u8], pairs: &BTreeMap<(u32, u32), u32>) -> Vec<u32> {
    let last = piece.len().saturating_sub(1);
    let link = |(place, byte): (usize, &u8)| Link {
        token: u32::from(*byte),
        before: place.checked_sub(1).unwrap_or(NONE),
        behind: if place < last { place + 1 } else { NONE },
        is_gone: false,
    };
    let mut links: Vec<Link> = piece.iter().enumerate().map(link).collect();
    // A pair that could be joined: the token that it makes, which is its rank, and its place.
    let at = |links: &[Link], place: usize| -> Option<(u32, usize)> {
        let left = links.get(place)?;
        let right = links.get(left.behind)?;
        pairs.get(&(left.token, right.token)).map(|token| (*token, place))
    };
    let mut open: BinaryHeap<Reverse<(u32, usize)>> =
        (0..links.len()).filter_map(|place| at(&links, place)).map(Reverse).collect();
    while let Some(Reverse((token, place))) = open.pop() {
        let Some(&left) = links.get(place) else { continue };
        // The pair may have been taken apart since.
        if left.is_gone || at(&links, place) != Some((token, place)) {
            continue;
        }
        let behind = links.get(left.behind).map_or(NONE, |right| right.behind);
        if let Some(right) = links.get_mut(left.behind) {
            right.is_gone = true;
        }
        if let Some(link) = links.get_mut(place) {
            (link.token, link.behind) = (token, behind);
        }
        if let Some(next) = links.get_mut(behind) {
            next.before = place;
        }
        open.extend([left.before, place].into_iter().filter_map(|x| at(&links, x)).map(Reverse));
    }
    links.iter().filter(|link| !link.is_gone).map(|link| link.token).collect()
}
