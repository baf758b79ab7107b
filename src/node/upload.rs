//! Upload: what pins name, from the home of a client to the store that all nodes reach. Done before
//! a pipeline is submitted: nobody is to be leased a block whose inputs are not to be had.

use super::presign::counted;
use crate::base::canon::Digest;
use crate::domain::job::Pin;
use crate::effects::artifacts::{ArtifactError, Artifacts};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeMap;

/// Artifacts on their way at the same time; each is in memory.
const AT_ONCE: usize = 4;

/// Artifacts that are to be brought, and their bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Load(BTreeMap<Digest, u64>);

impl Load {
    /// What pins name and the store that all nodes reach does not have. What lies there is read
    /// once, for anybody may have put something else under its name, unless the pin is `known`: it
    /// was there before.
    pub async fn of(
        artifacts: &Artifacts,
        pins: &[Pin],
        known: &dyn Fn(&Pin) -> bool,
    ) -> Result<Self, ArtifactError> {
        let mut chunks = BTreeMap::new();
        for pin in pins {
            let is_known = known(pin);
            chunks.extend(pin.chunks.iter().map(|chunk| (chunk.digest, is_known)));
        }
        let looked = stream::iter(chunks).map(async |(digest, is_known)| {
            let is_there = match is_known {
                true => artifacts.has(digest).await?,
                false => artifacts.is_shared(digest).await?,
            };
            // A chunk may be a part of an artifact, which is sent whole.
            Ok(match is_there {
                true => None,
                false => Some((digest, artifacts.bytes_here(digest).await?)),
            })
        });
        let load: Vec<_> = looked.buffer_unordered(AT_ONCE).try_collect().await?;
        Ok(Self(load.into_iter().flatten().collect()))
    }

    /// Whether there is nothing to be brought.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes that is, as validators count them who sign for them.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.values().map(|bytes| counted(*bytes)).fold(0, u64::saturating_add)
    }

    /// Has it stored where all nodes reach it. `told` hears how many are there of how many.
    pub async fn bring(
        &self,
        artifacts: &Artifacts,
        told: &mut dyn FnMut(usize, usize),
    ) -> Result<(), ArtifactError> {
        let total = self.0.len();
        told(0, total);
        let sent = stream::iter(self.0.keys()).map(|digest| artifacts.share(*digest));
        let mut sent = sent.buffer_unordered(AT_ONCE);
        let mut done = 0;
        while sent.try_next().await?.is_some() {
            done += 1;
            told(done, total);
        }
        Ok(())
    }
}
