//! Homes: finds the one that a verb is about, and opens it for reading.
//! Never begins one: only `apply` does.

use super::Context;
use super::args::Format;
use super::exit::{Exit, Stop};
use super::names::Names;
use super::report::prose;
use super::{network, plan};
use crate::base::time::Height;
use crate::domain::milestone::Checkpoint;
use crate::node::Clock;
use crate::node::apply::{ApplyError, Site};
use crate::node::boot;
use crate::node::client::Arriving;
use crate::node::doctor::Membership;
use crate::node::home::Home;
use crate::node::network::Chosen;
use crate::node::view::View;
use crate::node::wallet;
use std::io::{self, Write as _};
use std::ops::Deref;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, available_parallelism};
use std::time::Duration;

/// So long nothing is said while a network is waited for.
const SILENT: Duration = Duration::from_secs(1);

/// Where a command is at work: a home, and the network whose log it holds a copy of, if the home
/// has no network of its own.
#[derive(Clone)]
pub(super) struct Place {
    home: Home,
    network: Option<Box<Chosen>>,
}

/// Says where the log begins, if not with its first slot.
pub(super) fn tell_base(view: &View, format: Format, context: &mut Context) -> Result<(), Stop> {
    if view.base() > Height(0) && matches!(format, Format::Table | Format::Wide) {
        context.screen.line(prose::begins_after(view.base()))?;
    }
    Ok(())
}

impl Deref for Place {
    type Target = Home;

    fn deref(&self) -> &Home {
        &self.home
    }
}

impl Place {
    fn of(context: &Context, start: &Path) -> Result<Self, Stop> {
        let network = network::meant(context)?.map(Box::new);
        let home = match (&network, &context.home) {
            (Some(chosen), None) => Home::at(&chosen.home),
            _ => Home::find(context.home.as_deref(), start),
        };
        Ok(Self { home, network })
    }

    /// Whether there is a log to read: that of a network is somewhere.
    pub(super) fn is_begun(&self) -> bool {
        self.network.is_some() || self.home.exists()
    }

    /// Whether it has a network of its own.
    pub(super) fn is_embedded(&self) -> bool {
        self.network.is_none()
    }

    /// The file of the key that pays on the network that is meant.
    pub(super) fn payer(&self) -> Option<&Path> {
        self.network.as_ref()?.key.as_deref()
    }

    /// What the log of the network that is meant must lead by.
    pub(super) fn checkpoint(&self) -> Option<Checkpoint> {
        self.network.as_ref()?.network.checkpoint
    }

    /// The network whose log it holds a copy of, as a check-up needs to know it.
    pub(super) fn membership(&self) -> Option<Membership<'_>> {
        let chosen = self.network.as_ref()?;
        Some(Membership { genesis: &chosen.network.genesis, payer: chosen.key.as_deref() })
    }

    /// Opens it to have something done.
    pub(super) fn open(&self, workers: usize) -> Result<Site, ApplyError> {
        let Some(chosen) = &self.network else { return Site::open(self.home.clone(), workers) };
        let site = self.reach(chosen)?;
        site.must_act()?;
        Ok(site)
    }

    /// Opens it, or reads it where another process has it open.
    pub(super) fn open_or_look(&self, workers: usize) -> Result<Site, ApplyError> {
        match &self.network {
            Some(chosen) => self.reach(chosen),
            None => Site::open_or_look(self.home.clone(), workers),
        }
    }

    /// Reads it, whoever has it open.
    pub(super) fn look(&self, workers: usize) -> Result<Site, ApplyError> {
        match &self.network {
            Some(chosen) => self.reach(chosen),
            None => Site::look(self.home.clone(), workers),
        }
    }

    fn reach(&self, chosen: &Chosen) -> Result<Site, ApplyError> {
        let (clock, mut told) = (Clock::start(), 0);
        let (heard, silence) = mpsc::channel::<()>();
        let at = chosen.network.nats.join(", ");
        let teller = thread::spawn(move || {
            if silence.recv_timeout(SILENT) == Err(RecvTimeoutError::Timeout) {
                let _ = writeln!(io::stderr(), "{}", prose::waiting_for_network(&at));
            }
        });
        let mut heard = Some(heard);
        let mut waiting = |arriving: Arriving| {
            heard = None;
            let seconds = clock.now().0 / 1_000;
            let line = match arriving {
                Arriving::Behind(..) if seconds <= told => return,
                Arriving::Behind(here, there) => prose::catching_up(here, there),
                Arriving::LongAgo(long_ago) => prose::long_ago(long_ago),
            };
            told = seconds;
            // Whether or not anybody reads it, the log comes.
            let _ = writeln!(io::stderr(), "{line}");
        };
        let (network, key) = (&chosen.network, chosen.key.as_deref());
        let site = Site::reach(self.home.clone(), network, key, &mut waiting);
        drop(heard);
        // It has nothing left to say.
        let _ = teller.join();
        site
    }
}

