//! Presigned requests: a worker or client without credentials of the store has each of its requests
//! signed by a validator that has some: what a lease is good for, or what was paid for. Never part
//! of what the log says.

mod rights;

pub(super) use rights::counted;

use self::rights::Rights;
use super::wire::{Answer, Ask, Wire};
use crate::base::ids::LeaseId;
use crate::base::keys::{NetworkId, PublicKey, SecretKey, Signed};
use crate::base::limits::WIRE_BYTES_MAX;
use crate::domain::event::Event;
use crate::domain::state::State;
use crate::effects::artifacts::{Act, ArtifactError, Artifacts, ObjectRequest, Presigner};
use crate::effects::bus::Bus;
use crate::effects::clock;
use async_trait::async_trait;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::sleep;

/// So long one validator may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Who asks more than it may asks again after so long, and so often at the most: as long as one
/// that does not answer is waited for.
const LATER: Duration = Duration::from_millis(200);
const LATER_MAX: usize = 10;
/// Requests that a validator signs at a time: a few microseconds each to read, a look at the mark
/// of the store each to write.
const SIGNING_MAX: usize = 64;
/// Of these, requests to replace something: all of what lies there is read first.
const REPLACING_MAX: usize = 1;
/// So old, or so early, a request may be, in seconds: clocks differ, and what somebody has kept is
/// not to be asked again for ever.
const AGE_MAX: u64 = 600;

/// Asks validators for signatures: first whichever hears it, then one after the other.
pub(super) struct Asker {
    wire: Wire,
    network: NetworkId,
    key: SecretKey,
    is_worker: bool,
    bus: OnceLock<Bus>,
    standing: Mutex<Standing>,
}

/// What the log says of who asks, and of who may be asked.
#[derive(Default)]
struct Standing {
    lease: Option<LeaseId>,
    validators: Vec<PublicKey>,
}

impl Asker {
    /// One that asks for the leases that it holds.
    pub(super) fn worker(network: NetworkId, key: SecretKey) -> Self {
        let (bus, standing) = (OnceLock::new(), Mutex::default());
        Self { wire: Wire::new(network), network, key, is_worker: true, bus, standing }
    }

    /// One that asks for its account.
    pub(super) fn client(network: NetworkId, key: SecretKey) -> Self {
        Self { is_worker: false, ..Self::worker(network, key) }
    }

    /// From now on there is somebody to ask.
    pub(super) fn connect(&self, bus: Bus) {
        // There is one at the most.
        drop(self.bus.set(bus));
    }

    /// The log is further.
    pub(super) fn folded(&self, state: &State) {
        let leases = state.workers().get(&self.key.public()).map(|me| &me.leases);
        let lease = leases.and_then(|leases| leases.last().copied());
        let validators = state.validators().keys().copied().collect();
        *self.standing.lock().unwrap_or_else(PoisonError::into_inner) =
            Standing { lease, validators };
    }

    /// The lease to ask for, if it is one of a worker, and on which subject in this turn.
    fn standing(&self, turn: usize, inbox: &str) -> Option<(Option<LeaseId>, String)> {
        let standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        let first = usize::from(self.key.public().0[0]);
        let named = turn.checked_sub(1).and_then(|turn| {
            let place = (first + turn).checked_rem(standing.validators.len())?;
            standing.validators.get(place)
        });
        let subject = match named {
            Some(_) => self.wire.fetch_of(named, inbox),
            None => self.wire.fetch(inbox),
        };
        let lease = standing.lease.filter(|_| self.is_worker);
        (!self.is_worker || lease.is_some()).then_some((lease, subject))
    }
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Asker").field(&self.key.public()).finish()
    }
}

#[async_trait]
impl Presigner for Asker {
    async fn presign(&self, act: Act, path: &str, turn: usize) -> Option<String> {
        let bus = self.bus.get()?;
        let (lease, subject) = self.standing(turn, bus.inbox())?;
        let request = ObjectRequest::of(lease, act, path, seconds())?;
        let ask = Ask::Presign(self.key.seal(self.network, request));
        let question = self.wire.frame(&ask);
        let ask = || async {
            let answer = bus.ask(&subject, question.clone(), WIRE_BYTES_MAX, PATIENCE).await;
            self.wire.unframe(&answer.ok()?, WIRE_BYTES_MAX).ok()
        };
        answered(ask).await
    }
}

/// The query that somebody gives who may say that it is asked too much for now.
async fn answered<F: Future<Output = Option<Answer>>>(
    mut ask: impl FnMut() -> F,
) -> Option<String> {
    for _ in 0..LATER_MAX {
        match ask().await? {
            Answer::Presigned(query) => return Some(query),
            Answer::Later => sleep(LATER).await,
            _ => return None,
        }
    }
    None
}

