//! Upload: what pins name, from the home of a client to the store that all nodes reach. Done before
//! a pipeline is submitted: nobody is to be leased a block whose inputs are not to be had.

use crate::base::canon::Digest;
use crate::domain::job::Pin;
use crate::effects::artifacts::{ArtifactError, Artifacts};
use futures_util::{StreamExt, TryStreamExt, stream};
use std::collections::BTreeSet;

/// Artifacts on their way at the same time; each is in memory.
const AT_ONCE: usize = 4;

/// Has everything that pins name stored where all nodes reach it, and begins that store if need be.
/// What is there already is not sent again. `told` is called with how many are there of how many.
pub async fn upload(
    artifacts: &Artifacts,
    pins: &[Pin],
    told: &mut dyn FnMut(usize, usize),
) -> Result<(), ArtifactError> {
    artifacts.begin().await?;
    let chunks = pins.iter().flat_map(|pin| &pin.chunks).map(|chunk| chunk.digest);
    let chunks: BTreeSet<Digest> = chunks.collect();
    let total = chunks.len();
    told(0, total);
    let sent = stream::iter(chunks).map(|digest| artifacts.share(digest));
    let mut sent = sent.buffer_unordered(AT_ONCE);
    let mut done = 0;
    while sent.try_next().await?.is_some() {
        done += 1;
        told(done, total);
    }
    Ok(())
}
