//! Signals: Ctrl-C and SIGTERM. The first asks the network to stop, the second does not wait for
//! it; where no network runs, the first ends the process. Never says anything.

use super::exit::Exit;
use crate::node::embedded::{Handle, Stopped};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::signal::unix::{SignalKind, signal};

/// Waits for signals, on a thread of its own, until the process ends.
#[derive(Clone, Default)]
pub(super) struct Signals(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    network: Option<Handle>,
    is_raised: bool,
}

impl Signals {
    /// From now on signals are ours. `quit` ends the process at once.
    pub(super) fn start(quit: fn(u8) -> !) -> Self {
        let signals = Self::default();
        let own = signals.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            // Without one a signal does what it does to any process: it ends it.
            if let Ok(runtime) = runtime {
                runtime.block_on(own.wait(quit));
            }
        });
        signals
    }

    async fn wait(self, quit: fn(u8) -> !) {
        let interrupt = signal(SignalKind::interrupt());
        let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, signal(SignalKind::terminate()))
        else {
            return;
        };
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            let mut seen = self.seen();
            match &seen.network {
                Some(network) if !seen.is_raised => network.stop(Stopped::Interrupted),
                _ => quit(Exit::Interrupted.code()),
            }
            seen.is_raised = true;
        }
    }

    /// The network that runs from now on, if one does.
    pub(super) fn serve(&self, network: Option<Handle>) {
        self.seen().network = network;
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
