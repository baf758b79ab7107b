//! Workers and clients of a world: each follows the log at its own pace, and speaks when its role
//! wants to. Never hears of a slot before it is final.

use super::network::Host;
use super::{Desk, End, Item, Lived, Seat, World};
use crate::checker::ensure;
use crate::labour;
use ohc::base::ids::LeaseId;
use ohc::domain::event::events_root;
use ohc::domain::receipt::Outcome;
use ohc::domain::state::State;
use ohc::role::{Folded, Machine, client, worker};
use std::sync::Arc;

impl World {
    /// There is something new for everybody.
    pub(super) fn tell_followers(&mut self) {
        let desks = (0..self.desks.len()).map(Host::Desk);
        let seats = (0..self.seats.len()).map(Host::Seat);
        for host in desks.chain(seats).collect::<Vec<_>>() {
            let lag = self.dice.between(0, 1 + self.weather.delay_ms.1 / 4);
            self.ask_to_follow(host, lag);
        }
    }

    pub(super) fn ask_to_follow(&mut self, host: Host, delay: u64) {
        let flag = match host {
            Host::Desk(desk) => &mut self.desks[desk].is_following,
            Host::Seat(seat) => &mut self.seats[seat].is_following,
            Host::Validator(_) | Host::Outside => return,
        };
        if !std::mem::replace(flag, true) {
            self.at(delay, Item::Follow(host));
        }
    }

    fn folded(&mut self, host: Host) -> Option<&mut State> {
        match host {
            Host::Desk(desk) => Some(&mut self.desks[desk].state),
            Host::Seat(seat) => Some(&mut self.seats[seat].state),
            Host::Validator(_) | Host::Outside => None,
        }
    }

    /// Folds what a validator that it hears has.
    pub(super) fn follow(&mut self, host: Host) -> Lived {
        match host {
            Host::Desk(desk) => self.desks[desk].is_following = false,
            Host::Seat(seat) => self.seats[seat].is_following = false,
            Host::Validator(_) | Host::Outside => return Ok(()),
        }
        let has = |index: usize| {
            let node = &self.nodes[index];
            let hears = self.network.joins(Host::Validator(index), host);
            (node.machine.is_some() && hears).then(|| node.state.height().0 as usize)
        };
        let upto = (0..self.nodes.len()).filter_map(has).max().unwrap_or(0).min(self.agreed.len());
        let Some(state) = self.folded(host) else { return Ok(()) };
        for height in state.height().0 as usize..upto {
            let slot = Arc::clone(&self.agreed[height]);
            let Some(state) = self.folded(host) else { return Ok(()) };
            let events = state.apply(slot.head.height, &slot.poh, &slot.commands);
            ensure(events_root(&events) == slot.head.events, "R-8", || {
                format!("{host:?} disagrees about {}", slot.head.height)
            })?;
            match host {
                Host::Desk(desk) => self.tell_worker(desk, worker::Input::Folded),
                Host::Seat(seat) => {
                    let me = self.seats[seat].who.key();
                    let mut folded = Folded::default();
                    folded.add(&me, &slot.commands, &events);
                    self.tell_client(seat, client::Input::Folded(folded));
                }
                Host::Validator(_) | Host::Outside => {}
            }
        }
        if upto < self.agreed.len() {
            let delay = self.dice.between(50, 400);
            self.ask_to_follow(host, delay);
        }
        Ok(())
    }

    pub(super) fn tell_worker(&mut self, index: usize, input: worker::Input) {
        let Desk { machine, state, nature, life, .. } = &mut self.desks[index];
        let Some(machine) = machine else { return };
        let (nature, life) = (*nature, *life);
        let mut out = Vec::new();
        machine.handle(self.now, state, input, &mut out);
        for output in out {
            match output {
                worker::Output::Send(order) if nature.sends(&order.body.command) => {
                    self.send(Host::Desk(index), &order);
                }
                worker::Output::Compute(assignment) => {
                    let lease = assignment.lease;
                    let honest = labour::compute(&assignment);
                    let outcome = nature.distort(honest, &assignment, &mut self.dice);
                    let usual = *self.dice.pick(&[1, 5, 30, 200, 900, 4_000]);
                    let ms = nature.takes_ms().unwrap_or(usual);
                    for step in 1..=ms / 500 {
                        self.at(step * 500, Item::Progress { desk: index, life, lease, step });
                    }
                    self.at(ms, Item::Computed { desk: index, life, lease, outcome });
                }
                worker::Output::Trace(query) => {
                    let lie = nature.lies().then(|| self.dice.below(labour::STEPS));
                    let said = labour::testify(&query, lie);
                    if nature.stores() {
                        self.artifacts.insert(said.state);
                    }
                    self.at(5, Item::Traced { host: Host::Desk(index), life, said });
                }
                worker::Output::Send(_) | worker::Output::Stop(_) => {}
                worker::Output::Overtaken => panic!("nobody else has its key"),
            }
        }
    }

    pub(super) fn computed(&mut self, desk: usize, lease: LeaseId, outcome: Outcome) {
        if self.desks[desk].nature.stores() {
            self.artifacts.extend(labour::artifacts(&outcome));
        }
        self.tell_worker(desk, worker::Input::Computed(lease, outcome));
    }

    pub(super) fn tell_client(&mut self, index: usize, input: client::Input) {
        let Seat { machine, state, .. } = &mut self.seats[index];
        let Some(machine) = machine else { return };
        let mut out = Vec::new();
        machine.handle(self.now, state, input, &mut out);
        for output in out {
            match output {
                client::Output::Send(order) => self.send(Host::Seat(index), &order),
                client::Output::Following(_) => {}
                client::Output::Finished(run) => self.answer(index, End::Finished(run)),
                client::Output::Refused(why) => self.answer(index, End::Refused(why)),
            }
        }
    }

    fn answer(&mut self, seat: usize, end: End) {
        self.seats[seat].end = Some(end);
        self.seats[seat].machine = None;
    }
}
