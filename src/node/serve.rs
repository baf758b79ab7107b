//! Serving: a validator's log, for whoever asks on the bus. Never waits for a reader, and never
//! reads more of the log at a time than fits into one answer.
//!
//! Two threads: one answers questions, in the order in which they come; the other says how far the
//! log goes, each second while it grows and every few seconds while it does not.

use super::gate::{ASKED_BYTES, Gate, PUT_OFF, QUESTIONS};
use super::handouts::{Handout, Handouts};
use super::wire::{
    Answer, Ask, Held, HeldInput, HeldTask, Pulse, VALIDATORS, Wire, asker, sender_of,
};
use crate::base::canon::{Decode, Encode, Reader};
use crate::base::keys::{NetworkId, PublicKey, SecretKey, Signed};
use crate::base::limits::{
    MILESTONE_BYTES_MAX, PROPOSAL_BYTES_MAX, QUESTION_BYTES_MAX, WIRE_BYTES_MAX,
};
use crate::base::time::{Height, Millis};
use crate::domain::genesis::Genesis;
use crate::domain::milestone::Milestone;
use crate::domain::slot::Head;
use crate::domain::state::{Asked as Due, Assignment, State, Task, TaskInput};
use crate::effects::artifacts::ObjectRequest;
use crate::effects::bus::{Bus, BusError, Message, Subscription};
use crate::effects::clock::Clock;
use crate::effects::store::{Store, StoreError};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Slots of one answer have so many bytes at the most; one slot of any size that may be sent fits.
const BATCH_BYTES: usize = WIRE_BYTES_MAX - 16 * 1024;
/// Questions that wait, in bytes: so many that a few who ask as much as they may leave room.
const ROOM_BYTES: usize = 8 * ASKED_BYTES;
/// How often what a worker holds is looked up, at the most.
const DESK_EVERY_MS: u64 = 20;
/// How often a log that grows is told of.
const BEAT: Duration = Duration::from_secs(1);
/// Every how many beats one that does not grow is told of.
const BEATS_IDLE: u32 = 5;

// What else is in an answer: the lengths of the slots, their number, and the last height.
const _: () = assert!(PROPOSAL_BYTES_MAX < BATCH_BYTES);
// Who asks for what comes next is given something.
const _: () = assert!(MILESTONE_BYTES_MAX < BATCH_BYTES);

/// What is served.
pub struct Log {
    /// The slots.
    pub store: Arc<Store>,
    /// What they begin with.
    pub genesis: Genesis,
    /// Who says so.
    pub key: Arc<SecretKey>,
    /// The states to go on from.
    pub handouts: Handouts,
    /// The one that was asked for last.
    open: Mutex<Option<Handout>>,
}

/// What is left to the desk.
#[derive(Debug)]
pub enum Asked {
    /// What does this worker hold, and where is that to be answered?
    Work(PublicKey, String),
    /// With which query does the store take this request, and where is that to be answered?
    Presign(Signed<ObjectRequest>, String),
    /// Somebody asks on this subject more than anybody is answered.
    Flooded(String),
}

/// Serves until it is dropped.
pub struct Server {
    subscriptions: Vec<Subscription>,
    /// Nothing is ever sent: that it goes ends the beat.
    beat: Option<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Answers questions about a log, and says how far it goes.
    pub fn start(bus: &Bus, log: Log) -> Result<Self, BusError> {
        Self::start_with(bus, log, |_| false)
    }

