//! What a pipeline reads, on its way to the store of a network, and what that costs. Never decides
//! what is run.

use super::{ApplyError, Site, Who};
use crate::base::amount::Ohc;
use crate::base::canon::{Digest, Encode};
use crate::domain::command::Command;
use crate::domain::job::Pin;
use crate::node::client;
use crate::node::embedded::Failure;
use crate::node::link;
use crate::node::pipeline::Pipeline;
use crate::node::upload::Load;
use crate::node::view::View;
use crate::role::Signer;

impl Site {
    /// What a client of a network pays to have a pipeline run, beside what the run costs: for its
    /// submission, and for the bytes that are not in the store yet where validators sign for them.
    pub fn fees(&self, pipeline: &Pipeline) -> Result<Ohc, ApplyError> {
        let state = &self.view.state;
        let fee = state.submission_fee(pipeline.plan.dag.jobs.len());
        let upload = match self.is_presigned() {
            true => self.load(pipeline)?.bytes(),
            false => 0,
        };
        let upload = if upload > 0 { state.upload_fee(upload) } else { Ohc::ZERO };
        Ok(Ohc::sum([fee, upload]).unwrap_or(fee))
    }

    fn is_presigned(&self) -> bool {
        matches!(&self.who, Who::Client(party) if party.network.is_presigned)
    }

    fn load(&self, pipeline: &Pipeline) -> Result<Load, ApplyError> {
        // What cannot be remembered is looked at again.
        let known = |pin: &Pin| {
            let told = self.view.store().and_then(|store| store.get_own(&brought(pin)).ok());
            told.flatten().is_some()
        };
        Ok(self.runtime.block_on(Load::of(&self.view.artifacts, &pipeline.pins, &known))?)
    }

    /// Has what the pipeline reads stored where all nodes of a network reach it, and pays for it
    /// first where validators sign for that.
    pub(super) fn bring(self, pipeline: &Pipeline) -> Result<Self, ApplyError> {
        if self.is_embedded() {
            return Ok(self);
        }
        self.runtime.block_on(self.view.artifacts.begin())?;
        let load = self.load(pipeline)?;
        let this = match load.bytes() {
            bytes if bytes > 0 && self.is_presigned() => self.pay_for(bytes)?,
            _ => self,
        };
        let mut told = |_, _| {};
        this.runtime.block_on(load.bring(&this.view.artifacts, &mut told))?;
        if let Some(store) = this.view.store() {
            for pin in &pipeline.pins {
                store.put_own(&brought(pin), &[])?;
            }
        }
        Ok(this)
    }

    fn pay_for(self, bytes: u64) -> Result<Self, ApplyError> {
        let Self { home, runtime, view, who, host } = self;
        let booted = view.into_booted()?;
        let Who::Client(party) = &who else { return Err(ApplyError::NoKey) };
        let (Some((key, _)), Some(line)) = (&party.key, &party.line) else {
            return Err(ApplyError::NoKey);
        };
        let mut signer = Signer::new(link::key(key)?);
        let (done, booted) = client::order(line, booted, &mut signer, Command::Upload { bytes })?;
        done.map_err(Failure::Refused)?;
        Ok(Self { home, runtime, view: View::of(booted), who, host })
    }
}

/// The name of the node's own record that all of a pin was in the store of the network.
fn brought(pin: &Pin) -> Vec<u8> {
    [b"brought/".as_slice(), Digest::of(&pin.to_bytes()).as_bytes()].concat()
}
