//! Applies a pipeline on the embedded network of a home: forecast, budget, run, outputs.
//! Joins the parts in their order and decides what no role or rule decides: whether there is
//! anything to do at all. Writes no prose.

mod applied;
mod bring;
mod budget;
mod error;
mod watch;

pub use applied::Applied;
pub use error::ApplyError;

use super::attach::{Errand, Host};
use super::boot::{self, BootError, Keys};
use super::client::{self, Arriving, Course, Line};
use super::embedded::{self, Embedded, Failure, Handle, Happening, Stopped};
use super::home::Home;
use super::link::{self, LinkError};
use super::network::Network;
use super::pipeline::Pipeline;
use super::presign::Asker;
use super::publish::{self, Evaluated, Origin, Published};
use super::record::Recorder;
use super::view::View;
use super::work::Bench;
use crate::base::amount::{Ohc, Rounding};
use crate::base::canon::{Digest, Encode};
use crate::base::ids::{JobId, RunId};
use crate::base::keys::{PublicKey, SecretKey};
use crate::base::limits::REPRICES_MAX;
use crate::base::time::Height;
use crate::domain::classes::Classes;
use crate::domain::command::{Command, Submission};
use crate::domain::event::Reject;
use crate::domain::forecast::{self, Fate, Forecast, Stall, Wish};
use crate::domain::genesis::Params;
use crate::domain::price::{self, Quote};
use crate::domain::state::State;
use crate::domain::state::run::{Known, Run, Status};
use crate::effects::artifacts::{Artifacts, Presigner};
use crate::effects::clock::Clock;
use crate::effects::journal::JournalError;
use crate::effects::store::{Store, StoreError};
use crate::effects::{Peril, pass};
use crate::role::Signer;
use crate::role::client::Client;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Runtime;

/// A home whose log was read, for one client and so many workers.
pub struct Site {
    home: Home,
    runtime: Runtime,
    view: View,
    who: Who,
    /// Answers other processes, if this one has the home open.
    host: Option<Host>,
}

/// Whom a site speaks for, and who else takes part.
enum Who {
    /// All of an embedded network.
    Home(Box<Keys>),
    /// The client of a network.
    Client(Box<Party>),
}

/// A client of a network.
struct Party {
    network: Network,
    /// The file of its key, and whose it is; whoever only reads has none.
    key: Option<(PathBuf, PublicKey)>,
    /// None where another process has the log.
    line: Option<Line>,
}

impl Party {
    /// Whose key pays; nobody's where there is none.
    fn name(&self) -> PublicKey {
        self.key.as_ref().map_or(PublicKey([0; 32]), |(_, me)| *me)
    }
}

/// How a run ended or was left, and everything that is known then.
pub struct Finished {
    /// The run, if it came to be one.
    pub run: Option<RunId>,
    /// Why it was left before its end, if it was.
    pub stopped: Option<Stopped>,
    /// Whether nothing goes on now that this process does not go on with.
    pub is_embedded: bool,
    /// The state after the last slot.
    pub state: State,
    /// The outputs, if the run is settled.
    pub outputs: Vec<Published>,
    /// What its evaluations found.
    pub findings: Vec<Evaluated>,
    /// Why the journal of the run is not whole, if it is not.
    pub unrecorded: Option<JournalError>,
}

/// What is left of a site when its network has stopped.
struct Served {
    finished: Finished,
    recorder: Recorder,
    artifacts: Arc<Artifacts>,
    runtime: Runtime,
    /// The home stays this process's own until its outputs are written: two that write the same
    /// ones at once would take each other's drafts away.
    _home: (Option<Host>, Arc<Store>),
}

/// How a network is shown while it runs, and how it is stopped.
pub struct Hooks<'a> {
    /// Is handed a way to speak to the network, and the runtime to wait for a reason on.
    pub begun: &'a mut dyn FnMut(Handle, &Runtime),
    /// Is told what happens.
    pub watch: &'a mut dyn FnMut(Happening<'_>),
    /// Whether a run on a network is left to it as soon as it is known.
    pub is_detached: bool,
}

