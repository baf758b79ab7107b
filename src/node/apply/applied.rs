//! What was applied last under a name: by its last run, or by one since of which everything was
//! known, which is no run and stands in the node's own records. Never reads a manifest.

use super::{ApplyError, Site};
use crate::base::amount::Ohc;
use crate::base::canon::{Decode, Digest, Encode, canonical_struct};
use crate::base::ids::RunId;
use crate::domain::command::Submission;
use crate::domain::forecast::{Fate, Forecast};
use crate::domain::state::run::Run;
use crate::node::boot::BootError;
use crate::node::pipeline::Pipeline;
use std::collections::BTreeSet;

/// What was applied last.
#[derive(Clone, PartialEq, Debug)]
pub struct Applied {
    /// The run that has all its results; none if no single one does.
    pub run: Option<RunId>,
    /// What was asked for, whatever it was to cost.
    pub submission: Submission,
}

/// A pipeline that was applied when everything of it was known.
struct Known {
    /// The last run of that name then: a later one is what was applied last.
    after: Option<RunId>,
    run: Option<RunId>,
    submission: Submission,
}
canonical_struct!(Known { after, run, submission });

impl Site {
    /// What was applied last under the name of a pipeline.
    pub fn applied(&self, pipeline: &Pipeline) -> Result<Option<Applied>, BootError> {
        let last = self.last_run(pipeline);
        if let Some(known) = self.known(&pipeline.manifest.name)
            && known.after == last.map(|run| run.id)
        {
            return Ok(Some(Applied { run: known.run, submission: known.submission }));
        }
        let applied = |run: &Run| {
            let submission = self.view.submission(run)?;
            Ok(Applied { run: Some(run.id), submission })
        };
        last.map(applied).transpose()
    }

    /// Writes down that a pipeline was applied of which everything is known. Gives the run that
    /// has all its results, if there is one.
    pub fn unchanged(
        &self,
        pipeline: &Pipeline,
        forecast: &Forecast,
    ) -> Result<Option<RunId>, ApplyError> {
        let submission = self.submission(pipeline, forecast, Ohc::ZERO);
        let last = self.last_run(pipeline);
        let run = self.source(pipeline, forecast).map(|run| run.id);
        let name = &pipeline.manifest.name;
        let after = last.map(|run| run.id);
        let subject = match self.known(name) {
            Some(known) if known.after == after => Some(known.submission.subject()),
            _ => last.map(|run| run.subject),
        };
        if let Some(store) = self.view.store()
            && subject != Some(submission.subject())
        {
            store.put_own(&self.key(name), &Known { after, run, submission }.to_bytes())?;
        }
        Ok(run)
    }

    /// The newest run of a pipeline that has all the results that are known.
    fn source(&self, pipeline: &Pipeline, forecast: &Forecast) -> Option<&Run> {
        let keys = forecast.fates.iter().filter_map(|fate| match fate {
            Fate::Cached(known) => Some(known.key),
            _ => None,
        });
        let keys: BTreeSet<Digest> = keys.collect();
        let has_all = |run: &&Run| {
            let own: BTreeSet<Digest> = run.results.iter().flatten().map(|own| own.key).collect();
            keys.is_subset(&own)
        };
        self.runs(pipeline).find(has_all)
    }

    fn known(&self, name: &str) -> Option<Known> {
        let bytes = self.view.store()?.get_own(&self.key(name)).ok()??;
        // What another version wrote is as good as nothing.
        Known::from_bytes(&bytes).ok()
    }

    /// The name of the node's own record of what was applied under a name.
    fn key(&self, name: &str) -> Vec<u8> {
        [b"applied/".as_slice(), &self.client().0, name.as_bytes()].concat()
    }
}