/// The home beside a manifest, the one that was asked for, or that of the network that is meant.
pub(super) fn beside(context: &Context, manifest: &Path) -> Result<Place, Stop> {
    Place::of(context, folder(manifest))
}

/// The folder that a manifest lies in.
pub(super) fn folder(manifest: &Path) -> &Path {
    match manifest.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The home of the folder that we are in, or the one that was asked for, whatever network is meant.
pub(super) fn own(context: &Context) -> Home {
    Home::find(context.home.as_deref(), Path::new("."))
}

/// The home of the folder that we are in, the one that was asked for, or that of the network that
/// is meant, whether it exists or not.
pub(super) fn wanted(context: &Context) -> Result<Place, Stop> {
    Place::of(context, Path::new("."))
}

/// The same, which must exist.
pub(super) fn here(context: &Context) -> Result<Place, Stop> {
    let place = wanted(context)?;
    if place.is_begun() {
        return Ok(place);
    }
    let hint = match place.near(Path::new(".")) {
        Some(near) => format!("there is one in {0}: `--home {0}`, or OHC_HOME", shown(&near)),
        None => {
            "`ohc apply MANIFEST` begins one; `--home DIR` or OHC_HOME names another".to_owned()
        }
    };
    let message = format!("there is no network in {}", place.dir().display());
    Err(Stop::failed(message, Some(hint)))
}

/// Says which home is about to be begun, where nobody named one.
pub(super) fn say_begun(place: &Place, manifest: &Path, context: &Context) {
    if context.home.is_some() || !place.is_embedded() || place.is_begun() {
        return;
    }
    let near = place.near(folder(manifest));
    let near = near.map(|near| format!("; there is another in {}", shown(&near)));
    let (here, near) = (shown(place), near.unwrap_or_default());
    // Whether or not anybody reads it, it is begun.
    let _ = writeln!(io::stderr(), "note: begins a home in {here}{near}");
}

/// The folder of a home, from here where it is below.
fn shown(home: &Home) -> String {
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    let below = here.ok().and_then(|here| Some(home.dir().strip_prefix(here).ok()?.to_owned()));
    below.unwrap_or_else(|| home.dir().to_owned()).display().to_string()
}

/// Folds the log of a home that exists, though a run may be under way there, or that of a network.
pub(super) fn open(place: &Place) -> Result<(View, Names), Stop> {
    let wallets = wallet::entries(place).unwrap_or_default().into_iter();
    let wallets = wallets.filter_map(|entry| Some((entry.key.ok()?, entry.name)));
    if let Some(chosen) = &place.network {
        let site = place.reach(chosen).map_err(|error| plan::stop(&error))?;
        let names = Names::new(wallets.chain(site.names()));
        return Ok((site.into_view(), names));
    }
    let keys = boot::keys(place, boot::workers_known(place)).map_err(|e| stop(&e))?;
    let view = View::open(place, keys.client.public(), keys.validator.public());
    let names = Names::new(wallets.chain(boot::names(&keys)));
    let view = view.map_err(|error| stop(&error))?;
    say_ignored(&view);
    Ok((view, names))
}

/// Says that a snapshot was of no use; what was asked for goes on whether or not anybody reads it.
pub(super) fn say_ignored(view: &View) {
    if let Some(note) = prose::ignored(&view.snapshot) {
        let _ = writeln!(io::stderr(), "{note}");
    }
}

/// What a home that exists calls its keys; its log is left alone.
pub(super) fn names(place: &Place) -> Result<Names, Stop> {
    if let Some(chosen) = &place.network {
        return Ok(Names::new(chosen.network.names.clone()));
    }
    let keys = boot::keys(place, boot::workers_known(place)).map_err(|e| stop(&e))?;
    Ok(Names::new(boot::names(&keys)))
}

/// An error of booting, with its advice.
pub(super) fn stop(error: &boot::BootError) -> Stop {
    Stop::because(Exit::Failed, error)
}

/// Threads that this machine runs at once.
pub(super) fn cores() -> usize {
    available_parallelism().map_or(1, usize::from)
}