impl Site {
    /// Opens a home for so many workers; begins a network there if none was begun. From now on
    /// other processes read the log through this one.
    pub fn open(home: Home, workers: usize) -> Result<Self, ApplyError> {
        let keys = boot::keys(&home, workers)?;
        let (client, validator) = (keys.client.public(), keys.validator.public());
        let booted = match boot::boot(&home, client, validator) {
            Err(BootError::Store(StoreError::Busy { .. })) => {
                let view = View::open(&home, client, validator)?;
                match busy(&view) {
                    Some(busy) => return Err(busy),
                    // It has ended while we asked what it is at: the home is ours.
                    None => view.into_booted()?,
                }
            }
            booted => booted?,
        };
        let genesis = booted.genesis.to_bytes();
        // Where there can be no socket nobody is helped by not running either.
        let host = Host::start(&home, booted.store.clone(), genesis).ok();
        let (view, who) = (View::of(booted), Who::Home(Box::new(keys)));
        Ok(Self { home, runtime: start_runtime()?, view, who, host })
    }

    /// Opens the copy of a network's log in a home, as far as the network is now: where another
    /// process has it open, as far as that one is. `told` hears how far it has to go.
    pub fn reach(
        home: Home,
        network: &Network,
        key: Option<&Path>,
        told: &mut dyn FnMut(Arriving),
    ) -> Result<Self, ApplyError> {
        let runtime = start_runtime()?;
        let key = key.map(|path| Ok::<_, LinkError>((path.to_owned(), link::key(path)?.public())));
        let key = key.transpose()?;
        let party =
            |key, line| Who::Client(Box::new(Party { network: network.clone(), key, line }));
        // Whoever only reads needs no name.
        let me = key.as_ref().map_or(PublicKey(network.id().0.0), |(_, me)| *me);
        let asker = match key.as_ref().filter(|_| network.is_presigned) {
            Some((file, _)) => Some(Arc::new(Asker::client(network.id(), link::key(file)?))),
            None => None,
        };
        let presigner = || asker.clone().map(|asker| asker as Arc<dyn Presigner>);
        let connected = |line: &Line, view: &View| {
            if let Some(asker) = &asker {
                asker.connect(line.bus().clone());
                asker.folded(&view.state);
            }
        };
        let booted = match link::open(network, &home, presigner()) {
            Err(LinkError::Boot(BootError::Store(StoreError::Busy { .. }))) => {
                let view = View::attached(&home, link::artifacts(network, &home, presigner())?)?;
                // What lies here can be read without anybody.
                if asker.is_some()
                    && let Ok(line) = Line::connect(network, &me, &runtime)
                {
                    connected(&line, &view);
                }
                let who = party(key, None);
                return Ok(Self { home, runtime, view, who, host: None });
            }
            booted => booted?,
        };
        let host = Host::start(&home, booted.store.clone(), booted.genesis.to_bytes()).ok();
        let line = Line::connect(network, &me, &runtime)?;
        let view = View::of(client::arrive(&line, booted, told)?);
        connected(&line, &view);
        let who = party(key, Some(line));
        Ok(Self { home, runtime, view, who, host })
    }

    /// Why nothing can be run here: another process is at it, or there is no key that pays.
    pub fn must_act(&self) -> Result<(), ApplyError> {
        match &self.who {
            Who::Client(party) if party.key.is_none() => Err(ApplyError::NoKey),
            _ => busy(&self.view).map_or(Ok(()), Err),
        }
    }

    /// Opens a home, or reads it if another process has it open.
    pub fn open_or_look(home: Home, workers: usize) -> Result<Self, ApplyError> {
        match Self::open(home.clone(), workers) {
            Err(ApplyError::Busy { .. }) => Self::look(home, workers),
            opened => opened,
        }
    }

    /// Reads a home for so many workers, whoever has it open; begins a network there if none was
    /// begun.
    pub fn look(home: Home, workers: usize) -> Result<Self, ApplyError> {
        let keys = boot::keys(&home, workers)?;
        let view = View::open(&home, keys.client.public(), keys.validator.public())?;
        Ok(Self {
            home,
            runtime: start_runtime()?,
            view,
            who: Who::Home(Box::new(keys)),
            host: None,
        })
    }

    /// What follows from the log.
    #[must_use]
    pub fn view(&self) -> &View {
        &self.view
    }

    /// The same alone: nothing more is done here.
    #[must_use]
    pub fn into_view(self) -> View {
        self.view
    }

    /// The same, to follow it or to speak to the process that has the home open.
    pub fn view_mut(&mut self) -> &mut View {
        &mut self.view
    }

    /// The folder that the outputs of a run are written below, if it is known here.
    #[must_use]
    pub fn folder(&self, run: &Run) -> Option<PathBuf> {
        let bytes = self.view.store()?.get_own(&folder_of(run.subject)).ok()??;
        String::from_utf8(bytes).ok().map(PathBuf::from)
    }

