//! Records runs while they happen, for whoever looks later or from another process: events, and
//! what jobs say of themselves, thinned out. Never stops a run: what cannot be written is not.

use super::embedded::Happening;
use super::history;
use super::home::Home;
use super::notice::Notice;
use super::publish::Published;
use super::view::View;
use crate::base::canon::Encode as _;
use crate::base::ids::{JobId, LeaseId, RunId};
use crate::base::keys::PublicKey;
use crate::base::limits::JOURNAL_BYTES_MAX;
use crate::base::time::Height;
use crate::compute::Progress;
use crate::domain::event::{Event, Skip};
use crate::domain::state::State;
use crate::domain::state::run::Run;
use crate::effects::clock;
use crate::effects::journal::{self, Entry, Journal, JournalError, Line, Reader};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Between two of the points that a job always tells, it has a line at most this often.
const STEP_LINE_MS: u64 = 1_000;
/// So much is told of what happened while nobody followed a run.
const CAUGHT_UP_MAX: usize = 100_000;

/// Which runs are written about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scope {
    /// All that there are: those of an embedded network.
    All,
    /// Those of one client that began after this slot.
    Client(PublicKey, Height),
    /// One of them.
    Run(RunId),
}

/// What writes the journals of the runs that go on.
pub struct Recorder {
    folder: PathBuf,
    scope: Scope,
    books: BTreeMap<RunId, Book>,
    /// Why nothing more is written.
    broken: Option<JournalError>,
}

/// The journal of one run.
struct Book {
    journal: Journal,
    doing: BTreeMap<LeaseId, Doing>,
    is_full: bool,
}

/// What is being computed under a lease.
struct Doing {
    stage: String,
    told_ms: u64,
}

impl Recorder {
    /// A recorder for these runs of a home.
    pub(super) fn new(home: &Home, scope: Scope) -> Self {
        Self { folder: home.runs(), scope, books: BTreeMap::new(), broken: None }
    }

    /// Writes down what happened.
    pub fn see(&mut self, happening: &Happening<'_>) {
        if self.broken.is_some() {
            return;
        }
        let seen = match happening {
            Happening::Folded(state, events) => self.folded(state, events),
            Happening::Notice(notice) => self.notice(notice),
            Happening::Following(run) => {
                self.follow(*run);
                Ok(())
            }
            Happening::Stopping(_) | Happening::News(_) => Ok(()),
        };
        self.broken = seen.err();
    }

    /// A run of before is followed after all.
    fn follow(&mut self, run: RunId) {
        if !matches!(self.scope, Scope::All) && !self.books.contains_key(&run) {
            self.scope = Scope::Run(run);
        }
    }

    /// Writes down what the log says of a run and its journal does not: what happened while nobody
    /// here followed it. When that was is reckoned from the ticks since then.
    pub(super) fn catch_up(&mut self, view: &View, id: RunId) -> Result<(), JournalError> {
        let mut known = told(&self.folder, id)?;
        let (last, now) = (view.state.tick(), clock::wall_ms());
        let per_second = view.state.params().ticks_per_second.max(1);
        let (mut lines, mut name) = (Vec::new(), None);
        let folded = history::fold(view, &mut |page| {
            let Some(run) = page.state.runs().get(&id) else { return };
            name.get_or_insert_with(|| run.name.clone());
            let ticks = last.0.saturating_sub(page.state.tick().0);
            let at = now.saturating_sub(ticks.saturating_mul(1_000) / per_second);
            for event in page.events.iter().filter(|event| event.run() == Some(id)) {
                match known.get_mut(&event.to_bytes()).filter(|count| **count > 0) {
                    Some(count) => *count -= 1,
                    None => lines.extend(entries(run, event).map(|entry| Line { at, entry })),
                }
            }
        });
        // Of a log whose beginning is not here the rest is told as it comes.
        let (Some(name), Ok(_)) = (name, folded) else { return Ok(()) };
        lines.truncate(CAUGHT_UP_MAX);
        let book = open_book(&mut self.books, &self.folder, id, &name)?;
        if lines.is_empty() { Ok(()) } else { book.journal.write(&lines) }
    }

    /// Writes down where the outputs of a run lie.
    pub fn published(&mut self, run: RunId, outputs: &[Published]) {
        let Some(book) = self.books.get_mut(&run).filter(|_| self.broken.is_none()) else { return };
        let entry = |output: &Published| Entry::Published {
            output: output.name.clone(),
            file: output.file.display().to_string(),
            digest: output.digest.to_string(),
        };
        let written = book.write(outputs.iter().map(entry).collect());
        self.broken = written.err();
    }

    /// Why not all could be written.
    #[must_use]
    pub fn finish(self) -> Option<JournalError> {
        self.broken
    }

