//! Presigned requests: a worker without credentials of the store has each of its requests signed by
//! a validator that has some, while it holds a lease. Never part of what the log says.

use super::wire::{Answer, Ask, Wire};
use crate::base::keys::{NetworkId, PublicKey, SecretKey, Signed};
use crate::base::limits::WIRE_BYTES_MAX;
use crate::domain::state::State;
use crate::effects::artifacts::{Act, ArtifactError, Artifacts, ObjectRequest, Presigner};
use crate::effects::bus::Bus;
use async_trait::async_trait;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender};
use std::time::Duration;
use tokio::runtime::Handle;

/// So long one validator may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Requests that wait for a validator's signature: what it signs in a few milliseconds, unless it
/// has to look for its own credentials first.
const WAITING_MAX: usize = 64;

/// Asks validators for signatures: whichever hears it.
pub(super) struct Asker {
    bus: Bus,
    wire: Wire,
    network: NetworkId,
    key: SecretKey,
}

impl Asker {
    pub(super) fn new(bus: Bus, network: NetworkId, key: SecretKey) -> Self {
        Self { bus, wire: Wire::new(network), network, key }
    }
}

impl fmt::Debug for Asker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Asker").field(&self.key.public()).finish()
    }
}

#[async_trait]
impl Presigner for Asker {
    async fn presign(&self, act: Act, path: &str) -> Option<String> {
        let request = ObjectRequest::of(act, path)?;
        let ask = Ask::Presign(self.key.seal(self.network, request));
        let question = self.wire.frame(&ask);
        let answer = self.bus.ask(&self.wire.fetch(), question, WIRE_BYTES_MAX, PATIENCE).await;
        match self.wire.unframe(&answer.ok()?, WIRE_BYTES_MAX) {
            Ok(Answer::Presigned(query)) => Some(query),
            _ => None,
        }
    }
}

/// Whether a worker may have requests signed now.
pub(super) fn is_entitled(state: &State, worker: &PublicKey) -> bool {
    state.workers().get(worker).is_some_and(|worker| !worker.leases.is_empty())
}

/// A request that somebody wants signed, and where it is waited for.
pub(super) type Wanted = (Signed<ObjectRequest>, String);

/// Signs what it is sent, on a thread of its own. Who is answered with nothing asks another
/// validator; `trouble` hears why, once while it lasts. A queue that is full takes no more.
pub(super) fn spawn_signatory(
    artifacts: Arc<Artifacts>,
    (bus, network, runtime): (Bus, NetworkId, Handle),
    trouble: impl Fn(ArtifactError) + Send + 'static,
) -> SyncSender<Wanted> {
    let (sender, wanted) = mpsc::sync_channel::<Wanted>(WAITING_MAX);
    let wire = Wire::new(network);
    std::thread::spawn(move || {
        let mut is_told = false;
        for (request, reply) in wanted {
            let Ok(request) = request.verify(network) else { continue };
            let answer = match runtime.block_on(artifacts.presign(*request.body())) {
                Ok(query) => {
                    is_told = false;
                    Answer::Presigned(query)
                }
                Err(error) => {
                    if !std::mem::replace(&mut is_told, true) {
                        trouble(error);
                    }
                    Answer::Nothing
                }
            };
            drop(bus.publish(&reply, wire.frame(&answer)));
        }
    });
    sender
}
