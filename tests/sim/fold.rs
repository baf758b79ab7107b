//! The fold by itself: commands in, events out, one slot at a time.
//! Never runs a role: what a role would not send is sent here.

use crate::ground::{Who, genesis, noops, ohc, pin, submission};
use crate::labour;
use ohc::base::amount::{Ohc, Price, Work};
use ohc::base::canon::Digest;
use ohc::base::ids::{BlockId, JobId, LeaseId, RunId};
use ohc::base::keys::PublicKey;
use ohc::base::limits::{BATCH_MAX, MANIFEST_BYTES_MAX};
use ohc::domain::beacon::{self, Reveal};
use ohc::domain::command::{Beat, Bid, Command, Order, SignedOrder};
use ohc::domain::event::{Ending, Event, Pause, Reject};
use ohc::domain::genesis::Genesis;
use ohc::domain::ledger::Hold;
use ohc::domain::poh::{self, Chain};
use ohc::domain::receipt::{Outcome, Receipt};
use ohc::domain::slot::commands_root;
use ohc::domain::state::run::{Phase, Status};
use ohc::domain::state::{Question, Stance, State};
use ohc::domain::terms::Cause;
use ohc::domain::verdict::{Finding, Found, Segment, Verdict};
use std::collections::{BTreeMap, BTreeSet};

pub const CLIENT: Who = Who::Client(0);
pub const WORKER: Who = Who::Worker(0);

/// A state, and the numbers of everybody's last command.
pub struct Fold {
    pub state: State,
    nonces: BTreeMap<Who, u64>,
    pub events: Vec<Event>,
    meant: BTreeMap<u8, Finding>,
    /// Validators that say nothing of what others wait for.
    pub mute: BTreeSet<u8>,
    pub trace: Digest,
}

impl Fold {
    pub fn new(validators: u8) -> Self {
        Self::of(&genesis(validators, ohc(100)))
    }

    pub fn of(genesis: &Genesis) -> Self {
        let (state, events, trace) = (State::new(genesis), Vec::new(), Digest::default());
        let (nonces, meant, mute) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Self { state, nonces, events, meant, mute, trace }
    }

    pub fn sign(&mut self, who: Who, command: Command) -> SignedOrder {
        let nonce = self.nonces.entry(who).or_default();
        *nonce += 1;
        who.secret().seal(self.state.network(), Order { nonce: *nonce, command })
    }

    /// One slot after so many ticks.
    pub fn slot(&mut self, ticks: u64, orders: &[SignedOrder]) -> Vec<Event> {
        let params = poh::Params { hashes_per_tick: self.state.params().hashes_per_tick };
        let mut chain = Chain::resume(self.state.place(), params);
        let mut poh: Vec<_> = (0..ticks).map(|_| chain.tick()).collect();
        poh.extend(chain.record(commands_root(orders)));
        let events = self.state.apply(self.state.height().next(), &poh, orders);
        self.events.extend(events.clone());
        events
    }

    pub fn send(&mut self, who: Who, command: Command) -> Vec<Event> {
        let order = self.sign(who, command);
        self.slot(0, &[order])
    }

    pub fn bid(&mut self, who: Who, ask: u64) -> Vec<Event> {
        let bid =
            Bid { ask: Price::new(ask), capacity: Work::new(10_000), has: Default::default() };
        self.send(who, Command::Bid(bid))
    }

    pub fn submit(&mut self, manifest: &str, budget: Ohc) -> Vec<Event> {
        let submission = submission(manifest.to_owned(), Vec::new(), budget);
        self.send(CLIENT, Command::Submit(Box::new(submission)))
    }

    pub fn held(&self, who: Who) -> Vec<LeaseId> {
        let worker = self.state.workers().get(&who.key());
        worker.map(|worker| worker.leases.iter().copied().collect()).unwrap_or_default()
    }