    /// The same, with a desk that is handed what only the validator can answer, not more of it than
    /// is worth while, and says whether it will be answered.
    pub fn start_with(
        bus: &Bus,
        log: Log,
        desk: impl Fn(Asked) -> bool + Clone + Send + 'static,
    ) -> Result<Self, BusError> {
        let network = log.genesis.network();
        let (wire, me, log) = (Wire::new(network), log.key.public(), Arc::new(log));
        let (sender, questions) = mpsc::channel();
        let (gate, put_off) = (Gate::new(QUESTIONS), Gate::new(PUT_OFF));
        let listen = |subject: &str, group| {
            let (sender, desk) = (sender.clone(), desk.clone());
            let (gate, put_off) = (gate.clone(), put_off.clone());
            bus.subscribe(subject, group, ROOM_BYTES, move |question| {
                let asker = asker(&question.subject, question.reply.as_deref());
                if asker.is_none() {
                    return true; // an answer would go where nobody waits for one
                }
                let flood = match gate.admit(asker, question.bytes.len()) {
                    Ok(()) => return sender.send(Turn::Now(question)).is_ok(),
                    Err(flood) => flood,
                };
                if flood.is_news {
                    desk(Asked::Flooded(question.subject.clone()));
                }
                match put_off.admit(asker, question.bytes.len()) {
                    Ok(()) => sender.send(Turn::Later(question)).is_ok(),
                    Err(_) => true,
                }
            })
        };
        let subscriptions = vec![
            listen(&wire.fetch_by_all(), Some(VALIDATORS))?,
            listen(&wire.fetch_of_by_all(&me), None)?,
        ];
        let (beat, over) = mpsc::channel();
        let (shared, own) = ((bus.clone(), wire.clone(), log.clone()), (bus.clone(), wire, log));
        let threads = vec![
            std::thread::spawn(move || answer_all(&questions, &shared, &gate, &desk)),
            std::thread::spawn(move || tell(&over, &own)),
        ];
        Ok(Self { subscriptions, beat: Some(beat), threads })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.subscriptions.clear();
        self.beat = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

type Shared = (Bus, Wire, Arc<Log>);

/// When a question is answered.
enum Turn {
    Now(Message),
    /// Not now, for its author has asked too much: it is told so where it would wait.
    Later(Message),
}

fn answer_all(
    turns: &Receiver<Turn>,
    (bus, wire, log): &Shared,
    gate: &Gate,
    desk: &dyn Fn(Asked) -> bool,
) {
    let (clock, mut handed) = (Clock::start(), None);
    for turn in turns {
        let (question, is_now) = match turn {
            Turn::Now(question) => (question, true),
            Turn::Later(question) => (question, false),
        };
        let Some(reply) = &question.reply else { continue };
        // Nonsense gets no answer: who asks it would make nothing of one.
        let Ok(ask) = wire.unframe(&question.bytes, QUESTION_BYTES_MAX) else { continue };
        let answer = match ask {
            Ask::Presign(_) if !is_now => Answer::Later,
            _ if !is_now => continue,
            Ask::Work { worker } => {
                // Whoever asks too often is left to ask again: what has the state has other work.
                let now = clock.now();
                if handed.is_none_or(|at: Millis| now >= at.after(DESK_EVERY_MS)) {
                    handed = Some(now);
                    desk(Asked::Work(worker, reply.clone()));
                }
                continue;
            }
            // What somebody else has heard is not asked again.
            Ask::Presign(request)
                if asker(&question.subject, Some(reply)) != sender_of(&request.author) =>
            {
                Answer::Nothing
            }
            Ask::Presign(request) => match desk(Asked::Presign(request, reply.clone())) {
                true => continue,
                false => Answer::Nothing,
            },
            ask => log.answer(ask).unwrap_or(Answer::Nothing),
        };
        let frame = wire.frame(&answer);
        gate.charge(asker(&question.subject, Some(reply)), frame.len());
        // Who asked asks again, or somebody else.
        drop(bus.publish(reply, frame));
    }
}

fn tell(over: &Receiver<()>, (bus, wire, log): &Shared) {
    let subject = wire.head(&log.key.public());
    let (mut told, mut beats) = (None, 0);
    loop {
        let last = log.store.last();
        if (told != Some(last) || beats >= BEATS_IDLE)
            && let Ok(pulse) = log.pulse()
            && bus.publish(&subject, wire.frame(&pulse)).is_ok()
        {
            (told, beats) = (Some(last), 0);
        }
        beats += 1;
        if !matches!(over.recv_timeout(BEAT), Err(RecvTimeoutError::Timeout)) {
            return;
        }
    }
}

impl Log {
    /// The log of a store that began with this genesis, and the states to go on from.
    #[must_use]
    pub fn new(
        store: Arc<Store>,
        genesis: Genesis,
        key: Arc<SecretKey>,
        handouts: Handouts,
    ) -> Self {
        Self { store, genesis, key, handouts, open: Mutex::new(None) }
    }

    fn network(&self) -> NetworkId {
        self.genesis.network()
    }

    fn answer(&self, ask: Ask) -> Result<Answer, StoreError> {
        Ok(match ask {
            Ask::Work { .. } | Ask::Presign(_) => Answer::Nothing,
            Ask::Genesis => Answer::Genesis(self.genesis.to_bytes()),
            Ask::Pulse => Answer::Pulse(self.pulse()?),
            Ask::Snapshot => self.snapshot(),
            Ask::Milestones { after } => Answer::Milestones(self.milestones(after)?),
            Ask::Part { height, part } => self.part(height, part),
            Ask::Slots { from } if from.0.max(1) <= self.store.base().0 => Answer::Pruned {
                first: self.store.base().next(),
                snapshot: self.handouts.heights().last().copied().unwrap_or_default(),
            },
            Ask::Slots { from } => {
                let slots = batch(&self.store, from, BATCH_BYTES)?;
                if slots.iter().any(|slot| slot.len() > BATCH_BYTES) {
                    return Ok(Answer::Nothing);
                }
                Answer::Slots { slots, last: self.store.last().unwrap_or_default() }
            }
        })
    }

    /// Looks into the handout of a slot, which stays open: it will be asked for again.
    fn look<T>(&self, height: Height, look: impl FnOnce(&Handout) -> Option<T>) -> Option<T> {
        // Nothing is half done where somebody panics.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.as_ref().is_none_or(|handout| handout.height() != height) {
            *open = Some(self.handouts.open(height).ok()?);
        }
        look(open.as_ref()?)
    }

    fn snapshot(&self) -> Answer {
        let last = self.handouts.heights().last().copied();
        let found = last.and_then(|height| {
            self.look(height, |handout| {
                let milestone = Box::new(handout.milestone.clone());
                Some(Answer::Snapshot { milestone, parts: handout.parts.clone() })
            })
        });
        found.unwrap_or(Answer::Nothing)
    }

    fn part(&self, height: Height, part: u32) -> Answer {
        let found = self.look(height, |handout| handout.part(part).ok());
        found.filter(|bytes| !bytes.is_empty()).map_or(Answer::Nothing, Answer::Part)
    }

    /// The changes of the set after a slot, as many as fit into one frame.
    fn milestones(&self, after: Height) -> Result<Vec<Milestone>, StoreError> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        for milestone in self.store.milestones(after) {
            let (height, record) = milestone?;
            let milestone = Milestone::from_bytes(&record)
                .map_err(|_| self.store.damaged(height, "a milestone that makes no sense"))?;
            if milestone.committed().is_some() {
                continue;
            }
            bytes += record.len();
            if bytes > BATCH_BYTES {
                break;
            }
            found.push(milestone);
        }
        Ok(found)
    }

