//! `docs/cli.md`: every verb, its arguments and its flags, from the clap tree.
//! Never describes what a verb does beyond its own help.

use super::{MADE, anchor};
use crate::cli::args::{self, GROUPS};
use clap::{Arg, Command};
use std::fmt::Write as _;

/// The whole document.
#[must_use]
pub fn commands() -> String {
    let mut root = args::command();
    root.build();
    let mut out = format!("# Command line\n\n{MADE}\n\n");
    let about = root.get_about().map(ToString::to_string).unwrap_or_default();
    let _ = writeln!(out, "{about}.\n\n```text\n{}\n```\n", usage(&mut root));
    for (group, verbs) in GROUPS {
        let _ = writeln!(out, "**{group}**\n");
        for verb in verbs.iter().filter_map(|verb| root.find_subcommand(verb)) {
            contents(verb, "ohc", 0, &mut out);
        }
        out.push('\n');
    }
    out.push_str("These may stand with every verb:\n\n");
    root.get_arguments().filter(|arg| arg.is_global_set()).for_each(|arg| self::arg(arg, &mut out));
    out.push('\n');
    after(&root, &mut out);
    for verb in GROUPS.iter().flat_map(|(_, verbs)| *verbs) {
        if let Some(verb) = root.find_subcommand_mut(verb) {
            verb_and_below(verb, "ohc", &mut out);
        }
    }
    let end = out.trim_end().len();
    out.truncate(end);
    out.push('\n');
    out
}

/// Whether the program takes a command line that a document shows: why not.
pub fn takes(words: &[String]) -> Result<(), String> {
    match args::command().try_get_matches_from(words) {
        Err(error) if error.use_stderr() => Err(error.to_string()),
        _ => Ok(()),
    }
}

/// A line of the table of contents for a verb, and one for each below it.
fn contents(verb: &Command, parent: &str, depth: usize, out: &mut String) {
    let name = format!("{parent} {}", verb.get_name());
    let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
    let indent = "  ".repeat(depth);
    let _ = writeln!(out, "{indent}- [`{name}`](#{}): {about}", anchor(&name));
    below(verb).for_each(|sub| contents(sub, &name, depth + 1, out));
}

/// The verbs below one; `help` says nothing of its own.
fn below(verb: &Command) -> impl Iterator<Item = &Command> {
    verb.get_subcommands().filter(|sub| sub.get_name() != "help")
}

fn verb_and_below(verb: &mut Command, parent: &str, out: &mut String) {
    let name = format!("{parent} {}", verb.get_name());
    let _ = writeln!(out, "## `{name}`\n");
    let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
    let _ = writeln!(out, "{about}.\n\n```text\n{}\n```\n", usage(verb));
    let own = |arg: &&Arg| !arg.is_global_set() && arg.get_id() != "help";
    let own: Vec<&Arg> = verb.get_arguments().filter(own).collect();
    own.iter().for_each(|arg| self::arg(arg, out));
    if !own.is_empty() {
        out.push('\n');
    }
    after(verb, out);
    verb.get_subcommands_mut()
        .filter(|sub| sub.get_name() != "help")
        .for_each(|sub| verb_and_below(sub, &name, out));
}

/// `ohc plan [OPTIONS] <MANIFEST>`
fn usage(command: &mut Command) -> String {
    let usage = command.render_usage().to_string();
    usage.trim_start_matches("Usage:").trim().to_owned()
}

/// One argument or flag: how it is written, what it is, and what it may be.
fn arg(arg: &Arg, out: &mut String) {
    let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let _ = write!(out, "- `{}`: {help}", written(arg));
    let values = arg.get_possible_values();
    if arg.get_action().takes_values() && !values.is_empty() {
        let names: Vec<String> =
            values.iter().map(|value| format!("`{}`", value.get_name())).collect();
        let _ = write!(out, "; {}", names.join(", "));
    }
    let defaults: Vec<_> = arg.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
    if arg.get_action().takes_values() && !defaults.is_empty() {
        let _ = write!(out, " [default: `{}`]", defaults.join(" "));
    }
    if let Some(variable) = arg.get_env() {
        let _ = write!(out, " [env: `{}`]", variable.to_string_lossy());
    }
    out.push('\n');
}

/// `-o, --output <FORMAT>`, or `<MANIFEST>`.
fn written(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    let values: Vec<String> = names.iter().map(|name| format!("<{name}>")).collect();
    let short = arg.get_short().map(|short| format!("-{short}"));
    let aliases = arg.get_visible_aliases().unwrap_or_default();
    let long = arg.get_long().into_iter().chain(aliases).map(|long| format!("--{long}"));
    let flags: Vec<String> = short.into_iter().chain(long).collect();
    let values = if arg.get_action().takes_values() { values.join(" ") } else { String::new() };
    match (flags.is_empty(), values.is_empty()) {
        (true, _) if arg.is_required_set() => values,
        (true, _) => values.replace('<', "[").replace('>', "]"),
        (false, true) => flags.join(", "),
        (false, false) => format!("{} {values}", flags.join(", ")),
    }
}

/// What stands below the help of a verb: its examples as code, all else as text.
fn after(command: &Command, out: &mut String) {
    let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    for paragraph in text.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
        match paragraph.split_once('\n') {
            Some((head, examples)) if head.starts_with("Example") => {
                let lines: Vec<&str> = examples.lines().map(str::trim).collect();
                let _ = writeln!(out, "```sh\n{}\n```\n", lines.join("\n"));
            }
            _ => {
                let _ = writeln!(out, "{paragraph}\n");
            }
        }
    }
}
