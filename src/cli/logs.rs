//! `ohc logs`: what the jobs of a run said and what became of them, also while another process
//! runs it. Shows the run's journal alone; on a network it has what the log and the workers say
//! written into that first, by a thread of its own if nobody else does.

use super::Context;
use super::args::{Format, Logs, RunName};
use super::curves::{self, Curves};
use super::exit::{Exit, Stop};
use super::home::{self, Place};
use super::names::Names;
use super::plan;
use super::report::journal::{Teller, Told, is_about, stages};
use super::report::{Screen, prose};
use crate::base::ids::RunId;
use crate::domain::event::Event;
use crate::node::apply::ApplyError;
use crate::node::home::Home;
use crate::node::journal::{self, Entry, JournalError, Line, Reader};
use crate::node::wall_ms;
use std::collections::{BTreeSet, VecDeque};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often a journal is looked at that somebody writes.
const POLL: Duration = Duration::from_millis(100);
/// After the end of a run its outputs are written; nobody waits longer than this for them.
const LAST_WORDS_POLLS: u32 = 50;

pub(super) fn logs(args: &Logs, context: &mut Context) -> Result<Exit, Stop> {
    let home = home::here(context)?;
    let (run, scribe) = match home.is_embedded() {
        true => (run_of(&home, args.run)?, None),
        false => reach(&home, args)?,
    };
    let reader = Reader::open(&home.runs(), run).map_err(|error| unreadable(&error))?;
    let reader = reader.ok_or_else(|| no_journal(&run.to_string()))?;
    if args.csv.is_some() || args.tensorboard.is_some() {
        return export(args, reader, context);
    }
    let names = home::names(&home)?;
    let mut follower = Follower {
        reader,
        teller: Teller::new(&names),
        since: args.since.map(|ms| wall_ms().saturating_sub(ms)),
        end: None,
        others: args.stage.is_some().then(BTreeSet::new),
        args,
        scribe,
        screen: &mut context.screen,
    };
    if args.output.format == Format::Name {
        follower.screen.line(run)?;
        return Ok(Exit::Done);
    }
    follower.show_past()?;
    if args.follow { follower.follow(run) } else { follower.missed(run) }
}

/// The run that is meant; the latest is the last one that has a journal.
fn run_of(home: &Home, name: RunName) -> Result<RunId, Stop> {
    match name {
        RunName::Run(run) => Ok(run),
        RunName::Latest => journal::last_run(&home.runs()).ok_or_else(|| no_journal("any run")),
    }
}

/// Follows a run of a network on a thread of its own, and writes its journal.
type Scribe = JoinHandle<Result<(), ApplyError>>;

/// The run of a network that is meant, with what the log says of it in its journal; and who writes
/// on, where it goes on, is to be followed, and is not by another process.
fn reach(home: &Place, args: &Logs) -> Result<(RunId, Option<Scribe>), Stop> {
    if let RunName::Run(run) = args.run
        && is_told(home, run)?
    {
        return Ok((run, None));
    }
    let site = home.look(1).map_err(|error| plan::stop(&error))?;
    let (runs, me) = (site.view().state.runs(), site.client());
    let run = match args.run {
        RunName::Run(run) => run,
        RunName::Latest => {
            let own = runs.values().rev().find(|run| run.client == me).map(|run| run.id);
            let last = own.or_else(|| journal::last_run(&home.runs()));
            last.ok_or_else(|| no_journal("any run"))?
        }
    };
    let goes_on = !runs.get(&run).ok_or_else(|| prose::no_run(run))?.is_over();
    if is_told(home, run)? {
        return Ok((run, None));
    }
    if !(goes_on && args.follow) {
        site.record(home, run).map_err(|error| plan::stop(&error))?;
        return Ok((run, None));
    }
    let (begun, ready) = mpsc::channel();
    let scribe = thread::spawn(move || {
        site.watch(run, &mut || {
            // Whoever waits for it is there until it comes.
            let _ = begun.send(());
        })
    });
    match ready.recv() {
        Ok(()) => Ok((run, Some(scribe))),
        Err(_) => Err(failed(scribe).unwrap_or_else(|| no_journal(&run.to_string()))),
    }
}

/// Why a scribe has ended, if that is not because the run did.
fn failed(scribe: Scribe) -> Option<Stop> {
    scribe.join().ok()?.err().map(|error| plan::stop(&error))
}

/// Whether the journal of a run is being written, or tells its end.
fn is_told(home: &Place, run: RunId) -> Result<bool, Stop> {
    let reader = Reader::open(&home.runs(), run).map_err(|error| unreadable(&error))?;
    let Some(mut reader) = reader else { return Ok(false) };
    let (mut end, is_written) = (None, reader.is_written());
    while let Some(line) = reader.next_line().map_err(|error| unreadable(&error))? {
        end = end_after(&line, end);
    }
    Ok(is_written || matches!(end, Some(End::Ended(_))))
}

fn no_journal(run: &str) -> Stop {
    let hint = "`ohc get runs` lists the runs; of those without a journal `ohc log show` has the \
                events";
    Stop::failed(format!("there is no journal of {run} in this home"), Some(hint.into()))
}

fn unreadable(error: &JournalError) -> Stop {
    Stop::because(Exit::Failed, error)
}

