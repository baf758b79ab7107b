//! What a pipeline reads, on its way to the store of a network, and what that costs. Never decides
//! what is run.

use super::{ApplyError, Site, Who};
use crate::base::amount::{Ohc, SUPPLY};
use crate::base::canon::{Decode, Digest, Encode};
use crate::domain::command::Command;
use crate::domain::job::Pin;
use crate::node::client;
use crate::node::embedded::Failure;
use crate::node::link;
use crate::node::pipeline::Pipeline;
use crate::node::upload::Load;
use crate::node::view::View;
use crate::role::Signer;

/// The name of the node's own record of how many bytes were paid for and not brought yet.
const PAID: &[u8] = b"paid";

impl Site {
    /// What a client of a network pays to have a pipeline run, beside what the run costs: for its
    /// submission, and for what it brings.
    pub fn fees(&self, pipeline: &Pipeline) -> Result<Ohc, ApplyError> {
        let submission = self.view.state.submission_fee(pipeline.plan.weight());
        Ok(Ohc::sum([submission, self.upload_fee(pipeline)?.1]).unwrap_or(SUPPLY))
    }

    /// Bytes that are not in the store yet and are still to be paid for, where validators sign for
    /// them; and what they cost.
    pub fn upload_fee(&self, pipeline: &Pipeline) -> Result<(u64, Ohc), ApplyError> {
        if !self.is_presigned() {
            return Ok((0, Ohc::ZERO));
        }
        let bytes = self.load(pipeline)?.bytes().saturating_sub(self.paid());
        let fee = if bytes > 0 { self.view.state.upload_fee(bytes) } else { Ohc::ZERO };
        Ok((bytes, fee))
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
        let load = Load::of(&self.view.artifacts, &pipeline.pins, &known);
        let load = self.runtime.block_on(load)?;
        if load.is_empty() {
            self.remember(pipeline)?;
        }
        Ok(load)
    }

    fn remember(&self, pipeline: &Pipeline) -> Result<(), ApplyError> {
        let Some(store) = self.view.store() else { return Ok(()) };
        for pin in &pipeline.pins {
            if store.get_own(&brought(pin))?.is_none() {
                store.put_own(&brought(pin), &[])?;
            }
        }
        Ok(())
    }

    fn paid(&self) -> u64 {
        let told = self.view.store().and_then(|store| store.get_own(PAID).ok()).flatten();
        told.and_then(|bytes| u64::from_bytes(&bytes).ok()).unwrap_or_default()
    }

    fn note_paid(&self, bytes: u64) -> Result<(), ApplyError> {
        Ok(self.view.store().map_or(Ok(()), |store| store.put_own(PAID, &bytes.to_bytes()))?)
    }

    /// Has what the pipeline reads stored where all nodes of a network reach it, and pays for it
    /// first where validators sign for that.
    pub(super) fn bring(self, pipeline: &Pipeline) -> Result<Self, ApplyError> {
        if self.is_embedded() {
            return Ok(self);
        }
        // Who finds none later has not got there: to begin a second one would part the two.
        let is_first = self.view.state.runs().is_empty();
        self.runtime.block_on(async {
            match is_first {
                true => self.view.artifacts.begin().await,
                false => self.view.artifacts.check_begun().await,
            }
        })?;
        let load = self.load(pipeline)?;
        if load.is_empty() {
            return Ok(self);
        }
        let due = if self.is_presigned() { load.bytes().saturating_sub(self.paid()) } else { 0 };
        let this = if due > 0 { self.pay_for(due)? } else { self };
        let brought = this.runtime.block_on(load.bring(&this.view.artifacts, &mut |_, _| {}));
        match brought {
            Ok(()) if this.is_presigned() => {
                this.note_paid(this.paid().saturating_sub(load.bytes()))?;
            }
            // What was paid for before may be forgotten by those who sign: then it is paid again.
            Err(_) if this.is_presigned() && due == 0 => this.note_paid(0)?,
            _ => {}
        }
        brought?;
        this.remember(pipeline)?;
        Ok(this)
    }

    fn pay_for(self, bytes: u64) -> Result<Self, ApplyError> {
        let paid = self.paid();
        let Self { home, runtime, view, who, host } = self;
        let booted = view.into_booted()?;
        let Who::Client(party) = &who else { return Err(ApplyError::NoKey) };
        let (Some((key, _)), Some(line)) = (&party.key, &party.line) else {
            return Err(ApplyError::NoKey);
        };
        let mut signer = Signer::new(link::key(key)?);
        let (done, booted) = client::order(line, booted, &mut signer, Command::Upload { bytes })?;
        done.map_err(Failure::Refused)?;
        let this = Self { home, runtime, view: View::of(booted), who, host };
        this.note_paid(paid.saturating_add(bytes))?;
        Ok(this)
    }
}

/// The name of the node's own record that all of a pin was in the store of the network.
fn brought(pin: &Pin) -> Vec<u8> {
    [b"brought/".as_slice(), Digest::of(&pin.to_bytes()).as_bytes()].concat()
}
