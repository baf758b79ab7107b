//! How validators agree in a simulated world: ideally. Never exchanges a vote.
//!
//! What is taken for granted, until agreement by messages is simulated too:
//! - at each height one live validator proposes, chosen by stake from the height; if it is down,
//!   behind or cut off, or has nothing to propose, the next one does;
//! - all validators that hear it and have folded the slot before take part, if they hold more than
//!   2/3 of the stake; else the log pauses until enough of them do;
//! - their signatures are under the slot at once, but it is final, and told to anybody, only when
//!   it is durable on disks of more than 2/3 of the stake;
//! - a slot that is not final but on some disk is what its height stays with: validators that come
//!   later take it from the agreement; one that nobody has any more is forgotten.
//!
//! Everything else is real: each validator folds by itself, writes to its own disk, crashes alone,
//! and checks the certificate of what it fetches from others.

use super::fate::Crash;
use super::network::Host;
use super::{Desk, Item, Lived, Node, World};
use crate::checker::{Breach, breach, ensure};
use crate::ground::Who;
use crate::labour;
use ohc::base::canon::{Canonical, Digest};
use ohc::base::ids::LeaseId;
use ohc::base::time::Millis;
use ohc::domain::event::events_root;
use ohc::domain::slot::{Draft, Slot};
use ohc::domain::state::Duty;
use ohc::domain::verdict::salt;
use ohc::role::{Machine, validator};
use std::sync::Arc;

/// A slot that is not final yet.
pub struct Round {
    slot: Arc<Slot>,
}

impl Node {
    /// Folds a slot; whether it gives the events that others signed.
    fn fold(&mut self, slot: &Slot) -> Result<(), Breach> {
        let events = self.state.apply(slot.head.height, &slot.poh, &slot.commands);
        self.parent = slot.head.digest();
        ensure(events_root(&events) == slot.head.events, "R-8", || {
            format!("a validator disagrees about {}", slot.head.height)
        })
    }

    fn height(&self) -> usize {
        self.state.height().0 as usize
    }
}

impl World {
    pub(super) fn is_quorum(&self, nodes: impl Iterator<Item = usize>) -> bool {
        let sum: u128 = nodes.map(|node| self.stake(node)).sum();
        3 * sum > 2 * self.staked()
    }

    fn staked(&self) -> u128 {
        (0..self.nodes.len()).map(|node| self.stake(node)).sum()
    }

