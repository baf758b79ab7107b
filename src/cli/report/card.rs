//! Cards: everything about one thing, for people as fields and tables, for programs as one object.
//! Never knows what it describes.

use super::table::{Align, table, wrap};
use super::{Screen, escape, json, prose};
use crate::cli::args::Format;
use serde_json::Value;
use std::io;

/// One thing.
#[derive(Debug, Default)]
pub(crate) struct Card {
    /// What its object is called: `Run`.
    pub(crate) kind: &'static str,
    /// Its name.
    pub(crate) name: String,
    /// What is said of it, in order.
    pub(crate) fields: Vec<(&'static str, Value)>,
    /// Lists that belong to it, in order.
    pub(crate) lists: Vec<List>,
}

/// A list that belongs to a thing.
#[derive(Debug)]
pub(crate) struct List {
    /// The name of the field that holds it.
    pub(crate) name: &'static str,
    /// The fields of its objects that people see, in order.
    pub(crate) columns: Vec<&'static str>,
    /// Its objects.
    pub(crate) items: Vec<Value>,
}

impl Card {
    /// As one object.
    fn object(self) -> Value {
        let mut object = json::object(self.kind, Value::Null);
        if let Value::Object(fields) = &mut object {
            for (name, value) in self.fields {
                fields.insert(name.into(), value);
            }
            for list in self.lists {
                fields.insert(list.name.into(), Value::Array(list.items));
            }
        }
        object
    }

    /// Fields that say something, then the lists that hold something.
    fn text(&self, screen: &Screen) -> String {
        let said: Vec<(&str, String)> =
            self.fields.iter().map(|(name, value)| (*name, plain(value))).collect();
        let said: Vec<_> = said.into_iter().filter(|(_, text)| !text.is_empty()).collect();
        let names = said.iter().map(|(name, _)| name.chars().count());
        let names = names.max().unwrap_or(0);
        let room = screen.width.map_or(usize::MAX, |width| width.saturating_sub(names + 2).max(20));
        let mut text = String::new();
        for (name, value) in said {
            let value = wrap(&value, room).join(&format!("\n{}", " ".repeat(names + 2)));
            text.push_str(&format!("{name:<names$}  {value}\n"));
        }
        for list in self.lists.iter().filter(|list| !list.items.is_empty()) {
            text.push_str(&format!("\n{}\n", screen.paint.bold(list.name)));
            text.push_str(&list.text(screen));
        }
        text
    }
}

impl List {
    fn text(&self, screen: &Screen) -> String {
        let last = self.columns.len().saturating_sub(1);
        let cell = |item: &Value, name: &str| item.get(name).map(plain).unwrap_or_default();
        let is_number = |name: &str| {
            let is = |item: &Value| {
                let text = cell(item, name);
                text.parse::<f64>().is_ok() || text.is_empty()
            };
            self.items.iter().all(is) && self.items.iter().any(|item| !cell(item, name).is_empty())
        };
        let align = |(at, name): (usize, &&'static str)| match at {
            _ if is_number(name) => (*name, Align::Right),
            at if at == last => (*name, Align::Wrap),
            _ => (*name, Align::Left),
        };
        let columns: Vec<(&str, Align)> = self.columns.iter().enumerate().map(align).collect();
        let row = |item: &Value| self.columns.iter().map(|name| cell(item, name)).collect();
        let rows: Vec<Vec<String>> = self.items.iter().map(row).collect();
        table(&columns, &rows, screen.paint, screen.width)
    }
}

/// A value as people read it: digests shortened, lists in a line, nothing for null.
fn plain(value: &Value) -> String {
    let is_digest = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    match value {
        Value::Null => String::new(),
        Value::Bool(is) => if *is { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => match number.as_f64() {
            Some(number) if !value.is_u64() && !value.is_i64() => prose::measure(number),
            _ => number.to_string(),
        },
        Value::String(text) if is_digest(text) => text.chars().take(12).collect(),
        Value::String(text) => escape::one_line(text),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| {
                format!("{} {}", escape::one_line(name), plain(value))
            };
            fields.iter().map(field).collect::<Vec<_>>().join(", ")
        }
    }
}

impl Screen {
    /// Shows one thing as it was asked for.
    pub(crate) fn card(&mut self, card: Card, format: Format) -> io::Result<()> {
        match format {
            Format::Json | Format::Yaml => self.data(&card.object(), format),
            Format::Name => self.line(card.name),
            Format::Table | Format::Wide => {
                let text = card.text(self);
                self.text(text)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::Color;
    use serde_json::json;

    #[test]
    fn a_card_reads_from_top_to_bottom_and_leaves_out_what_says_nothing() {
        let items = vec![
            json!({"stage": "train", "jobs": 4, "metrics": {"loss": 0.5, "n": 3}}),
            json!({"stage": "split", "jobs": 10, "metrics": null}),
        ];
        let columns = vec!["stage", "jobs", "metrics"];
        let card = Card {
            kind: "Run",
            name: "run-1".into(),
            fields: vec![
                ("run", json!("run-1")),
                ("ended", Value::Null),
                ("params", json!(["a=1", "b=2"])),
                ("subject", json!("ab".repeat(32))),
            ],
            lists: vec![
                List { name: "stages", columns, items },
                List { name: "outputs", columns: vec!["name"], items: Vec::new() },
            ],
        };
        let screen = Screen::new(Color::Never);
        let expect = "run      run-1\nparams   a=1, b=2\nsubject  abababababab\n\nstages\n\
            STAGE  JOBS  METRICS\ntrain     4  loss 0.5000, n 3\nsplit    10\n";
        assert_eq!(card.text(&screen), expect);
        let object = card.object();
        assert_eq!((&object["kind"], &object["version"]), (&"Run".into(), &1.into()));
        assert!(object["ended"].is_null() && object["outputs"].as_array().unwrap().is_empty());
    }
}
