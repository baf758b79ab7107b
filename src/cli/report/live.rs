//! Progress: shows a run while it happens, as redrawn lines, plain lines or JSON.
//! Never stops a run: a screen that cannot be written to is left alone.

use super::{Screen, escape, json, prose};
use crate::base::amount::Ohc;
use crate::base::ids::{JobId, LeaseId, RunId};
use crate::base::time::Millis;
use crate::cli::args::Format;
use crate::cli::names::Names;
use crate::domain::event::Event;
use crate::domain::plan::Plan;
use crate::domain::state::State;
use crate::node::Clock;
use crate::node::Progress;
use crate::node::embedded::{Happening, Stopped};
use crate::node::notice::Notice;
use crate::node::worker::News;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::io;

/// A running job has a plain line at most this often.
const PLAIN_EVERY_MS: u64 = 2_000;
/// And an object.
const DATA_EVERY_MS: u64 = 500;

/// How a run is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Lines that are redrawn, for a person at a terminal.
    Live,
    /// One line per thing that happened.
    Plain,
    /// One object per event.
    Data(Format),
    /// Nothing.
    Silent,
}

impl Mode {
    /// How a run is shown to whoever asked for a format.
    pub(crate) fn of(format: Format, screen: &Screen) -> Self {
        match format {
            Format::Json | Format::Yaml => Self::Data(format),
            Format::Name => Self::Silent,
            Format::Table | Format::Wide if screen.is_live => Self::Live,
            Format::Table | Format::Wide => Self::Plain,
        }
    }
}

/// What is being computed under a lease.
struct Doing {
    worker: String,
    address: String,
    /// When a plain line was last written.
    told: Millis,
    bar: Option<ProgressBar>,
}

/// Shows one run.
pub(crate) struct Watcher<'a> {
    screen: &'a mut Screen,
    names: &'a Names,
    plan: &'a Plan,
    mode: Mode,
    clock: Clock,
    bars: MultiProgress,
    total: Option<ProgressBar>,
    run: Option<RunId>,
    doing: BTreeMap<LeaseId, Doing>,
    /// What the run has cost, also before it was watched; not known before it was seen.
    spent: Option<Ohc>,
    /// Why nothing more is written.
    broken: Option<io::Error>,
}

impl<'a> Watcher<'a> {
    pub(crate) fn new(
        screen: &'a mut Screen,
        names: &'a Names,
        plan: &'a Plan,
        mode: Mode,
        clock: Clock,
    ) -> Self {
        let bars = MultiProgress::new();
        let total = (mode == Mode::Live).then(|| {
            let bar = ProgressBar::new(plan.blocks.len() as u64);
            bars.add(bar.with_style(style("{bar:30} {pos}/{len} blocks  {msg}")))
        });
        let (run, doing, spent, broken) = (None, BTreeMap::new(), None, None);
        Self { screen, names, plan, mode, clock, bars, total, run, doing, spent, broken }
    }

    /// Shows one happening.
    pub(crate) fn see(&mut self, happening: &Happening<'_>) {
        if self.broken.is_some() {
            return;
        }
        let shown = match happening {
            Happening::Following(run) => {
                self.run = Some(*run);
                Ok(())
            }
            Happening::Stopping(why) => self.stopping(*why),
            Happening::Notice(notice) => self.notice(notice),
            Happening::Folded(state, events) => self.events(state, events),
            Happening::News(news) => self.news(news),
        };
        if let Err(error) = shown.and_then(|()| self.screen.flush()) {
            self.broken = Some(error);
        }
    }

    /// Takes the redrawn lines away, and says whether all could be written.
    pub(crate) fn finish(self) -> io::Result<()> {
        if let Some(total) = &self.total {
            total.finish_and_clear();
        }
        // Bars that are cleared leave the terminal as it was; if that fails, nothing is lost.
        let _ = self.bars.clear();
        self.broken.map_or(Ok(()), Err)
    }

    /// Programs hear of it in the result.
    fn stopping(&mut self, why: Stopped) -> io::Result<()> {
        match self.mode {
            Mode::Live => self.bars.println(prose::stopping(why)),
            Mode::Plain => self.screen.line(prose::stopping(why)),
            Mode::Data(_) | Mode::Silent => Ok(()),
        }
    }

    /// Programs see that nothing comes.
    fn news(&mut self, news: &News) -> io::Result<()> {
        match (self.mode, prose::news(news)) {
            (Mode::Live, Some(line)) => self.bars.println(escape::harmless(&line, false)),
            (Mode::Plain, Some(line)) => self.screen.line(line),
            _ => Ok(()),
        }
    }

