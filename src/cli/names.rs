//! Names of accounts: what a home calls the keys that lie in it. Never read from the log, where
//! participants have keys only.

use crate::base::keys::PublicKey;
use std::collections::BTreeMap;

/// The names that this home has for keys.
#[derive(Debug, Default)]
pub(crate) struct Names(BTreeMap<PublicKey, String>);

impl Names {
    /// From keys and their names.
    pub(crate) fn new(names: impl IntoIterator<Item = (PublicKey, String)>) -> Self {
        Self(names.into_iter().collect())
    }

    /// What people call a key: its name in this home, else the beginning of it.
    pub(crate) fn of(&self, key: &PublicKey) -> String {
        self.0.get(key).cloned().unwrap_or_else(|| key.short())
    }

    /// The same for a key in hex digits, as it stands in files.
    pub(crate) fn of_text(&self, key: &str) -> String {
        key.parse().map_or_else(|_| key.to_owned(), |key| self.of(&key))
    }

    /// All keys with their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&PublicKey, &String)> {
        self.0.iter()
    }
}
