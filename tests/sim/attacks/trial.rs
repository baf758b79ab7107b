//! A trial: one villain among honest people in a calm world, and what the log says about it.
//! Never asks the villain: only slots, events and accounts.

use crate::adversary::{Nature, Temper};
use crate::ground::{STAKE, Who, noops, ohc, pin, submission};
use crate::pipelines::Want;
use crate::world::{Cast, Weather, World};
use ohc::base::ids::LeaseId;
use ohc::base::keys::PublicKey;
use ohc::domain::command::Command;
use ohc::domain::event::Event;
use ohc::domain::receipt::{Outcome, Receipt};
use ohc::domain::state::State;
use std::collections::BTreeMap;

/// Segments of each training.
pub const SEGMENTS: u64 = 8;

/// What honest work costs of a price of 100: workers ask a fifth more than they spend.
const COST: (i128, i128) = (5, 6);

/// So long a trial may take in its own time; what is open then is stuck.
const PATIENCE_MS: u64 = 120_000;

/// Some trainings of eight segments each, sold one by one.
pub fn trainings(verification: &str, count: u64, more: &str) -> String {
    let spec = format!(
        "  defaults: {{ verification: {verification}, retry: {{ maxAttempts: 8 }}{more} }}\n  \
         run: {{ limits: {{ jobsPerBlock: 1 }} }}\n  \
         sources: {{ flowers: {{ url: a.csv, format: csv }} }}\n"
    );
    let seeds: Vec<String> = (1..=count).map(|seed| seed.to_string()).collect();
    let train = format!(
        "train: {{ uses: train, matrix: {{ axes: {{ seed: [{}] }} }}, inputs: {{ data: \
         table.table }}, with: {{ model: {{ kind: mlp, hidden: [8] }}, target: species, epochs: \
         12, optimizer: {{ kind: adamw, lr: 0.01 }}, seed: \"${{{{ matrix.seed }}}}\" }} }}",
        seeds.join(", ")
    );
    let table = "table: { uses: ingest, inputs: { rows: sources.flowers } }";
    noops("trainings", &spec, &[table, &train])
}

pub struct Trial {
    pub validators: Vec<Temper>,
    /// The first is the one that is watched.
    pub workers: Vec<(Nature, u64)>,
    pub manifest: String,
}

impl Trial {
    /// A worker of this kind and two honest ones, before one honest validator.
    pub fn of(nature: Nature, manifest: String) -> Self {
        let workers = vec![(nature, 550_000), (Nature::Honest, 600_000), (Nature::Honest, 620_000)];
        Self { validators: vec![Temper::Honest], workers, manifest }
    }

    pub fn run(&self, seed: u64) -> World {
        let submission = submission(self.manifest.clone(), vec![pin("flowers")], ohc(50));
        let cast = Cast {
            validators: self.validators.iter().map(|temper| (*temper, STAKE)).collect(),
            workers: self.workers.clone(),
            purse: ohc(100),
            wants: vec![Want { name: "trainings".to_owned(), submission }],
        };
        let mut world = World::new(seed, Weather::CALM, cast);
        world.finish(PATIENCE_MS).unwrap();
        world
    }
}

/// What became of the tries of one worker; amounts in nano-OhC.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub tries: u64,
    pub found: u64,
    pub settled: u64,
    pub slots: u64,
    pub ticks: u64,
    /// What its account has more.
    pub gained: i128,
    /// What its tries would have been paid.
    pub prices: i128,
    /// What others paid for nothing, less what they were compensated with.
    pub lost: i128,
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        self.tries += other.tries;
        self.found += other.found;
        self.settled += other.settled;
        self.slots += other.slots;
        self.ticks += other.ticks;
        self.gained += other.gained;
        self.prices += other.prices;
        self.lost += other.lost;
    }

    /// What honest work at these prices would have earned.
    pub fn honest(&self) -> i128 {
        self.prices - self.cost(1, 1)
    }

    /// What it costs to do so much of the work.
    pub fn cost(&self, part: i128, whole: i128) -> i128 {
        self.prices * COST.0 / COST.1 * part / whole
    }
}

/// Everything that somebody owns: free, bonded, at stake.
pub fn wealth(state: &State, key: &PublicKey) -> i128 {
    use ohc::domain::ledger::Hold;
    let account = state.ledger().account(key);
    let is_theirs = |hold: &Hold| match hold {
        Hold::Bond(lease) => state.workers().get(key).is_some_and(|w| w.leases.contains(lease)),
        _ => false,
    };
    let held = state.ledger().holds().filter(|(hold, _)| is_theirs(hold));
    let held: i128 = held.map(|(_, amount)| i128::from(amount.nano())).sum();
    i128::from(account.balance.nano()) + i128::from(account.stake.nano()) + held
}

/// Whether a receipt is about a training: villains that lie do so there.
fn is_training(receipt: &Receipt) -> bool {
    match &receipt.outcome {
        Outcome::Done(claims) => claims.iter().any(|claim| claim.segments.len() > 2),
        Outcome::Failed { .. } => true,
    }
}

/// What became of the trainings that this worker delivered.
pub fn tally(world: &World, who: Who) -> Tally {
    let key = who.key();
    let mut state = State::new(world.genesis());
    let before = wealth(&state, &key);
    // What it was paid for other work is no matter here.
    let (mut tally, mut other) = (Tally::default(), 0);
    let mut open: BTreeMap<LeaseId, (u64, u64)> = BTreeMap::new();
    let mut prices: BTreeMap<LeaseId, i128> = BTreeMap::new();
    for slot in world.slots() {
        let receipts = slot.commands.iter().filter_map(|order| match &order.body.command {
            Command::Deliver(receipts) if order.author == key => Some(receipts),
            _ => None,
        });
        let trainings = receipts.flatten().filter(|receipt| is_training(receipt));
        let trainings: Vec<LeaseId> = trainings.map(|receipt| receipt.lease).collect();
        let events = state.apply(slot.head.height, &slot.poh, &slot.commands);
        let now = (slot.head.height.0, state.place().ticks);
        for event in events {
            match event {
                Event::Leased { lease, worker, price, .. } if worker == key => {
                    prices.insert(lease, i128::from(price.nano()));
                }
                Event::Delivered { lease, .. } if trainings.contains(&lease) => {
                    open.insert(lease, now);
                    tally.tries += 1;
                    tally.prices += prices.get(&lease).copied().unwrap_or(0);
                }
                Event::Slashed { lease, bond, .. } => {
                    if let Some(since) = open.remove(&lease) {
                        tally.found += 1;
                        tally.slots += now.0 - since.0;
                        tally.ticks += now.1 - since.1;
                        tally.lost -= i128::from(bond.nano() / 2);
                    }
                }
                Event::Settled { lease, worker, reward, gas } => {
                    if open.remove(&lease).is_some() {
                        tally.settled += 1;
                        tally.lost += i128::from(reward.nano()) + i128::from(gas.nano());
                    } else if worker == key {
                        other += i128::from(reward.nano());
                    }
                }
                _ => {}
            }
        }
    }
    tally.gained = wealth(&state, &key) - before - other;
    tally
}
