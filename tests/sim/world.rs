//! A world: one validator, workers and clients as the real roles, on a virtual clock, network and
//! disk, with a checker that watches. Never reads a clock: the next thing in the queue is "now".

mod fate;

use crate::adversary::Nature;
use crate::checker::{Breach, Checker};
use crate::dice::Dice;
use crate::disk::Disk;
use crate::ground::{Who, genesis};
use crate::labour;
use crate::pipelines::Want;
use fate::Crash;
use ohc::base::amount::{Ohc, Price, Work};
use ohc::base::canon::{Canonical, Digest};
use ohc::base::ids::{LeaseId, RunId};
use ohc::base::time::Millis;
use ohc::domain::command::{Bid, SignedOrder};
use ohc::domain::event::{Event, Reject, events_root};
use ohc::domain::genesis::Genesis;
use ohc::domain::receipt::Outcome;
use ohc::domain::slot::{Draft, Slot};
use ohc::domain::state::{Question, State};
use ohc::domain::verdict::Verdict;
use ohc::role::{Machine, client, validator, worker};
use std::collections::{BTreeMap, BTreeSet};

/// What the world does to messages, disks and processes.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    pub delay_ms: (u64, u64),
    pub loss: u64,
    pub doubled: u64,
    /// Milliseconds between two misfortunes; none if 0.
    pub misfortune_ms: u64,
    /// Whether the disk says that a slot is durable before it is: a planted bug.
    pub acts_before_sync: bool,
}

impl Weather {
    pub const CALM: Self =
        Self { delay_ms: (0, 2), loss: 0, doubled: 0, misfortune_ms: 0, acts_before_sync: false };
}

/// Who lives in a world.
pub struct Cast {
    pub workers: Vec<(Nature, u64)>,
    pub purse: Ohc,
    pub wants: Vec<Want>,
    pub mischief: bool,
}

/// How a client's wish came out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    Finished(RunId),
    Refused(Reject),
}

struct Node {
    machine: validator::Validator,
    state: State,
    parent: Digest,
    /// The disk is at work until then.
    busy: Millis,
}

struct Desk {
    who: Who,
    nature: Nature,
    bid: Bid,
    machine: Option<worker::Worker>,
    life: u32,
}

struct Seat {
    who: Who,
    want: Want,
    machine: Option<client::Client>,
    end: Option<End>,
}

enum Item {
    Command(SignedOrder),
    Computed { desk: usize, life: u32, lease: LeaseId, outcome: Outcome },
    Progress { desk: usize, life: u32, lease: LeaseId, step: u64 },
    Checked { life: u32, question: Question, verdict: Verdict },
    Follow,
    Misfortune,
    NodeUp,
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
    /// There is one validator; it may be down.
    node: Option<Node>,
    node_life: u32,
    disk: Disk,
    /// What workers and clients have folded: behind the validator, never before it.
    followed: State,
    desks: Vec<Desk>,
    seats: Vec<Seat>,
    artifacts: BTreeSet<Digest>,
    seen: Vec<SignedOrder>,
    mischief: bool,
    /// Nothing crashes.
    spared: bool,
}

type Lived = Result<(), Breach>;

impl World {
    pub fn new(seed: u64, weather: Weather, cast: Cast) -> Self {
        let genesis = genesis(1, cast.purse);
        let state = State::new(&genesis);
        let mut artifacts = BTreeSet::new();
        let desk = |(n, (nature, ask)): (u8, (Nature, u64))| Desk {
            who: Who::Worker(n),
            nature,
            bid: Bid { ask: Price::new(ask), capacity: Work::new(1_000), has: Default::default() },
            machine: None,
            life: 0,
        };
        let seat = |(n, want): (u8, Want)| {
            artifacts.extend(want.submission.pins.iter().map(|pin| pin.digest));
            Seat { who: Who::Client(n % 2), want, machine: None, end: None }
        };
        let mut world = Self {
            now: Millis(0),
            dice: Dice::new(seed),
            weather,
            checker: Checker::new(&genesis),
            queue: BTreeMap::new(),
            sequence: 0,
            node: None,
            node_life: 0,
            disk: Disk::default(),
            followed: state,
            desks: (0u8..).zip(cast.workers).map(desk).collect(),
            seats: (0u8..).zip(cast.wants).map(seat).collect(),
            artifacts,
            seen: Vec::new(),
            mischief: cast.mischief,
            spared: false,
            genesis,
        };
        world.at(0, Item::NodeUp);
        for desk in 0..world.desks.len() {
            world.at(0, Item::DeskUp(desk));
        }
        for seat in 0..world.seats.len() {
            let delay = world.dice.below(3_000);
            world.at(delay, Item::SeatUp(seat));
        }
        world.at(weather.misfortune_ms, Item::Misfortune);
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
        self.mischief = false;
        if self.node.is_none() {
            self.at(0, Item::NodeUp);
        }
        for desk in 0..self.desks.len() {
            self.at(0, Item::DeskUp(desk));
        }
        for seat in 0..self.seats.len() {
            self.at(0, Item::SeatUp(seat));
        }
    }

