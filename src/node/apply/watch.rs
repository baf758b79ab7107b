//! Watching a run of a network that goes on without us. Never asks for anything.

use super::{ApplyError, Site, Who, busy};
use crate::base::ids::RunId;
use crate::base::keys::SecretKey;
use crate::base::time::Height;
use crate::effects::clock::fresh_seed;
use crate::node::client::{self, Course};
use crate::node::embedded::Happening;
use crate::node::home::Home;
use crate::node::record::{Recorder, Scope};
use crate::role::Signer;
use crate::role::client::Client;

impl Who {
    /// Whose runs are written about from this slot on.
    pub(super) fn scope(&self, after: Height) -> Scope {
        match self {
            Self::Home(_) => Scope::All,
            Self::Client(party) => Scope::Client(party.name(), after),
        }
    }
}

impl Site {
    /// Follows a run of a network, whoever's it is, until it is over or stands still, and writes
    /// down what happened to it, what happens, and what its workers say. `begun` hears when there
    /// is something to read.
    pub fn watch(self, run: RunId, begun: &mut dyn FnMut()) -> Result<(), ApplyError> {
        let Self { home, view, who, .. } = self;
        let Who::Client(party) = who else { return Ok(()) };
        let Some(line) = party.line else { return busy(&view).map_or(Ok(()), Err) };
        let mut recorder = Recorder::new(&home, Scope::Run(run));
        recorder.catch_up(&view, run)?;
        begun();
        // It says nothing: any name will do.
        let client = Client::about(Signer::new(SecretKey::from_bytes(&fresh_seed())), run, None);
        let mut watch = |happening: Happening<'_>| recorder.see(&happening);
        let course = Course { begun: &mut |_| {}, watch: &mut watch, is_detached: false };
        let served = client::serve(&line, view.into_booted()?, client, course)?.0;
        served?;
        recorder.finish().map_or(Ok(()), |error| Err(error.into()))
    }

    /// Writes down what the log says of a run of a network, as far as that is not written yet.
    pub fn record(&self, home: &Home, run: RunId) -> Result<(), ApplyError> {
        Ok(Recorder::new(home, Scope::Run(run)).catch_up(&self.view, run)?)
    }
}
