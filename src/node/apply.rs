//! Applies a pipeline on the embedded network of a home: forecast, budget, run, outputs.
//! Joins the parts in their order and decides what no role or rule decides: whether there is
//! anything to do at all. Writes no prose.

use super::boot::{self, BootError, Booted, Keys};
use super::embedded::{self, Embedded, Failure, Happening, Interrupt};
use super::home::Home;
use super::pipeline::Pipeline;
use super::publish::{self, Origin, PublishError, Published};
use super::work::Bench;
use crate::base::amount::{Ohc, Rounding};
use crate::base::canon::Digest;
use crate::base::ids::{JobId, RunId};
use crate::base::keys::{PublicKey, SecretKey};
use crate::base::limits::REPRICES_MAX;
use crate::domain::command::{Bid, Submission};
use crate::domain::forecast::{self, Fate, Forecast, Wish};
use crate::domain::genesis::Params;
use crate::domain::price;
use crate::domain::state::State;
use crate::domain::state::run::{Known, Run, Status};
use crate::effects::artifacts::ArtifactError;
use crate::effects::clock::Clock;
use crate::role::client;
use std::path::Path;
use tokio::runtime::Runtime;

/// Why nothing was run, or why it did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The home cannot be opened.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The artifact store fails.
    #[error(transparent)]
    Artifacts(#[from] ArtifactError),
    /// The system gives no threads.
    #[error("cannot start threads: {0}")]
    Threads(std::io::Error),
    /// No amount of money covers the plan.
    #[error(
        "the plan costs more than all the OhC there are; hint: make it smaller: fewer epochs, a \
         smaller matrix"
    )]
    Priceless,
    /// The budget is below the lowest quote.
    #[error(
        "the budget of {budget} OhC does not cover the plan, which costs at least {low} OhC; hint: \
         raise the budget to the highest quote, {high} OhC: what is not spent comes back"
    )]
    Budget {
        /// What may be spent.
        budget: Ohc,
        /// What it costs at least.
        low: Ohc,
        /// What it costs at most.
        high: Ohc,
    },
    /// The client has less than the budget.
    #[error(
        "the budget of {budget} OhC is more than the {balance} OhC that this home can spend; hint: \
         set a smaller --budget"
    )]
    Balance {
        /// What may be spent.
        budget: Ohc,
        /// What there is.
        balance: Ohc,
    },
    /// The network stopped.
    #[error(transparent)]
    Network(#[from] Failure),
    /// The outputs cannot be written.
    #[error(transparent)]
    Publish(#[from] PublishError),
}

/// A home that is open: nobody else can have it now.
pub struct Site {
    home: Home,
    runtime: Runtime,
    booted: Booted,
    keys: Keys,
}

/// How a run ended, and everything that is known then.
pub struct Finished {
    /// The run.
    pub run: RunId,
    /// The state after the last slot.
    pub state: State,
    /// The outputs, if the run is settled.
    pub outputs: Vec<Published>,
}

impl Site {
    /// Opens a home for so many workers; begins a network there if none was begun.
    pub fn open(home: Home, workers: usize) -> Result<Self, ApplyError> {
        let keys = boot::keys(&home, workers)?;
        let booted = boot::boot(&home, keys.client.public(), keys.validator.public())?;
        let runtime = start_runtime()?;
        Ok(Self { home, runtime, booted, keys })
    }

    /// What was found when the home was opened, and what follows from its log.
    #[must_use]
    pub fn booted(&self) -> &Booted {
        &self.booted
    }

    /// The public keys of the client, the validator and the workers.
    #[must_use]
    pub fn names(&self) -> Vec<(PublicKey, String)> {
        boot::names(&self.keys)
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
        let artifacts = &self.booted.artifacts;
        // A store that cannot be asked has nothing: the job is run again.
        let is_present =
            |digest: &Digest| self.runtime.block_on(artifacts.has(*digest)).unwrap_or(false);
        let client = self.keys.client.public();
        let workers = self.keys.workers.len();
        outlook(&self.booted.state, pipeline, client, workers, again, &is_present)
    }

    /// Whether a run of this pipeline is not over: its escrow is locked, so somebody must end it.
    #[must_use]
    pub fn open_run(&self, pipeline: &Pipeline) -> Option<&Run> {
        let client = self.keys.client.public();
        let ours = |run: &&Run| {
            run.client == client && run.name == pipeline.manifest.name && !run.is_over()
        };
        self.booted.state.runs().values().rev().find(ours)
    }

    /// The last run of this pipeline, whatever came of it.
    #[must_use]
    pub fn last_run(&self, pipeline: &Pipeline) -> Option<&Run> {
        let client = self.keys.client.public();
        let ours = |run: &&Run| run.client == client && run.name == pipeline.manifest.name;
        self.booted.state.runs().values().rev().find(ours)
    }

    /// Writes the outputs of a pipeline of which everything is known.
    pub fn publish(
        &self,
        pipeline: &Pipeline,
        forecast: &Forecast,
        base: &Path,
    ) -> Result<Vec<Published>, ApplyError> {
        let known = |job: JobId| match forecast.fates.get(job.index()) {
            Some(Fate::Cached(known)) => Some(known.clone()),
            _ => None,
        };
        let (artifacts, state) = (&self.booted.artifacts, &self.booted.state);
        let origin = Origin { artifacts, runtime: self.runtime.handle(), state };
        let is_gone = |job: JobId| forecast.fates.get(job.index()).is_some_and(Fate::is_gone);
        Ok(publish::publish(&origin, pipeline, base, &known, &is_gone)?)
    }

    /// What may be spent: what was asked for, else the manifest's budget, else the high quote; or
    /// why that cannot be. A run that goes on has its budget already.
    pub fn budget(
        &self,
        pipeline: &Pipeline,
        forecast: &Forecast,
        asked: Option<Ohc>,
    ) -> Result<Ohc, ApplyError> {
        let quote = forecast.quote;
        let budget = asked.or(pipeline.manifest.budget).unwrap_or(quote.high);
        let submission = self.submission(pipeline, forecast, budget);
        if self.open_run(pipeline).is_some_and(|run| client::goes_on(run, &submission)) {
            return Ok(budget);
        }
        if budget < quote.low {
            return Err(ApplyError::Budget { budget, low: quote.low, high: quote.high });
        }
        let client = self.keys.client.public();
        let balance = self.booted.state.ledger().account(&client).balance;
        if balance < budget {
            return Err(ApplyError::Balance { budget, balance });
        }
        Ok(budget)
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

    /// Runs a pipeline to its end and writes its outputs below `base`. `interruptible` is handed a
    /// way to stop the run, and the runtime to wait for a reason on.
    pub fn run(
        self,
        pipeline: &Pipeline,
        forecast: &Forecast,
        budget: Ohc,
        base: &Path,
        interruptible: impl FnOnce(Interrupt, &Runtime),
        watch: &mut dyn FnMut(Happening<'_>),
    ) -> Result<Finished, ApplyError> {
        publish::prepare(pipeline, base)?;
        let submission = self.submission(pipeline, forecast, budget);
        let Self { home, runtime, booted, keys } = self;
        let bond = dearest_bond(forecast, booted.state.params());
        let artifacts = booted.artifacts.clone();
        let bench = Bench::new(artifacts.clone(), runtime.handle().clone());
        let client: SecretKey = boot::keys(&home, 0)?.client;
        let mut network = Embedded::start(booted, keys, &bench, Clock::start(), bond);
        interruptible(network.interrupt(), &runtime);
        let name = pipeline.manifest.name.clone();
        let run = network.run(client, name, submission, watch);
        // Whatever happened: bids that nobody stands behind must not stay in the log.
        let state = network.stop(watch);
        let (run, state) = (run?, state?);
        let mut finished = Finished { run, state, outputs: Vec::new() };
        if let Some(run) = finished.settled() {
            let known = |job: JobId| -> Option<Known> { run.result(job).cloned() };
            let origin =
                Origin { artifacts: &artifacts, runtime: runtime.handle(), state: &finished.state };
            let is_gone = |job: JobId| run.gone.contains_key(&job);
            finished.outputs = publish::publish(&origin, pipeline, base, &known, &is_gone)?;
        }
        Ok(finished)
    }
}

/// What a worker may have to put up for one block, at its highest price.
fn dearest_bond(forecast: &Forecast, params: &Params) -> Ohc {
    let blocks = forecast.blocks.iter().flatten();
    let reserve = blocks.filter_map(|b| price::raised(b.ceiling.reserve, REPRICES_MAX)).max();
    let bond = reserve.and_then(|most| most.ratio(params.bond_factor, 1, Rounding::Ceil));
    bond.unwrap_or_default()
}

impl Finished {
    /// The run, if it is settled.
    #[must_use]
    pub fn settled(&self) -> Option<&Run> {
        use crate::domain::event::Ending;
        let run = self.state.runs().get(&self.run)?;
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
    let mut bids: Vec<Bid> = forecast::live_bids(state);
    if bids.is_empty() {
        bids = vec![embedded::standing_bid(state.params()); workers];
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
