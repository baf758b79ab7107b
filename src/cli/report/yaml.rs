//! JSON values as YAML that every reader of YAML 1.1 and 1.2 reads as the same value: strings that
//! could be anything else are quoted. Never reads YAML, and writes no anchors, tags or flow but
//! for what is empty.

use crate::domain::manifest::diagnostic::is_steering;
use serde_json::{Number, Value};

/// Words that some reader takes for something else than text.
const RESERVED: &[&str] =
    &["null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf", "infinity"];

/// What a reader wants to know before all else.
const FIRST: &[&str] = &["version", "kind"];

/// A document; ends in a line break.
pub(crate) fn yaml(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(fields) if !fields.is_empty() => write_object(fields, 0, &mut text),
        Value::Array(items) if !items.is_empty() => write_array(items, 0, &mut text),
        scalar => {
            text.push_str(&inline(scalar, 0));
            text.push('\n');
        }
    }
    text
}

fn write_object(fields: &serde_json::Map<String, Value>, indent: usize, text: &mut String) {
    let rest = fields.iter().filter(|(name, _)| !FIRST.contains(&name.as_str()));
    let first = FIRST.iter().filter_map(|name| fields.get_key_value(*name));
    for (at, (name, value)) in first.chain(rest).enumerate() {
        if at > 0 {
            pad(indent, text);
        }
        text.push_str(&string(name));
        text.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                text.push('\n');
                pad(indent + 2, text);
                write_object(inner, indent + 2, text);
            }
            Value::Array(items) if !items.is_empty() => {
                text.push('\n');
                pad(indent + 2, text);
                write_array(items, indent + 2, text);
            }
            scalar => {
                text.push(' ');
                text.push_str(&inline(scalar, indent));
                text.push('\n');
            }
        }
    }
}

fn write_array(items: &[Value], indent: usize, text: &mut String) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            pad(indent, text);
        }
        text.push_str("- ");
        match item {
            Value::Object(fields) if !fields.is_empty() => write_object(fields, indent + 2, text),
            Value::Array(inner) if !inner.is_empty() => write_array(inner, indent + 2, text),
            scalar => {
                text.push_str(&inline(scalar, indent));
                text.push('\n');
            }
        }
    }
}

fn pad(indent: usize, text: &mut String) {
    text.extend(std::iter::repeat_n(' ', indent));
}

/// A value behind `key: ` or `- `, without its last line break.
fn inline(value: &Value, indent: usize) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(is) => is.to_string(),
        Value::Number(number) => self::number(number),
        Value::String(text) if is_block(text) => block(text, indent + 2),
        Value::String(text) => string(text),
        Value::Array(_) => "[]".into(),
        Value::Object(_) => "{}".into(),
    }
}

/// YAML 1.1 wants a point and a sign in a number with an exponent.
fn number(number: &Number) -> String {
    let text = number.to_string();
    let Some((mantissa, exponent)) = text.split_once('e') else { return text };
    let point = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with(['-', '+']) { "" } else { "+" };
    format!("{mantissa}{point}e{sign}{exponent}")
}

/// Whether a text is more readable as lines, and can be written as such.
fn is_block(text: &str) -> bool {
    let lines = text.strip_suffix('\n').unwrap_or(text);
    lines.contains('\n')
        && !lines.starts_with([' ', '\n', '\t'])
        && !lines.ends_with('\n')
        && !text.chars().any(|c| c != '\n' && needs_escape(c))
}

fn block(text: &str, indent: usize) -> String {
    let mut block = String::from(if text.ends_with('\n') { "|" } else { "|-" });
    for line in text.lines() {
        block.push('\n');
        if !line.is_empty() {
            pad(indent, &mut block);
            block.push_str(line);
        }
    }
    block
}

/// As it is where nobody can take it for anything but this text, else quoted.
fn string(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || "_-./@=+,#".contains(c);
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        && text.chars().all(is_word)
        && !RESERVED.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_plain { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if needs_escape(c) => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// What a reader would take for a line break, or not take at all; all of it is below U+10000.
fn needs_escape(c: char) -> bool {
    is_steering(c) || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_document_reads_like_one() {
        let value = json!({
            "version": 1, "kind": "RunList", "empty": [], "none": null,
            "items": [{"run": "run-1", "spent": "1.50", "name": "no", "at": {"x": 1e-9}}, "a b"],
        });
        let expect = "version: 1\nkind: RunList\nempty: []\nitems:\n  - at:\n      x: 1.0e-9\n    \
            name: \"no\"\n    run: run-1\n    spent: \"1.50\"\n  - \"a b\"\nnone: null\n";
        assert_eq!(yaml(&value), expect);
    }

    #[test]
    fn lines_are_written_as_lines() {
        let value = json!({"text": "kind: Pipeline\n\n  a: 1\n", "open": "a\nb"});
        assert_eq!(yaml(&value), "open: |-\n  a\n  b\ntext: |\n  kind: Pipeline\n\n    a: 1\n");
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            any::<String>(),
            "[a-z0-9:#\\-\n\t '\"\\\\]{0,12}",
            prop::sample::select(RESERVED).prop_map(str::to_owned),
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e30f64..1e30).prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            let key = prop_oneof!["[a-z]{1,6}", ".{0,4}"];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(key, inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_as_the_same_value(value in any_value()) {
            let text = yaml(&value);
            let read: Value = serde_yaml::from_str(&text).map_err(|error| {
                TestCaseError::fail(format!("{error}\n{text}"))
            })?;
            prop_assert_eq!(read, value, "{}", text);
        }
    }
}