    fn pulse(&self) -> Result<Signed<Pulse>, StoreError> {
        use crate::base::canon::Canonical;
        let height = self.store.last().unwrap_or_default();
        let head = match self.store.read(height)? {
            // A slot begins with its head, and so does a milestone; one that is durable decodes.
            Some(slot) => Head::decode(&mut Reader::new(&slot)).map(|head| head.digest()),
            None if height > Height(0) => {
                let milestone = self.store.milestone(height)?.unwrap_or_default();
                Head::decode(&mut Reader::new(&milestone)).map(|head| head.digest())
            }
            None => Ok(self.genesis.digest()),
        };
        let head = head.unwrap_or_default();
        Ok(self.key.seal(self.network(), Pulse { height, head }))
    }
}

/// What a worker holds and has not delivered, as many leases as fit into one frame.
pub(super) fn work_of(state: &State, worker: &PublicKey) -> Answer {
    let leases = state.workers().get(worker).map(|worker| worker.leases.iter());
    let leases = leases.into_iter().flatten().copied();
    let open = leases.filter(|lease| matches!(state.asked(*lease), Some(Due::Answer)));
    let mut bytes = 0;
    let fitting = open.filter_map(|lease| state.assignment(lease)).map(held).take_while(|held| {
        bytes += held.to_bytes().len();
        bytes <= BATCH_BYTES
    });
    Answer::Work(fitting.collect())
}