    /// From here on, the only misfortune is what villains send.
    pub fn only_mischief(&mut self) {
        self.mischief = true;
        self.spared = true;
    }

    /// How often the validator went down.
    pub fn crashes(&self) -> u32 {
        self.node_life
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

    pub fn ends(&self) -> impl Iterator<Item = (Who, &Want, Option<End>)> {
        self.seats.iter().map(|seat| (seat.who, &seat.want, seat.end))
    }

    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.disk.slots()
    }

    pub fn genesis(&self) -> &Genesis {
        &self.genesis
    }

    /// What the validator has folded, or would after a restart.
    pub fn state(&self) -> State {
        match &self.node {
            Some(node) => node.state.clone(),
            None => self.replayed().0,
        }
    }

    fn next(&self) -> Option<Millis> {
        let queued = self.queue.first_key_value().map(|((at, _), _)| *at);
        queued.into_iter().chain(self.due_at().into_iter().map(|(at, _)| at)).min()
    }

    /// The role that must be woken first, and when.
    fn due_at(&self) -> Option<(Millis, Role)> {
        let node = self.node.as_ref().and_then(|node| {
            let at = node.machine.deadline(&node.state)?;
            Some((at.max(node.busy), Role::Validator))
        });
        let desks = (0..).zip(&self.desks).filter_map(|(i, desk)| {
            Some((desk.machine.as_ref()?.deadline(&self.followed)?, Role::Worker(i)))
        });
        let seats = (0..).zip(&self.seats).filter_map(|(i, seat)| {
            Some((seat.machine.as_ref()?.deadline(&self.followed)?, Role::Client(i)))
        });
        let all = node.into_iter().chain(desks).chain(seats);
        all.map(|(at, role)| (at.max(self.now), role)).min()
    }

    fn step(&mut self) -> Lived {
        let queued = self.queue.first_key_value().is_some_and(|((at, _), _)| *at <= self.now);
        if queued && let Some((_, item)) = self.queue.pop_first() {
            return self.take(item);
        }
        match self.due_at() {
            Some((_, Role::Validator)) => self.tell_validator(validator::Input::Wake),
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
            Item::Command(order) => return self.tell_validator(validator::Input::Command(order)),
            Item::Checked { life, question, verdict } if life == self.node_life => {
                return self.tell_validator(validator::Input::Checked(question, verdict));
            }
            Item::Computed { desk, life, lease, outcome } if life == self.desks[desk].life => {
                if self.desks[desk].nature.stores() {
                    self.artifacts.extend(labour::artifacts(&outcome));
                }
                self.tell_worker(desk, worker::Input::Computed(lease, outcome));
            }
            Item::Progress { desk, life, lease, step } if life == self.desks[desk].life => {
                self.tell_worker(desk, worker::Input::Progress(lease, step));
            }
            Item::Checked { .. } | Item::Computed { .. } | Item::Progress { .. } => {}
            Item::Follow => return self.follow(),
            Item::Misfortune => return self.misfortune(),
            Item::NodeUp => return self.node_up(),
            Item::DeskUp(desk) => self.desk_up(desk),
            Item::SeatUp(seat) => self.seat_up(seat),
        }
        Ok(())
    }

    // ---- the network ----

    fn send(&mut self, order: SignedOrder) {
        let copies = 1 + u64::from(self.dice.percent(self.weather.doubled));
        for _ in 0..copies {
            let (low, high) = self.weather.delay_ms;
            let delay = self.dice.between(low, high);
            if !self.dice.percent(self.weather.loss) {
                self.at(delay, Item::Command(order.clone()));
            }
        }
    }

    // ---- the validator ----

    fn tell_validator(&mut self, input: validator::Input) -> Lived {
        let Some(node) = &mut self.node else { return Ok(()) };
        let mut out = Vec::new();
        node.machine.handle(self.now, &node.state, input, &mut out);
        for output in out {
            match output {
                validator::Output::Check(duty) => {
                    let verdict = labour::check(&duty, &self.artifacts);
                    let (delay, life) = (self.dice.between(1, 80), self.node_life);
                    let question = duty.question;
                    self.at(delay, Item::Checked { life, question, verdict });
                }
                validator::Output::Cut(draft) => self.cut(draft)?,
                validator::Output::Send(order) => self.send(order),
                validator::Output::Trace(_) => {} // of a dispute among several
            }
        }
        Ok(())
    }

