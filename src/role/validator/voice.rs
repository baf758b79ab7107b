//! The voice: what a validator says among several. It reveals its values of the beacon, seals what
//! it found, says it once others have sealed theirs, and says again what does not show in the log.
//! Never decides what it found. Nothing here need survive a crash: values and salts follow from
//! the key, and what was found is found again.

use crate::base::keys::{NetworkId, PublicKey};
use crate::base::limits::BATCH_MAX;
use crate::base::time::{Height, Millis};
use crate::domain::beacon::{self, Reveal};
use crate::domain::bisection::Move;
use crate::domain::command::{Command, SignedOrder};
use crate::domain::state::{Matter, Query, Stance, State};
use crate::domain::verdict::Verdict;
use crate::domain::vote::Evidence;
use crate::role::{Signer, Witness};
use std::collections::{BTreeMap, BTreeSet};

/// What was not folded after so long is said again.
const RESEND_MS: u64 = 2_000;

/// Accusations that wait to be heard.
const CHARGES_MAX: usize = 64;

/// While more is about to be said, what there is waits so long: what a validator found for what it
/// still looks into, so that one command says it all, and a slot for the other validators.
const GATHER_MS: u64 = 3;

/// What a validator found and when, and when it said so last.
#[derive(Debug)]
struct Found {
    verdict: Verdict,
    since: Millis,
    sealed: Option<Millis>,
    said: Option<Millis>,
    /// The number of the command that said it before what it is about was drawn.
    ahead: Option<u64>,
}

impl Found {
    /// When it is to be said, if it was said last then.
    fn due(&self, last: Option<Millis>, is_looking: bool) -> Millis {
        match last {
            Some(at) => at.after(RESEND_MS),
            None if is_looking => self.since.after(GATHER_MS),
            None => Millis(0),
        }
    }
}

/// Who is accused, of what was signed about which slot.
type Charge = (PublicKey, Height);

/// What a validator has to say.
#[derive(Debug, Default)]
pub(super) struct Voice {
    found: BTreeMap<Matter, Found>,
    /// What is looked at again, and when.
    again: BTreeMap<Matter, Millis>,
    /// The last value of the beacon that was revealed, and when.
    revealed: Option<(u64, Millis)>,
    witness: Witness,
    /// What shows that somebody said two things at once, and when it was said last.
    charges: BTreeMap<Charge, (Evidence, Option<Millis>)>,
}

impl Voice {
    /// Takes in what was found.
    pub(super) fn found(&mut self, now: Millis, matter: Matter, verdict: Verdict) {
        let found = Found { verdict, since: now, sealed: None, said: None, ahead: None };
        self.found.insert(matter, found);
    }

    /// What was found of what is asked, to be said by other means.
    pub(super) fn take(&mut self, asked: &[Matter]) -> impl Iterator<Item = Verdict> {
        let found = std::mem::take(&mut self.found).into_iter();
        found.filter(|(matter, _)| asked.contains(matter)).map(|(_, found)| found.verdict)
    }

    /// A question is to be looked into again, a while later.
    pub(super) fn put_off(&mut self, now: Millis, matter: Matter) {
        self.again.insert(matter, now.after(RESEND_MS));
    }

    /// A state was recomputed.
    pub(super) fn traced(&mut self, said: Move) {
        self.witness.traced(said);
    }

    /// Somebody said two things at once.
    pub(super) fn accuse(&mut self, network: NetworkId, evidence: Evidence) {
        let charge = evidence.proves(network);
        if let Some(charge) = charge.filter(|_| self.charges.len() < CHARGES_MAX) {
            self.charges.entry(charge).or_insert((evidence, None));
        }
    }

    /// Whether a question is answered already, or is to be left alone for a while.
    pub(super) fn has(&self, now: Millis, matter: &Matter) -> bool {
        self.found.contains_key(matter) || self.again.get(matter).is_some_and(|at| now < *at)
    }

    /// Forgets what nobody asks any more. Returns the states that are to be recomputed.
    pub(super) fn follow(
        &mut self,
        now: Millis,
        signer: &Signer,
        state: &State,
        asked: &BTreeSet<Matter>,
    ) -> Vec<Query> {
        self.found.retain(|matter, _| asked.contains(matter));
        self.again.retain(|matter, at| asked.contains(matter) && now < *at);
        // What came before what it is about had no effect.
        let folded = state.nonce(&signer.public());
        for (matter, found) in &mut self.found {
            let has_come = found.ahead.is_some_and(|number| number <= folded);
            if has_come && state.seed_of(matter.lease).is_some() {
                (found.sealed, found.said, found.ahead) = (None, None, None);
            }
        }
        self.charges.retain(|(who, height), _| state.is_chargeable(*who, *height));
        self.witness.follow(signer, state, state.judging())
    }

