//! Tests of tokenizers: what is decoded is what was encoded, and what is learned is the same
//! whoever learns it. Never tests how tokens lie in a table.

use super::pieces::pieces;
use super::*;
use crate::base::canon::{Decode as _, Digest, Encode as _};
use proptest::prelude::*;

const SONG: &[&str] = &[
    "the cat sat on the mat, the cat was fat",
    "",
    "  and that  was that:\tthe rat in the hat, 1234 rats & 1234 hats",
    "größer, größte, größtes — naïve 猫猫猫",
];

fn fit(by: Tokens, texts: &[&str]) -> Tokenizer {
    Tokenizer::fit(by, texts.iter().copied(), "\n").unwrap()
}

fn pairs(vocabulary: u32, texts: &[&str]) -> Tokenizer {
    fit(Tokens::Pairs { vocabulary }, texts)
}

fn encoded(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let mut tokens = Vec::new();
    tokenizer.encoder().encode(text, &mut tokens);
    tokens
}

fn decoded(tokenizer: &Tokenizer, tokens: &[u32]) -> String {
    String::from_utf8(tokenizer.decoder().decode(tokens)).unwrap()
}

#[test]
fn characters_are_numbered_by_code_point_and_strangers_are_nought() {
    let tokenizer = fit(Tokens::Char, &["ba", "cb"]);
    assert_eq!(tokenizer, Tokenizer::Chars("\nabc".into()));
    assert_eq!((tokenizer.size(), encoded(&tokenizer, "abcz\n")), (5, vec![2, 3, 4, 0, 1]));
    assert_eq!(decoded(&tokenizer, &[2, 3, 0, 9, 1]), "ab\u{FFFD}\n");
    let fault = Tokenizer::fit(Tokens::Char, [""].into_iter(), "").unwrap_err();
    assert_eq!(fault.message, "the texts have no character");
}

#[test]
fn pairs_are_learned_most_frequent_first_and_of_equals_the_smaller_one() {
    // "ab" stands four times, then "abc" three times and "de" three times: "de" is smaller than
    // (256, c) as a pair.
    let Tokenizer::Pairs(joined) = pairs(300, &["abc abc abc ab de de de"]) else { unreachable!() };
    let byte = u32::from;
    // With the space before them, "·ab" stands three times and "·de" three times.
    assert_eq!(joined[0], (byte(b'a'), byte(b'b')));
    assert_eq!(joined[1], (byte(b' '), byte(b'd')));
    assert_eq!(joined[2], (byte(b' '), 256));
    // What stands only once is worth no token, so there are fewer than were allowed.
    assert!(joined.len() < 44, "{joined:?}");
    assert_eq!(pairs(256, SONG), Tokenizer::Pairs(Vec::new()));
    assert_eq!(pairs(258, SONG).size(), 258);
}

#[test]
fn a_smaller_vocabulary_is_the_beginning_of_a_larger_one() {
    let (Tokenizer::Pairs(few), Tokenizer::Pairs(many)) = (pairs(262, SONG), pairs(300, SONG))
    else {
        unreachable!()
    };
    assert!(few.len() == 6 && many.starts_with(&few));
    // The words that stand often are tokens, and no token reaches over a word.
    let tokenizer = pairs(300, SONG);
    let words: Vec<String> = encoded(&tokenizer, "the cat sat")
        .into_iter()
        .map(|token| decoded(&tokenizer, &[token]))
        .collect();
    assert_eq!(words.concat(), "the cat sat");
    assert!(words.len() <= 7 && words.iter().all(|word| !word.trim().contains(' ')), "{words:?}");
}

#[test]
fn lines_are_encoded_one_by_one_as_they_are_together() {
    let tokenizer = pairs(320, SONG);
    let whole = "the cat\n\n\n  sat \n\t on the mat\n";
    let lines = whole.split_inclusive('\n').flat_map(|line| encoded(&tokenizer, line));
    assert_eq!(lines.collect::<Vec<_>>(), encoded(&tokenizer, whole));
}

#[track_caller]
fn check_pieces(text: &str, want: &[&str]) {
    let got: Vec<_> = pieces(text.as_bytes()).map(|x| std::str::from_utf8(x).unwrap()).collect();
    assert_eq!(got, want);
}

#[test]
fn pieces_are_words_with_the_space_before_them() {
    check_pieces("", &[]);
    check_pieces("to be, or 2 be?", &["to", " be", ",", " or", " 2", " be", "?"]);
    check_pieces("a  b\n\n c", &["a", " ", " b", "\n", "\n", " c"]);
    check_pieces("a\tb \t\nx   ", &["a", "\t", "b", " \t", "\n", "x", "   "]);
    check_pieces("don't é2", &["don", "'", "t", " é", "2"]);
}