    /// Fold, seal, make durable; only then tell anybody. It may crash anywhere in between.
    fn cut(&mut self, draft: Draft) -> Lived {
        let crash = self.crash_point();
        let sync_ms = self.dice.between(1, 4);
        let Some(node) = &mut self.node else { return Ok(()) };
        let events = node.state.apply(draft.height, &draft.poh, &draft.commands);
        if crash == Crash::BeforeAppend {
            self.node_down();
            return Ok(());
        }
        let root = events_root(&events);
        let slot = node.machine.seal(&node.state, draft, node.parent, root);
        node.parent = slot.head.digest();
        node.busy = self.now.after(sync_ms);
        self.disk.append(slot.clone());
        if self.weather.acts_before_sync {
            self.checker.observe(&slot, &events, node.state.ledger())?;
            self.at(1, Item::Follow);
        }
        if crash == Crash::BeforeSync {
            self.node_down();
            return Ok(());
        }
        self.disk.sync();
        if crash == Crash::BeforeTelling {
            self.node_down();
            return Ok(());
        }
        if !self.weather.acts_before_sync {
            let ledger = self.node.as_ref().map(|node| node.state.ledger());
            ledger.map_or(Ok(()), |ledger| self.checker.observe(&slot, &events, ledger))?;
        }
        let lag = self.dice.between(0, 1 + self.weather.delay_ms.1 / 4);
        self.at(lag, Item::Follow);
        self.tell_validator(validator::Input::Folded)
    }

    // ---- workers and clients ----

    /// Workers and clients fold what was told since.
    fn follow(&mut self) -> Lived {
        let done = self.followed.height().0 as usize;
        let fresh: Vec<Slot> =
            self.disk.slots().take(self.checker.seen()).skip(done).cloned().collect();
        for slot in fresh {
            let events = self.followed.apply(slot.head.height, &slot.poh, &slot.commands);
            assert!(events_root(&events) == slot.head.events, "R-8: a follower disagrees");
            for desk in 0..self.desks.len() {
                self.tell_worker(desk, worker::Input::Folded);
            }
            for seat in 0..self.seats.len() {
                let me = self.seats[seat].who.key();
                let reject = events.iter().find_map(|event| match event {
                    Event::Rejected { author, reason, .. } if *author == me => Some(*reason),
                    _ => None,
                });
                self.tell_client(seat, client::Input::Folded(reject));
            }
            self.seen.extend(slot.commands);
        }
        Ok(())
    }

    fn tell_worker(&mut self, index: usize, input: worker::Input) {
        let desk = &mut self.desks[index];
        let (nature, life) = (desk.nature, desk.life);
        let Some(machine) = &mut desk.machine else { return };
        let mut out = Vec::new();
        machine.handle(self.now, &self.followed, input, &mut out);
        for output in out {
            match output {
                worker::Output::Send(order) if nature.sends(&order.body.command) => {
                    self.send(order);
                }
                worker::Output::Compute(assignment) => {
                    let lease = assignment.lease;
                    let honest = labour::compute(&assignment);
                    let outcome = nature.distort(honest, &assignment, &mut self.dice);
                    let ms = *self.dice.pick(&[1, 5, 30, 200, 900, 4_000]);
                    for step in 1..=ms / 500 {
                        self.at(step * 500, Item::Progress { desk: index, life, lease, step });
                    }
                    self.at(ms, Item::Computed { desk: index, life, lease, outcome });
                }
                worker::Output::Send(_) | worker::Output::Stop(_) | worker::Output::Trace(_) => {}
            }
        }
    }

    fn tell_client(&mut self, index: usize, input: client::Input) {
        let seat = &mut self.seats[index];
        let Some(machine) = &mut seat.machine else { return };
        let mut out = Vec::new();
        machine.handle(self.now, &self.followed, input, &mut out);
        for output in out {
            match output {
                client::Output::Send(order) => self.send(order),
                client::Output::Following(_) => {}
                client::Output::Finished(run) => self.answer(index, End::Finished(run)),
                client::Output::Refused(why) => self.answer(index, End::Refused(why)),
            }
        }
    }
}

impl World {
    fn answer(&mut self, seat: usize, end: End) {
        self.seats[seat].end = Some(end);
        self.seats[seat].machine = None;
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Role {
    Validator,
    Worker(usize),
    Client(usize),
}