    pub fn receipt(&self, lease: LeaseId) -> Receipt {
        let assignment = self.state.assignment(lease).unwrap();
        Receipt { lease, outcome: labour::compute(&assignment) }
    }

    /// Delivers an honest receipt for the only lease of a worker.
    pub fn deliver(&mut self, who: Who) -> Receipt {
        let lease = self.held(who)[0];
        let receipt = self.receipt(lease);
        self.send(who, Command::Deliver(vec![receipt.clone()]));
        receipt
    }

    /// Has every validator reveal, and time pass, until what is delivered is drawn.
    pub fn draw(&mut self) -> Vec<Event> {
        let mut events = self.slot(0, &[]);
        for _ in 0..3 {
            if self.state.validators().len() == 1 {
                break;
            }
            events.extend(self.reveal());
        }
        events
    }

    /// Has every validator reveal or pledge whose turn it is, and lets time pass for a seed.
    pub fn reveal(&mut self) -> Vec<Event> {
        let orders = self.reveals();
        self.slot(self.state.params().beacon_ticks, &orders)
    }

    /// What every validator reveals or pledges whose turn it is.
    pub fn reveals(&mut self) -> Vec<SignedOrder> {
        let (network, mut orders) = (self.state.network(), Vec::new());
        let all = (0..20).filter(|n| !self.mute.contains(n)).map(Who::Validator);
        for who in all {
            let Some((turn, next)) = self.state.turn(&who.key()) else { continue };
            let of = |turn| beacon::value(&who.secret(), network, turn);
            let reveal = Reveal { value: turn.map(of), next: beacon::pledge(who.key(), of(next)) };
            orders.push((who, Command::Reveal(reveal)));
        }
        orders.into_iter().map(|(who, said)| self.sign(who, said)).collect()
    }

    /// What a validator will find that re-executes; what it does not mean otherwise is to agree.
    pub fn means(&mut self, validator: u8, finding: Finding) {
        self.meant.insert(validator, finding);
    }

    pub fn verdict(&self, receipt: &Receipt, finding: Finding) -> Verdict {
        let (trace, salt) = (self.trace, Digest::default());
        Verdict { lease: receipt.lease, receipt: receipt.id(), finding, trace, salt }
    }

    /// Has those seal who have to.
    pub fn seal(&mut self, receipt: &Receipt) {
        let mut orders = Vec::new();
        for n in (0..20).filter(|n| !self.mute.contains(n)).collect::<Vec<_>>() {
            let key = Who::Validator(n).key();
            let finding = self.meant.get(&n).copied().unwrap_or(Finding::Agree);
            let verdict = self.verdict(receipt, finding);
            let asked = self.state.wants(receipt.lease, Question::Audit, &key);
            let stance = self.state.stance(Question::Audit, &verdict, &key);
            if asked && stance == Stance::Seal {
                let seed = self.state.seed_of(receipt.lease).unwrap();
                let seal = Command::SealVerdicts(vec![verdict.seal(key, seed)]);
                orders.push(self.sign(Who::Validator(n), seal));
            }
        }
        self.slot(0, &orders);
    }

    pub fn judge(&mut self, validator: u8, receipt: &Receipt, finding: Finding) -> Vec<Event> {
        self.seal(receipt);
        let verdict = self.verdict(receipt, finding);
        self.send(Who::Validator(validator), Command::Judge(vec![verdict]))
    }

    pub fn status(&self, run: u32) -> Status {
        self.state.runs()[&RunId(run)].status.clone()
    }

    pub fn balance(&self, who: Who) -> Ohc {
        self.state.ledger().account(&who.key()).balance
    }

    pub fn held_money(&self) -> usize {
        self.state.ledger().holds().count()
    }
}

/// What a command reveals, and who.
#[track_caller]
pub fn revealed(order: &SignedOrder) -> (PublicKey, Reveal) {
    let Command::Reveal(reveal) = order.body.command else { panic!("{order:?}") };
    (order.author, reveal)
}

