//! `ohc worker`: runs a worker of a network, and says what it does and what it earns. Decides
//! nothing: `node::worker` joins the parts, and the role decides.

use super::Context;
use super::args;
use super::exit::{Exit, Stop};
use super::home::cores;
use super::lines::Lines;
use super::names::Names;
use super::network;
use super::report::{json, prose};
use super::signals::Signals;
use crate::base::amount::{Ohc, Price, Work};
use crate::base::ids::LeaseId;
use crate::base::keys::PublicKey;
use crate::domain::classes::Classes;
use crate::domain::command::Bid;
use crate::domain::event::Event;
use crate::domain::state::State;
use crate::node::apply::start_runtime;
use crate::node::home::Home;
use crate::node::inbox::Handle;
use crate::node::link::{self, LinkError};
use crate::node::network::{Config, Part};
use crate::node::notice::Notice;
use crate::node::worker::{self, Hooks, Offer, Sight};
use serde_json::json;
use std::collections::BTreeSet;

/// An offer that nobody takes rises five times by 1/8: by less than so many times in all.
const DEAR: u64 = 2;

/// Runs a worker until it is stopped.
pub(super) fn worker(args: &args::Worker, context: &mut Context) -> Result<Exit, Stop> {
    let config = Config::read(&args.config).map_err(network::stop)?;
    let Part::Worker(fleet) = config.part else {
        let path = config.file.display();
        let message = format!("{path} is the configuration of a validator");
        return Err(Stop::Error {
            exit: Exit::Usage,
            message,
            hint: Some("`ohc validator --config` runs it".into()),
        });
    };
    let offer = Offer {
        ask: args.price.map(Price::new).or(fleet.ask),
        capacity: args.capacity.or(fleet.capacity).map(Work::new),
        classes: args.classes.or(fleet.classes).unwrap_or_default(),
        threads: args.threads.or(fleet.threads).unwrap_or_else(cores).max(1),
        hours: args.hours.or(fleet.hours),
        blocks_max: args.max_blocks.or(fleet.blocks_max),
        is_presigned: args.presigned || fleet.is_presigned.unwrap_or(config.network.is_presigned),
    };
    let key = link::key(&config.key).map_err(|error| stop(&error))?;
    let me = key.public();
    let names = Names::new(config.network.names.clone());
    let signals = Signals::start(context.quit);
    let runtime = start_runtime().map_err(|error| Stop::because(Exit::Failed, &error))?;
    let lines = Lines::new(&mut context.screen, args.output.format, "WorkerEvent");
    let mut teller =
        Teller { lines, names: &names, me, held: BTreeSet::new(), tally: Tally::default() };
    let mut begun = |handle: Handle| signals.serve(Some(handle));
    let mut watch = |sight: Sight<'_>| teller.see(&sight);
    let hooks = Hooks { begun: &mut begun, watch: &mut watch };
    let home = Home::at(&config.home);
    let worked = worker::work(&config.network, (&home, key), offer, &runtime, hooks);
    signals.serve(None);
    let earned = worked.map_err(|error| stop(&error))?;
    let Tally { settled, paid, lapsed, slashed, lost } = teller.tally;
    let mut line = format!(
        "stopped  earned {earned} OhC in all; this time {settled} blocks settled for {paid} OhC"
    );
    if lapsed + slashed > 0 {
        line += &format!(", {lapsed} lapsed and {slashed} found false, which cost {lost} OhC");
    }
    teller.lines.say(
        line,
        json!({"event": "stopped", "earned": json::ohc(earned), "settled": settled,
            "paid": json::ohc(paid), "lapsed": lapsed, "slashed": slashed,
            "lost": json::ohc(lost)}),
    );
    teller.lines.end()
}

/// What is wrong with a network, or the way to it.
pub(super) fn stop(error: &LinkError) -> Stop {
    // To start it again would not help.
    let exit = if matches!(error, LinkError::Doubled) { Exit::Usage } else { Exit::Failed };
    Stop::because(exit, error)
}

/// What became of the leases that ended while it ran.
#[derive(Default)]
struct Tally {
    settled: u64,
    paid: Ohc,
    lapsed: u64,
    slashed: u64,
    /// Of its bonds.
    lost: Ohc,
}

impl Tally {
    fn count(&mut self, event: &Event) {
        let add = |sum: &mut Ohc, more: Ohc| *sum = sum.checked_add(more).unwrap_or(*sum);
        match event {
            Event::Settled { reward, .. } => {
                self.settled += 1;
                add(&mut self.paid, *reward);
            }
            Event::Lapsed { fine, .. } => {
                self.lapsed += 1;
                add(&mut self.lost, *fine);
            }
            Event::Slashed { bond, .. } => {
                self.slashed += 1;
                add(&mut self.lost, *bond);
            }
            _ => {}
        }
    }
}

/// Says what a worker does, a line each.
struct Teller<'a> {
    lines: Lines<'a>,
    names: &'a Names,
    me: PublicKey,
    /// Leases that are its own.
    held: BTreeSet<LeaseId>,
    tally: Tally,
}

