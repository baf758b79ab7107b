//! Why a pipeline was not applied, or not to its end. Never decides what follows from it.

use crate::base::amount::Ohc;
use crate::effects::artifacts::ArtifactError;
use crate::effects::journal::JournalError;
use crate::effects::store::StoreError;
use crate::node::boot::BootError;
use crate::node::embedded::Failure;
use crate::node::link::LinkError;
use crate::node::publish::PublishError;

/// Why nothing was run, or why it did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The home cannot be opened.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// Another process has the home open, and runs something there.
    #[error(
        "another ohc is at work in this home: it runs {running}; hint: wait for it (`ohc get runs` \
         shows it), or end it with `ohc cancel`"
    )]
    Busy {
        /// What it runs.
        running: String,
    },
    /// The log cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
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
        "the budget of {budget} OhC and the fee of {fee} OhC are more than the {balance} OhC that \
         this home can spend; hint: set a smaller --budget"
    )]
    Balance {
        /// What may be spent.
        budget: Ohc,
        /// What it costs to ask for it.
        fee: Ohc,
        /// What there is.
        balance: Ohc,
    },
    /// The validators have too little at stake for it.
    #[error(
        "the budget of {budget} OhC is more than the {room} OhC that what validators have at stake \
         covers; hint: set a smaller --budget, or wait until other runs are over"
    )]
    Uncovered {
        /// What may be spent.
        budget: Ohc,
        /// What may be locked.
        room: Ohc,
    },
    /// The network stopped.
    #[error(transparent)]
    Network(#[from] Failure),
    /// The network is out of reach.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// There is no key that pays.
    #[error(
        "no key pays on this network; hint: `ohc network add NAME PATH --key FILE` names the file \
         of one"
    )]
    NoKey,
    /// What happens to a run cannot be written down.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The outputs cannot be written.
    #[error(transparent)]
    Publish(#[from] PublishError),
}