    /// Whom this home speaks for.
    #[must_use]
    pub fn client(&self) -> PublicKey {
        match &self.who {
            Who::Home(keys) => keys.client.public(),
            Who::Client(party) => party.name(),
        }
    }

    /// Workers that bid where nobody does yet.
    fn workers(&self) -> usize {
        match &self.who {
            Who::Home(keys) => keys.workers.len(),
            Who::Client(_) => 1,
        }
    }

    /// Whether it is this process that computes.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        matches!(self.who, Who::Home(_))
    }

    /// What the keys of those who take part are called.
    #[must_use]
    pub fn names(&self) -> Vec<(PublicKey, String)> {
        match &self.who {
            Who::Home(keys) => boot::names(keys),
            Who::Client(party) => party.network.names.clone().into_iter().collect(),
        }
    }

    /// What applying a pipeline would do.
    pub fn forecast(&self, pipeline: &Pipeline) -> Result<Forecast, ApplyError> {
        self.forecast_again(pipeline, &[])
    }

    /// What applying a pipeline would do if these stages, and all that depends on them, are run
    /// again though their results are settled.
    pub fn forecast_again(
        &self,
        pipeline: &Pipeline,
        again: &[String],
    ) -> Result<Forecast, ApplyError> {
        let artifacts = &self.view.artifacts;
        // A store that cannot be asked has nothing: the job is run again.
        let is_present =
            |digest: &Digest| self.runtime.block_on(artifacts.has(*digest)).unwrap_or(false);
        let (client, workers) = (self.client(), self.workers());
        outlook(&self.view.state, pipeline, client, workers, again, &is_present)
    }

    /// What a pipeline would cost if nothing were known.
    pub fn list_price(&self, pipeline: &Pipeline) -> Result<Quote, ApplyError> {
        let (client, workers) = (self.client(), self.workers());
        let nothing = State::new(&self.view.genesis);
        Ok(outlook(&nothing, pipeline, client, workers, &[], &|_| false)?.quote)
    }

    /// Whether a run of this pipeline is not over: its escrow is locked, so somebody must end it.
    #[must_use]
    pub fn open_run(&self, pipeline: &Pipeline) -> Option<&Run> {
        self.runs(pipeline).find(|run| !run.is_over())
    }

    /// The last run of this pipeline, whatever came of it.
    #[must_use]
    pub fn last_run(&self, pipeline: &Pipeline) -> Option<&Run> {
        self.runs(pipeline).next()
    }

    /// The runs of this pipeline, the last one first.
    fn runs(&self, pipeline: &Pipeline) -> impl Iterator<Item = &Run> {
        let client = self.client();
        let ours = move |run: &&Run| run.client == client && run.name == pipeline.manifest.name;
        self.view.state.runs().values().rev().filter(ours)
    }

    /// Writes the outputs of a pipeline of which everything is known, and says what its evaluations
    /// found.
    pub fn publish(
        &self,
        pipeline: &Pipeline,
        forecast: &Forecast,
        base: &Path,
    ) -> Result<(Vec<Published>, Vec<Evaluated>), ApplyError> {
        let known = |job: JobId| match forecast.fates.get(job.index()) {
            Some(Fate::Cached(known)) => Some(known.clone()),
            _ => None,
        };
        let (artifacts, state) = (&self.view.artifacts, &self.view.state);
        let origin = Origin { artifacts, runtime: self.runtime.handle(), state };
        let is_gone = |job: JobId| forecast.fates.get(job.index()).is_some_and(Fate::is_gone);
        let outputs = publish::publish(&origin, pipeline, base, &known, &is_gone)?;
        Ok((outputs, publish::findings(&origin, pipeline, &known)))
    }

    fn submission(&self, pipeline: &Pipeline, forecast: &Forecast, budget: Ohc) -> Submission {
        Submission {
            manifest: pipeline.text.clone(),
            params: pipeline.params.clone().into_iter().collect(),
            pins: pipeline.pins.clone(),
            budget,
            fresh: forecast.fresh(),
        }
    }

    /// Runs a pipeline to its end and writes its outputs below `base`.
    pub fn run(
        self,
        pipeline: &Pipeline,
        forecast: &Forecast,
        budget: Ohc,
        base: &Path,
        hooks: Hooks<'_>,
    ) -> Result<Finished, ApplyError> {
        publish::prepare(pipeline, base)?;
        let this = self.bring(pipeline)?;
        let submission = this.submission(pipeline, forecast, budget);
        if let (Some(store), Ok(folder)) = (this.view.store(), base.canonicalize()) {
            // For a resume, which knows the run and not where its manifest lies.
            let (name, folder) = (folder_of(submission.subject()), folder.display().to_string());
            if store.get_own(&name)?.as_deref() != Some(folder.as_bytes()) {
                store.put_own(&name, folder.as_bytes())?;
                pass(Peril::FolderKept);
            }
        }
        let bond = dearest_bond(forecast, this.view.state.params());
        let name = pipeline.manifest.name.clone();
        let client = |signer| Client::new(signer, name, submission);
        let served = this.serve(client, bond, hooks)?;
        served.publish(pipeline, base)
    }

    /// Lets a run of a pipeline go on to its end, after something was done about it or not, and
    /// writes its outputs below `base`.
    pub fn go_on(
        self,
        run: RunId,
        errand: Option<&Errand>,
        (pipeline, forecast): (&Pipeline, &Forecast),
        base: &Path,
        hooks: Hooks<'_>,
    ) -> Result<Finished, ApplyError> {
        publish::prepare(pipeline, base)?;
        let bond = dearest_bond(forecast, self.view.state.params());
        let command = errand.map(Errand::command);
        let client = |signer| Client::about(signer, run, command);
        let served = self.serve(client, bond, hooks)?;
        served.publish(pipeline, base)
    }

    /// Has one thing done about a run that is there, and follows it until it ends or stands still.
    pub fn tend(
        self,
        run: RunId,
        errand: &Errand,
        hooks: Hooks<'_>,
    ) -> Result<Finished, ApplyError> {
        let command = Some(errand.command());
        let client = |signer| Client::about(signer, run, command);
        let Served { mut finished, recorder, .. } = self.serve(client, Ohc::ZERO, hooks)?;
        finished.unrecorded = recorder.finish();
        Ok(finished)
    }

    /// Has one command of a key in a file folded on a network. Gives the slot in which it was, or
    /// why it had no effect, and the state after it.
    pub fn order(
        self,
        key: &Path,
        command: Command,
    ) -> Result<(Result<Height, Reject>, State), ApplyError> {
        self.must_act()?;
        let booted = self.view.into_booted()?;
        let Who::Client(party) = self.who else { return Err(ApplyError::NoKey) };
        let Some(line) = party.line else { return Err(ApplyError::NoKey) };
        let (done, booted) =
            client::order(&line, booted, &mut Signer::new(link::key(key)?), command)?;
        Ok((done, booted.finish()))
    }

    /// Runs the network until the client is done or somebody stops it.
    fn serve(
        self,
        client: impl FnOnce(Signer) -> Client,
        bond: Ohc,
        hooks: Hooks<'_>,
    ) -> Result<Served, ApplyError> {
        let Self { home, runtime, view, who, host } = self;
        let booted = view.into_booted()?;
        let (artifacts, store) = (booted.artifacts.clone(), booted.store.clone());
        let scope = who.scope(booted.state.height());
        let (mut following, mut recorder) = (None, Recorder::new(&home, scope));
        let mut watch = |happening: Happening<'_>| {
            recorder.see(&happening);
            if let Happening::Following(run) = &happening {
                following = Some(*run);
            }
            (hooks.watch)(happening);
        };
        let mut begun = |handle: Handle| {
            if let Some(host) = &host {
                host.serve(Some(handle.clone()));
            }
            (hooks.begun)(handle, &runtime);
        };
        let is_embedded = matches!(who, Who::Home(_));
        let (served, state) = match who {
            Who::Home(keys) => {
                let bench = Bench::new(artifacts.clone(), runtime.handle().clone());
                let client = client(Signer::new(boot::keys(&home, 0)?.client));
                let mut network = Embedded::start(booted, *keys, &bench, Clock::start(), bond);
                begun(network.handle());
                let served = network.serve(client, &mut watch);
                // Whatever happened: bids that nobody stands behind must not stay in the log.
                (served, network.stop(&mut watch)?)
            }
            Who::Client(party) => {
                let (Some((key, _)), Some(line)) = (party.key, party.line) else {
                    return Err(ApplyError::NoKey);
                };
                let client = client(Signer::new(link::key(&key)?));
                let (begun, is_detached) = (&mut begun, hooks.is_detached);
                let course = Course { begun, watch: &mut watch, is_detached };
                client::serve(&line, booted, client, course)?
            }
        };
        if let Some(host) = &host {
            host.serve(None);
        }
        let (run, stopped) = match served {
            Ok(run) => (Some(run), None),
            Err(Failure::Stopped(why)) => (following, Some(why)),
            Err(failure) => return Err(failure.into()),
        };
        let (outputs, findings, unrecorded) = Default::default();
        let finished = Finished { run, stopped, is_embedded, state, outputs, findings, unrecorded };
        Ok(Served { finished, recorder, artifacts, runtime, _home: (host, store) })
    }
}