    /// Says what is due. `is_looking` says whether it looks into more.
    pub(super) fn speak(
        &mut self,
        now: Millis,
        signer: &mut Signer,
        state: &State,
        is_looking: bool,
    ) -> Vec<SignedOrder> {
        let me = signer.public();
        let reveal = self.reveal(now, signer, state);
        let mut orders: Vec<SignedOrder> = reveal.into_iter().collect();
        let due = |at: Option<Millis>| at.is_none_or(|at| now >= at.after(RESEND_MS));
        let (mut seals, mut verdicts) = (Vec::new(), Vec::new());
        let mut again = Vec::new();
        for (matter, found) in &mut self.found {
            match state.stance(matter.question, &found.verdict, &me) {
                Stance::Seal if now >= found.due(found.sealed, is_looking) => {
                    found.sealed = Some(now);
                    seals.push((*matter, found.verdict.seal(me, matter.seed)));
                }
                Stance::Say if now >= found.due(found.said, is_looking) => {
                    found.said = Some(now);
                    verdicts.push((*matter, found.verdict.clone()));
                }
                Stance::Look => again.push(*matter),
                Stance::Seal | Stance::Say | Stance::Wait => {}
            }
        }
        for matter in again {
            self.found.remove(&matter);
            self.put_off(now, matter);
        }
        let mut say = |matters: Vec<Matter>, command| {
            let order = signer.order(state, command);
            for matter in matters {
                if let Some(found) = self.found.get_mut(&matter) {
                    let is_drawn = state.seed_of(matter.lease).is_some();
                    found.ahead = (!is_drawn).then_some(order.body.nonce);
                }
            }
            orders.push(order);
        };
        for part in seals.chunks(BATCH_MAX) {
            let (matters, seals) = part.iter().copied().unzip();
            say(matters, Command::SealVerdicts(seals));
        }
        for part in verdicts.chunks(BATCH_MAX) {
            let (matters, verdicts) = part.iter().cloned().unzip();
            say(matters, Command::Judge(verdicts));
        }
        for (evidence, said) in self.charges.values_mut().filter(|(_, said)| due(*said)) {
            *said = Some(now);
            orders.push(signer.order(state, Command::Accuse(Box::new(evidence.clone()))));
        }
        orders.extend(self.witness.speak(now, signer, state));
        orders
    }

    fn reveal(&mut self, now: Millis, signer: &mut Signer, state: &State) -> Option<SignedOrder> {
        let (me, network) = (signer.public(), state.network());
        let (turn, next) = state.turn(&me)?;
        let is_said = self.revealed.is_some_and(|(of, at)| of == next && now < at.after(RESEND_MS));
        if is_said {
            return None;
        }
        self.revealed = Some((next, now));
        let of = |turn| beacon::value(signer.key(), network, turn);
        let reveal = Reveal { value: turn.map(of), next: beacon::pledge(me, of(next)) };
        Some(signer.order(state, Command::Reveal(reveal)))
    }

    /// When it has something to say, or to look at again.
    pub(super) fn deadline(
        &self,
        state: &State,
        me: &PublicKey,
        is_looking: bool,
    ) -> Option<Millis> {
        let due = |at: Option<Millis>| at.map_or(Millis(0), |at| at.after(RESEND_MS));
        let found = self.found.iter().filter_map(|(matter, found)| {
            match state.stance(matter.question, &found.verdict, me) {
                Stance::Seal => Some(found.due(found.sealed, is_looking)),
                Stance::Say => Some(found.due(found.said, is_looking)),
                Stance::Look => Some(Millis(0)),
                Stance::Wait => None,
            }
        });
        let reveal = state.turn(me).map(|(_, next)| {
            let said = self.revealed.filter(|(of, _)| *of == next);
            due(said.map(|(_, at)| at))
        });
        let again = self.again.values().copied();
        let charges = self.charges.values().map(|(_, said)| due(*said));
        found.chain(reveal).chain(again).chain(charges).chain(self.witness.deadline()).min()
    }
}