    fn notice(&mut self, notice: &Notice) -> io::Result<()> {
        match notice {
            Notice::Began { worker, lease, address, .. } => {
                self.end(*lease);
                let worker = self.names.of(worker);
                let bar = self.total.as_ref().map(|total| {
                    let bar = ProgressBar::new(0);
                    let bar = self.bars.insert_before(total, bar.with_style(style("{msg}")));
                    bar.set_message(format!("{}  {address}  {worker}", lease.block));
                    bar
                });
                let (address, told) = (address.clone(), self.clock.now());
                self.doing.insert(*lease, Doing { worker, address, told, bar });
                Ok(())
            }
            Notice::Step { lease, progress } => self.step(*lease, *progress),
        }
    }

    fn step(&mut self, lease: LeaseId, progress: Progress) -> io::Result<()> {
        let now = self.clock.now();
        let Some(doing) = self.doing.get_mut(&lease) else { return Ok(()) };
        let loss = progress.loss.map(|loss| format!("  loss {loss:.4}")).unwrap_or_default();
        let line = format!(
            "{}  {}  {}  step {}/{}{loss}",
            lease.block, doing.address, doing.worker, progress.step, progress.steps
        );
        match (&doing.bar, self.mode) {
            (Some(bar), _) => bar.set_message(line),
            (None, Mode::Plain) if now >= doing.told.after(PLAIN_EVERY_MS) => {
                doing.told = now;
                return self.screen.line(format!("running  {line}"));
            }
            (None, Mode::Data(format)) if now >= doing.told.after(DATA_EVERY_MS) => {
                doing.told = now;
                let told = json::progress(lease, &doing.address, &doing.worker, progress);
                return self.screen.data(&told, format);
            }
            _ => {}
        }
        Ok(())
    }

    fn events(&mut self, state: &State, events: &[Event]) -> io::Result<()> {
        for event in events {
            if let Mode::Data(format) = self.mode {
                self.screen.data(&json::event(event, self.names), format)?;
            }
            match event {
                Event::Settled { lease, reward, gas, .. } => {
                    // Others' runs are in the log of a network too.
                    if let Some(spent) = self.spent.filter(|_| event.run() == self.run) {
                        self.spent = Ohc::sum([spent, *reward, *gas]);
                    }
                    self.end(*lease);
                }
                Event::Lapsed { lease, .. }
                | Event::Released { lease, .. }
                | Event::Sealed { lease, .. }
                | Event::Delivered { lease, .. }
                | Event::Slashed { lease, .. } => self.end(*lease),
                _ => {}
            }
            self.say(event)?;
        }
        self.count(state);
        Ok(())
    }

    /// One line about an event of this run: on a live screen only of what went wrong.
    fn say(&mut self, event: &Event) -> io::Result<()> {
        let plan = self.plan;
        let job = |id: JobId| plan.job(id).map(ToString::to_string).unwrap_or_default();
        let stage = |block: u32| plan.name_of(block);
        let is_news = !matches!(event, Event::Settled { .. } | Event::Cached { .. });
        if matches!(self.mode, Mode::Data(_) | Mode::Silent)
            || event.run().is_none()
            || (self.run.is_some() && event.run() != self.run)
            || (self.mode == Mode::Live && (!is_news || matches!(event, Event::Ended { .. })))
        {
            return Ok(());
        }
        match prose::event(event, self.names, &job, &stage) {
            Some(line) if self.mode == Mode::Live => {
                self.bars.println(escape::harmless(&line, false))
            }
            Some(line) => self.screen.line(line),
            None => Ok(()),
        }
    }

    fn count(&mut self, state: &State) {
        let (Some(total), Some(run)) = (&self.total, self.run.and_then(|id| state.runs().get(&id)))
        else {
            return;
        };
        let all = || Ohc::sum(<[Ohc; 2]>::from(run.spent())).unwrap_or_default();
        let spent = *self.spent.get_or_insert_with(all);
        total.set_position((run.blocks.len() - run.blocks_left) as u64);
        total.set_message(format!("{spent} OhC spent"));
    }

    fn end(&mut self, lease: LeaseId) {
        if let Some(Doing { bar: Some(bar), .. }) = self.doing.remove(&lease) {
            bar.finish_and_clear();
            self.bars.remove(&bar);
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
