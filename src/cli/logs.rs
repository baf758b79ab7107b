//! `ohc logs`: what the jobs of a run said and what became of them, also while another process
//! runs it. Reads the run's journal, never the log.

use super::Context;
use super::args::{Format, Logs, RunName};
use super::curves::{self, Curves};
use super::exit::{Exit, Stop};
use super::home;
use super::names::Names;
use super::report::Screen;
use super::report::journal::{Teller, Told, is_about};
use crate::base::ids::RunId;
use crate::domain::event::Event;
use crate::node::home::Home;
use crate::node::journal::{self, Entry, JournalError, Line, Reader};
use crate::node::wall_ms;
use std::collections::VecDeque;
use std::thread;
use std::time::Duration;

/// How often a journal is looked at that somebody writes.
const POLL: Duration = Duration::from_millis(100);
/// After the end of a run its outputs are written; nobody waits longer than this for them.
const LAST_WORDS_POLLS: u32 = 50;

pub(super) fn logs(args: &Logs, context: &mut Context) -> Result<Exit, Stop> {
    let home = home::here(context)?;
    let run = run_of(&home, args.run)?;
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
        args,
        screen: &mut context.screen,
    };
    if args.output.format == Format::Name {
        follower.screen.line(run)?;
        return Ok(Exit::Done);
    }
    follower.show_past()?;
    if args.follow { follower.follow(run) } else { Ok(Exit::Done) }
}

/// The run that is meant; the latest is the last one that has a journal.
fn run_of(home: &Home, name: RunName) -> Result<RunId, Stop> {
    match name {
        RunName::Run(run) => Ok(run),
        RunName::Latest => journal::last_run(&home.runs()).ok_or_else(|| no_journal("any run")),
    }
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

struct Follower<'a> {
    reader: Reader,
    teller: Teller<'a>,
    /// What is older is not shown.
    since: Option<u64>,
    end: Option<End>,
    args: &'a Logs,
    screen: &'a mut Screen,
}

impl Follower<'_> {
    /// The next line, if there is one, and whether it is to be shown.
    fn next(&mut self) -> Result<Option<(Told, bool)>, Stop> {
        let line = self.reader.next_line().map_err(|error| unreadable(&error))?;
        let Some(line) = line else { return Ok(None) };
        self.note(&line);
        let is_young = self.since.is_none_or(|since| line.at >= since);
        let stage = self.args.stage.as_ref();
        let is_shown = is_young && stage.is_none_or(|stage| is_about(&line.entry, stage));
        Ok(Some((self.teller.take(line), is_shown)))
    }

    fn note(&mut self, line: &Line) {
        if let Entry::Folded { event, .. } = &line.entry {
            self.end = match event {
                Event::Ended { ending, .. } => Some(End::Ended(Exit::of_ending(ending))),
                Event::Paused { reason, .. } => Some(End::Paused(Exit::of_pause(reason))),
                Event::Resumed { .. } => None,
                _ => self.end,
            };
        }
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

    /// Shows what is written from now on, until the run is over or nobody runs it any more.
    fn follow(&mut self, run: RunId) -> Result<Exit, Stop> {
        let mut quiet = 0;
        loop {
            // Asked first: what was written before the writer went away is read below.
            let is_written = self.reader.is_written();
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
                    let hint = "apply its manifest again: it goes on from what is settled";
                    let message = format!("{run} is not over, and nobody runs it any more");
                    return Err(Stop::failed(message, Some(hint.into())));
                }
                _ => thread::sleep(POLL),
            }
        }
    }
}
