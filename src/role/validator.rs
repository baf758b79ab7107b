//! The validator: collects commands, cuts slots, has receipts checked, signs verdicts and slots.
//! Never re-executes anything itself, and never acts on a slot that is not durable: it hands out
//! a draft, and the node folds, records and only then performs what follows.
//!
//! In a network of one it proposes whenever a slot is due and puts its own verdicts into its own
//! draft. Among several it proposes when it is told that it is its turn, and sends its verdicts to
//! all, for whoever proposes next; what does not show in the log is said again.

mod ahead;
mod crowd;
mod mempool;
mod voice;

use super::{Machine, Signer, Verifiers};
use crate::base::amount::{Rounding, mul_div};
use crate::base::canon::{Canonical, Digest, Encode};
use crate::base::keys::PublicKey;
use crate::base::limits::{
    BATCH_MAX, COMMANDS_PER_SLOT_MAX, MESSAGE_BYTES_MAX, PROPOSAL_BYTES_MAX, SLOT_BYTES_MAX,
    TICKS_PER_SLOT_MAX,
};
use crate::base::time::Millis;
use crate::domain::bisection::Move;
use crate::domain::command::{Command, SignedOrder};
use crate::domain::poh::{self, Chain};
use crate::domain::slot::{Draft, Slot, commands_root};
use crate::domain::state::{Duty, Matter, Query, State};
use crate::domain::verdict::{self, Verdict};
use crate::domain::vote::{Certificate, Evidence};
use ahead::Ahead;
use crowd::Crowd;
use mempool::Mempool;
use std::collections::BTreeSet;
use voice::Voice;

/// How long a slot is put off while only the passing of time can change something.
const WAITING_SLOT_MS: u64 = 900;

/// So long whoever has something to say is waited for: a slot that all share saves a slot, which
/// takes about as long.
const GATHER_MS: u64 = 6;

/// Receipts, and leases, that are looked at to know who has something to say.
const GATHER_MAX: usize = 32;

/// Bytes of the commands of a slot that goes over a bus whole, with room for all else in it.
const PROPOSED_BYTES_MAX: usize = PROPOSAL_BYTES_MAX - 64 * 1024;
const _: () = assert!(MESSAGE_BYTES_MAX <= PROPOSED_BYTES_MAX);

/// Commands of a slot that are this validator's own verdicts: 16 of 256 take half a megabyte.
const JUDGE_COMMANDS_MAX: usize = 16;

/// What can happen to a validator.
#[derive(Debug)]
pub enum Input {
    /// Somebody sent a command.
    Command(SignedOrder),
    /// A slot was folded and is durable.
    Folded,
    /// A question about a receipt was looked into.
    Checked(Matter, Verdict),
    /// It could not be looked into, for a reason that is not in it.
    Unchecked(Matter),
    /// A state of a disputed segment was computed again.
    Traced(Move),
    /// Somebody was heard to say two things at once.
    Evidence(Evidence),
    /// It is this validator's turn to propose.
    Propose,
    /// The deadline has come.
    Wake,
}

/// What a validator wants to happen.
#[derive(Debug)]
pub enum Output {
    /// Fold this, have it sealed, record it, then tell everybody.
    Cut(Draft),
    /// Look into this.
    Check(Box<Duty>),
    /// Compute this state of a disputed segment again.
    Trace(Box<Query>),
    /// This goes to the validators, as a worker's commands do.
    Send(SignedOrder),
}

/// One validator.
#[derive(Debug)]
pub struct Validator {
    signer: Signer,
    mempool: Mempool,
    /// Since when a command waits, and who had something to say at the last slot.
    waits_since: Millis,
    speakers: BTreeSet<PublicKey>,
    crowd: Crowd,
    /// What will be drawn with what waits.
    ahead: Option<Ahead>,
    checking: BTreeSet<Matter>,
    /// Alone: what goes into the next draft.
    verdicts: Vec<Verdict>,
    /// Among several: what it has to say.
    voice: Voice,
    verifiers: Verifiers,
    /// Up to when ticks have been counted.
    ticked: Millis,
    cut: Millis,
    /// Ticks of the chain at the last slot, and whether anything waited for time then.
    seen: (u64, bool),
}

