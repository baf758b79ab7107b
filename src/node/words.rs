//! Words: what workers say of the jobs of a run while they compute them, for whoever follows it on
//! a network. Never truth, never kept by anybody but who listens, and never waited for: what is
//! lost is lost, and no rule depends on it.
//!
//! A worker says them on a subject of the run and of its own, a few times a second at the most.
//! Who listens believes them of the worker alone that holds the lease which they are about.

use super::notice::Notice;
use super::wire::{self, Wire};
use crate::base::canon::{canonical_enum, canonical_struct};
use crate::base::ids::{JobId, LeaseId, RunId};
use crate::base::keys::{NetworkId, PublicKey, Signed};
use crate::base::limits::{WORDS_BYTES_MAX, WORDS_MAX, WORDS_ROOM_BYTES};
use crate::base::time::Millis;
use crate::compute::Progress;
use crate::domain::state::State;
use crate::domain::state::run::{Phase, Run};
use crate::effects::bus::{Bus, BusError, Message, Subscription};
use crate::role::quota::{Limits, Quota, Rate};
use std::collections::BTreeMap;
use std::sync::mpsc::Sender;

/// How long a worker gathers words before it says them.
const GATHER_MS: u64 = 250;
/// What a worker says at the most, and what of it is looked at.
const PACE: Limits = Limits {
    messages: Rate { burst: 40, second: 20 },
    bytes: Rate { burst: 8 * WORDS_BYTES_MAX as u32, second: 2 * WORDS_BYTES_MAX as u32 },
};

/// What a worker says at a time of the jobs of one run.
#[derive(Debug, Clone, PartialEq)]
pub struct Words {
    /// Greater than that of everything that it said before: what is repeated is not heard.
    pub number: u64,
    /// In the order in which it happened.
    pub words: Vec<Word>,
}
canonical_struct!(Words { number, words } tag "ohc/words/1");

/// That a job was begun, or how far it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Word {
    /// Under which lease.
    pub lease: LeaseId,
    /// Which of its jobs.
    pub job: JobId,
    /// What is said.
    pub what: What,
}
canonical_struct!(Word { lease, job, what });

/// What is said of a job.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum What {
    /// It was begun.
    Began,
    /// It came so far.
    Step {
        /// Steps done.
        step: u64,
        /// Steps in all.
        steps: u64,
        /// The training loss, where there is one and it is a number.
        loss: Option<f64>,
        /// The learning rate, where there is one.
        rate: Option<f64>,
        /// Rows that have been worked on.
        rows: u64,
    },
}
canonical_enum!(What { 1 => Began, 2 => Step { step, steps, loss, rate, rows } });

impl What {
    fn of(progress: &Progress) -> Self {
        let Progress { step, steps, loss, rate, rows } = *progress;
        let finite = |value: Option<f32>| value.filter(|v| v.is_finite()).map(f64::from);
        Self::Step { step, steps, loss: finite(loss), rate: finite(rate), rows }
    }

    fn progress(self) -> Option<Progress> {
        let Self::Step { step, steps, loss, rate, rows } = self else { return None };
        let narrow = |value: Option<f64>| value.map(|value| value as f32);
        Some(Progress { step, steps, loss: narrow(loss), rate: narrow(rate), rows })
    }
}

/// Gathers what a worker says.
pub(super) struct Speaker {
    quota: Quota,
    /// What is being computed.
    doing: BTreeMap<LeaseId, JobId>,
    gathered: BTreeMap<RunId, Vec<Word>>,
    said_at: Millis,
    number: u64,
    is_silent: bool,
}

impl Speaker {
    pub(super) fn new() -> Self {
        Self {
            quota: Quota::new(PACE),
            doing: BTreeMap::new(),
            gathered: BTreeMap::new(),
            said_at: Millis(0),
            number: 0,
            is_silent: false,
        }
    }

    /// The servers do not let it speak: it says nothing more.
    pub(super) fn hush(&mut self) {
        self.is_silent = true;
        self.gathered.clear();
    }

