//! Homes: finds the one that a verb is about, and opens it for reading.
//! Never begins one: only `apply` does.

use super::Context;
use super::exit::{Exit, Stop};
use super::names::Names;
use super::report::prose;
use crate::node::boot;
use crate::node::home::Home;
use crate::node::view::View;
use crate::node::wallet;
use std::io::{self, Write as _};
use std::path::Path;
use std::thread::available_parallelism;

/// The home beside a manifest, or the one that was asked for.
pub(super) fn beside(context: &Context, manifest: &Path) -> Home {
    Home::find(context.home.as_deref(), folder(manifest))
}

/// The folder that a manifest lies in.
pub(super) fn folder(manifest: &Path) -> &Path {
    match manifest.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The home of the folder that we are in, or the one that was asked for, whether it exists or not.
pub(super) fn wanted(context: &Context) -> Home {
    Home::find(context.home.as_deref(), Path::new("."))
}

/// The same, which must exist.
pub(super) fn here(context: &Context) -> Result<Home, Stop> {
    let home = wanted(context);
    if home.exists() {
        return Ok(home);
    }
    let hint = "`ohc apply MANIFEST` begins one; `--home DIR` or OHC_HOME names another";
    let message = format!("there is no network in {}", home.dir().display());
    Err(Stop::failed(message, Some(hint.into())))
}

/// Folds the log of a home that exists, though a run may be under way there.
pub(super) fn open(home: &Home) -> Result<(View, Names), Stop> {
    let keys = boot::keys(home, boot::workers_known(home)).map_err(|e| stop(&e))?;
    let view = View::open(home, keys.client.public(), keys.validator.public());
    let wallets = wallet::entries(home).unwrap_or_default().into_iter();
    let wallets = wallets.filter_map(|entry| Some((entry.key.ok()?, entry.name)));
    let names = Names::new(wallets.chain(boot::names(&keys)));
    let view = view.map_err(|error| stop(&error))?;
    say_ignored(&view);
    Ok((view, names))
}

/// Says that a snapshot was of no use; what was asked for goes on whether or not anybody reads it.
pub(super) fn say_ignored(view: &View) {
    if let Some(note) = prose::ignored(&view.snapshot) {
        let _ = writeln!(io::stderr(), "{note}");
    }
}

/// What a home that exists calls its keys; its log is left alone.
pub(super) fn names(home: &Home) -> Result<Names, Stop> {
    let keys = boot::keys(home, boot::workers_known(home)).map_err(|e| stop(&e))?;
    Ok(Names::new(boot::names(&keys)))
}

/// An error of booting, with its advice.
pub(super) fn stop(error: &boot::BootError) -> Stop {
    Stop::because(Exit::Failed, error)
}

/// Threads that this machine runs at once.
pub(super) fn cores() -> usize {
    available_parallelism().map_or(1, usize::from)
}
