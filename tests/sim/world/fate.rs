//! Fate: who goes down when, what is left of him, and what villains do meanwhile.
//! Never touches a message: the network does.

use super::{Item, Lived, Node, World};
use crate::adversary::{forger, spammer};
use crate::ground::Who;
use ohc::base::canon::{Canonical, Digest};
use ohc::domain::event::events_root;
use ohc::domain::state::State;
use ohc::role::{Signer, client, validator, worker};

/// Where a crash may hit between a draft and its publication.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    Never,
    BeforeAppend,
    BeforeSync,
    BeforeTelling,
}

impl World {
    /// The fold of what the disk has.
    pub(super) fn replayed(&self) -> (State, Digest) {
        let mut state = State::new(&self.genesis);
        let mut parent = self.genesis.digest();
        for slot in self.disk.slots() {
            let events = state.apply(slot.head.height, &slot.poh, &slot.commands);
            assert!(events_root(&events) == slot.head.events, "R-8: {}", slot.head.height);
            parent = slot.head.digest();
        }
        (state, parent)
    }

    pub(super) fn node_up(&mut self) -> Lived {
        if self.node.is_some() {
            return Ok(());
        }
        let (state, parent) = self.replayed();
        self.checker.recovered(self.disk.slots(), &state)?;
        // What is durable but was not told yet is told now.
        let mut before = State::new(&self.genesis);
        let seen = self.checker.seen();
        for (index, slot) in self.disk.slots().enumerate() {
            if seen == self.disk.slots().count() {
                break;
            }
            let events = before.apply(slot.head.height, &slot.poh, &slot.commands);
            if index >= seen {
                self.checker.observe(slot, &events, before.ledger())?;
            }
        }
        let signer = Signer::new(Who::Validator(0).secret());
        let machine = validator::Validator::new(signer, self.now);
        self.node = Some(Node { machine, state, parent, busy: self.now });
        self.at(0, Item::Follow);
        self.tell_validator(validator::Input::Folded)
    }

    pub(super) fn node_down(&mut self) {
        self.node = None;
        self.node_life += 1;
        self.disk.crash();
        let delay = self.dice.between(1, 3_000);
        self.at(delay, Item::NodeUp);
    }

    pub(super) fn desk_up(&mut self, index: usize) {
        let desk = &mut self.desks[index];
        if desk.machine.is_none() {
            desk.machine = Some(worker::Worker::new(Signer::new(desk.who.secret()), desk.bid));
            self.tell_worker(index, worker::Input::Folded);
        }
    }

    fn desk_down(&mut self, index: usize) {
        self.desks[index].machine = None;
        self.desks[index].life += 1;
        let delay = self.dice.between(1, 6_000);
        self.at(delay, Item::DeskUp(index));
    }

    pub(super) fn seat_up(&mut self, index: usize) {
        let seat = &mut self.seats[index];
        if seat.machine.is_none() && seat.end.is_none() {
            let (name, submission) = (seat.want.name.clone(), seat.want.submission.clone());
            let signer = Signer::new(seat.who.secret());
            seat.machine = Some(client::Client::new(signer, name, submission));
        }
    }

    fn seat_down(&mut self, index: usize) {
        self.seats[index].machine = None;
        let delay = self.dice.between(1, 3_000);
        self.at(delay, Item::SeatUp(index));
    }

    pub(super) fn misfortune(&mut self) -> Lived {
        if self.weather.misfortune_ms == 0 {
            return Ok(());
        }
        let (desk, seat) = (self.dice.index(self.desks.len()), self.dice.index(self.seats.len()));
        match self.dice.below(8) {
            _ if self.spared => self.mischief(),
            0 => self.node_down(),
            1 => self.desk_down(desk),
            2 => self.seat_down(seat),
            3 => {
                self.node_down();
                (0..self.desks.len()).for_each(|desk| self.desk_down(desk));
                (0..self.seats.len()).for_each(|seat| self.seat_down(seat));
            }
            4 if self.mischief => self.tell_client(seat, client::Input::Cancel),
            _ if self.mischief => self.mischief(),
            _ => {}
        }
        let next = self.dice.between(1, 2 * self.weather.misfortune_ms);
        self.at(next, Item::Misfortune);
        Ok(())
    }

    fn mischief(&mut self) {
        for _ in 0..self.dice.between(1, 4) {
            let order = match self.dice.below(2) {
                0 => forger::forge(&self.followed, &self.seen, &mut self.dice),
                _ => Some(spammer::spam(&self.followed, &mut self.dice)),
            };
            order.into_iter().for_each(|order| self.send(order));
        }
    }

    pub(super) fn crash_point(&mut self) -> Crash {
        if self.weather.misfortune_ms == 0 || self.spared {
            return Crash::Never;
        }
        match self.dice.below(300) {
            0 => Crash::BeforeAppend,
            1 => Crash::BeforeSync,
            2 => Crash::BeforeTelling,
            _ => Crash::Never,
        }
    }
}