    fn folded(&mut self, state: &State, events: &[Event]) -> Result<(), JournalError> {
        let mut by_run: BTreeMap<RunId, Vec<&Event>> = BTreeMap::new();
        for event in events {
            if let Some(run) = event.run() {
                by_run.entry(run).or_default().push(event);
            }
        }
        for (id, events) in by_run {
            let Some(run) = state.runs().get(&id) else { continue };
            if !self.scope.has(run) {
                continue;
            }
            let book = open_book(&mut self.books, &self.folder, id, &run.name)?;
            let entries = events.iter().flat_map(|event| entries(run, event));
            let is_kept = |entry: &Entry| !book.is_full || is_turn(entry);
            let entries: Vec<Entry> = entries.filter(is_kept).collect();
            for event in events {
                if let Some(lease) = over(event) {
                    book.doing.remove(&lease);
                }
            }
            book.write(entries)?;
            if !book.is_full && book.journal.bytes() >= JOURNAL_BYTES_MAX {
                book.is_full = true;
                book.write(vec![Entry::Full {}])?;
            }
        }
        Ok(())
    }

    fn notice(&mut self, notice: &Notice) -> Result<(), JournalError> {
        let (Notice::Began { lease, .. } | Notice::Step { lease, .. }) = notice;
        let Some(book) = self.books.get_mut(&lease.block.run) else { return Ok(()) };
        if book.journal.bytes() >= JOURNAL_BYTES_MAX / 2 {
            return Ok(());
        }
        match notice {
            Notice::Began { worker, lease, address, .. } => {
                let stage = address.clone();
                book.doing.insert(*lease, Doing { stage: stage.clone(), told_ms: 0 });
                let (lease, worker) = (lease.to_string(), worker.to_string());
                book.write(vec![Entry::Began { lease, stage, worker }])
            }
            Notice::Step { lease, progress } => book.step(*lease, progress),
        }
    }
}

impl Scope {
    fn has(self, run: &Run) -> bool {
        match self {
            Self::All => true,
            Self::Client(client, after) => run.client == client && run.since > after,
            Self::Run(id) => run.id == id,
        }
    }
}

impl Book {
    fn write(&mut self, entries: Vec<Entry>) -> Result<(), JournalError> {
        if entries.is_empty() {
            return Ok(());
        }
        let at = clock::wall_ms();
        let lines: Vec<Line> = entries.into_iter().map(|entry| Line { at, entry }).collect();
        self.journal.write(&lines)
    }

    fn step(&mut self, lease: LeaseId, progress: &Progress) -> Result<(), JournalError> {
        let Some(doing) = self.doing.get_mut(&lease) else { return Ok(()) };
        let now = clock::wall_ms();
        // A clock that jumped back must not silence a job.
        let is_due = now.abs_diff(doing.told_ms) >= STEP_LINE_MS;
        // A job of one step says nothing that its beginning and its end do not.
        if progress.steps <= 1 || !(progress.is_point() || is_due) {
            return Ok(());
        }
        doing.told_ms = now;
        let Progress { step, steps, loss, rate, rows } = *progress;
        let stage = doing.stage.clone();
        self.write(vec![Entry::Step { stage, step, steps, loss, rate, rows }])
    }
}

/// The journal of a run; opened when it is first needed.
fn open_book<'a>(
    books: &'a mut BTreeMap<RunId, Book>,
    folder: &Path,
    run: RunId,
    name: &str,
) -> Result<&'a mut Book, JournalError> {
    use std::collections::btree_map::Entry as Slot;
    match books.entry(run) {
        Slot::Occupied(known) => Ok(known.into_mut()),
        Slot::Vacant(free) => {
            let journal = Journal::open(folder, run)?;
            let is_full = journal.bytes() >= JOURNAL_BYTES_MAX;
            let mut book = Book { journal, doing: BTreeMap::new(), is_full };
            let (id, pipeline) = (run.to_string(), name.to_owned());
            book.write(vec![Entry::Opened { version: journal::VERSION, run: id, pipeline }])?;
            Ok(free.insert(book))
        }
    }
}

/// The events that the journal of a run tells already, and how often.
fn told(folder: &Path, run: RunId) -> Result<BTreeMap<Vec<u8>, usize>, JournalError> {
    let mut told: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    let Some(mut reader) = Reader::open(folder, run)? else { return Ok(told) };
    while let Some(line) = reader.next_line()? {
        if let Entry::Folded { event, .. } = line.entry {
            *told.entry(event.to_bytes()).or_default() += 1;
        }
    }
    Ok(told)
}

/// An event with the names that stand in it, and what was measured if it settles a block.
fn entries(run: &Run, event: &Event) -> impl Iterator<Item = Entry> + use<> {
    let address = |id: JobId| run.plan.job(id).map(ToString::to_string).unwrap_or_default();
    let block = event.block().map(|block| run.plan.name_of(block.index));
    let jobs = jobs_of(event).into_iter().map(|id| (id.0, address(id))).collect();
    let mut entries = vec![Entry::Folded { event: event.clone(), block, jobs }];
    if let Event::Settled { lease, .. } = event {
        let jobs = run.plan.blocks.get(lease.block.index as usize).map(|block| &block.jobs);
        for id in jobs.into_iter().flatten() {
            let known = run.result(*id).filter(|known| known.lease == *lease);
            let Some(known) = known.filter(|known| !known.metrics.is_empty()) else { continue };
            let metric = |(name, value): &(String, f64)| (name.clone(), Some(*value));
            let metrics = known.metrics.iter().map(metric).collect();
            entries.push(Entry::Measured { stage: address(*id), metrics });
        }
    }
    entries.into_iter()
}