/// The only reason for which a slot's command was refused.
#[track_caller]
pub fn refused(events: &[Event], expect: Reject) {
    let reasons: Vec<Reject> = events
        .iter()
        .filter_map(|event| match event {
            Event::Rejected { reason, .. } => Some(*reason),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, [expect], "{events:?}");
}

pub fn one() -> String {
    noops("one", "", &["a: { uses: noop, verification: full }"])
}

const SEGMENT: Segment = Segment { job: JobId(0), index: 0 };
pub const OBJECTION: Finding = Finding::Object { segment: SEGMENT, found: Found::Other };
pub const DENIAL: Finding = Finding::Deny { segment: SEGMENT };

/// A run of one job that is delivered and drawn.
pub fn drawn(validators: u8) -> (Fold, Receipt) {
    let mut fold = Fold::new(validators);
    fold.bid(WORKER, 500_000);
    fold.submit(&one(), ohc(5));
    let receipt = fold.deliver(WORKER);
    fold.draw();
    (fold, receipt)
}

#[test]
fn a_submission_that_does_not_compile_or_cannot_be_paid_is_refused() {
    let mut fold = Fold::new(1);
    refused(&fold.submit("nonsense", ohc(1)), Reject::BadManifest);
    refused(&fold.submit(&one(), ohc(1_001)), Reject::Short);
    let long = "#".repeat(MANIFEST_BYTES_MAX + 1);
    refused(&fold.submit(&long, ohc(1)), Reject::Unbounded);
    let ingest = noops(
        "pinless",
        "  sources: { rows: { url: a.csv, format: csv } }\n",
        &["a: { uses: ingest, inputs: { rows: sources.rows } }"],
    );
    refused(&fold.submit(&ingest, ohc(1)), Reject::BadManifest);
    assert_eq!(fold.held_money(), 0);
    let pinned = submission(ingest, vec![pin("rows")], ohc(1));
    let events = fold.send(CLIENT, Command::Submit(Box::new(pinned)));
    assert!(events.iter().any(|event| matches!(event, Event::Submitted { .. })), "{events:?}");
}

#[test]
fn r3_a_command_counts_once() {
    let mut fold = Fold::new(1);
    let to = Who::Client(1).key();
    let order = fold.sign(CLIENT, Command::Transfer { to, amount: ohc(1) });
    let events = fold.slot(0, &[order.clone(), order.clone()]);
    refused(&events, Reject::Replayed);
    refused(&fold.slot(0, &[order]), Reject::Replayed);
    assert_eq!(fold.balance(CLIENT), ohc(999));
}

#[test]
fn a_stranger_leaves_nothing_behind() {
    let mut fold = Fold::new(1);
    refused(&fold.bid(Who::Stranger(1), 1), Reject::Short);
    assert_eq!(fold.state.nonce(&Who::Stranger(1).key()), 0);
    assert!(fold.state.workers().is_empty());
}

#[test]
fn a_budget_that_is_too_small_pauses_the_run_and_a_cancel_gives_all_of_it_back() {
    let mut fold = Fold::new(1);
    let budget = Ohc::from_nano(1_000);
    let events = fold.submit(&one(), budget);
    assert!(events.contains(&Event::Paused { run: RunId(1), reason: Pause::Budget }));
    assert_eq!(fold.state.ledger().pending(Hold::Escrow(RunId(1))), Some(budget));
    let events = fold.send(CLIENT, Command::Cancel { run: RunId(1) });
    let ended = Event::Ended { run: RunId(1), ending: Ending::Cancelled, refund: budget };
    assert!(events.contains(&ended));
    assert_eq!(fold.balance(CLIENT), ohc(1_000));
    refused(&fold.send(CLIENT, Command::Cancel { run: RunId(1) }), Reject::NoRun);
}

#[test]
fn an_offer_that_nobody_takes_is_repriced_five_times_and_then_its_run_pauses() {
    let mut fold = Fold::new(1);
    fold.submit(&one(), ohc(5));
    for _ in 0..6 {
        fold.slot(50, &[]);
    }
    let repriced = fold.events.iter().filter(|e| matches!(e, Event::Repriced { .. })).count();
    assert_eq!(repriced, 5);
    assert_eq!(fold.status(1), Status::Paused(Pause::NoBids));
    assert_eq!(fold.state.ledger().pending(Hold::Escrow(RunId(1))), Some(ohc(5)));
    assert!(!fold.state.is_waiting(), "a run that stands still needs no time");
}

#[test]
fn only_its_client_cancels_a_run() {
    let mut fold = Fold::new(1);
    fold.submit(&one(), ohc(5));
    let cancel = Command::Cancel { run: RunId(1) };
    refused(&fold.send(Who::Client(1), cancel), Reject::NotYours);
    refused(&fold.send(CLIENT, Command::Cancel { run: RunId(2) }), Reject::NoRun);
    assert_eq!(fold.status(1), Status::Running);
}

#[test]
fn a_cancel_settles_what_is_delivered_and_takes_back_what_is_leased() {
    let mut fold = Fold::new(1);
    let stages = ["a: { uses: noop, with: { tag: 1 } }", "b: { uses: noop, with: { tag: 2 } }"];
    fold.bid(WORKER, 500_000);
    fold.submit(&noops("two", "", &stages), ohc(5));
    let leases = fold.held(WORKER);
    assert_eq!(leases.len(), 2);
    let receipt = fold.receipt(leases[0]);
    fold.send(WORKER, Command::Deliver(vec![receipt.clone()]));
    fold.send(CLIENT, Command::Cancel { run: RunId(1) });
    assert_eq!(fold.status(1), Status::Draining(Ending::Cancelled));
    assert_eq!(fold.held(WORKER), [leases[0]], "the other lease is void, its bond is back");
    fold.judge(0, &receipt, Finding::Agree);
    let Status::Ended { ending: Ending::Cancelled, refund } = fold.status(1) else { panic!() };
    let run = &fold.state.runs()[&RunId(1)];
    let (reward, gas) = run.spent();
    assert!(reward > Ohc::ZERO);
    assert_eq!(Ohc::sum([reward, gas, refund]), Some(ohc(5)));
    assert_eq!(fold.held_money(), 0);
}

#[test]
fn a_failure_that_holds_is_paid_and_ends_the_run() {
    let mut fold = Fold::new(1);
    fold.bid(WORKER, 500_000);
    let stage = format!("a: {{ uses: noop, with: {{ tag: {} }} }}", labour::FAILING_TAG);
    let after = "b: { uses: noop, inputs: { x: a.done } }";
    let spec = "  run: { limits: { jobsPerBlock: 1 } }\n";
    fold.submit(&noops("failing", spec, &[&stage, after]), ohc(5));
    let receipt = fold.deliver(WORKER);
    assert!(matches!(receipt.outcome, Outcome::Failed { .. }));
    let events = fold.slot(0, &[]);
    let full = |e: &Event| matches!(e, Event::Drawn { audit, .. } if audit.segments == [SEGMENT]);
    assert!(events.iter().any(full), "a failure is always re-executed: {events:?}");
    fold.judge(0, &receipt, Finding::Agree);
    let ended = fold.status(1);
    assert!(matches!(ended, Status::Ended { ending: Ending::Failed { .. }, .. }), "{ended:?}");
    assert!(fold.balance(WORKER) > ohc(100));
    assert_eq!(fold.held_money(), 0);
}

#[test]
fn a_bad_item_of_a_batch_does_not_spoil_the_others() {
    let mut fold = Fold::new(1);
    fold.bid(WORKER, 500_000);
    fold.submit(&one(), ohc(5));
    let good = fold.receipt(fold.held(WORKER)[0]);
    let mut stale = good.clone();
    stale.lease.attempt += 1;
    let wrong = Receipt { outcome: Outcome::Done(Vec::new()), ..good.clone() };
    let batch = vec![stale, wrong, good.clone(), good];
    let events = fold.send(WORKER, Command::Deliver(batch));
    let reasons: Vec<Reject> = events
        .iter()
        .filter_map(|e| match e {
            Event::Rejected { reason, .. } => Some(*reason),
            _ => None,
        })
        .collect();
    assert_eq!(reasons, [Reject::NoLease, Reject::BadReceipt, Reject::NoLease]);
    assert_eq!(events.iter().filter(|e| matches!(e, Event::Delivered { .. })).count(), 1);
}

#[test]
fn a_batch_beyond_its_bound_is_refused_whole() {
    let mut fold = Fold::new(1);
    let lease = LeaseId { block: BlockId { run: RunId(1), index: 0 }, attempt: 1 };
    let beats = vec![Beat { lease, step: 0 }; BATCH_MAX + 1];
    refused(&fold.send(WORKER, Command::Heartbeat(beats)), Reject::Unbounded);
}

#[test]
fn r5_a_verdict_is_about_one_receipt_and_spoken_once() {
    let (mut fold, receipt) = drawn(4);
    let other = Receipt { outcome: Outcome::Done(Vec::new()), ..receipt.clone() };
    refused(&fold.judge(0, &other, Finding::Agree), Reject::NoReceipt);
    assert_eq!(fold.judge(0, &receipt, Finding::Agree), []);
    refused(&fold.judge(0, &receipt, Finding::Agree), Reject::Spoken);
    refused(&fold.judge(0, &receipt, OBJECTION), Reject::Spoken);
    refused(&fold.judge(1, &receipt, DENIAL), Reject::NoReceipt);
    let verdict = fold.verdict(&receipt, OBJECTION);
    refused(&fold.send(WORKER, Command::Judge(vec![verdict])), Reject::NotYours);
}

#[test]
fn two_of_three_validators_are_no_quorum() {
    let (mut fold, receipt) = drawn(3);
    fold.judge(0, &receipt, Finding::Agree);
    assert_eq!(fold.judge(1, &receipt, Finding::Agree), [], "exactly 2/3 is not more");
    let events = fold.judge(2, &receipt, Finding::Agree);
    assert!(events.iter().any(|event| matches!(event, Event::Settled { .. })), "{events:?}");
}

#[test]
fn an_objection_that_more_than_two_thirds_share_slashes_the_worker() {
    let (mut fold, receipt) = drawn(4);
    fold.means(1, OBJECTION);
    fold.judge(0, &receipt, Finding::Agree);
    fold.judge(1, &receipt, OBJECTION);
    fold.judge(2, &receipt, OBJECTION);
    let events = fold.judge(0, &receipt, OBJECTION);
    let Some(Event::Slashed { worker, bond, .. }) =
        events.iter().find(|event| matches!(event, Event::Slashed { .. }))
    else {
        panic!("{events:?}")
    };
    assert_eq!(*worker, WORKER.key());
    let half = bond.nano() / 2;
    assert_eq!(fold.balance(CLIENT).nano(), ohc(995).nano() + half, "half goes to the client");
    assert_eq!(fold.state.ledger().burned().nano(), bond.nano() - half, "half is burned");
    // Barred: its next bid does not get the block again.
    let events = fold.bid(WORKER, 500_000);
    assert!(!events.iter().any(|event| matches!(event, Event::Leased { .. })));
    fold.bid(Who::Worker(1), 500_000);
    let events = fold.slot(100, &[]);
    let leased = |e: &Event| matches!(e, Event::Leased { lease, .. } if lease.attempt == 2);
    assert!(events.iter().any(leased), "{events:?}");
}

#[test]
fn an_objection_that_more_than_two_thirds_deny_is_fined_and_the_receipt_judged_on() {
    let (mut fold, receipt) = drawn(4);
    let before = fold.balance(WORKER);
    fold.means(3, OBJECTION);
    fold.judge(3, &receipt, OBJECTION);
    for validator in 0..2 {
        fold.judge(validator, &receipt, DENIAL);
    }
    let events = fold.judge(2, &receipt, DENIAL);
    let Some(Event::Overruled { fine, validator, .. }) = events.first() else {
        panic!("{events:?}")
    };
    assert_eq!(*validator, Who::Validator(3).key());
    assert!(*fine > Ohc::ZERO);
    assert_eq!(fold.balance(WORKER).nano(), before.nano() + fine.nano() / 2);
    refused(&fold.judge(3, &receipt, OBJECTION), Reject::Spoken);
    for validator in 0..3 {
        fold.judge(validator, &receipt, Finding::Agree);
    }
    let status = fold.status(1);
    assert!(matches!(status, Status::Ended { ending: Ending::Settled, .. }), "{status:?}");
}

#[test]
fn r12_a_pipeline_that_is_settled_costs_nothing_the_second_time() {
    let (mut fold, receipt) = drawn(1);
    fold.judge(0, &receipt, Finding::Agree);
    let before = fold.state.ledger().clone();
    let events = fold.submit(&one(), ohc(5));
    let ended = Event::Ended { run: RunId(2), ending: Ending::Settled, refund: ohc(5) };
    assert!(events.contains(&ended), "{events:?}");
    assert!(!events.iter().any(|event| matches!(event, Event::Offered { .. })));
    assert_eq!(*fold.state.ledger(), before);
}

#[test]
fn results_that_are_lost_are_made_again() {
    let (mut fold, receipt) = drawn(1);
    fold.judge(0, &receipt, Finding::Agree);
    let lost: Vec<Digest> = fold.state.cache().keys().copied().collect();
    let mut again = submission(one(), Vec::new(), ohc(5));
    again.fresh = lost;
    let events = fold.send(CLIENT, Command::Submit(Box::new(again)));
    assert!(events.iter().any(|event| matches!(event, Event::Leased { .. })), "{events:?}");
}

#[test]
fn r9_no_audit_is_drawn_in_the_slot_of_its_receipt() {
    let mut fold = Fold::new(1);
    fold.bid(WORKER, 500_000);
    fold.submit(&one(), ohc(5));
    fold.deliver(WORKER);
    let drawn = |e: &Event| matches!(e, Event::Drawn { .. });
    assert!(!fold.events.iter().any(drawn));
    assert!(fold.state.is_restless());
    assert!(fold.slot(0, &[]).iter().any(drawn));
}

#[test]
fn a_silent_worker_loses_a_tenth_of_its_bond_and_its_bid() {
    let mut fold = Fold::new(1);
    fold.bid(WORKER, 500_000);
    fold.submit(&one(), ohc(5));
    let lease = fold.held(WORKER)[0];
    let bond = fold.state.ledger().pending(Hold::Bond(lease)).unwrap();
    assert_eq!(fold.slot(199, &[]), []);
    let events = fold.slot(1, &[]);
    let fine = Ohc::from_nano(bond.nano() / 10);
    assert_eq!(
        events[0],
        Event::Lapsed { lease, worker: WORKER.key(), cause: Cause::WorkerLost, fine }
    );
    assert_eq!(events[1], Event::BidGone { worker: WORKER.key() });
    assert!(matches!(events[2], Event::Offered { attempt: 2, .. }));
    assert_eq!(fold.balance(WORKER).nano(), ohc(100).nano() - fine.nano());
    let late = Receipt { lease, outcome: Outcome::Done(Vec::new()) };
    refused(&fold.send(WORKER, Command::Deliver(vec![late])), Reject::Lapsed);
    let phase = &fold.state.runs()[&RunId(1)].blocks[0].phase;
    assert!(matches!(phase, Phase::Offered(_)));
}
