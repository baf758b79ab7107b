//! Agreement: which slot comes next, if more than 2/3 of the stake say so. Tendermint (Buchman,
//! Kwon, Milosevic 2018) as Malachite has it, behind a machine that speaks our types. Never makes a
//! draft, writes to a disk or knows a network: it says what must be durable before what is sent.
//!
//! A height begins when somebody has something to propose, or hears of it from another: an idle
//! network votes about nothing. What is proposed is folded on a second copy of the state
//! (`trial`) before it is voted for, so a vote is for the events too.

mod context;
mod hands;
mod message;
mod trial;

pub use message::{Entry, Message, Passed, Polka};

use crate::base::canon::{Canonical, Digest, Encode};
use crate::base::keys::{NetworkId, PublicKey, SecretKey, Signed};
use crate::base::limits::{PROPOSAL_BYTES_MAX, VALIDATORS_MAX};
use crate::base::time::{Height, Millis};
use crate::domain::command::SignedOrder;
use crate::domain::slot::{Draft, Slot};
use crate::domain::state::State;
use crate::domain::vote::{Evidence, Proposal, Vote};
use crate::role::{Machine, Verifiers};
use context::{Candidate, Offer, Slots, Voters};
use hands::{Hands, Said};
use malachite::{LocallyProposedValue, Params, process};
use malachite_types::{
    LinearTimeouts, Round, Timeout, ValidatorSet as _, ValuePayload, Vote as _, VoteExtensionPolicy,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use trial::Trial;

/// How often a validator says again what it has said, while a height goes on: who was down then
/// waits for it, in a late round no less than in the first.
const REPEAT_EVERY: Duration = Duration::from_millis(400);
/// How long a step of the first round waits, and how much longer that of each further one. On one
/// machine a slot takes milliseconds; across an ocean a fifth of a second.
const TIMEOUTS: LinearTimeouts = LinearTimeouts {
    propose: Duration::from_millis(600),
    propose_delta: Duration::from_millis(300),
    prevote: Duration::from_millis(300),
    prevote_delta: Duration::from_millis(150),
    precommit: Duration::from_millis(300),
    precommit_delta: Duration::from_millis(150),
    rebroadcast: REPEAT_EVERY,
    max_timeout: Duration::from_secs(10),
};

/// The clock of a proposer may be so far ahead, beside a fourth of what has passed.
const AHEAD_MS: u64 = 500;
/// So long ago, it is taken at a start, the last slot was folded: nobody has written down when.
const BEFORE_MS: u64 = 1_000;
/// Heights ahead of the own of which messages are kept: of more a validator catches up.
const AHEAD_MAX: u64 = 2;
/// Messages that are kept of them, for each validator that there may be.
const AHEAD_MESSAGES_MAX: usize = 16 * VALIDATORS_MAX;
/// Their slots are at most so many bytes together.
const AHEAD_BYTES_MAX: usize = 4 * PROPOSAL_BYTES_MAX;
/// Different slots that one round may propose: an honest proposer has one.
const PROPOSALS_PER_ROUND_MAX: usize = 2;

/// What can happen to it.
#[derive(Debug)]
pub enum Input {
    /// There is something to propose, for whoever's turn it is.
    Begin,
    /// Another validator said something.
    Message(Message),
    /// What this validator proposes, now that it is its turn.
    Drafted(Draft),
    /// A slot with this head was folded and is durable, however it came.
    Folded(Digest),
    /// The deadline has come.
    Wake,
}

/// What it wants to happen, in this order.
#[derive(Debug, PartialEq)]
pub enum Output {
    /// This is durable before anything that follows happens.
    Record(Vec<Entry>),
    /// This goes to all other validators.
    Send(Message),
    /// It is this validator's turn: a draft is wanted, now.
    Propose,
    /// This slot is final.
    Decided(Box<Slot>),
    /// Somebody said two things at once.
    Evidence(Evidence),
    /// Others are further than this validator can follow: the slot before this one is final.
    Behind(Height),
}

/// One validator's part in the agreement.
pub struct Consensus {
    key: SecretKey,
    network: NetworkId,
    core: malachite::State<Slots>,
    /// The validators, ready to have their signatures checked.
    verifiers: Verifiers,
    /// The digest of the last slot's head.
    parent: Digest,
    trial: Trial,
    /// When the last slot was folded here, or may have been.
    folded: Millis,
    /// It says nothing about slots before this one.
    silent_before: Height,
    /// Whether the height after the last slot has begun.
    has_begun: bool,
    /// Slots that were proposed at this height and found sound, by their heads.
    sound: BTreeMap<Digest, Arc<Slot>>,
    /// The heads that were proposed in each round of this height.
    proposed: BTreeMap<u32, BTreeSet<Digest>>,
    /// Messages of heights to come.
    ahead: BTreeMap<Height, Vec<Message>>,
    said: Said,
}

impl std::fmt::Debug for Consensus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (height, round) = (self.core.height(), self.core.round());
        write!(f, "Consensus({} at {height}, {round})", self.key.public())
    }
}

