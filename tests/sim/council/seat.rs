//! A seat: one validator with its machine, its disk and its copy of the log. Proposes transfers
//! that never repeat, so that two drafts of one height are two slots.

use super::byzantine::Temper;
use crate::dice::Dice;
use crate::ground::Who;
use ohc::base::amount::Ohc;
use ohc::base::canon::{Canonical, Digest};
use ohc::base::keys::PublicKey;
use ohc::base::time::{Height, Millis};
use ohc::domain::command::{Command, Order};
use ohc::domain::event::events_root;
use ohc::domain::genesis::Genesis;
use ohc::domain::poh::{self, Chain};
use ohc::domain::slot::{Draft, Slot, commands_root};
use ohc::domain::state::State;
use ohc::role::Machine;
use ohc::role::consensus::{Consensus, Entry, Input, Message, Output};
use std::panic::{AssertUnwindSafe, catch_unwind};

pub struct Seat {
    pub who: Who,
    pub temper: Temper,
    /// None while it is down.
    pub machine: Option<Consensus>,
    pub state: State,
    pub parent: Digest,
    /// What is on its disk.
    pub journal: Vec<Entry>,
    pub log: Vec<Slot>,
    pub life: u64,
    /// It is told to say nothing about slots before this one.
    pub silent_before: Height,
    /// How often it has lied.
    pub lies: usize,
    /// What an equivocator says after what it proposes.
    pub ahead: Option<Message>,
    /// When it is woken next.
    pub alarm: Option<Millis>,
}

impl Seat {
    pub fn new(who: u8, temper: Temper, genesis: &Genesis) -> Self {
        let (state, parent) = (State::new(genesis), genesis.network().0);
        let (journal, log) = (Vec::new(), Vec::new());
        let who = Who::Validator(who);
        Self {
            who,
            temper,
            machine: None,
            state,
            parent,
            journal,
            log,
            life: 0,
            silent_before: Height(0),
            lies: 0,
            ahead: None,
            alarm: None,
        }
    }

    pub fn key(&self) -> PublicKey {
        self.who.key()
    }

    pub fn height(&self) -> u64 {
        self.log.len() as u64
    }

    pub fn is_silent(&self) -> bool {
        self.temper == Temper::Silent
    }

    /// Starts from what is on its disk.
    pub fn start(&mut self, now: Millis, genesis: &Genesis) -> Vec<Output> {
        self.life += 1;
        self.alarm = None;
        self.state = State::new(genesis);
        self.parent = genesis.network().0;
        for slot in &self.log {
            self.state.apply(slot.head.height, &slot.poh, &slot.commands);
            self.parent = slot.head.digest();
        }
        let mut machine = Consensus::new(self.who.secret(), now, (&self.state, self.parent), 1);
        machine.keep_silent_before(self.silent_before);
        let mut out = Vec::new();
        let mut restore = || machine.restore(now, &self.state, self.journal.clone(), &mut out);
        if self.temper == Temper::Honest {
            restore();
        } else if catch_unwind(AssertUnwindSafe(restore)).is_err() {
            // Whoever wrote down that it voted twice cannot start again.
            return Vec::new();
        }
        self.machine = Some(machine);
        out
    }

    fn tell(&mut self, now: Millis, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        if let Some(machine) = &mut self.machine {
            machine.handle(now, &self.state, input, &mut out);
        }
        out
    }

    pub fn hear(&mut self, now: Millis, message: Message) -> Vec<Output> {
        self.tell(now, Input::Message(message))
    }

    pub fn wake(&mut self, now: Millis) -> Vec<Output> {
        self.tell(now, Input::Wake)
    }

    pub fn begin(&mut self, now: Millis) -> Vec<Output> {
        self.tell(now, Input::Begin)
    }

    /// Whether there is something to propose that nobody has begun with.
    pub fn wants(&self, target: u64) -> bool {
        let speaks = |machine: &Consensus| machine.is_resting() && !machine.is_silent(&self.state);
        let is_resting = self.machine.as_ref().is_some_and(speaks);
        is_resting && self.height() < target
    }

    pub fn deadline(&self) -> Option<Millis> {
        self.machine.as_ref()?.deadline(&self.state)
    }

    /// A draft with one transfer of an amount that nobody else will think of.
    pub fn draft(&self, dice: &mut Dice) -> Draft {
        self.draft_of(0, dice)
    }

    /// The same, with so many ticks.
    pub fn draft_of(&self, ticks: u64, dice: &mut Dice) -> Draft {
        let amount = Ohc::from_nano(1_000_000 + dice.below(1 << 40));
        let nonce = self.state.nonce(&Who::Bank.key()) + 1;
        let command = Command::Transfer { to: self.key(), amount };
        let order = Who::Bank.secret().seal(self.state.network(), Order { nonce, command });
        let params = poh::Params { hashes_per_tick: self.state.params().hashes_per_tick };
        let mut chain = Chain::resume(self.state.place(), params);
        let commands = vec![order];
        let mut poh: Vec<_> = (0..ticks).map(|_| chain.tick()).collect();
        poh.extend(chain.record(commands_root(&commands)));
        Draft { height: self.state.height().next(), proposer: self.key(), poh, commands }
    }

    pub fn propose(&mut self, now: Millis, dice: &mut Dice) -> Vec<Output> {
        let draft = self.draft(dice);
        self.say(now, draft)
    }

    pub fn say(&mut self, now: Millis, draft: Draft) -> Vec<Output> {
        self.tell(now, Input::Drafted(draft))
    }

    /// Folds a slot that is final and writes it down.
    pub fn take(&mut self, now: Millis, slot: Slot) -> Vec<Output> {
        let events = self.state.apply(slot.head.height, &slot.poh, &slot.commands);
        assert_eq!(events_root(&events), slot.head.events, "R-8");
        self.parent = slot.head.digest();
        self.log.push(slot);
        self.journal.clear();
        self.tell(now, Input::Folded(self.parent))
    }
}