impl Validator {
    /// A validator that starts now.
    #[must_use]
    pub fn new(signer: Signer, now: Millis) -> Self {
        Self {
            signer,
            mempool: Mempool::default(),
            waits_since: now,
            speakers: BTreeSet::new(),
            crowd: Crowd::default(),
            ahead: None,
            checking: BTreeSet::new(),
            verdicts: Vec::new(),
            voice: Voice::default(),
            verifiers: Verifiers::default(),
            ticked: now,
            cut: now,
            seen: (0, false),
        }
    }

    /// Its name.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        self.signer.public()
    }

    /// The command that came last of those that wait: its signature holds, as theirs do.
    #[must_use]
    pub fn newest(&self) -> Option<&SignedOrder> {
        self.mempool.newest()
    }

    /// What it has given out to be looked into and is still asked.
    #[must_use]
    pub fn checking(&self) -> &BTreeSet<Matter> {
        &self.checking
    }

    /// Signs what the fold made of a draft. In a network of one that is the certificate.
    #[must_use]
    pub fn seal(&self, state: &State, draft: Draft, parent: Digest, events: Digest) -> Slot {
        let head = draft.head(parent, events);
        let mut certificate = Certificate::default();
        let vote = certificate.vote(head.height, head.digest());
        let signature = self.signer.key().sign(state.network(), &vote);
        certificate.signatures.insert(self.key(), signature);
        Slot { head, poh: draft.poh, commands: draft.commands, certificate }
    }

    /// What hides this validator's verdict about a receipt in its seal.
    #[must_use]
    pub fn salt(&self, state: &State, duty: &Duty) -> Digest {
        let about = (duty.receipt.lease, duty.id, duty.probe);
        verdict::salt(self.signer.key(), state.network(), about)
    }

    /// Takes a command in if it is signed, of bounded size, and there is room. Among several what
    /// could have no effect is not even looked at.
    fn admit(&mut self, now: Millis, state: &State, order: SignedOrder) {
        if self.fits(state, &order) && self.verifiers.holds(state.network(), &order) {
            self.push(now, state, order);
        }
    }

    fn fits(&self, state: &State, order: &SignedOrder) -> bool {
        self.mempool.takes(order) && (state.is_alone() || may_count(state, order))
    }

    fn push(&mut self, now: Millis, state: &State, order: SignedOrder) {
        if self.mempool.is_empty() {
            self.waits_since = now;
        }
        let is_awaited = is_awaited(state, &order);
        self.crowd.hear(&order);
        self.mempool.push(order);
        match (&mut self.ahead, self.mempool.newest()) {
            (Some(ahead), Some(order)) => ahead.hear(order),
            _ if is_awaited => self.look_ahead(now, state),
            _ => {}
        }
    }

    fn look_ahead(&mut self, now: Millis, state: &State) {
        let is_one = state.validators().contains_key(&self.key());
        let ahead = || Ahead::of(now, state, self.mempool.iter());
        self.ahead = is_one.then(ahead).flatten();
    }

    /// Says something: to all others, and to itself, who need not check it.
    fn say(&mut self, now: Millis, state: &State, order: SignedOrder, out: &mut Vec<Output>) {
        if self.fits(state, &order) {
            self.push(now, state, order.clone());
        }
        out.push(Output::Send(order));
    }

    /// Whether it is the one validator there is.
    fn is_alone(&self, state: &State) -> bool {
        state.is_alone() && state.validators().contains_key(&self.key())
    }

    /// Whether a slot would change anything now.
    fn is_due(&self, state: &State) -> bool {
        !self.mempool.is_empty() || !self.verdicts.is_empty() || state.is_restless()
    }

    fn draft(&mut self, now: Millis, state: &State) -> Draft {
        let (mut commands, mut bytes) = (Vec::new(), 0usize);
        // Signed here and not before, so that no later number of ours comes first; and first in the
        // slot, so that a full mempool holds up no settlement.
        while !self.verdicts.is_empty() && commands.len() < JUDGE_COMMANDS_MAX {
            let batch = self.verdicts.drain(..self.verdicts.len().min(BATCH_MAX)).collect();
            let order = self.signer.order(state, Command::Judge(batch));
            bytes += order.to_bytes().len();
            commands.push(order);
        }
        let bytes_max = if state.is_alone() { SLOT_BYTES_MAX } else { PROPOSED_BYTES_MAX };
        let is_full = |count: usize, bytes| count >= COMMANDS_PER_SLOT_MAX || bytes > bytes_max;
        let next = |mempool: &mut Mempool| state.is_alone().then(|| mempool.pop()).flatten();
        while let Some(order) = next(&mut self.mempool) {
            bytes += order.to_bytes().len();
            if is_full(commands.len(), bytes) {
                self.mempool.push_front(order);
                break;
            }
            commands.push(order);
        }
        // Among several a draft may come to nothing: what it holds waits until it is folded.
        let is_first = |order: &SignedOrder| is_awaited(state, order);
        let waiting = (!state.is_alone()).then(|| self.mempool.in_turn(is_first));
        for order in waiting.into_iter().flatten() {
            bytes += order.to_bytes().len();
            if is_full(commands.len(), bytes) {
                break;
            }
            commands.push(order.clone());
        }
        let params = poh::Params { hashes_per_tick: state.params().hashes_per_tick };
        let mut chain = Chain::resume(state.place(), params);
        let mut poh: Vec<_> = (0..self.ticks(now, state)).map(|_| chain.tick()).collect();
        poh.extend(chain.record(commands_root(&commands)));
        self.cut = now;
        Draft { height: state.height().next(), proposer: self.key(), poh, commands }
    }

    /// Ticks that are due at the network's rate. While nothing waits for time no ticks are owed:
    /// an idle chain stands still and burns nothing.
    fn ticks(&mut self, now: Millis, state: &State) -> u64 {
        let rate = state.params().ticks_per_second;
        if !state.is_waiting() {
            self.ticked = now;
            return 0;
        }
        let due = mul_div(now.since(self.ticked), rate, 1_000, Rounding::Floor).unwrap_or(u64::MAX);
        if !state.is_alone() {
            return due.min(TICKS_PER_SLOT_MAX); // counted when the slot is folded
        }
        if due > TICKS_PER_SLOT_MAX {
            self.ticked = now; // the machine slept: the chain does not pretend that it ran
            return TICKS_PER_SLOT_MAX;
        }
        let counted = mul_div(due, 1_000, rate, Rounding::Ceil).unwrap_or(0);
        self.ticked = self.ticked.after(counted);
        due
    }

    /// A slot of whoever proposed it: what it holds waits no more, and the time that it counted is
    /// not counted again.
    fn observe(&mut self, now: Millis, state: &State) {
        self.mempool.retain(|order| may_count(state, order) && !is_too_late(state, order));
        self.speakers = state.speakers(GATHER_MAX);
        self.crowd = Crowd::of(state, GATHER_MAX);
        self.mempool.iter().for_each(|order| self.crowd.hear(order));
        self.look_ahead(now, state);
        let rate = state.params().ticks_per_second;
        let (before, was_waiting) = self.seen;
        self.seen = (state.place().ticks, state.is_waiting());
        let counted = state.place().ticks.saturating_sub(before);
        let ms = mul_div(counted, 1_000, rate, Rounding::Ceil).unwrap_or(u64::MAX);
        let longest = mul_div(TICKS_PER_SLOT_MAX, 1_000, rate, Rounding::Ceil).unwrap_or(u64::MAX);
        let ticked = if was_waiting { self.ticked.after(ms).min(now) } else { now };
        let is_behind = now.since(ticked) > longest;
        self.ticked = if is_behind { now } else { ticked };
        self.cut = now;
    }

    /// When it wants a slot: at once where that would change something, after a while where only
    /// the passing of time can; never where nothing can.
    #[must_use]
    pub fn proposes_at(&self, state: &State) -> Option<Millis> {
        if !state.validators().contains_key(&self.key()) {
            return None; // it follows the log, until it is one
        }
        if self.is_due(state) {
            return Some(self.gathers_until(state));
        }
        let waiting = state.is_waiting().then(|| self.cut.after(WAITING_SLOT_MS));
        waiting.into_iter().chain(self.seeds_at(state)).min()
    }

    /// Where all that waits is what validators say and workers answer, until when more of them are
    /// waited for.
    fn gathers_until(&self, state: &State) -> Millis {
        let is_theirs =
            |key: &PublicKey| state.validators().contains_key(key) || self.crowd.works(key);
        let are_theirs = self.mempool.authors().all(is_theirs);
        let have_spoken = self.speakers.iter().all(|key| self.mempool.has_spoken(key));
        let is_complete = have_spoken && self.crowd.is_complete();
        match &self.ahead {
            _ if !are_theirs => Millis(0),
            _ if !is_complete => self.waits_since.after(GATHER_MS),
            Some(ahead) => ahead.gathers_until(),
            None => Millis(0),
        }
    }

    /// When the chain will have made the hash that the beacon waits for.
    fn seeds_at(&self, state: &State) -> Option<Millis> {
        let ticks = state.seeds_at()?.0.saturating_sub(state.tick().0);
        let rate = state.params().ticks_per_second;
        let ms = mul_div(ticks, 1_000, rate, Rounding::Ceil).unwrap_or(u64::MAX);
        Some(self.ticked.after(ms))
    }

    /// Who is alone says what it found in its drafts, among several it has to seal it first: where
    /// others have come or gone, what was not said yet is said the other way.
    fn follow_set(&mut self, state: &State) {
        if self.is_alone(state) {
            self.ahead = None;
            self.verdicts.extend(self.voice.take(&state.questions(&self.key())));
            return;
        }
        for verdict in self.verdicts.drain(..) {
            self.checking.retain(|matter| matter.lease != verdict.lease);
        }
    }

    fn follow(&mut self, now: Millis, state: &State, out: &mut Vec<Output>) {
        let me = self.key();
        let mut asked: BTreeSet<Matter> = state.questions(&me).into_iter().collect();
        asked.extend(self.ahead.iter().flat_map(|ahead| ahead.questions(&me)));
        self.checking.retain(|matter| asked.contains(matter));
        let queries = self.voice.follow(now, &self.signer, state, &asked);
        out.extend(queries.into_iter().map(|query| Output::Trace(Box::new(query))));
        for matter in asked {
            if self.checking.contains(&matter) || self.voice.has(now, &matter) {
                continue;
            }
            let foreseen = || self.ahead.as_ref().and_then(|ahead| ahead.duty(state, matter));
            if let Some(duty) = state.duty(matter, &me).or_else(foreseen) {
                self.checking.insert(matter);
                out.push(Output::Check(Box::new(duty)));
            }
        }
    }
}

