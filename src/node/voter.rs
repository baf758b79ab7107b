//! Voters: whose votes a home holds. Never lets the votes of one key go on from the home of
//! another, nor a key vote from a home that may have lost what it said.
//!
//! A validator that has lost its home may have voted about the next slot, and others may have heard
//! it: its key would vote twice. So a home says whose votes it holds, and one that does not
//! say it votes only about slots that nobody can have voted about before.

use super::home::Home;
use crate::base::keys::PublicKey;
use crate::base::time::Height;
use crate::effects::draft::Draft;
use std::fs;
use std::io;
use std::path::PathBuf;

/// Slots behind the last that is known to be final about which a key may have voted: the next, and
/// one more if that one was final for itself alone.
const IN_FLIGHT: u64 = 2;

/// Why a key does not vote from a home.
#[derive(Debug, thiserror::Error)]
pub enum VoterError {
    /// The votes in it are of another.
    #[error(
        "the home {} holds the votes of {other}, not those of this key; hint: give each validator \
         a home of its own", .home.display()
    )]
    Other {
        /// The home.
        home: PathBuf,
        /// Whose votes they are.
        other: String,
    },
    /// The file that says it cannot be read or written.
    #[error("cannot tell whose votes {} holds: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// Whether a home holds all votes of a key.
pub(super) fn holds(home: &Home, key: &PublicKey) -> Result<bool, VoterError> {
    let path = home.voter();
    match fs::read_to_string(&path) {
        Ok(text) if text.trim() == key.to_string() => Ok(true),
        Ok(text) => {
            // Somebody may have written anything into it.
            let other = text.trim().chars().take(64).collect();
            Err(VoterError::Other { home: home.dir().to_owned(), other })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(VoterError::Io { path, source }),
    }
}

/// A home holds all votes of a key from now on.
pub(super) fn hold(home: &Home, key: &PublicKey) -> Result<(), VoterError> {
    let path = home.voter();
    let write = fs::create_dir_all(home.dir())
        .and_then(|()| Draft::of(&path, format!("{key}\n").as_bytes()))
        .and_then(Draft::place);
    write.map_err(|source| VoterError::Io { path, source })
}

/// The first slot about which a key may vote from a home that does not hold its votes, where this
/// one is final.
pub(super) fn votes_from(last: Height) -> Height {
    Height(last.0.saturating_add(IN_FLIGHT + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::keys::SecretKey;

    #[test]
    fn a_home_holds_the_votes_of_one_key() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(&dir.path().join("home"));
        let [one, other] = [1, 2].map(|n| SecretKey::from_bytes(&[n; 32]).public());
        assert!(!holds(&home, &one).unwrap());
        hold(&home, &one).unwrap();
        assert!(holds(&home, &one).unwrap());
        let refused = holds(&home, &other).unwrap_err().to_string();
        assert!(refused.contains(&one.to_string()) && refused.contains("hint: "), "{refused}");
        assert_eq!(votes_from(Height(7)), Height(10));
    }
}