impl Teller<'_> {
    fn see(&mut self, sight: &Sight<'_>) {
        match sight {
            Sight::Waiting(here, there) => {
                let line = match there {
                    Some(there) => format!("waiting  at slot {here} of {there}"),
                    None => "waiting  no quorum of validators answers yet".to_owned(),
                };
                let there = there.map(|there| there.0);
                self.lines
                    .say(line, json!({"event": "waiting", "height": here.0, "network": there}));
            }
            Sight::Storeless(why) => {
                let why = why.map_or("it does not answer".to_owned(), ToString::to_string);
                let line = format!("waiting  takes on nothing without the store: {why}");
                self.lines.say(line, json!({"event": "storeless", "why": why}));
            }
            Sight::Measured(pace, cards) => self.measured(*pace, *cards),
            Sight::Resting(is_resting, hours) => {
                let line = match is_resting {
                    true => format!("resting  takes on work at {hours} UTC alone"),
                    false => format!("awake    takes on work: it is {hours} UTC"),
                };
                let event = if *is_resting { "resting" } else { "awake" };
                let fields = json!({"event": event, "hours": hours.to_string()});
                self.lines.say(line, fields);
            }
            Sight::Ready(state, bid, classes) => self.ready(state, bid, *classes),
            Sight::Folded(state, events) => self.folded(state, events),
            Sight::Notice(Notice::Began { lease, address, .. }) => {
                let line = format!("began    {} {address}", lease.block);
                let (lease, job) = (lease.to_string(), address.as_str());
                self.lines.say(line, json!({"event": "began", "lease": lease, "job": job}));
            }
            Sight::Notice(Notice::Step { .. }) => {}
            Sight::News(news) => self.lines.news(news),
            Sight::Trouble(lease, failure) => {
                let (lease, why) = (lease.to_string(), failure.to_string());
                let line = format!("trouble  {lease}: {why}; it is tried again");
                self.lines.say(line, json!({"event": "trouble", "lease": lease, "why": why}));
            }
            Sight::LongAgo(long_ago) => self.lines.long_ago(*long_ago),
            Sight::Draining(held) => {
                let leases = prose::count(*held, "lease");
                let line = format!(
                    "draining takes on nothing more, and finishes {leases}; again to end now"
                );
                self.lines.say(line, json!({"event": "draining", "leases": held}));
            }
        }
    }

    fn measured(&mut self, pace: Option<u64>, cards: usize) {
        let mut line = match pace {
            Some(pace) => format!("measured {pace} units of work a second"),
            None => "measured nothing: it cannot train".to_owned(),
        };
        if cards > 0 {
            line += &format!("; {cards} graphics cards are there, and are not used");
        }
        let fields = json!({"event": "measured", "unitsPerSecond": pace, "cards": cards});
        self.lines.say(line, fields);
    }

    /// It begins: what it offers, and what may keep it from being leased anything.
    fn ready(&mut self, state: &State, bid: &Bid, classes: Classes) {
        let held = state.workers().get(&self.me);
        self.held = held.map(|me| me.leases.clone()).unwrap_or_default();
        let (height, ask) = (state.height(), bid.ask.nano_per_unit());
        let balance = state.ledger().account(&self.me).balance;
        let capacity = bid.capacity.units();
        let kinds = match classes {
            Classes::ALL => String::new(),
            some => format!(" of {some}"),
        };
        self.lines.say(
            format!(
                "ready    at slot {height}: asks {ask} nano-OhC a unit, takes {capacity} \
                 units{kinds} at a time, has {balance} OhC"
            ),
            json!({"event": "ready", "height": height.0, "ask": ask,
                "capacity": capacity, "classes": json::classes(classes),
                "balance": json::ohc(balance)}),
        );
        if balance == Ohc::ZERO {
            let line = "warning: it has nothing to put up as a bond, and will be leased \
                        nothing; `ohc wallet transfer` gives it some";
            self.lines.say(line.to_owned(), json!({"event": "poor"}));
        }
        let paid = state.base_price().nano_per_unit();
        if ask > paid.saturating_mul(DEAR) {
            let line = format!(
                "warning: offers begin at {paid} nano-OhC a unit and rise to less than \
                 {DEAR} times that: nobody will lease it anything for {ask}"
            );
            self.lines.say(line, json!({"event": "dear", "price": paid}));
        }
    }

    fn folded(&mut self, state: &State, events: &[Event]) {
        for event in events {
            if let Event::Leased { lease, worker, .. } = event
                && *worker == self.me
            {
                self.held.insert(*lease);
            }
            if !self.is_own(event) {
                continue;
            }
            self.lines.event(event, state, self.names);
            self.tally.count(event);
            if let Event::Settled { lease, .. }
            | Event::Lapsed { lease, .. }
            | Event::Released { lease, .. }
            | Event::Slashed { lease, .. } = event
            {
                self.held.remove(lease);
            }
        }
    }

    /// Whether an event is about this worker.
    fn is_own(&self, event: &Event) -> bool {
        match event {
            Event::BidPlaced { worker } | Event::BidGone { worker } => *worker == self.me,
            Event::BidTold { worker, .. } | Event::BidLost { worker, .. } => *worker == self.me,
            Event::Revoked { worker, .. } => *worker == self.me,
            Event::Rejected { author, .. } | Event::Charged { author, .. } => *author == self.me,
            Event::Transferred { to, .. } => *to == self.me,
            _ => event.lease().is_some_and(|lease| self.held.contains(&lease)),
        }
    }
}
