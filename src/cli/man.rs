//! `ohc man`: manual pages of the program and its verbs, from the same tree as their help.
//! Never overwrites anything but pages of its own names.

use super::Context;
use super::args::{self, Man};
use super::exit::{Exit, Stop};
use clap::Command;
use std::fs;
use std::path::Path;

pub(super) fn man(args: &Man, context: &mut Context) -> Result<Exit, Stop> {
    let mut root = args::command().disable_help_subcommand(true);
    root.build();
    if let Some(folder) = &args.out {
        let pages = write_all(&root, folder)?;
        context.screen.line(format!("{}: {pages} pages", folder.display()))?;
        return Ok(Exit::Done);
    }
    let mut command = &root;
    for word in args.verb.iter().flat_map(|words| words.split_whitespace()) {
        command = command.find_subcommand(word).ok_or_else(|| Stop::Error {
            exit: Exit::Usage,
            message: format!("there is no verb `{}`", args.verb.join(" ")),
            hint: Some("`ohc --help` lists them".to_owned()),
        })?;
    }
    context.screen.bytes(&String::from_utf8_lossy(&page(command)?))?;
    Ok(Exit::Done)
}

fn page(command: &Command) -> Result<Vec<u8>, Stop> {
    let mut page = Vec::new();
    let version = format!("ohc {}", env!("CARGO_PKG_VERSION"));
    let man = clap_mangen::Man::new(command.clone()).source(version).manual("ohc");
    man.render(&mut page)?;
    Ok(page)
}

/// Writes the page of a command and of all below it, and gives their number.
fn write_all(command: &Command, folder: &Path) -> Result<usize, Stop> {
    let failed = |path: &Path, error: std::io::Error| {
        let hint = "name a folder that you may write to".to_owned();
        Stop::failed(format!("cannot write {}: {error}", path.display()), Some(hint))
    };
    fs::create_dir_all(folder).map_err(|error| failed(folder, error))?;
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let path = folder.join(format!("{name}.1"));
    fs::write(&path, page(command)?).map_err(|error| failed(&path, error))?;
    let below = command.get_subcommands().map(|sub| write_all(sub, folder));
    Ok(1 + below.sum::<Result<usize, Stop>>()?)
}