impl Served {
    /// Writes the outputs of a run that is settled.
    fn publish(self, pipeline: &Pipeline, base: &Path) -> Result<Finished, ApplyError> {
        let Self { mut finished, mut recorder, artifacts, runtime, _home } = self;
        if let Some(run) = finished.settled() {
            let known = |job: JobId| -> Option<Known> { run.result(job).cloned() };
            let origin =
                Origin { artifacts: &artifacts, runtime: runtime.handle(), state: &finished.state };
            let is_gone = |job: JobId| run.gone.contains_key(&job);
            let outputs = publish::publish(&origin, pipeline, base, &known, &is_gone)?;
            recorder.published(run.id, &outputs);
            let findings = publish::findings(&origin, pipeline, &known);
            (finished.outputs, finished.findings) = (outputs, findings);
        }
        finished.unrecorded = recorder.finish();
        Ok(finished)
    }
}

/// The name of the node's own record of where the outputs of a subject are written.
fn folder_of(subject: Digest) -> Vec<u8> {
    [b"folder/".as_slice(), subject.as_bytes()].concat()
}

/// What the process is at that has a home open; nothing if it is gone by now.
fn busy(view: &View) -> Option<ApplyError> {
    let open = view.state.runs().values().filter(|run| !run.is_over());
    let running: Vec<String> = open.map(|run| format!("{} ({})", run.id, run.name)).collect();
    let running = if running.is_empty() { "nothing yet".into() } else { running.join(", ") };
    view.is_attached().then_some(ApplyError::Busy { running })
}