    /// Validators that could sign the next slot if this one proposed it.
    fn partners(&self, proposer: usize) -> impl Iterator<Item = usize> + '_ {
        let height = self.agreed.len();
        let joins = move |node: &usize| {
            let (one, other) = (Host::Validator(proposer), Host::Validator(*node));
            let is_up = self.nodes[*node].machine.is_some();
            is_up && self.nodes[*node].height() == height && self.network.joins(one, other)
        };
        (0..self.nodes.len()).filter(joins)
    }

    /// Who proposes next, in the order in which they are asked.
    fn rotation(&self) -> impl Iterator<Item = usize> {
        let (count, total) = (self.nodes.len(), self.staked());
        let roll = Digest::of(&(self.agreed.len() as u64).to_le_bytes());
        let mut roll = u128::from_le_bytes(*roll.0.first_chunk().unwrap()) % total;
        let mut first = 0;
        while roll >= self.stake(first) {
            roll -= self.stake(first);
            first += 1;
        }
        (0..count).map(move |n| (first + n) % count)
    }

    /// When the next slot is proposed if nothing happens before, and by whom.
    pub(super) fn proposal(&self) -> Option<(Millis, usize)> {
        if self.round.is_some() {
            return None;
        }
        let wish = |(rank, node): (usize, usize)| {
            let Node { machine, state, .. } = &self.nodes[node];
            let at = machine.as_ref()?.proposes_at(state)?.max(self.now);
            (self.nodes[node].height() == self.agreed.len()).then_some((at, rank, node))
        };
        let mut wishes: Vec<_> = self.rotation().enumerate().filter_map(wish).collect();
        wishes.sort_unstable();
        let able = |(_, _, node): &&(Millis, usize, usize)| self.is_quorum(self.partners(*node));
        wishes.iter().find(able).map(|(at, _, node)| (*at, *node))
    }

    pub(super) fn propose(&mut self, node: usize) -> Lived {
        let input =
            if self.is_alone(node) { validator::Input::Wake } else { validator::Input::Propose };
        self.tell_validator(node, input)
    }

    pub(super) fn tell_validator(&mut self, index: usize, input: validator::Input) -> Lived {
        let Node { machine, state, temper, life, .. } = &mut self.nodes[index];
        let Some(machine) = machine else { return Ok(()) };
        let (temper, life) = (*temper, *life);
        let mut out = Vec::new();
        machine.handle(self.now, state, input, &mut out);
        let key = Who::Validator(index as u8).secret();
        let network = state.network();
        let salts = |duty: &Duty| salt(&key, network, (duty.receipt.lease, duty.id, duty.probe));
        for output in out {
            match output {
                validator::Output::Check(duty) => {
                    let salt = salts(&duty);
                    let honest = labour::check(&duty, &self.artifacts, salt);
                    let matter = duty.matter();
                    let verdict =
                        temper.concludes(&duty, self.worker_of(duty.receipt.lease), honest);
                    let delay = self.dice.between(1, 80);
                    let checked = |verdict| Item::Checked { node: index, life, matter, verdict };
                    verdict.into_iter().for_each(|verdict| self.at(delay, checked(verdict)));
                }
                validator::Output::Trace(query) => {
                    let said = labour::testify(&query, None);
                    self.at(5, Item::Traced { host: Host::Validator(index), life, said });
                }
                validator::Output::Cut(draft) => self.begin(index, draft)?,
                validator::Output::Send(order) => self.send(Host::Validator(index), &order),
            }
        }
        Ok(())
    }

    fn worker_of(&self, lease: LeaseId) -> Option<Who> {
        let holds = |desk: &&Desk| {
            let worker = self.truth.workers().get(&desk.who.key());
            worker.is_some_and(|worker| worker.leases.contains(&lease))
        };
        self.desks.iter().find(holds).map(|desk| desk.who)
    }

    /// All that can fold a draft, sign it and write it down.
    fn begin(&mut self, proposer: usize, draft: Draft) -> Lived {
        let partners: Vec<usize> = self.partners(proposer).collect();
        let Node { machine: Some(machine), state, parent, .. } = &mut self.nodes[proposer] else {
            return Ok(());
        };
        let events = state.apply(draft.height, &draft.poh, &draft.commands);
        let mut slot = machine.seal(state, draft, *parent, events_root(&events));
        *parent = slot.head.digest();
        for partner in partners.iter().filter(|partner| **partner != proposer) {
            if self.stake(*partner) == 0 {
                continue; // it follows the log
            }
            let who = Who::Validator(*partner as u8);
            let vote = slot.certificate.vote(slot.head.height, slot.head.digest());
            let signature = who.secret().sign(self.genesis.network(), &vote);
            slot.certificate.signatures.insert(who.key(), signature);
        }
        self.round = Some(Round { slot: Arc::new(slot) });
        self.write(proposer);
        for partner in partners.into_iter().filter(|partner| *partner != proposer) {
            self.join(partner)?;
        }
        self.conclude()
    }

    /// A validator folds the slot of the round as well.
    fn join(&mut self, index: usize) -> Lived {
        let Some(round) = &self.round else { return Ok(()) };
        let slot = Arc::clone(&round.slot);
        self.nodes[index].fold(&slot)?;
        self.write(index);
        Ok(())
    }

    /// A validator that has folded the slot of the round writes it down; it may crash on the way.
    fn write(&mut self, index: usize) {
        let Some(round) = &self.round else { return };
        let slot = Arc::clone(&round.slot);
        let (crash, sync_ms) = (self.crash_point(), self.dice.between(1, 4));
        let is_written =
            crash != Crash::BeforeAppend && self.nodes[index].disk.append(&slot).is_ok();
        if !is_written || crash == Crash::BeforeSync {
            return self.node_down(index);
        }
        let life = self.nodes[index].life;
        self.at(sync_ms, Item::Synced { node: index, life });
    }

    pub(super) fn synced(&mut self, index: usize) -> Lived {
        self.nodes[index].disk.sync();
        if self.crash_point() == Crash::BeforeTelling {
            self.node_down(index);
        }
        self.conclude()?;
        self.hear(index)
    }

    /// Tells a validator of what is final, if that is what its own disk has.
    pub(super) fn hear(&mut self, index: usize) -> Lived {
        let node = &self.nodes[index];
        let is_final = node.height() <= self.agreed.len();
        let is_safe = self.weather.acts_before_sync || node.disk.durable() >= node.height();
        if is_final && is_safe {
            self.tell_validator(index, validator::Input::Folded)
        } else {
            Ok(())
        }
    }

    /// Makes the slot of the round final if enough disks have it, or forgets it if none does.
    pub(super) fn conclude(&mut self) -> Lived {
        let Some(round) = &self.round else { return Ok(()) };
        let height = self.agreed.len() + 1;
        let has = |disk: &crate::disk::Disk| match self.weather.acts_before_sync {
            true => disk.written() >= height,
            false => disk.durable() >= height,
        };
        let holders = (0..self.nodes.len()).filter(|node| has(&self.nodes[*node].disk));
        if !self.is_quorum(holders) {
            if self.nodes.iter().all(|node| node.disk.written() < height) {
                self.round = None;
            }
            return Ok(());
        }
        let slot = Arc::clone(&round.slot);
        self.round = None;
        let events = self.truth.apply(slot.head.height, &slot.poh, &slot.commands);
        self.seen.extend(slot.commands.iter().cloned());
        self.agreed.push(Arc::clone(&slot));
        self.checker.observe(&slot, &events, self.truth.ledger())?;
        for index in 0..self.nodes.len() {
            match self.nodes[index].height() {
                at if at == height => self.hear(index)?,
                _ => self.ask_to_catch_up(index, 1),
            }
        }
        self.tell_followers();
        Ok(())
    }

    pub(super) fn ask_to_catch_up(&mut self, index: usize, delay: u64) {
        let node = &mut self.nodes[index];
        if node.machine.is_some() && !node.is_catching_up {
            node.is_catching_up = true;
            self.at(delay, Item::CatchUp(index));
        }
    }

    /// Fetches what is final from a validator that has it and answers.
    pub(super) fn catch_up(&mut self, index: usize) -> Lived {
        self.nodes[index].is_catching_up = false;
        if self.nodes[index].machine.is_none() {
            return Ok(());
        }
        let has = |node: &Node| node.height().min(self.agreed.len());
        let (me, mine) = (Host::Validator(index), self.nodes[index].height());
        let sources = (0..self.nodes.len()).filter(|other| {
            let is_up = self.nodes[*other].machine.is_some();
            is_up && self.network.joins(me, Host::Validator(*other))
        });
        let upto = sources.map(|other| has(&self.nodes[other])).max().unwrap_or(0);
        for height in mine..upto {
            let slot = Arc::clone(&self.agreed[height]);
            let node = &mut self.nodes[index];
            let checked = slot.check(self.genesis.network(), node.parent, node.state.validators());
            checked.or_else(|error| breach("R-7", format!("{}: {error}", slot.head.height)))?;
            node.fold(&slot)?;
            if node.disk.append(&slot).is_err() {
                self.node_down(index);
                return Ok(());
            }
            node.disk.sync();
        }
        if upto > mine {
            self.hear(index)?;
        }
        if self.nodes[index].height() == self.agreed.len() {
            self.join(index)
        } else {
            let delay = self.dice.between(50, 400);
            if self.nodes[index].height() < self.agreed.len() {
                self.ask_to_catch_up(index, delay);
            }
            Ok(())
        }
    }
}
