//! Escapes: texts of others (a worker's metrics and messages) reach a terminal as letters. What
//! would move its cursor, write into its clipboard or turn a line around is shown as `\u{fffd}`;
//! colours of ours pass. Never changes what programs read out of JSON.

use crate::domain::manifest::diagnostic::is_steering;
use std::fmt::Write as _;

const SHOWN: char = '\u{fffd}';

/// Text of several lines, of which colours may stand out.
pub(crate) fn harmless(text: &str, is_painted: bool) -> String {
    let (mut shown, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(c) = rest.chars().next() {
        let colour = if is_painted { colour_bytes(rest) } else { 0 };
        let is_letter = matches!(c, '\n' | '\t') || !is_steering(c);
        let (taken, left) = rest.split_at(colour.max(c.len_utf8()));
        match colour > 0 || is_letter {
            true => shown.push_str(taken),
            false => shown.push(SHOWN),
        }
        rest = left;
    }
    shown
}

/// Text that stands in one line, whatever is in it.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|c| if is_steering(c) { SHOWN } else { c }).collect()
}

/// JSON that reads as before: what steers stands in its strings alone, and is written by number.
pub(crate) fn json(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match is_steering(c) && !matches!(c, '\n' | '\r' | '\t') {
            // All of these have four digits.
            true => drop(write!(escaped, "\\u{:04x}", u32::from(c))),
            false => escaped.push(c),
        }
    }
    escaped
}

/// The length of what makes text bold, dim or of a foreground colour, or ends that; 0 if the text
/// begins with anything else.
fn colour_bytes(text: &str) -> usize {
    let Some((codes, _)) = text.strip_prefix("\x1b[").and_then(|rest| rest.split_once('m')) else {
        return 0;
    };
    let is_ours = |code: &str| {
        let tone = matches!(code.as_bytes(), [b'3' | b'9', b'1'..=b'7']);
        tone || matches!(code, "0" | "1" | "2")
    };
    if codes.split(';').all(is_ours) { "\x1b[m".len() + codes.len() } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn r13_what_steers_a_terminal_is_shown_and_colours_pass() {
        let clipboard = "\x1b]52;c;aGk=\x07";
        let line = "\x1b[2K\rsettled \u{9b}2J \u{202e}x";
        for text in [clipboard, line] {
            for is_painted in [false, true] {
                let shown = harmless(text, is_painted);
                assert!(!shown.contains(is_steering), "{shown:?}");
                assert!(!one_line(text).contains(is_steering), "{shown:?}");
            }
        }
        let ours = "\x1b[1;31merror:\x1b[0m a\n\tb é";
        assert_eq!(harmless(ours, true), ours);
        assert!(!harmless(ours, false).contains('\x1b'));
        // What hides text is none of ours.
        assert!(!harmless("\x1b[8mx\x1b[1;8mx\x1b[30mx\x1b[mx", true).contains('\x1b'));
        assert_eq!(one_line("a\nsettled"), "a\u{fffd}settled");
    }

    proptest! {
        #[test]
        fn r13_json_reads_as_before_and_steers_nothing(text: String, c in 0x7fu32..0xa0) {
            let text = format!("{text}{}\u{2066}", char::from_u32(c).unwrap());
            let written = json(&serde_json::Value::from(text.clone()).to_string());
            prop_assert!(!written.contains(is_steering), "{written:?}");
            prop_assert_eq!(serde_json::from_str::<String>(&written).unwrap(), text);
        }

        #[test]
        fn letters_stay_as_they_are(text in "[a-zé⣿ \n]{0,40}", is_painted: bool) {
            prop_assert_eq!(harmless(&text, is_painted), text);
        }
    }
}
