//! Sheets: one answer for every way of reporting it. A list has columns and rows for people, names
//! for scripts and objects for programs. Never knows what it lists.

use super::table::{Align, table};
use super::{Screen, escape, json, yaml};
use crate::cli::args::Format;
use serde_json::Value;
use std::io;

/// One column of a sheet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    /// Its head.
    pub(crate) name: &'static str,
    /// Where its text stands.
    pub(crate) align: Align,
    /// Whether only `-o wide` shows it.
    pub(crate) is_wide: bool,
}

/// A column of words.
pub(crate) const fn words(name: &'static str) -> Column {
    Column { name, align: Align::Left, is_wide: false }
}

/// A column of numbers.
pub(crate) const fn numbers(name: &'static str) -> Column {
    Column { name, align: Align::Right, is_wide: false }
}

/// A column of sentences: the last one.
pub(crate) const fn wrapped(name: &'static str) -> Column {
    Column { name, align: Align::Wrap, is_wide: false }
}

impl Column {
    /// The same, in `-o wide` alone.
    pub(crate) const fn wide(self) -> Self {
        Self { is_wide: true, ..self }
    }
}

/// A list.
#[derive(Debug)]
pub(crate) struct Sheet {
    /// What its object is called: `RunList`.
    pub(crate) kind: &'static str,
    /// The columns; the first cell of a row is its name.
    pub(crate) columns: Vec<Column>,
    /// The rows, with all columns.
    pub(crate) rows: Vec<Vec<String>>,
    /// An object for each row that has one.
    pub(crate) items: Vec<Value>,
    /// Further fields of the object.
    pub(crate) fields: Value,
    /// What is said where there are no rows.
    pub(crate) none: &'static str,
}

impl Sheet {
    /// The list as one object.
    pub(crate) fn object(self) -> Value {
        let mut object = json::object(self.kind, self.fields);
        if let Value::Object(fields) = &mut object {
            fields.insert("items".into(), Value::Array(self.items));
        }
        object
    }

    fn table(&self, is_wide: bool, screen: &Screen) -> String {
        let is_shown = |column: &&Column| is_wide || !column.is_wide;
        let columns: Vec<(&str, Align)> =
            self.columns.iter().filter(is_shown).map(|c| (c.name, c.align)).collect();
        let row = |row: &Vec<String>| -> Vec<String> {
            let cells = std::iter::zip(&self.columns, row);
            let cells = cells.filter(|(column, _)| is_shown(column));
            // What a worker says in several lines does not look like several rows.
            cells.map(|(_, cell)| cell.replace('\n', " ")).collect()
        };
        let rows: Vec<Vec<String>> = self.rows.iter().map(row).collect();
        table(&columns, &rows, screen.paint, screen.width)
    }
}

impl Screen {
    /// Shows a list as it was asked for.
    pub(crate) fn sheet(&mut self, sheet: Sheet, format: Format) -> io::Result<()> {
        match format {
            Format::Json | Format::Yaml => self.data(&sheet.object(), format),
            Format::Name => {
                let names: Vec<&String> = sheet.rows.iter().filter_map(|row| row.first()).collect();
                names.into_iter().try_for_each(|name| self.line(name))
            }
            Format::Table | Format::Wide if sheet.rows.is_empty() => self.line(sheet.none),
            Format::Table | Format::Wide => {
                let text = sheet.table(format == Format::Wide, self);
                self.text(text)
            }
        }
    }

    /// Writes an object for programs: a line of JSON, or a document of YAML.
    pub(crate) fn data(&mut self, value: &Value, format: Format) -> io::Result<()> {
        match format {
            Format::Yaml => {
                let text = format!("---\n{}", yaml::yaml(value));
                self.text(text)
            }
            _ => self.line(escape::json(&value.to_string())),
        }
    }
}