#[test]
fn the_bits_of_a_vocabulary_are_golden() {
    let texts: Vec<String> = (0..400u32).map(|i| format!("line {} of {}", i * i, i % 7)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let tokenizer = pairs(400, &texts);
    let digest = |bytes: &[u8]| Digest::of(bytes).short();
    assert_eq!((tokenizer.size(), digest(&tokenizer.to_bytes())), (400, "6d8de6e9c746".to_owned()));
    assert_eq!(digest(tokenizer.to_json().as_bytes()), "5e05220dcea0");
}

#[test]
fn a_vocabulary_that_no_fit_can_make_is_not_sound() {
    let sound = |pairs: &[(u32, u32)]| Tokenizer::Pairs(pairs.to_vec()).is_sound();
    assert!(sound(&[]) && sound(&[(97, 98), (256, 99)]));
    assert!(!sound(&[(256, 97)]), "a token of itself");
    assert!(!sound(&[(97, 98), (97, 98)]), "the same pair twice");
    assert!(!sound(&[(97, 98), (98, 99), (256, 99), (97, 257)]), "abc twice");
    // Each joins the last one with itself: sixty-four bytes are the most, or memory would end.
    let doubling = |count: u32| {
        let pairs = (0..count).map(|i| if i == 0 { (97, 97) } else { (255 + i, 255 + i) });
        Tokenizer::Pairs(pairs.collect()).is_sound()
    };
    assert!(doubling(6) && !doubling(7));
    assert!(!Tokenizer::Chars("ba".into()).is_sound() && !Tokenizer::Chars("aa".into()).is_sound());
    assert!(Tokenizer::Chars("ab".into()).is_sound() && Tokenizer::Bytes.is_sound());
    let many: Vec<(u32, u32)> =
        (0..=u16::MAX).map(|i| (u32::from(i / 256), u32::from(i % 256))).collect();
    assert!(!sound(&many) && sound(&many[..65_280]), "more tokens than a vocabulary may have");
}

#[test]
fn a_long_word_takes_no_longer_than_its_length_allows() {
    let long = "ab".repeat(200_000);
    let tokenizer = pairs(300, &[&long, &long]);
    let tokens = encoded(&tokenizer, &long);
    assert!(tokens.len() < long.len() / 16, "{}", tokens.len());
    assert_eq!(decoded(&tokenizer, &tokens), long);
}

proptest! {
    #[test]
    fn what_is_decoded_is_what_was_encoded(text in any::<String>(), more in "[a-c \n]{0,60}") {
        let seen = [text.as_str(), more.as_str()].concat();
        for by in [Tokens::Char, Tokens::Byte, Tokens::Pairs { vocabulary: 300 }] {
            let tokenizer = fit(by, &[&seen, &seen]);
            prop_assert!(tokenizer.is_sound());
            let tokens = encoded(&tokenizer, &seen);
            prop_assert!(tokens.iter().all(|token| (*token as usize) < tokenizer.size()));
            prop_assert_eq!(decoded(&tokenizer, &tokens), seen.clone());
            prop_assert_eq!(Tokenizer::from_bytes(&tokenizer.to_bytes()).unwrap(), tokenizer);
        }
    }

    #[test]
    fn bytes_and_pairs_lose_nothing_of_texts_that_they_have_not_seen(text in any::<String>()) {
        for tokenizer in [Tokenizer::Bytes, pairs(320, SONG)] {
            prop_assert_eq!(decoded(&tokenizer, &encoded(&tokenizer, &text)), text.clone());
        }
    }

    #[test]
    fn joining_by_rank_is_what_a_plain_search_gives(text in "[abc ]{0,40}") {
        let tokenizer = pairs(290, &["abc abcabc ab aab cab", "bca bca abcab"]);
        let Tokenizer::Pairs(joined) = &tokenizer else { unreachable!() };
        let plain = |piece: &[u8]| {
            let mut tokens: Vec<u32> = piece.iter().map(|byte| u32::from(*byte)).collect();
            let rank = |pair: &[u32]| joined.iter().position(|x| [x.0, x.1] == pair);
            while let Some((rank, place)) = tokens
                .windows(2)
                .enumerate()
                .filter_map(|(place, pair)| Some((rank(pair)?, place)))
                .min()
            {
                tokens.splice(place..place + 2, [256 + rank as u32]);
            }
            tokens
        };
        let want: Vec<u32> = pieces(text.as_bytes()).flat_map(plain).collect();
        prop_assert_eq!(encoded(&tokenizer, &text), want);
    }
}
