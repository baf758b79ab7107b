//! Pieces: where a text is cut before byte pairs are joined, so that no token reaches over a word.
//! Never asks Unicode what a letter is: bytes of other scripts count as letters.
//!
//! A piece is a new line; or letters, digits or other signs, with one space before them; or blanks.
//! Of several blanks before a word the last one begins a piece, with the word if it is a space.

/// The same cut as a regular expression, for `tokenizer.json`.
pub(super) const PATTERN: &str = concat!(
    r"\n",
    r"| ?[A-Za-z\x{80}-\x{10FFFF}]+",
    r"| ?[0-9]+",
    r"| ?[^A-Za-z0-9\x{80}-\x{10FFFF}\t\n\x0B\x0C\r ]+",
    r"|[\t\x0B\x0C\r ]+(?![^\t\n\x0B\x0C\r ])",
    r"|[\t\x0B\x0C\r ]+"
);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Line,
    Blank,
    Letter,
    Digit,
    Other,
}

const fn class(byte: u8) -> Class {
    match byte {
        b'\n' => Class::Line,
        b' ' | b'\t' | 0x0B | 0x0C | b'\r' => Class::Blank,
        b'A'..=b'Z' | b'a'..=b'z' | 0x80.. => Class::Letter,
        b'0'..=b'9' => Class::Digit,
        _ => Class::Other,
    }
}

/// The pieces of a text, one after the other: together they are the text.
pub(super) fn pieces(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (piece, behind) = rest.split_at_checked(length(rest)).filter(|(x, _)| !x.is_empty())?;
        rest = behind;
        Some(piece)
    })
}

/// How many bytes the first piece has; 0 if there is none.
fn length(text: &[u8]) -> usize {
    let run = |from: usize, of: Class| {
        let behind = text.get(from..).unwrap_or_default();
        behind.iter().take_while(|byte| class(**byte) == of).count()
    };
    let Some(first) = text.first().map(|byte| class(*byte)) else { return 0 };
    match first {
        Class::Line => 1,
        Class::Letter | Class::Digit | Class::Other => run(0, first),
        Class::Blank => {
            let blanks = run(0, Class::Blank);
            let word = text.get(blanks).map(|byte| class(*byte)).filter(|x| *x != Class::Line);
            match word {
                Some(of) if blanks == 1 && text.first() == Some(&b' ') => 1 + run(1, of),
                Some(_) => blanks.saturating_sub(1).max(1),
                None => blanks,
            }
        }
    }
}
