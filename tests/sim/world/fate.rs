//! Fate: who goes down when, what is left of him, and what villains do meanwhile.
//! Never touches a message: the network does.

use super::network::Host;
use super::{Item, Lived, World};
use crate::adversary::{forger, spammer};
use crate::checker::{breach, ensure};
use crate::ground::Who;
use ohc::base::canon::Canonical;
use ohc::domain::event::events_root;
use ohc::domain::slot::Slot;
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
    /// A validator starts: it folds what its disk has, and goes on from there.
    pub(super) fn node_up(&mut self, index: usize) -> Lived {
        if self.nodes[index].machine.is_some() {
            return Ok(());
        }
        let slots = self.nodes[index].disk.recover();
        self.is_ours(&slots)?;
        let (mut state, mut parent) = (State::new(&self.genesis), self.genesis.digest());
        for slot in &slots {
            let events = state.apply(slot.head.height, &slot.poh, &slot.commands);
            let height = slot.head.height;
            ensure(events_root(&events) == slot.head.events, "R-8", || {
                format!("replay: {height}")
            })?;
            parent = slot.head.digest();
        }
        self.is_kept()?;
        if slots.len() >= self.checker.seen() {
            self.checker.remembers(&state)?;
        }
        let signer = Signer::new(Who::Validator(index as u8).secret());
        let node = &mut self.nodes[index];
        node.machine = Some(validator::Validator::new(signer, self.now));
        (node.state, node.parent) = (state, parent);
        self.conclude()?;
        self.hear(index)?;
        self.ask_to_catch_up(index, 1);
        self.tell_followers();
        Ok(())
    }

    /// what a disk has is what was agreed on, and at most one slot more.
    fn is_ours(&self, slots: &[Slot]) -> Lived {
        let heads = slots.iter().zip(&self.agreed);
        let same = heads.clone().all(|(slot, agreed)| slot.head == agreed.head);
        ensure(same, "R-7", || "a disk has another log".to_owned())?;
        ensure(slots.len() <= self.agreed.len() + 1, "R-7", || "a longer log".to_owned())
    }

    /// what is final is on some disk, whoever crashed.
    fn is_kept(&self) -> Lived {
        let kept = self.nodes.iter().map(|node| node.disk.durable()).max().unwrap_or(0);
        match self.agreed.len() {
            told if told > kept => {
                breach("R-14", format!("{told} slots were final, {kept} are left"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn node_down(&mut self, index: usize) {
        let is_torn = self.weather.disk && self.dice.percent(50);
        let torn = is_torn.then(|| self.dice.roll());
        let node = &mut self.nodes[index];
        if node.machine.take().is_none() {
            return;
        }
        node.life += 1;
        node.is_catching_up = false;
        node.disk.crash(torn);
        let delay = self.dice.between(1, 3_000);
        self.at(delay, Item::NodeUp(index));
        // What only this one had is gone.
        let height = self.agreed.len() + 1;
        if self.nodes.iter().all(|node| node.disk.written() < height) {
            self.round = None;
        }
    }

    pub(super) fn desk_up(&mut self, index: usize) {
        let desk = &mut self.desks[index];
        if desk.machine.is_none() {
            desk.machine = Some(worker::Worker::new(Signer::new(desk.who.secret()), desk.bid));
            self.tell_worker(index, worker::Input::Folded);
            self.ask_to_follow(Host::Desk(index), 1);
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

    fn hosts(&self) -> Vec<Host> {
        let nodes = (0..self.nodes.len()).map(Host::Validator);
        let desks = (0..self.desks.len()).map(Host::Desk);
        nodes.chain(desks).chain((0..self.seats.len()).map(Host::Seat)).collect()
    }

    pub(super) fn misfortune(&mut self) -> Lived {
        if self.weather.misfortune_ms == 0 {
            return Ok(());
        }
        let weather = self.weather;
        match self.dice.below(5) {
            0 if weather.crash => self.downfall(),
            1 if weather.partition => {
                let hosts = self.hosts();
                self.network.part(&hosts, &mut self.dice);
                let delay = self.dice.between(100, 5_000);
                self.at(delay, Item::Heal);
            }
            2 if weather.clog => self.swizzle(),
            3 if weather.disk => self.spoil_disk(),
            4 if weather.mischief => self.mischief(),
            _ => {}
        }
        let next = self.dice.between(1, 2 * weather.misfortune_ms);
        self.at(next, Item::Misfortune);
        Ok(())
    }

    pub(super) fn heal(&mut self) {
        self.network.heal();
        (0..self.nodes.len()).for_each(|node| self.ask_to_catch_up(node, 1));
    }

    fn downfall(&mut self) {
        let node = self.dice.index(self.nodes.len());
        let desk = self.dice.index(self.desks.len());
        let seat = self.dice.index(self.seats.len());
        match self.dice.below(8) {
            0..4 => self.node_down(node),
            4 | 5 => self.desk_down(desk),
            6 => self.seat_down(seat),
            _ => {
                (0..self.nodes.len()).for_each(|node| self.node_down(node));
                (0..self.desks.len()).for_each(|desk| self.desk_down(desk));
                (0..self.seats.len()).for_each(|seat| self.seat_down(seat));
            }
        }
    }

    /// Holds the traffic of some hosts back, one after another, and lets it go in another order.
    fn swizzle(&mut self) {
        let hosts: Vec<Host> = self.hosts();
        let chosen: Vec<Host> = hosts.into_iter().filter(|_| self.dice.percent(40)).collect();
        for host in chosen {
            let begin = self.dice.below(1_000);
            let end = begin + self.dice.between(50, 3_000);
            self.at(begin, Item::Clog(host, true));
            self.at(end, Item::Clog(host, false));
        }
    }

    /// A disk fills up, or the end of a log turns bad while its machine is off; the latter only as
    /// long as enough others have everything: more than that, no network survives.
    fn spoil_disk(&mut self) {
        let index = self.dice.index(self.nodes.len());
        if self.dice.percent(40) {
            self.nodes[index].disk.is_full = true;
            let delay = self.dice.between(500, 5_000);
            return self.at(delay, Item::Room(index));
        }
        let has = |node: &usize| self.nodes[*node].disk.durable() >= self.agreed.len();
        let others = (0..self.nodes.len()).filter(|node| *node != index).filter(has);
        if self.is_quorum(others) && self.round.is_none() {
            self.node_down(index);
            let bit = self.dice.roll();
            self.nodes[index].disk.rot(bit);
        }
    }

    fn mischief(&mut self) {
        if self.weather.crash && self.dice.percent(20) {
            let seat = self.dice.index(self.seats.len());
            return self.tell_client(seat, client::Input::Cancel);
        }
        for _ in 0..self.dice.between(1, 4) {
            let order = match self.dice.below(2) {
                0 => forger::forge(&self.truth, &self.seen, &mut self.dice),
                _ => Some(spammer::spam(&self.truth, &mut self.dice)),
            };
            order.into_iter().for_each(|order| self.send(Host::Outside, &order));
        }
    }

    pub(super) fn crash_point(&mut self) -> Crash {
        if !self.weather.crash {
            return Crash::Never;
        }
        match self.dice.below(300 * self.nodes.len() as u64) {
            0 => Crash::BeforeAppend,
            1 => Crash::BeforeSync,
            2 => Crash::BeforeTelling,
            _ => Crash::Never,
        }
    }
}