    /// Takes down what a thread is at.
    pub(super) fn note(&mut self, notice: &Notice) {
        let (lease, job, what) = match notice {
            Notice::Began { lease, job, .. } => {
                self.doing.insert(*lease, *job);
                (*lease, *job, What::Began)
            }
            Notice::Step { lease, progress } => {
                let Some(job) = self.doing.get(lease) else { return };
                (*lease, *job, What::of(progress))
            }
        };
        let words = self.gathered.entry(lease.block.run).or_default();
        if !self.is_silent && words.len() < WORDS_MAX {
            words.push(Word { lease, job, what });
        }
    }

    /// Nothing more is said under a lease.
    pub(super) fn end(&mut self, lease: LeaseId) {
        self.doing.remove(&lease);
    }

    /// When to say what was gathered.
    pub(super) fn deadline(&self) -> Option<Millis> {
        (!self.gathered.is_empty()).then(|| self.said_at.after(GATHER_MS))
    }

    /// What is to be said now; `wall_ms` is the time of day. What is more than it may say is lost.
    pub(super) fn say(&mut self, now: Millis, wall_ms: u64) -> Vec<(RunId, Words)> {
        self.said_at = now;
        let gathered = std::mem::take(&mut self.gathered);
        let mut said = Vec::new();
        for (run, words) in gathered.into_iter().filter(|(_, words)| !words.is_empty()) {
            // Numbers go on where an earlier process stopped.
            self.number = wall_ms.max(self.number.saturating_add(1));
            let bytes = words.len() * size_of::<Word>();
            if self.quota.admit(now, None, bytes).is_ok() {
                said.push((run, Words { number: self.number, words }));
            }
        }
        said
    }
}

/// Listens to what workers say of one run.
pub(super) struct Listener {
    run: RunId,
    wire: Wire,
    network: NetworkId,
    quota: Quota,
    /// The number of what each worker said last.
    last: BTreeMap<PublicKey, u64>,
    /// The jobs that are being computed.
    begun: BTreeMap<LeaseId, JobId>,
    _subscription: Subscription,
}

/// Something that a worker said, as it came.
pub(super) struct Spoken(Message);

impl Listener {
    /// Listens; what is heard goes into `outbox`, and comes back by [`Listener::hear`].
    pub(super) fn start<T: From<Spoken> + Send + 'static>(
        bus: &Bus,
        network: NetworkId,
        run: RunId,
        outbox: &Sender<T>,
    ) -> Result<Self, BusError> {
        let (wire, outbox) = (Wire::new(network), outbox.clone());
        let sink = move |message| outbox.send(Spoken(message).into()).is_ok();
        let subject = wire.journal_of(run);
        let _subscription = bus.subscribe(&subject, None, WORDS_ROOM_BYTES, sink)?;
        let (last, begun) = (BTreeMap::new(), BTreeMap::new());
        Ok(Self { run, wire, network, quota: Quota::new(PACE), last, begun, _subscription })
    }

    /// Tells what was said, if it is to be believed: of those who hold the leases alone.
    pub(super) fn hear(
        &mut self,
        now: Millis,
        spoken: &Spoken,
        state: &State,
        tell: &mut dyn FnMut(&Notice),
    ) {
        let Spoken(Message { subject, bytes, .. }) = spoken;
        if self.quota.admit(now, wire::sender(subject), bytes.len()).is_err() {
            return;
        }
        let Ok(said) = self.wire.unframe::<Signed<Words>>(bytes, WORDS_BYTES_MAX) else { return };
        let Some(run) = state.runs().get(&self.run) else { return };
        // Who has nothing to say costs no check of a signature.
        let worker = said.author;
        let Words { number, words } = &said.body;
        let is_new = self.last.get(&worker).is_none_or(|last| number > last);
        let is_own = |word: &Word| holds(run, &worker, word);
        if !is_new || words.len() > WORDS_MAX || !words.iter().any(is_own) {
            return;
        }
        let Ok(said) = said.verify(self.network) else { return };
        let Words { number, words } = said.body();
        self.last.insert(worker, *number);
        for word in words.iter().filter(|word| holds(run, &worker, word)) {
            self.pass_on(run, worker, word, tell);
        }
        let is_held = |lease: &LeaseId| holder(run, *lease).is_some();
        self.begun.retain(|lease, _| is_held(lease));
    }

    /// A job that somebody is at was begun, whether or not that was heard.
    fn pass_on(
        &mut self,
        run: &Run,
        worker: PublicKey,
        word: &Word,
        tell: &mut dyn FnMut(&Notice),
    ) {
        let Word { lease, job, what } = *word;
        if self.begun.insert(lease, job) != Some(job) {
            let address = run.plan.job(job).map(ToString::to_string).unwrap_or_default();
            tell(&Notice::Began { worker, lease, job, address });
        }
        if let Some(progress) = what.progress() {
            tell(&Notice::Step { lease, progress });
        }
    }
}

