//! What is known: results by the keys of their jobs, for everybody (the cache), and those that one
//! client has besides, because its terms ask for something else than the cache holds. Never
//! says what a result costs.
//!
//! Of what a client has paid for, a result is let go of only for one of its own that is younger and
//! was checked at least as well: on whatever terms it was settled, it is found again.

use super::State;
use super::run::Known;
use crate::base::canon::Digest;
use crate::base::ids::LeaseId;
use crate::base::keys::PublicKey;
use crate::domain::lease::Lease;
use crate::domain::receipt::Claim;
use crate::domain::terms::Terms;
use crate::domain::verdict::Verification;
use std::sync::Arc;

impl State {
    /// All settled results, those that one client alone may use too.
    pub fn results(&self) -> impl Iterator<Item = &Known> {
        self.cache.values().chain(self.own.values().flatten()).map(AsRef::as_ref)
    }

    /// The settled result of a job key, if a client may use it on such terms: if it was checked at
    /// least as well as is asked for (or whoever checks nothing would decide what all others get),
    /// is young enough, and belongs to whom it must.
    #[must_use]
    pub fn known(&self, key: &Digest, terms: &Terms, client: &PublicKey) -> Option<&Arc<Known>> {
        let own = self.own.get(&(*key, *client)).into_iter().flatten();
        let each = self.cache.get(key).into_iter().chain(own);
        let mut sound = each.filter(|known| known.checked.covers(terms.verification));
        sound.find(|known| self.unused(known, terms, client).is_none())
    }

    /// Remembers what was settled. Claims come in the order of the jobs, so that the inputs of a
    /// fused job are known when its turn comes.
    pub(super) fn learn(&mut self, lease: &Lease, claims: Vec<Claim>, checked: Verification) {
        let at = self.now();
        for Claim { job, outputs, metrics, .. } in claims {
            let Some(run) = self.runs.get_mut(&lease.id.block.run) else { return };
            let Some(key) = run.key(job) else { continue };
            let (worker, id, client) = (lease.worker, lease.id, run.client);
            let known = Known { key, outputs, metrics, worker, lease: id, checked, client, at };
            let known = Arc::new(known);
            if let Some(result) = run.results.get_mut(job.index()) {
                *result = Some(known.clone());
            }
            run.fresh.remove(&key);
            self.remember(known);
        }
    }

    /// Takes a result into the cache, or among its client's own. What was checked as well or better
    /// before stands: nobody replaces the results that others use by running a job again. He who
    /// did has his own, and what comes out the same is as fresh as the last time.
    fn remember(&mut self, known: Arc<Known>) {
        let Some(best) = self.cache.get_mut(&known.key) else {
            self.cache.insert(known.key, known);
            return;
        };
        let as_well = known.checked.covers(best.checked);
        if as_well && !best.checked.covers(known.checked) {
            let before = std::mem::replace(best, known);
            return self.keep_own(before);
        }
        if as_well && best.outputs == known.outputs {
            Arc::make_mut(best).at = known.at;
        }
        self.keep_own(known);
    }

    /// Keeps a result for its client alone, unless it has another that is as good; and lets go of
    /// those that this one replaces.
    fn keep_own(&mut self, known: Arc<Known>) {
        let place = (known.key, known.client);
        let of_all = self.cache.get(&known.key).filter(|best| best.client == known.client);
        let own = self.own.get(&place).into_iter().flatten();
        if of_all.into_iter().chain(own).any(|other| replaces(other, &known)) {
            return;
        }
        let own = self.own.entry(place).or_default();
        own.retain(|other| !replaces(&known, other));
        own.push(known);
    }

    /// Forgets everything that was settled under a lease: it was false.
    pub(super) fn forget_results(&mut self, lease: LeaseId) {
        self.cache.retain(|_, known| known.lease != lease);
        self.own.retain(|_, own| {
            own.retain(|known| known.lease != lease);
            !own.is_empty()
        });
    }
}

/// Whether whoever has one result does not need another of the same job: it is as young, and was
/// checked at least as well.
fn replaces(one: &Known, other: &Known) -> bool {
    one.at >= other.at && one.checked.covers(other.checked)
}
