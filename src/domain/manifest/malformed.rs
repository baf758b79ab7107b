//! Malformed text: what a YAML reader says about it, in the words of somebody who writes manifests.
//! Never reads a text: it is given the reader's message and gives back a better one, with advice.

/// How a message of the reader begins, what is said instead, and what to do about it. The first
/// line that fits counts.
const WORDS: &[(&str, &str, &str)] = &[
    (
        "while parsing a block mapping, did not find expected key",
        "this line fits none of the mappings that are open here",
        "the keys of one mapping begin in the same column",
    ),
    (
        "while parsing a block collection, did not find expected '-'",
        "this line fits none of the lists that are open here",
        "the `-` of one list stand in the same column",
    ),
    (
        "mapping values are not allowed in this context",
        "a `:` cannot stand here",
        "a mapping begins on a line of its own, and text with `: ` in it needs quotes",
    ),
    (
        "illegal placement of ':' indicator",
        "a `:` cannot stand here",
        "a [ or { before it is not closed, or text with `: ` in it needs quotes",
    ),
    (
        "while parsing a flow sequence, expected ',' or ']'",
        "a list in [ ] lacks a comma, or its end",
        "such as [16, 32]",
    ),
    (
        "while parsing a flow mapping, did not find expected ',' or '}'",
        "a mapping in { } lacks a comma, or its end",
        "such as { train: 0.8, test: 0.2 }",
    ),
    ("unexpected EOF", "the text ends where more is expected", "a [ or { before it is not closed"),
    ("unclosed bracket", "a [ or { is not closed", "such as [16, 32]"),
    (
        "invalid trailing content after",
        "nothing can follow a quoted text here",
        "a comma or an end is missing, or a quote inside of it needs a `\\` before it",
    ),
    ("unclosed quote", "a quote is not closed", "the text ends before its second quote"),
    ("tabs disallowed within this context", "a tab cannot indent a line", "indent with spaces"),
    ("while scanning a plain scalar, found a tab", "a tab cannot stand here", "indent with spaces"),
    (
        "alias references unknown anchor",
        "this alias has no anchor",
        "`*name` repeats what stands at `&name` before it; text that begins with `*` needs quotes",
    ),
    (
        "while parsing node, found unknown anchor",
        "this alias has no anchor",
        "`*name` repeats what stands at `&name` before it; text that begins with `*` needs quotes",
    ),
    (
        "recursive references require weak recursion types",
        "an alias cannot stand inside of what it repeats",
        "`*name` repeats what stands at `&name` before it",
    ),
    (
        "while scanning an anchor or alias",
        "a `*` or `&` cannot stand here",
        "text that begins with one needs quotes",
    ),
    (
        "while parsing a quoted scalar, found unknown escape",
        "`\\` and this character mean nothing together",
        "write `\\\\` for one `\\`, or put the text into single quotes",
    ),
    (
        "block sequence entries are not allowed",
        "a `-` cannot stand here",
        "a list begins on a line of its own",
    ),
    (
        "the handle wasn't declared",
        "this tag has no meaning here",
        "text that begins with `!` needs quotes",
    ),
    (
        "invalid u64",
        "this value is not of the type that its tag says",
        "leave the tag (`!!…`) out: what a value is follows from where it stands",
    ),
    (
        "invalid i64",
        "this value is not of the type that its tag says",
        "leave the tag (`!!…`) out: what a value is follows from where it stands",
    ),
];

/// What to say instead of what the reader says, and advice where there is some.
pub(super) fn plain(message: &str) -> (String, Option<String>) {
    if let Some((_, words, hint)) = WORDS.iter().find(|(start, ..)| message.starts_with(start)) {
        return ((*words).to_owned(), Some((*hint).to_owned()));
    }
    let Some(shown) = message.strip_prefix("unexpected character: `") else {
        return (message.to_owned(), None);
    };
    let shown = shown.strip_suffix('\'').unwrap_or(shown);
    match shown {
        "@" | "`" | "%" => {
            let hint = format!("quote it: \"{shown}…\"");
            (format!("a value cannot begin with `{shown}`"), Some(hint))
        }
        _ => {
            let message = format!("the character `{shown}` cannot stand here");
            (message, Some("a manifest is text: save it as UTF-8 without a binary part".to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(message: &str, expect: &str, has_advice: bool) {
        let (words, hint) = plain(message);
        assert_eq!((words.as_str(), hint.is_some()), (expect, has_advice), "{message}");
    }

    #[test]
    fn what_a_reader_says_becomes_what_an_author_understands() {
        check("unexpected character: `@'", "a value cannot begin with `@`", true);
        check("unexpected character: `\\u{0}'", "the character `\\u{0}` cannot stand here", true);
        check(
            "unexpected EOF while parsing a flow mapping",
            "the text ends where more is expected",
            true,
        );
        check("something that nobody knows yet", "something that nobody knows yet", false);
    }
}
