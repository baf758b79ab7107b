//! What of the store a request that somebody signs for another may be about. Never more than one
//! artifact, or the mark of the store.

use super::depot::MARK;
use super::place;
use crate::base::canon::{Digest, canonical_struct};
use crate::base::ids::LeaseId;
pub use crate::effects::buckets::presigned::{Act, Presigner};
use object_store::path::Path;

/// Digits of a digest by which artifacts are put into folders.
const SHELF: usize = 2;

/// A request about one object of the store of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectRequest {
    /// For which lease: when that is over, nobody signs it any more. For the account of who asks
    /// where there is none.
    pub lease: Option<LeaseId>,
    /// What is to be done.
    pub act: Act,
    /// With which artifact; with the mark of the store where there is none.
    pub artifact: Option<Digest>,
    /// When it was made, in seconds since 1970: nobody signs an old one.
    pub at: u64,
}
canonical_struct!(ObjectRequest { lease, act, artifact, at } tag "ohc/object-request/2");

impl ObjectRequest {
    /// That about the object at the end of a path, if it is one of a store.
    #[must_use]
    pub fn of(lease: Option<LeaseId>, act: Act, path: &str, at: u64) -> Option<Self> {
        let (folder, name) = path.rsplit_once('/')?;
        let shelf = folder.rsplit('/').next().filter(|shelf| shelf.len() == SHELF);
        let artifact = match name {
            MARK => None,
            _ => Some(format!("{}{name}", shelf?).parse().ok()?),
        };
        Some(Self { lease, act, artifact, at })
    }

    /// Where the object lies in a store.
    pub(super) fn place(self) -> Path {
        self.artifact.map_or_else(|| MARK.into(), place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{BlockId, RunId};

    const LEASE: LeaseId = LeaseId { block: BlockId { run: RunId(7), index: 3 }, attempt: 2 };

    #[test]
    fn a_request_is_known_by_its_path_and_nothing_else_is_one() {
        let digest = Digest::of(b"model");
        for artifact in [None, Some(digest)] {
            let (lease, act) = (Some(LEASE), Act::Create { bytes: 7 });
            let request = ObjectRequest { lease, act, artifact, at: 9 };
            for before in ["/", "/bucket/", "/bucket/networks/lab/"] {
                let path = format!("{before}{}", request.place());
                assert_eq!(ObjectRequest::of(lease, act, &path, 9), Some(request), "{path}");
            }
        }
        let hex = digest.to_string();
        for path in ["", "/", MARK, "/bucket/data.csv", &format!("/{hex}"), &format!("/ab/{hex}")] {
            assert_eq!(ObjectRequest::of(None, Act::Read, path, 9), None, "{path}");
        }
    }
}