/// The time of day, in seconds.
fn seconds() -> u64 {
    clock::wall_ms() / 1_000
}

/// Signs requests of others, as far as they have a right to them.
#[derive(Clone)]
pub(super) struct Signatory(Arc<Desk>);

struct Desk {
    artifacts: Arc<Artifacts>,
    bus: Bus,
    wire: Wire,
    network: NetworkId,
    runtime: Handle,
    rights: Mutex<Rights>,
    /// Whether nothing was ever run: the store may still be to be begun.
    is_new: AtomicBool,
    places: Arc<Semaphore>,
    looks: Semaphore,
    is_told: AtomicBool,
    trouble: Box<dyn Fn(ArtifactError) + Send + Sync>,
}

impl Signatory {
    /// One that tells `trouble` why it cannot sign, once while it lasts.
    pub(super) fn new(
        artifacts: Arc<Artifacts>,
        (bus, network, runtime): (Bus, NetworkId, Handle),
        state: &State,
        trouble: impl Fn(ArtifactError) + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Desk {
            artifacts,
            bus,
            wire: Wire::new(network),
            network,
            runtime,
            rights: Mutex::new(Rights::new(state)),
            is_new: AtomicBool::new(state.runs().is_empty()),
            places: Arc::new(Semaphore::new(SIGNING_MAX)),
            looks: Semaphore::new(REPLACING_MAX),
            is_told: AtomicBool::new(false),
            trouble: Box::new(trouble),
        }))
    }

    /// The log is further by a slot that did this.
    pub(super) fn saw(&self, state: &State, events: &[Event]) {
        self.0.rights().saw(state, events);
    }

    /// The log is further: this is what follows from it now.
    pub(super) fn folded(&self, state: &State) {
        self.0.rights().folded(state);
        self.0.is_new.store(state.runs().is_empty(), Ordering::Relaxed);
    }

    /// Signs a request, and answers there. Whoever may not have it signed, or not now, is refused:
    /// another validator may know more.
    pub(super) fn sign(&self, request: Signed<ObjectRequest>, reply: String) -> bool {
        let desk = self.0.clone();
        let is_known = desk.rights().knows(request.author, request.body.lease);
        let Some(place) = desk.places.clone().try_acquire_owned().ok().filter(|_| is_known) else {
            return false;
        };
        let is_now = seconds().abs_diff(request.body.at) <= AGE_MAX;
        let Some(request) = request.verify(desk.network).ok().filter(|_| is_now) else {
            return false;
        };
        self.0.runtime.spawn(async move {
            let answer = desk.answer(request.author(), *request.body()).await;
            desk.bus.tell(&reply, desk.wire.frame(&answer)).await;
            drop(place);
        });
        true
    }
}

impl Desk {
    fn rights(&self) -> MutexGuard<'_, Rights> {
        // Nothing is half done where somebody panics.
        self.rights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, author: PublicKey, request: ObjectRequest) -> Answer {
        if !self.rights().take(author, &request) {
            return Answer::Nothing;
        }
        let _look = match request.act {
            Act::Replace { .. } => match self.looks.try_acquire() {
                Ok(look) => Some(look),
                Err(_) => return Answer::Later,
            },
            Act::Read | Act::Look | Act::Create { .. } => None,
        };
        // An apply is what begins a store; that of a client without credentials cannot.
        let begins = request.lease.is_none() && self.is_new.load(Ordering::Relaxed);
        match self.artifacts.presign(request, begins).await {
            Ok(query) => {
                self.is_told.store(false, Ordering::Relaxed);
                query.map_or(Answer::Nothing, Answer::Presigned)
            }
            Err(error) => {
                if !self.is_told.swap(true, Ordering::Relaxed) {
                    (self.trouble)(error);
                }
                Answer::Nothing
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(answers: impl Fn(usize) -> Option<Answer>) -> (Option<String>, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let mut count = 0;
        let found = runtime.block_on(answered(|| {
            count += 1;
            std::future::ready(answers(count))
        }));
        (found, count)
    }

    #[test]
    fn who_is_put_off_asks_again_and_not_for_ever() {
        let signed = || Some(Answer::Presigned("query".into()));
        let late = |count| if count > 2 { signed() } else { Some(Answer::Later) };
        assert_eq!(asked(late), (Some("query".into()), 3));
        assert_eq!(asked(|_| Some(Answer::Later)), (None, LATER_MAX));
        assert_eq!(asked(|_| Some(Answer::Nothing)), (None, 1), "another may know more");
        assert_eq!(asked(|_| None), (None, 1));
    }
}
