//! A world: validators, workers and clients as the real roles, on a virtual clock, network and
//! disks, with a checker that watches. Never reads a clock: the next thing in the queue is "now".
//!
//! Every host has its own log, fold and failures. What is *not* simulated is how validators agree:
//! `agreement` is an ideal one, and says openly what it takes for granted.

mod agreement;
mod comings;
mod fate;
mod network;
mod people;

use crate::adversary::{Nature, Temper};
use crate::checker::{Breach, Checker};
use crate::dice::Dice;
use crate::disk::Disk;
use crate::ground::Who;
use crate::pipelines::Want;
use agreement::Round;
use network::{Host, Network, Passage};
use ohc::base::amount::{Ohc, Price, Work};
use ohc::base::canon::{Canonical, Digest};
use ohc::base::ids::{LeaseId, RunId};
use ohc::base::time::Millis;
use ohc::domain::bisection::Move;
use ohc::domain::command::{Bid, SignedOrder};
use ohc::domain::event::Reject;
use ohc::domain::genesis::Genesis;
use ohc::domain::receipt::Outcome;
use ohc::domain::slot::Slot;
use ohc::domain::state::{Matter, State};
use ohc::domain::verdict::Verdict;
use ohc::role::{Machine, client, validator, worker};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What the world does to messages, disks and processes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Weather {
    pub delay_ms: (u64, u64),
    pub loss: u64,
    pub doubled: u64,
    /// Milliseconds between two misfortunes; none if 0.
    pub misfortune_ms: u64,
    /// The misfortunes that there are.
    pub crash: bool,
    pub partition: bool,
    pub clog: bool,
    pub disk: bool,
    pub mischief: bool,
    /// Whether validators come and go, and one is shown to have signed two things.
    pub comings: bool,
    /// Whether the disk says that a slot is durable before it is: a planted bug.
    pub acts_before_sync: bool,
}

impl Weather {
    pub const CALM: Self = Self {
        delay_ms: (0, 2),
        loss: 0,
        doubled: 0,
        misfortune_ms: 0,
        crash: false,
        partition: false,
        clog: false,
        disk: false,
        mischief: false,
        comings: false,
        acts_before_sync: false,
    };
}

/// Who lives in a world.
#[derive(Clone)]
pub struct Cast {
    /// Each with its stake in whole OhC; who has none may get one.
    pub validators: Vec<(Temper, u64)>,
    pub workers: Vec<(Nature, u64)>,
    pub purse: Ohc,
    pub wants: Vec<Want>,
}

/// How a client's wish came out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    Finished(RunId),
    Refused(Reject),
}

/// A validator; it may be down, its disk is always there.
struct Node {
    temper: Temper,
    machine: Option<validator::Validator>,
    state: State,
    parent: Digest,
    disk: Disk,
    /// How often it went down.
    life: u32,
    is_catching_up: bool,
}

/// A worker.
struct Desk {
    who: Who,
    nature: Nature,
    bid: Bid,
    machine: Option<worker::Worker>,
    state: State,
    life: u32,
    is_following: bool,
}

/// A client.
struct Seat {
    who: Who,
    want: Want,
    machine: Option<client::Client>,
    state: State,
    end: Option<End>,
    is_following: bool,
}

enum Item {
    Command { from: Host, to: usize, order: SignedOrder },
    Computed { desk: usize, life: u32, lease: LeaseId, outcome: Outcome },
    Progress { desk: usize, life: u32, lease: LeaseId, step: u64 },
    Checked { node: usize, life: u32, matter: Matter, verdict: Verdict },
    Traced { host: Host, life: u32, said: Move },
    Synced { node: usize, life: u32 },
    CatchUp(usize),
    Follow(Host),
    Misfortune,
    Coming,
    Heal,
    Clog(Host, bool),
    Room(usize),
    NodeUp(usize),
    DeskUp(usize),
    SeatUp(usize),
}

/// Everything there is.
pub struct World {
    pub now: Millis,
    pub dice: Dice,
    pub weather: Weather,
    pub checker: Checker,
    genesis: Genesis,
    queue: BTreeMap<(Millis, u64), Item>,
    sequence: u64,
    network: Network,
    nodes: Vec<Node>,
    /// What is final, and the fold of it: nobody in the world has this.
    agreed: Vec<Arc<Slot>>,
    truth: State,
    round: Option<Round>,
    desks: Vec<Desk>,
    seats: Vec<Seat>,
    artifacts: BTreeSet<Digest>,
    seen: Vec<SignedOrder>,
}

/// Of what is under way, for a report.
const TEXT_MAX: usize = 2_000;

type Lived = Result<(), Breach>;

