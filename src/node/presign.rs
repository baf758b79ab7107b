//! Presigned requests: a worker without credentials of the store has each of its requests signed by
//! a validator that has some, while it holds a lease. Never part of what the log says.

use super::wire::{Answer, Ask, Wire};
use crate::base::ids::LeaseId;
use crate::base::keys::{NetworkId, PublicKey, SecretKey, Signed};
use crate::base::limits::WIRE_BYTES_MAX;
use crate::domain::state::{State, Worker};
use crate::effects::artifacts::{Act, ArtifactError, Artifacts, ObjectRequest, Presigner};
use crate::effects::bus::Bus;
use async_trait::async_trait;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
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
/// Requests that a validator signs at a time: a few microseconds each, unless it has to look for
/// its own credentials first.
const SIGNING_MAX: usize = 64;
/// Of these, requests to replace something: all of what lies there is read first.
const REPLACING_MAX: usize = 1;

/// Asks validators for signatures: first whichever hears it, then one after the other.
pub(super) struct Asker {
    wire: Wire,
    network: NetworkId,
    key: SecretKey,
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
    pub(super) fn new(network: NetworkId, key: SecretKey) -> Self {
        let (bus, standing) = (OnceLock::new(), Mutex::default());
        Self { wire: Wire::new(network), network, key, bus, standing }
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

    /// The lease to ask for, and on which subject in this turn.
    fn standing(&self, turn: usize, inbox: &str) -> Option<(LeaseId, String)> {
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
        Some((standing.lease?, subject))
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
        let request = ObjectRequest::of(lease, act, path)?;
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

/// Signs requests of workers for the leases that they hold.
#[derive(Clone)]
pub(super) struct Signatory(Arc<Desk>);

struct Desk {
    artifacts: Arc<Artifacts>,
    bus: Bus,
    wire: Wire,
    network: NetworkId,
    runtime: Handle,
    held: RwLock<BTreeSet<(PublicKey, LeaseId)>>,
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
        trouble: impl Fn(ArtifactError) + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Desk {
            artifacts,
            bus,
            wire: Wire::new(network),
            network,
            runtime,
            held: RwLock::default(),
            places: Arc::new(Semaphore::new(SIGNING_MAX)),
            looks: Semaphore::new(REPLACING_MAX),
            is_told: AtomicBool::new(false),
            trouble: Box::new(trouble),
        }))
    }

    /// The log is further: these are the leases that are held now.
    pub(super) fn folded(&self, state: &State) {
        let of = |(key, worker): (&PublicKey, &Worker)| {
            let key = *key;
            worker.leases.clone().into_iter().map(move |lease| (key, lease))
        };
        let held = state.workers().iter().flat_map(of).collect();
        *self.0.held.write().unwrap_or_else(PoisonError::into_inner) = held;
    }

    /// Signs a request, and answers there. Whoever may not have it signed, or not now, is refused:
    /// another validator may know more.
    pub(super) fn sign(&self, request: Signed<ObjectRequest>, reply: String) -> bool {
        let desk = self.0.clone();
        let holder = (request.author, request.body.lease);
        let is_held = desk.held.read().unwrap_or_else(PoisonError::into_inner).contains(&holder);
        let Some(place) = desk.places.clone().try_acquire_owned().ok().filter(|_| is_held) else {
            return false;
        };
        let Ok(request) = request.verify(desk.network) else { return false };
        self.0.runtime.spawn(async move {
            let answer = desk.answer(*request.body()).await;
            desk.bus.tell(&reply, desk.wire.frame(&answer)).await;
            drop(place);
        });
        true
    }
}

impl Desk {
    async fn answer(&self, request: ObjectRequest) -> Answer {
        let _look = match request.act {
            Act::Replace => match self.looks.try_acquire() {
                Ok(look) => Some(look),
                Err(_) => return Answer::Later,
            },
            Act::Read | Act::Look | Act::Create => None,
        };
        match self.artifacts.presign(request).await {
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