fn export(args: &Logs, mut reader: Reader, context: &mut Context) -> Result<Exit, Stop> {
    let (names, mut curves) = (Names::default(), Curves::default());
    let mut teller = Teller::new(&names);
    while let Some(line) = reader.next_line().map_err(|error| unreadable(&error))? {
        let told = teller.take(line);
        if args.stage.as_ref().is_none_or(|stage| is_about(&told.line.entry, stage)) {
            curves.take(&told);
        }
    }
    if let Some(file) = &args.csv {
        curves::write_csv(&curves, file, &mut context.screen)?;
    }
    if let Some(folder) = &args.tensorboard {
        for file in curves::write_tensorboard(&curves, folder)? {
            // The table may be on the standard output: then the names of files are not.
            if args.csv.is_none() {
                context.screen.line(file.display())?;
            }
        }
    }
    Ok(Exit::Done)
}

/// How far a run is, as its journal says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Paused(Exit),
    Ended(Exit),
}

/// How far a run is after a line of its journal.
fn end_after(line: &Line, before: Option<End>) -> Option<End> {
    let Entry::Folded { event, .. } = &line.entry else { return before };
    match event {
        Event::Ended { ending, .. } => Some(End::Ended(Exit::of_ending(ending))),
        Event::Paused { reason, .. } => Some(End::Paused(Exit::of_pause(reason))),
        Event::Resumed { .. } => None,
        _ => before,
    }
}

struct Follower<'a> {
    reader: Reader,
    teller: Teller<'a>,
    /// What is older is not shown.
    since: Option<u64>,
    end: Option<End>,
    /// The stages that were told of, as long as nothing was about the one that is wanted.
    others: Option<BTreeSet<String>>,
    args: &'a Logs,
    scribe: Option<Scribe>,
    screen: &'a mut Screen,
}

impl Follower<'_> {
    /// The next line, if there is one, and whether it is to be shown.
    fn next(&mut self) -> Result<Option<(Told, bool)>, Stop> {
        let line = self.reader.next_line().map_err(|error| unreadable(&error))?;
        let Some(line) = line else { return Ok(None) };
        self.end = end_after(&line, self.end);
        let is_young = self.since.is_none_or(|since| line.at >= since);
        let stage = self.args.stage.as_ref();
        let is_wanted = stage.is_none_or(|stage| is_about(&line.entry, stage));
        let is_shown = is_young && is_wanted;
        match &mut self.others {
            others if is_wanted => *others = None,
            Some(others) => others.extend(stages(&line.entry).map(str::to_owned)),
            None => {}
        }
        Ok(Some((self.teller.take(line), is_shown)))
    }

    /// Shows what is written so far, or the last lines of it.
    fn show_past(&mut self) -> Result<(), Stop> {
        let mut tail = VecDeque::new();
        while let Some((told, is_shown)) = self.next()? {
            match self.args.tail.map(|tail| tail as usize) {
                _ if !is_shown => {}
                None => self.print(&told)?,
                Some(0) => {}
                Some(most) => {
                    if tail.len() == most {
                        tail.pop_front();
                    }
                    tail.push_back(told);
                }
            }
        }
        tail.iter().try_for_each(|told| self.print(told))?;
        Ok(self.screen.flush()?)
    }

    /// Says that a stage is not one of a run that is over. One that goes on may still come to it.
    fn missed(&self, run: RunId) -> Result<Exit, Stop> {
        let (Some(stage), Some(others)) = (&self.args.stage, &self.others) else {
            return Ok(Exit::Done);
        };
        match self.end {
            Some(End::Ended(_)) => Err(prose::untold(run, stage, others)),
            Some(End::Paused(_)) | None => Ok(Exit::Done),
        }
    }

    fn print(&mut self, told: &Told) -> Result<(), Stop> {
        match self.args.output.format {
            Format::Json | Format::Yaml => {
                self.screen.data(&self.teller.json(told), self.args.output.format)?;
            }
            Format::Table | Format::Wide | Format::Name => {
                self.screen.line(self.teller.text(told, self.args.timestamps))?;
            }
        }
        Ok(())
    }

    /// Whether somebody may write on: another process, or a thread of this one.
    fn is_written(&self) -> bool {
        self.scribe.as_ref().is_some_and(|scribe| !scribe.is_finished()) || self.reader.is_written()
    }

    /// Shows what is written from now on, until the run is over or nobody runs it any more.
    fn follow(&mut self, run: RunId) -> Result<Exit, Stop> {
        let mut quiet = 0;
        loop {
            // Asked first: what was written before the writer went away is read below.
            let is_written = self.is_written();
            let mut is_quiet = true;
            while let Some((told, is_shown)) = self.next()? {
                is_quiet = false;
                if is_shown {
                    self.print(&told)?;
                }
            }
            self.screen.flush()?;
            quiet = if is_quiet { quiet + 1 } else { 0 };
            match self.end {
                Some(End::Ended(exit)) if !is_written || quiet >= LAST_WORDS_POLLS => {
                    return Ok(exit);
                }
                Some(End::Paused(exit)) if !is_written => return Ok(exit),
                None if !is_written => {
                    if let Some(error) = self.scribe.take().and_then(failed) {
                        return Err(error);
                    }
                    let hint = "apply its manifest again: it goes on from what is settled";
                    let message = format!("{run} is not over, and nobody runs it any more");
                    return Err(Stop::failed(message, Some(hint.into())));
                }
                _ => thread::sleep(POLL),
            }
        }
    }
}
