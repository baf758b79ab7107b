//! The validators of a network, ready to have what they sign checked: their signatures are most of
//! what is checked at all. Never believes more or less than `base::keys` does.

use crate::base::amount::Ohc;
use crate::base::canon::Canonical;
use crate::base::keys::{NetworkId, PublicKey, Signature, Signed, Verifier};
use std::collections::BTreeMap;

/// Public keys whose signatures are checked often.
#[derive(Debug, Clone, Default)]
pub struct Verifiers(BTreeMap<PublicKey, Verifier>);

impl Verifiers {
    /// These validators, and nobody else. Who is known already stays known: getting to know one
    /// takes as long as ten checks.
    pub fn follow(&mut self, validators: &BTreeMap<PublicKey, Ohc>) {
        if self.0.keys().eq(validators.keys()) {
            return;
        }
        let known = std::mem::take(&mut self.0);
        let verifier =
            |key: &PublicKey| Some((*key, known.get(key).cloned().or_else(|| key.verifier())?));
        self.0 = validators.keys().filter_map(verifier).collect();
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, validator: &PublicKey) -> Option<&Verifier> {
        self.0.get(validator)
    }

    /// Whether somebody, a validator or not, has signed this.
    #[must_use]
    pub fn holds<T: Canonical>(&self, network: NetworkId, said: &Signed<T>) -> bool {
        self.verifies(&said.author, network, &said.body, &said.signature)
    }

    /// Whether this signature is by somebody, a validator or not.
    #[must_use]
    pub fn verifies<T: Canonical>(
        &self,
        author: &PublicKey,
        network: NetworkId,
        body: &T,
        signature: &Signature,
    ) -> bool {
        match self.get(author) {
            Some(validator) => validator.verifies(network, body, signature),
            None => author.verifies(network, body, signature),
        }
    }
}