/// The jobs that an event names.
fn jobs_of(event: &Event) -> Vec<JobId> {
    match event {
        Event::Cached { job, .. } | Event::Failed { job, .. } => vec![*job],
        Event::Skipped { job, why, .. } => match why {
            Skip::Condition | Skip::Beaten => vec![*job],
            Skip::Needs(other) | Skip::FailFast(other) => vec![*job, *other],
        },
        Event::Disputed { segment, .. } | Event::Slashed { segment, .. } => vec![segment.job],
        _ => Vec::new(),
    }
}

/// The lease that is over with an event, so that nothing is computed under it any more.
fn over(event: &Event) -> Option<LeaseId> {
    match event {
        Event::Delivered { lease, .. }
        | Event::Sealed { lease, .. }
        | Event::Lapsed { lease, .. }
        | Event::Released { lease, .. } => Some(*lease),
        _ => None,
    }
}

/// Whether an entry is a turn of the run as a whole, which a full journal still takes.
fn is_turn(entry: &Entry) -> bool {
    let Entry::Folded { event, .. } = entry else { return false };
    matches!(event, Event::Ended { .. } | Event::Paused { .. } | Event::Resumed { .. })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::BlockId;
    use crate::effects::journal::file_of;

    const LEASE: LeaseId = LeaseId { block: BlockId { run: RunId(1), index: 0 }, attempt: 1 };

    /// A recorder of run 1, whose journal has so many bytes already.
    fn recorder(folder: &std::path::Path, bytes: u64) -> Recorder {
        let journal = Journal::open(folder, RunId(1)).unwrap();
        std::fs::File::options()
            .write(true)
            .open(file_of(folder, RunId(1)))
            .and_then(|file| file.set_len(bytes))
            .unwrap();
        drop(journal);
        let journal = Journal::open(folder, RunId(1)).unwrap();
        let book = Book { journal, doing: BTreeMap::new(), is_full: false };
        let books = BTreeMap::from([(RunId(1), book)]);
        Recorder { folder: folder.to_path_buf(), scope: Scope::All, books, broken: None }
    }

    fn began() -> Notice {
        let (worker, address) = (PublicKey([1; 32]), "train".to_owned());
        Notice::Began { worker, lease: LEASE, job: JobId(0), address }
    }

    fn lines(folder: &std::path::Path) -> usize {
        let mut reader = Reader::open(folder, RunId(1)).unwrap().unwrap();
        std::iter::from_fn(|| reader.next_line().unwrap()).count()
    }

    #[test]
    fn a_training_of_any_length_has_a_bounded_number_of_lines() {
        for steps in [1u64, 40, 100_000] {
            let dir = tempfile::tempdir().unwrap();
            let mut recorder = recorder(dir.path(), 0);
            recorder.see(&Happening::Notice(&began()));
            for step in 1..=steps {
                let progress = Progress { step, steps, ..Progress::WHOLE };
                recorder.see(&Happening::Notice(&Notice::Step { lease: LEASE, progress }));
            }
            assert!(recorder.finish().is_none());
            let lines = lines(dir.path());
            // Where a step takes long there is one line more per second.
            assert!(lines <= 2 + 300 && lines >= if steps > 1 { 40 } else { 1 }, "{lines}");
        }
    }

    #[test]
    fn steps_end_at_half_of_what_a_journal_may_have() {
        let dir = tempfile::tempdir().unwrap();
        let mut recorder = recorder(dir.path(), JOURNAL_BYTES_MAX / 2);
        let before = std::fs::metadata(file_of(dir.path(), RunId(1))).unwrap().len();
        recorder.see(&Happening::Notice(&began()));
        let progress = Progress { steps: 9, ..Progress::WHOLE };
        recorder.see(&Happening::Notice(&Notice::Step { lease: LEASE, progress }));
        assert!(recorder.finish().is_none());
        let after = std::fs::metadata(file_of(dir.path(), RunId(1))).unwrap().len();
        assert_eq!(after, before);
    }

    #[test]
    fn only_the_turns_of_a_run_go_into_a_full_journal() {
        let entry = |event: Event| Entry::Folded { event, block: None, jobs: BTreeMap::new() };
        let (run, worker) = (RunId(1), PublicKey([1; 32]));
        let added = crate::base::amount::Ohc::ZERO;
        assert!(is_turn(&entry(Event::Resumed { run, added })));
        assert!(!is_turn(&entry(Event::Released { lease: LEASE, worker })));
    }
}
