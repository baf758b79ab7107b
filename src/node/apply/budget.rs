//! Budgets: what an apply may spend. Never spends it.

use super::{ApplyError, Site};
use crate::base::amount::Ohc;
use crate::domain::forecast::Forecast;
use crate::node::pipeline::Pipeline;
use crate::role::client::{goes_on, lacks};

impl Site {
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
        let open = self.open_run(pipeline);
        if open.is_some_and(|run| goes_on(run, &submission)) {
            return Ok(budget);
        }
        let lacking = open.and_then(|run| lacks(run, &submission));
        if lacking.is_none() && budget < quote.low {
            return Err(ApplyError::Budget { budget, low: quote.low, high: quote.high });
        }
        let state = &self.view.state;
        let balance = state.ledger().account(&self.client()).balance;
        let (due, fee) = match lacking {
            Some(lacking) => (lacking, state.order_fee()),
            None => (budget, self.fees(pipeline)?),
        };
        if due.checked_add(fee).is_none_or(|due| balance < due) {
            return Err(ApplyError::Balance { budget, fee, balance });
        }
        // An open run of the same pipeline goes on, or gives back what it has before this one
        // begins.
        let room = state.escrow_room();
        if open.is_none() && budget > room {
            return Err(ApplyError::Uncovered { budget, room });
        }
        Ok(budget)
    }
}