impl Consensus {
    /// A validator that is at the end of a log whose last head has this digest. `threads` check
    /// Proof of History.
    #[must_use]
    pub fn new(
        key: SecretKey,
        now: Millis,
        (state, parent): (&State, Digest),
        threads: usize,
    ) -> Self {
        let params = Params {
            address: key.public(),
            threshold_params: malachite_types::ThresholdParams::default(),
            value_payload: ValuePayload::ProposalOnly,
            enabled: true,
        };
        let voters = Voters::new(state.validators());
        // Messages of heights to come are kept here, so its own queue stays empty.
        let core = malachite::State::new(Slots, state.height(), voters, params, 1, 1);
        Self {
            key,
            network: state.network(),
            core,
            verifiers: Verifiers::default(),
            parent,
            trial: Trial::new(threads),
            folded: Millis(now.0.saturating_sub(BEFORE_MS)),
            silent_before: Height(0),
            has_begun: false,
            sound: BTreeMap::new(),
            proposed: BTreeMap::new(),
            ahead: BTreeMap::new(),
            said: Said::default(),
        }
    }

    /// Tells it of validators whose keys are known already.
    pub fn introduce(&mut self, verifiers: Verifiers) {
        self.verifiers = verifiers;
    }

    /// A command whose signature this node has checked: it is not checked again where somebody
    /// proposes it.
    pub fn vouch(&mut self, order: &SignedOrder) {
        self.trial.vouch(order);
    }

    /// Has it say nothing about slots before this one: it may have said something that it does not
    /// know any more.
    pub fn keep_silent_before(&mut self, height: Height) {
        self.silent_before = height;
    }

    /// The first slot about which it says anything.
    #[must_use]
    pub fn silent_before(&self) -> Height {
        self.silent_before
    }

    /// Whether it says nothing about the next slot.
    #[must_use]
    pub fn is_silent(&self, state: &State) -> bool {
        state.height().next() < self.silent_before
    }

    /// Its name.
    #[must_use]
    pub fn key(&self) -> PublicKey {
        self.key.public()
    }