fn held(assignment: Assignment) -> Held {
    let place = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let input = |(name, from): (String, TaskInput)| match from {
        TaskInput::Artifact(digest) => (name, HeldInput::Artifact(digest)),
        TaskInput::Earlier { task, output } => {
            (name, HeldInput::Earlier { task: place(task), output: place(output) })
        }
    };
    let task = |task: Task| HeldTask {
        job: task.job,
        kind: task.spec.kind().to_owned(),
        spec: task.spec.to_bytes(),
        inputs: task.inputs.into_iter().map(input).collect(),
    };
    Held { lease: assignment.lease, tasks: assignment.tasks.into_iter().map(task).collect() }
}

/// Consecutive slots of a store from a height on: so many bytes at the most, and the first of them
/// however long it is.
pub(super) fn batch(
    store: &Store,
    from: Height,
    bytes_max: usize,
) -> Result<Vec<Vec<u8>>, StoreError> {
    /// What the length of a slot takes.
    const LENGTH: usize = 8;
    let (mut slots, mut bytes) = (Vec::new(), 0);
    for stored in store.iter_from(Height(from.0.max(1))) {
        let (_, slot) = stored?;
        bytes += slot.len() + LENGTH;
        if bytes > bytes_max && !slots.is_empty() {
            break;
        }
        slots.push(slot);
    }
    Ok(slots)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::boot::embedded_genesis;
    use crate::node::home::Home;

    fn log(dir: &std::path::Path) -> Log {
        let key = SecretKey::from_bytes(&[2; 32]);
        let client = SecretKey::from_bytes(&[1; 32]).public();
        let genesis = embedded_genesis(client, key.public(), [0; 32]);
        let store = Arc::new(Store::open(dir).unwrap().0);
        Log::new(store, genesis, Arc::new(key), Handouts::of(&Home::at(dir)))
    }

    #[test]
    fn an_answer_holds_as_many_slots_as_fit_into_one_frame() {
        let dir = tempfile::tempdir().unwrap();
        let log = log(dir.path());
        let slot = vec![7; PROPOSAL_BYTES_MAX / 4];
        log.store.append_many(Height(1), &[slot.as_slice(); 9]).unwrap();
        let wire = Wire::new(log.network());
        let mut from = Height(1);
        for expected in [4, 4, 1, 0] {
            let answer = log.answer(Ask::Slots { from }).unwrap();
            assert!(wire.frame(&answer).len() <= WIRE_BYTES_MAX);
            let Answer::Slots { slots, last } = answer else { panic!("{answer:?}") };
            assert_eq!((slots.len(), last), (expected, Height(9)));
            from = Height(from.0 + slots.len() as u64);
        }
    }

    #[test]
    fn a_slot_that_no_frame_holds_is_not_sent() {
        let dir = tempfile::tempdir().unwrap();
        let log = log(dir.path());
        log.store.append(Height(1), &vec![7; WIRE_BYTES_MAX]).unwrap();
        assert_eq!(log.answer(Ask::Slots { from: Height(1) }).unwrap(), Answer::Nothing);
    }

    #[test]
    fn a_pulse_is_signed_by_who_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let log = log(dir.path());
        let Ok(Answer::Pulse(pulse)) = log.answer(Ask::Pulse) else { panic!("no pulse") };
        let pulse = pulse.verify(log.network()).unwrap();
        assert_eq!(pulse.author(), log.key.public());
        assert_eq!(pulse.body().height, Height(0));
    }
}