/// What a worker may have to put up for one block, at its highest price.
fn dearest_bond(forecast: &Forecast, params: &Params) -> Ohc {
    let blocks = forecast.blocks.iter().flatten();
    let reserve = blocks.filter_map(|b| price::raised(b.ceiling.reserve, REPRICES_MAX)).max();
    let bond = reserve.and_then(|most| most.ratio(params.bond_factor, 1, Rounding::Ceil));
    bond.unwrap_or_default()
}

impl Finished {
    /// Whether the run is not over, and nobody who could stop it is gone.
    #[must_use]
    pub fn goes_on(&self) -> bool {
        self.stopped.is_none() && self.run().is_some_and(|run| !run.is_over())
    }

    /// The run as it is in the log.
    #[must_use]
    pub fn run(&self) -> Option<&Run> {
        self.state.runs().get(&self.run?)
    }

    /// The run, if it is settled.
    #[must_use]
    pub fn settled(&self) -> Option<&Run> {
        use crate::domain::event::Ending;
        let run = self.run()?;
        matches!(&run.status, Status::Ended { ending: Ending::Settled, .. }).then_some(run)
    }
}

/// What a pipeline would do in a state, if the stages `again` are run again: every worker asks what
/// stands in its bid, or what embedded workers ask for where none stands.
pub fn outlook(
    state: &State,
    pipeline: &Pipeline,
    client: PublicKey,
    workers: usize,
    again: &[String],
    is_present: &dyn Fn(&Digest) -> bool,
) -> Result<Forecast, ApplyError> {
    let mut bids = forecast::live_bids(state);
    if bids.is_empty() {
        let bid = embedded::standing_bid(state.params());
        bids = vec![Stall { bid, takes: Classes::ALL }; workers];
    }
    let name = pipeline.manifest.name.as_str();
    let wish = Wish { client: &client, name, bids: &bids, again };
    forecast::forecast(state, &pipeline.plan, &wish, is_present).ok_or(ApplyError::Priceless)
}

/// The forecast for a home that does not exist: everything is new, and nothing is created.
pub fn outlook_of_nothing(pipeline: &Pipeline, workers: usize) -> Result<Forecast, ApplyError> {
    let key = |n: u8| SecretKey::from_bytes(&[n; 32]).public();
    let (client, validator) = (key(1), key(2));
    let genesis = boot::embedded_genesis(client, validator, [0; 32]);
    outlook(&State::new(&genesis), pipeline, client, workers, &[], &|_| false)
}

/// One thread for timers and signals; computation has threads of its own.
pub fn start_runtime() -> Result<Runtime, ApplyError> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().map_err(ApplyError::Threads)
}