/// Who holds a lease of a run and has not answered yet.
fn holder(run: &Run, lease: LeaseId) -> Option<&PublicKey> {
    match &run.block(lease.block.index)?.phase {
        Phase::Leased(held) if held.id == lease => Some(&held.worker),
        _ => None,
    }
}

/// Whether a worker may say this: the job is one of those that it has under the lease.
fn holds(run: &Run, worker: &PublicKey, word: &Word) -> bool {
    let block = run.plan.blocks.get(word.lease.block.index as usize);
    holder(run, word.lease) == Some(worker)
        && block.is_some_and(|block| block.jobs.contains(&word.job))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::canon::{Decode, Encode};
    use crate::base::ids::BlockId;

    fn lease(run: u32) -> LeaseId {
        LeaseId { block: BlockId { run: RunId(run), index: 0 }, attempt: 1 }
    }

    fn began(run: u32) -> Notice {
        let (worker, address) = (PublicKey([1; 32]), "train".to_owned());
        Notice::Began { worker, lease: lease(run), job: JobId(3), address }
    }

    fn step(run: u32, step: u64) -> Notice {
        let loss = Some(if step == 1 { f32::NAN } else { 0.5 });
        let progress = Progress { step, steps: 9, loss, rate: None, rows: 4 };
        Notice::Step { lease: lease(run), progress }
    }

    #[test]
    fn words_are_gathered_by_run_and_numbered_upwards() {
        let mut speaker = Speaker::new();
        assert!(speaker.deadline().is_none());
        speaker.note(&step(1, 1)); // of a job that nobody began
        [began(1), began(2), step(1, 1), step(1, 2)].iter().for_each(|n| speaker.note(n));
        assert_eq!(speaker.deadline(), Some(Millis(GATHER_MS)));
        let said = speaker.say(Millis(300), 1_000);
        let lengths: Vec<_> = said.iter().map(|(run, said)| (run.0, said.words.len())).collect();
        assert_eq!(lengths, [(1, 3), (2, 1)]);
        assert_eq!([said[0].1.number, said[1].1.number], [1_000, 1_001]);
        let nan = said[0].1.words[1].what.progress().unwrap();
        assert_eq!((nan.step, nan.loss), (1, None), "what is no number is not said");
        assert!(speaker.say(Millis(400), 1_000).is_empty());
        speaker.end(lease(1));
        speaker.note(&step(1, 3));
        assert!(speaker.say(Millis(500), 1_000).is_empty());
    }

    #[test]
    fn r13_a_worker_says_no_more_than_fits_and_no_more_often_than_is_heard() {
        let mut speaker = Speaker::new();
        let mut said = 0;
        for round in 0..1_000 {
            speaker.note(&began(1));
            (0..2 * WORDS_MAX as u64).for_each(|n| speaker.note(&step(1, n + 2)));
            for (_, words) in speaker.say(Millis(round), round) {
                said += 1;
                let sealed = crate::base::keys::SecretKey::from_bytes(&[1; 32])
                    .seal(NetworkId(Default::default()), words);
                let bytes = sealed.to_bytes();
                assert!(bytes.len() + wire::HEADER_BYTES <= WORDS_BYTES_MAX, "{}", bytes.len());
                assert_eq!(Signed::<Words>::from_bytes(&bytes), Ok(sealed));
            }
        }
        assert!((8..=60).contains(&said), "{said} in a second");
        speaker.hush();
        speaker.note(&began(1));
        assert!(speaker.say(Millis(99_000), 0).is_empty());
    }
}