/// Whether somebody with an account says something new.
fn may_count(state: &State, order: &SignedOrder) -> bool {
    order.body.nonce > state.nonce(&order.author) && state.ledger().knows(&order.author)
}

/// Whether it is a value of the beacon, or a pledge of one, that its author is asked for.
fn is_awaited(state: &State, order: &SignedOrder) -> bool {
    matches!(order.body.command, Command::Reveal(_)) && state.turn(&order.author).is_some()
}

/// Whether it is about receipts alone that have been judged since it was said.
fn is_too_late(state: &State, order: &SignedOrder) -> bool {
    match &order.body.command {
        Command::Judge(verdicts) => verdicts.iter().all(|said| state.is_judged(said.lease)),
        Command::SealVerdicts(seals) => seals.iter().all(|said| state.is_judged(said.lease)),
        _ => false,
    }
}

impl Machine for Validator {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Millis, state: &State, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Command(order) => {
                let knew = self.ahead.is_some();
                self.admit(now, state, order);
                if self.ahead.is_some() && !knew {
                    self.follow(now, state, out);
                }
            }
            Input::Folded => {
                self.follow_set(state);
                if !self.is_alone(state) {
                    self.verifiers.follow(state.validators());
                    self.observe(now, state);
                }
                self.follow(now, state, out);
            }
            // What was foreseen and did not come is not asked any more.
            Input::Checked(matter, _) if !self.checking.contains(&matter) => {}
            Input::Checked(_, verdict) if self.is_alone(state) => self.verdicts.push(verdict),
            Input::Checked(matter, verdict) => {
                self.checking.remove(&matter);
                self.voice.found(now, matter, verdict);
            }
            Input::Unchecked(matter) => {
                self.checking.remove(&matter);
                self.voice.put_off(now, matter);
            }
            Input::Traced(said) => self.voice.traced(said),
            Input::Evidence(evidence) => self.voice.accuse(state.network(), evidence),
            Input::Wake if !self.is_alone(state) => {
                let is_looking = !self.checking.is_empty();
                let said = self.voice.speak(now, &mut self.signer, state, is_looking);
                said.into_iter().for_each(|order| self.say(now, state, order, out));
                self.follow(now, state, out);
            }
            Input::Propose => out.push(Output::Cut(self.draft(now, state))),
            Input::Wake => {
                if self.proposes_at(state).is_some_and(|at| now >= at) {
                    out.push(Output::Cut(self.draft(now, state)));
                }
            }
        }
    }

    fn deadline(&self, state: &State) -> Option<Millis> {
        if self.is_alone(state) {
            return self.proposes_at(state);
        }
        self.voice.deadline(state, &self.key(), !self.checking.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::amount::{Ohc, SUPPLY};
    use crate::base::ids::{BlockId, LeaseId, RunId};
    use crate::base::keys::SecretKey;
    use crate::domain::beacon::Seed;
    use crate::domain::genesis::{Allocation, Genesis, Params};
    use crate::domain::state::Question;
    use crate::domain::verdict::Finding;

    #[test]
    fn verdicts_that_fill_several_commands_go_out_in_the_order_of_their_numbers() {
        let key = SecretKey::from_bytes(&[7; 32]);
        let stake = Ohc::from_whole(40_000).unwrap();
        let (validator, client) = (key.public(), SecretKey::from_bytes(&[8; 32]).public());
        let rest = SUPPLY.checked_sub(stake).unwrap();
        let genesis = Genesis {
            name: "test".into(),
            salt: [0; 32],
            params: Params::embedded(),
            allocations: vec![
                Allocation { key: client, balance: rest, stake: Ohc::ZERO },
                Allocation { key: validator, balance: Ohc::ZERO, stake },
            ],
        };
        let state = State::new(&genesis);
        let mut machine = Validator::new(Signer::new(key), Millis(0));
        let mut out = Vec::new();
        for index in 0..3 * BATCH_MAX as u32 {
            let lease = LeaseId { block: BlockId { run: RunId(1), index }, attempt: 1 };
            let (receipt, trace, salt) = Default::default();
            let verdict = Verdict { lease, receipt, finding: Finding::Agree, trace, salt };
            let matter = Matter { lease, question: Question::Audit, seed: Seed::NONE };
            machine.checking.insert(matter);
            machine.handle(Millis(0), &state, Input::Checked(matter, verdict), &mut out);
        }
        machine.handle(Millis(0), &state, Input::Wake, &mut out);
        let [Output::Cut(draft)] = out.as_slice() else { panic!("no draft: {out:?}") };
        let numbers: Vec<u64> = draft.commands.iter().map(|order| order.body.nonce).collect();
        assert_eq!(numbers, [1, 2, 3]);
    }
}
