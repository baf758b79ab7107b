//! `ohc completions`: a script that completes command lines, for each shell that clap knows.
//! Never installs it.

use super::Context;
use super::args::{self, Completions};
use super::exit::{Exit, Stop};

pub(super) fn completions(args: &Completions, context: &mut Context) -> Result<Exit, Stop> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(), "ohc", &mut script);
    context.screen.bytes(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