impl World {
    pub fn new(seed: u64, weather: Weather, cast: Cast) -> Self {
        let stakes: Vec<u64> = cast.validators.iter().map(|(_, stake)| *stake).collect();
        let genesis = World::genesis_of(&stakes, cast.purse, weather);
        let (state, parent) = (State::new(&genesis), genesis.digest());
        let mut artifacts = BTreeSet::new();
        let node = |(temper, _): (Temper, u64)| Node {
            temper,
            machine: None,
            state: state.clone(),
            parent,
            disk: Disk::default(),
            life: 0,
            is_catching_up: false,
        };
        let desk = |(n, (nature, ask)): (u8, (Nature, u64))| Desk {
            who: Who::Worker(n),
            nature,
            bid: Bid { ask: Price::new(ask), capacity: Work::new(1_000), has: Default::default() },
            machine: None,
            state: state.clone(),
            life: 0,
            is_following: false,
        };
        let seat = |(n, want): (u8, Want)| {
            artifacts.extend(want.submission.pins.iter().map(|pin| pin.digest));
            let (who, state) = (Who::Client(n % 2), state.clone());
            Seat { who, want, machine: None, state, end: None, is_following: false }
        };
        let mut world = Self {
            now: Millis(0),
            dice: Dice::new(seed),
            weather,
            checker: Checker::new(&genesis),
            queue: BTreeMap::new(),
            sequence: 0,
            network: Network::default(),
            nodes: cast.validators.into_iter().map(node).collect(),
            agreed: Vec::new(),
            round: None,
            desks: (0u8..).zip(cast.workers).map(desk).collect(),
            seats: (0u8..).zip(cast.wants).map(seat).collect(),
            artifacts,
            seen: Vec::new(),
            truth: state,
            genesis,
        };
        (0..world.nodes.len()).for_each(|node| world.at(0, Item::NodeUp(node)));
        (0..world.desks.len()).for_each(|desk| world.at(0, Item::DeskUp(desk)));
        for seat in 0..world.seats.len() {
            let delay = world.dice.below(3_000);
            world.at(delay, Item::SeatUp(seat));
        }
        world.at(weather.misfortune_ms, Item::Misfortune);
        if weather.comings {
            world.at(1, Item::Coming);
        }
        world
    }

    fn at(&mut self, delay: u64, item: Item) {
        self.sequence += 1;
        self.queue.insert((self.now.after(delay), self.sequence), item);
    }

    /// Lives on for so long.
    pub fn live(&mut self, ms: u64) -> Lived {
        let until = self.now.after(ms);
        while let Some(next) = self.next().filter(|next| *next <= until) {
            self.now = next.max(self.now);
            self.step()?;
        }
        self.now = until;
        Ok(())
    }

    /// No misfortune from here on; everybody who is down gets up.
    pub fn calm_down(&mut self) {
        self.weather = Weather::CALM;
        self.network.clear();
        for node in 0..self.nodes.len() {
            self.nodes[node].disk.is_full = false;
            self.at(0, Item::NodeUp(node));
            self.ask_to_catch_up(node, 1);
        }
        (0..self.desks.len()).for_each(|desk| self.at(0, Item::DeskUp(desk)));
        (0..self.seats.len()).for_each(|seat| self.at(0, Item::SeatUp(seat)));
    }

    /// How often a validator went down.
    pub fn crashes(&self) -> u32 {
        self.nodes.iter().map(|node| node.life).sum()
    }

    /// Lives until every client has its answer; the clients that have none after so long.
    pub fn finish(&mut self, ms: u64) -> Result<Vec<String>, Breach> {
        let until = self.now.after(ms);
        while self.seats.iter().any(|seat| seat.end.is_none()) && self.now < until {
            self.live(100)?;
        }
        let waiting = self.seats.iter().filter(|seat| seat.end.is_none());
        Ok(waiting.map(|seat| format!("{:?} waits for {}", seat.who, seat.want.name)).collect())
    }

    /// What is under way, for whoever asks why nothing comes of it.
    pub fn open(&self) -> Vec<String> {
        let runs = self.truth.runs().values().filter(|run| !run.is_over());
        let blocks = runs.flat_map(|run| {
            let phase = |index: &u32| run.block(*index).map(|block| &block.phase);
            let live = run.blocks_live.iter().map(move |index| (index, phase(index)));
            live.map(|(index, phase)| format!("{}/{index} is {phase:?}", run.id))
        });
        blocks.map(|text| text.chars().take(TEXT_MAX).collect()).collect()
    }

    pub fn ends(&self) -> impl Iterator<Item = (Who, &Want, Option<End>)> {
        self.seats.iter().map(|seat| (seat.who, &seat.want, seat.end))
    }