    /// Whether it waits for something to propose.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        !self.has_begun
    }

    /// Takes in again what was written down of the height after the last slot: it ends up where it
    /// was, and says nothing that it has not said. The last of what it has said it says again: it
    /// may have been down before anybody heard it.
    pub fn restore(
        &mut self,
        now: Millis,
        state: &State,
        entries: Vec<Entry>,
        out: &mut Vec<Output>,
    ) {
        let (me, mut slots) = (self.key(), BTreeMap::new());
        let inputs: Vec<_> =
            entries.into_iter().filter_map(|entry| entry.input(me, &mut slots)).collect();
        let of = |input: &malachite::Input<Slots>| hands::height_of(input);
        let height = state.height().next();
        let inputs: Vec<_> =
            inputs.into_iter().filter(|i| of(i).is_none_or(|h| h == height)).collect();
        if inputs.is_empty() {
            return;
        }
        self.sound = slots;
        self.core.index_wal_entries(&inputs);
        self.said.is_replaying = true;
        let mut quiet = Vec::new();
        self.begin(now, state, &mut quiet);
        for input in inputs {
            self.process(now, input, &mut quiet);
        }
        self.core.reset_entries_index();
        self.said.is_replaying = false;
        out.extend(quiet);
        self.repeat(now, out);
        self.ask(out);
    }

    /// Says again what it said last: its proposal of this round, its votes, and how the round
    /// before ended.
    fn repeat(&mut self, now: Millis, out: &mut Vec<Output>) {
        let (height, round, me) = (self.core.height(), self.core.round(), self.key());
        if let Some(own) = self.core.full_proposal_at_round_and_proposer(&height, round, &me) {
            let Offer { candidate, valid, .. } = &own.proposal.message;
            let polka = valid.map(Round::new).and_then(|round| {
                let polka =
                    self.core.polka_certificate(round, &own.proposal.message.proposal().head)?;
                Some(Message::Polka(message::polka_out(polka)))
            });
            let (proposal, slot) = (message::proposal_out(&own.proposal), candidate.slot.clone());
            let proposal = Message::Proposal { proposal, slot };
            out.extend(polka.into_iter().chain([proposal]).map(Output::Send));
        }
        let timeout = Timeout::rebroadcast(round);
        self.process(now, malachite::Input::TimeoutElapsed(timeout), out);
    }

    fn begin(&mut self, now: Millis, state: &State, out: &mut Vec<Output>) {
        let is_voter = state.validators().contains_key(&self.key()) && !self.is_silent(state);
        if self.has_begun || !is_voter {
            return;
        }
        self.has_begun = true;
        self.verifiers.follow(state.validators());
        let voters = Voters::new(state.validators());
        let (height, policy) = (state.height().next(), VoteExtensionPolicy::Disabled);
        let start = malachite::Input::StartHeight(height, voters, false, None, policy);
        self.process(now, start, out);
    }

    /// Has the core take one input, and does what it wants.
    fn process(&mut self, now: Millis, input: malachite::Input<Slots>, out: &mut Vec<Output>) {
        let Self { key, network, core, verifiers, said, sound, .. } = self;
        let (network, timeouts) = (*network, TIMEOUTS);
        let mut hands = Hands { key, verifiers, network, now, timeouts, sound, said, out };
        let done: Result<(), malachite::Error<Slots>> = process!(
            input: input,
            state: core,
            metrics: &(),
            with: effect => Ok::<_, std::convert::Infallible>(hands.perform(effect))
        );
        // A journal that does not lead to what it says was said: going on could mean to vote twice.
        // Any other error is an input that does not fit: it has no effect.
        if let Err(error @ malachite::Error::ReplayDivergence(..)) = done {
            panic!("R-6: {error}");
        }
    }

    /// Asks for a draft if it is this validator's turn and it has none.
    fn ask(&mut self, out: &mut Vec<Output>) {
        let turn = self.said.turn.take();
        let round = turn.filter(|round| Round::new(*round) == self.core.round());
        if round.is_some_and(|round| !self.said.has_proposed(round)) {
            out.push(Output::Propose);
        }
    }

    fn propose(&mut self, now: Millis, state: &State, draft: Draft, out: &mut Vec<Output>) {
        if !self.has_begun || draft.height != state.height().next() {
            return;
        }
        let slot = Arc::new(self.trial.complete(state, self.parent, draft));
        self.sound.insert(slot.head.digest(), slot.clone());
        let (height, round) = (slot.head.height, self.core.round());
        let value = LocallyProposedValue::new(height, round, Candidate::new(slot));
        self.process(now, malachite::Input::Propose(value), out);
    }

    fn hear(&mut self, now: Millis, state: &State, message: Message, out: &mut Vec<Output>) {
        let (height, next) = (message.height(), state.height().next());
        if height < next || !message.is_bounded() {
            return;
        }
        if height > next {
            self.keep(height, message);
            out.push(Output::Behind(height));
            return;
        }
        if self.is_silent(state) || !self.is_from_another(state, &message) {
            return;
        }
        if matches!(&message, Message::Vote(vote) if self.has_enough(vote)) {
            return;
        }
        self.begin(now, state, out);
        if let Message::Proposal { proposal, slot } = &message {
            let is_his =
                proposal.author == *self.core.get_proposer(height, Round::new(proposal.body.round));
            if !is_his || proposal.body.head != slot.head.digest() || self.knows(proposal) {
                return;
            }
            if !self.sound.contains_key(&proposal.body.head) {
                let is_ours = self.verifiers.get(&proposal.author).is_some_and(|key| {
                    key.verifies(self.network, &proposal.body, &proposal.signature)
                });
                self.said.heard = is_ours.then(|| proposal.clone());
                let heads = self.proposed.entry(proposal.body.round).or_default();
                let is_fair = is_ours
                    && (heads.len() < PROPOSALS_PER_ROUND_MAX
                        || heads.contains(&proposal.body.head));
                heads.extend(is_fair.then_some(proposal.body.head));
                let is_sound = is_fair
                    && self.is_in_time(now, state, slot)
                    && self.trial.accepts(state, self.parent, slot, &self.verifiers);
                if !is_sound {
                    return;
                }
                self.sound.insert(proposal.body.head, slot.clone());
            }
        }
        self.process(now, message.into(), out);
    }

    /// Whether this was proposed before: once is enough.
    fn knows(&self, proposal: &Signed<Proposal>) -> bool {
        let (body, author) = (&proposal.body, &proposal.author);
        let round = Round::new(body.round);
        let known = self.core.full_proposal_at_round_and_proposer(&body.height, round, author);
        known.is_some_and(|known| known.proposal.message.proposal() == *body)
    }

    /// Whether votes just like this are counted of more than 2/3 of the stake: one more changes
    /// nothing. Who votes twice is counted once, so the core is asked, and not what was heard.
    fn has_enough(&self, vote: &Signed<Vote>) -> bool {
        let ballot = message::vote_in(vote.clone()).message;
        let round = self.core.driver.votes().per_round(Round::new(vote.body.round));
        self.has_begun
            && round.is_some_and(|round| {
                let weight = round.votes().get_weight(ballot.vote_type(), ballot.value());
                let total = self.core.validator_set().total_voting_power();
                self.core.params.threshold_params.quorum.is_met(weight, total)
            })
    }

    /// Whether a slot counts about as much time as has passed here since the last: a chain can be
    /// hashed faster than its clock runs. What more than 2/3 have signed counts anyway.
    fn is_in_time(&self, now: Millis, state: &State, slot: &Slot) -> bool {
        let passed = u128::from(now.since(self.folded)) * 5 / 4 + u128::from(AHEAD_MS);
        let due = passed * u128::from(state.params().ticks_per_second) / 1_000;
        u128::from(slot.ticks()) <= due
    }

    /// Keeps a message of a height to come, if there is room.
    fn keep(&mut self, height: Height, message: Message) {
        let size = |m: &Message| match m {
            Message::Proposal { slot, .. } => slot.to_bytes().len(),
            _ => 0,
        };
        let kept = || self.ahead.values().flatten();
        let bytes: usize = kept().map(size).sum::<usize>() + size(&message);
        let is_near = height.0 <= self.core.height().0 + AHEAD_MAX + 1;
        if is_near && kept().count() < AHEAD_MESSAGES_MAX && bytes <= AHEAD_BYTES_MAX {
            self.ahead.entry(height).or_default().push(message);
        }
    }

    /// Whether it comes from another validator: what this one said it knows itself.
    fn is_from_another(&self, state: &State, message: &Message) -> bool {
        let author = match message {
            Message::Proposal { proposal, .. } => proposal.author,
            Message::Vote(vote) => vote.author,
            // The signatures in them are checked one by one.
            Message::Polka(_) | Message::Passed(_) => return true,
        };
        author != self.key() && state.validators().contains_key(&author)
    }

    /// The log is one slot further: what was said at its height is over.
    fn advance(&mut self, now: Millis, state: &State, head: Digest, out: &mut Vec<Output>) {
        (self.parent, self.folded) = (head, now);
        self.trial.settle(state, head);
        self.has_begun = false;
        self.sound.clear();
        self.proposed.clear();
        self.said = Said::default();
        let next = state.height().next();
        self.ahead.retain(|height, _| *height >= next);
        for message in self.ahead.remove(&next).unwrap_or_default() {
            self.hear(now, state, message, out);
        }
    }

    fn wake(&mut self, now: Millis, out: &mut Vec<Output>) {
        let due: Vec<Timeout> = self.said.due(now);
        for timeout in due {
            if timeout == Timeout::rebroadcast(self.core.round()) {
                self.repeat(now, out);
                continue;
            }
            self.process(now, malachite::Input::TimeoutElapsed(timeout), out);
        }
    }
}

impl Machine for Consensus {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, now: Millis, state: &State, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Begin => self.begin(now, state, out),
            Input::Message(message) => self.hear(now, state, message, out),
            Input::Drafted(draft) => self.propose(now, state, draft, out),
            Input::Folded(head) => self.advance(now, state, head, out),
            Input::Wake => self.wake(now, out),
        }
        self.ask(out);
    }

    fn deadline(&self, _: &State) -> Option<Millis> {
        self.said.deadline()
    }
}
