//! How a verb is asked to report: one option with the same values everywhere.
//! Never formats anything: `report` does.

use clap::{Args, ValueEnum};

/// `-o`, in every verb that shows something.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Output {
    /// How to report: for people (table, wide), for programs (json, yaml), or names alone
    #[arg(
        short = 'o',
        long = "output",
        value_enum,
        default_value_t = Format::Table,
        value_name = "FORMAT",
        hide_possible_values = true
    )]
    pub(crate) format: Format,
}

/// How a list or an object is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people: columns, or a few lines about one thing.
    #[value(alias = "text")]
    Table,
    /// The same with all columns.
    Wide,
    /// For programs: one object per line.
    Json,
    /// The same objects as YAML, one document each.
    Yaml,
    /// Names alone, one per line.
    Name,
}

impl Format {
    /// Whether a program reads the answer.
    pub(crate) fn is_data(self) -> bool {
        matches!(self, Self::Json | Self::Yaml)
    }
}

/// How faults are reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Findings {
    /// For people: the place, the line, a hint.
    Text,
    /// For programs.
    Json,
    /// Workflow commands of GitHub Actions.
    Github,
}
