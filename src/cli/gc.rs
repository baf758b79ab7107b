//! `ohc gc`: shows what in the store of a home nobody needs any more, and takes it away on request.
//! Decides nothing: `node::gc` does.

use super::Context;
use super::args::{Format, Gc};
use super::exit::{Exit, Stop};
use super::home;
use super::report::Screen;
use super::report::sheet::{Sheet, numbers, words};
use super::report::size::size;
use crate::node::gc::{self, Reason, Sweep, Tally};
use serde_json::{Value, json};

/// Jobs that are named when their results would go; the others are counted.
const LOST_SHOWN: usize = 10;

pub(super) fn gc(args: &Gc, context: &mut Context) -> Result<Exit, Stop> {
    let home = home::here(context)?;
    let (view, _) = home::open(&home)?;
    let failed = |error| Stop::because(Exit::Failed, &error);
    let sweep = gc::look(&home, &view.state, args.keep_runs).map_err(failed)?;
    let format = args.output.format;
    let done = match args.yes {
        // Nobody else can begin to use what goes while the home is ours.
        true => {
            let _own = view.into_booted().map_err(|error| home::stop(&error))?;
            Some(gc::clear(&home, &sweep).map_err(failed)?)
        }
        false => None,
    };
    show(&sweep, done, format, context)?;
    Ok(Exit::Done)
}

/// A word for a reason, and what it means.
const fn words_of(reason: Reason) -> (&'static str, &'static str) {
    match reason {
        Reason::Open => ("open", "a run that is not over needs them"),
        Reason::Cached => ("cached", "later runs may use them"),
        Reason::Fresh => ("fresh", "written a moment ago: an apply may be about to use them"),
        Reason::Old => ("old", "results of runs that are not kept"),
        Reason::Source => ("source", "sources of runs that are over: an apply brings its own"),
        Reason::Unnamed => ("unnamed", "nobody needs them: mostly states that audits began from"),
        Reason::Damaged => ("damaged", "set aside: their bytes had another digest"),
        Reason::Torn => ("torn", "half written when something crashed"),
        Reason::Orphan => ("orphan", "pins of sources that are not kept: those are read again"),
        Reason::Foreign => ("foreign", "not written by ohc"),
    }
}

fn show(
    sweep: &Sweep,
    done: Option<Tally>,
    format: Format,
    context: &mut Context,
) -> Result<(), Stop> {
    let screen = &mut context.screen;
    let (mut rows, mut items) = (Vec::new(), Vec::new());
    for (reason, tally) in &sweep.tallies {
        let (word, meaning) = words_of(*reason);
        let verdict = if reason.keeps() { "keep" } else { "delete" };
        items.push(json!({"reason": word, "keep": reason.keeps(), "files": tally.files,
            "bytes": tally.bytes}));
        let (files, bytes) = (tally.files.to_string(), size(tally.bytes));
        rows.push(vec![word.to_owned(), verdict.to_owned(), files, bytes, meaning.to_owned()]);
    }
    let (spare, is_done) = (sweep.spare(), done.is_some());
    let lost: Vec<Value> = sweep.lost.iter().map(|job| job.as_str().into()).collect();
    let fields = json!({"deleted": is_done, "files": spare.files, "bytes": spare.bytes,
        "lost": lost});
    let columns =
        vec![words("what"), words("verdict"), numbers("files"), numbers("size"), words("why")];
    let sheet = Sheet { kind: "Sweep", columns, rows, items, fields, none: "nothing is stored" };
    screen.sheet(sheet, format)?;
    if !matches!(format, Format::Table | Format::Wide) {
        return Ok(());
    }
    conclude(sweep, done, screen)
}

fn conclude(sweep: &Sweep, done: Option<Tally>, screen: &mut Screen) -> Result<(), Stop> {
    let spare = sweep.spare();
    if !sweep.lost.is_empty() {
        screen.line("")?;
        let verb = if done.is_some() { "is" } else { "would be" };
        screen.line(format!("What {verb} computed again if it is asked for:"))?;
        for job in sweep.lost.iter().take(LOST_SHOWN) {
            screen.line(format!("  {job}"))?;
        }
        let more = sweep.lost.len().saturating_sub(LOST_SHOWN);
        if more > 0 {
            screen.line(format!("  and {more} more"))?;
        }
    }
    screen.line("")?;
    match done {
        Some(done) => {
            screen.line(format!("deleted {} files, {}", done.files, size(done.bytes)))?;
        }
        None if spare == Tally::default() => screen.line("nothing to delete")?,
        None => {
            let (files, bytes) = (spare.files, size(spare.bytes));
            screen
                .line(format!("{files} files, {bytes} can be deleted: `ohc gc --yes` does it"))?;
        }
    }
    Ok(())
}