    /// Everything that is final.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.agreed.iter().map(Arc::as_ref)
    }

    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// The fold of everything that is final.
    pub fn state(&self) -> State {
        self.truth.clone()
    }

    /// Whether no slot is under way, and all that are up have all that is final.
    pub fn is_even(&self) -> bool {
        let height = self.truth.height();
        self.round.is_none() && self.folds().all(|state| state.height() == height)
    }

    /// What the validators that are up have folded, each for itself.
    pub fn folds(&self) -> impl Iterator<Item = &State> {
        self.nodes.iter().filter(|node| node.machine.is_some()).map(|node| &node.state)
    }

    fn next(&self) -> Option<Millis> {
        let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
        queued.into_iter().chain(self.due_at().map(|(at, _)| at)).min()
    }

    /// The role that must be woken first, and when.
    fn due_at(&self) -> Option<(Millis, Role)> {
        let proposal = self.proposal().map(|(at, node)| (at, Role::Proposer(node)));
        // Who is alone proposes when it wakes.
        let nodes = (0..).zip(&self.nodes).filter(|(i, _)| !self.is_alone(*i));
        let nodes = nodes.filter_map(|(i, node)| {
            Some((node.machine.as_ref()?.deadline(&node.state)?, Role::Validator(i)))
        });
        let desks = (0..).zip(&self.desks).filter_map(|(i, desk)| {
            Some((desk.machine.as_ref()?.deadline(&desk.state)?, Role::Worker(i)))
        });
        let seats = (0..).zip(&self.seats).filter_map(|(i, seat)| {
            Some((seat.machine.as_ref()?.deadline(&seat.state)?, Role::Client(i)))
        });
        let all = proposal.into_iter().chain(nodes).chain(desks).chain(seats);
        all.map(|(at, role)| (at.max(self.now), role)).min()
    }

    fn step(&mut self) -> Lived {
        let queued = self.queue.first_key_value().is_some_and(|((at, _), _)| *at <= self.now);
        if queued && let Some((_, item)) = self.queue.pop_first() {
            return self.take(item);
        }
        match self.due_at() {
            Some((_, Role::Proposer(node))) => self.propose(node),
            Some((_, Role::Validator(node))) => self.tell_validator(node, validator::Input::Wake),
            Some((_, Role::Worker(desk))) => {
                self.tell_worker(desk, worker::Input::Wake);
                Ok(())
            }
            Some((_, Role::Client(seat))) => {
                self.tell_client(seat, client::Input::Wake);
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn take(&mut self, item: Item) -> Lived {
        match item {
            Item::Command { from, to, order } => return self.arrive(from, to, order),
            Item::Checked { node, life, matter, verdict } if life == self.nodes[node].life => {
                return self.tell_validator(node, validator::Input::Checked(matter, verdict));
            }
            Item::Traced { host, life, said } => return self.traced(host, life, said),
            Item::Computed { desk, life, lease, outcome } if life == self.desks[desk].life => {
                self.computed(desk, lease, outcome);
            }
            Item::Progress { desk, life, lease, step } if life == self.desks[desk].life => {
                self.tell_worker(desk, worker::Input::Progress(lease, step));
            }
            Item::Synced { node, life } if life == self.nodes[node].life => {
                return self.synced(node);
            }
            Item::Checked { .. }
            | Item::Computed { .. }
            | Item::Progress { .. }
            | Item::Synced { .. } => {}
            Item::CatchUp(node) => return self.catch_up(node),
            Item::Follow(host) => return self.follow(host),
            Item::Misfortune => return self.misfortune(),
            Item::Coming => self.coming(),
            Item::Heal => self.heal(),
            Item::Clog(host, clogged) => self.network.clog(host, clogged),
            Item::Room(node) => self.nodes[node].disk.is_full = false,
            Item::NodeUp(node) => return self.node_up(node),
            Item::DeskUp(desk) => self.desk_up(desk),
            Item::SeatUp(seat) => self.seat_up(seat),
        }
        Ok(())
    }

    /// Somebody has computed a state of a disputed segment again.
    fn traced(&mut self, host: Host, life: u32, said: Move) -> Lived {
        match host {
            Host::Validator(node) if life == self.nodes[node].life => {
                self.tell_validator(node, validator::Input::Traced(said))
            }
            Host::Desk(desk) if life == self.desks[desk].life => {
                self.tell_worker(desk, worker::Input::Traced(said));
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// To every validator, each on its own way.
    fn send(&mut self, from: Host, order: &SignedOrder) {
        for to in 0..self.nodes.len() {
            if from == Host::Validator(to) {
                self.at(0, Item::Command { from, to, order: order.clone() });
                continue;
            }
            for _ in 0..1 + u64::from(self.dice.percent(self.weather.doubled)) {
                let (low, high) = self.weather.delay_ms;
                let delay = self.dice.between(low, high);
                if !self.dice.percent(self.weather.loss) {
                    self.at(delay, Item::Command { from, to, order: order.clone() });
                }
            }
        }
    }

    fn arrive(&mut self, from: Host, to: usize, order: SignedOrder) -> Lived {
        match self.network.passage(from, Host::Validator(to)) {
            Passage::Open => self.tell_validator(to, validator::Input::Command(order)),
            Passage::Cut => Ok(()),
            Passage::Held => {
                let delay = self.dice.between(20, 200);
                self.at(delay, Item::Command { from, to, order });
                Ok(())
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Proposer(usize),
    Validator(usize),
    Worker(usize),
    Client(usize),
}
