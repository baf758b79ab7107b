//! `ohc explain`: what may stand under a key of a manifest, and what it means.
//! Never reads a manifest: it tells of the grammar.

use super::Context;
use super::args::Explain;
use super::exit::{Exit, Stop};
use super::report::Screen;
use super::report::table::wrap;
use crate::domain::manifest::outline::{self, Key, Kind, Section, Topic};
use std::io;

/// How wide a text is that goes into a pipe.
const WIDTH: usize = 80;
/// How far a text stands from the edge.
const INDENT: &str = "    ";

pub(super) fn explain(args: &Explain, context: &mut Context) -> Result<Exit, Stop> {
    let path = args.path.as_deref().unwrap_or_default();
    let topic = outline::find(path).map_err(|hint| Stop::Error {
        exit: Exit::Usage,
        message: format!("there is no `{path}` in a manifest"),
        hint: hint.or(Some("`ohc explain` lists the keys at the top".to_owned())),
    })?;
    let screen = &mut context.screen;
    match topic {
        Topic::Document(section) => document(&section, screen)?,
        Topic::Kind(kind) => self::kind(kind, screen)?,
        Topic::Key(path, key) => self::key(&path, key, screen)?,
    }
    Ok(Exit::Done)
}

fn document(section: &Section, screen: &mut Screen) -> io::Result<()> {
    paragraph(section.doc, "", screen)?;
    keys(section, screen)?;
    for key in section.keys.iter().filter(|key| key.name() == "spec") {
        key.below().iter().try_for_each(|spec| keys(spec, screen))?;
    }
    let names: Vec<&str> = outline::kinds().map(Kind::name).collect();
    heading("kinds of stages", screen)?;
    paragraph(&names.join(", "), INDENT, screen)
}

fn key(path: &str, key: Key, screen: &mut Screen) -> io::Result<()> {
    let path = screen.paint.bold(path);
    screen.line(format!("{path}: {}", key.ty()))?;
    if let Some(need) = key.need() {
        screen.line(need)?;
    }
    screen.line("")?;
    paragraph(key.doc(), INDENT, screen)?;
    if let Some(example) = key.example() {
        heading("example", screen)?;
        paragraph(&format!("{}: {example}", key.name()), INDENT, screen)?;
    }
    key.below().iter().try_for_each(|section| keys(section, screen))?;
    if key.is_by_kind() {
        heading("by kind", screen)?;
        for kind in outline::kinds() {
            screen.line(format!("{INDENT}{}.with", kind.name()))?;
        }
    }
    Ok(())
}

fn kind(kind: Kind, screen: &mut Screen) -> io::Result<()> {
    let name = screen.paint.bold(&format!("uses: {}", kind.name()));
    screen.line(name)?;
    screen.line("")?;
    paragraph(kind.doc(), INDENT, screen)?;
    heading("example", screen)?;
    kind.example().lines().try_for_each(|line| screen.line(format!("{INDENT}{line}")))?;
    if let Some(inputs) = kind.inputs() {
        heading("inputs", screen)?;
        for input in inputs {
            let optional = if input.optional { ", optional" } else { "" };
            let many = if input.many { ", or several" } else { "" };
            screen.line(format!("{INDENT}{}: {}{many}{optional}", input.name, input.good))?;
            paragraph(input.doc, &INDENT.repeat(2), screen)?;
        }
    }
    heading("outputs", screen)?;
    match kind.outputs() {
        None => screen.line(format!("{INDENT}the parts that its settings name"))?,
        Some(outputs) => {
            for (name, good) in outputs {
                screen.line(format!("{INDENT}{name}: {good}"))?;
            }
        }
    }
    if !kind.metrics().is_empty() {
        heading("metrics", screen)?;
        for (name, doc) in kind.metrics() {
            paragraph(&format!("{name}: {doc}"), INDENT, screen)?;
        }
    }
    keys(&kind.with(), screen)
}

fn heading(text: &str, screen: &mut Screen) -> io::Result<()> {
    let text = screen.paint.bold(text);
    screen.line("")?;
    screen.line(text)
}

/// The keys of a mapping: what may stand there, and what for.
fn keys(section: &Section, screen: &mut Screen) -> io::Result<()> {
    if section.keys.is_empty() {
        return Ok(());
    }
    let title = if section.is_choice { "one of these keys" } else { "keys" };
    heading(&format!("{title} of {}", section.name), screen)?;
    for key in &section.keys {
        // Of a choice one is written, and none has a default.
        let need = key.need().filter(|_| !section.is_choice);
        let need = need.map_or_else(String::new, |need| format!("; {need}"));
        paragraph(&format!("{}: {}{need}", key.name(), key.ty()), INDENT, screen)?;
        paragraph(key.doc(), &INDENT.repeat(2), screen)?;
    }
    Ok(())
}

fn paragraph(text: &str, indent: &str, screen: &mut Screen) -> io::Result<()> {
    let room = screen.width.unwrap_or(WIDTH).saturating_sub(indent.len()).max(20);
    wrap(text, room).iter().try_for_each(|line| screen.line(format!("{indent}{line}")))
}
