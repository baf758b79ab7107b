//! How several validators come to one conclusion: sealed verdicts, traces, those who stay away,
//! disputes that are narrowed to one step, and what is challenged after it was settled.
//! Never looks at how a verdict is computed.

use crate::adversary::{Nature, Temper};
use crate::fold::{CLIENT, Fold, WORKER, drawn, one, refused, revealed};
use crate::ground::{STAKE, Who, genesis, ohc, pin, submission};
use crate::hindsight::honest;
use crate::pipelines::{Want, iris};
use crate::world::{Cast, Weather, World};
use ohc::base::amount::Ohc;
use ohc::base::canon::Digest;
use ohc::base::ids::JobId;
use ohc::base::keys::PublicKey;
use ohc::domain::beacon::Seed;
use ohc::domain::command::{Command, SignedOrder};
use ohc::domain::event::{Event, Reject};
use ohc::domain::receipt::{Outcome, Receipt};
use ohc::domain::state::Question;
use ohc::domain::verdict::{Finding, Found, Segment, Verdict};

const SEGMENT: Segment = Segment { job: JobId(0), index: 0 };

/// Those who re-execute, and the others.
fn by_duty(fold: &Fold, receipt: &Receipt) -> (Vec<u8>, Vec<u8>) {
    let is_drawn =
        |n: &u8| fold.state.wants(receipt.lease, Question::Audit, &Who::Validator(*n).key());
    (0..4).partition(is_drawn)
}

fn seal(fold: &mut Fold, n: u8, verdict: &Verdict) -> Vec<Event> {
    let seed = fold.state.seed_of(verdict.lease).unwrap();
    let sealed = verdict.seal(Who::Validator(n).key(), seed);
    fold.send(Who::Validator(n), Command::SealVerdicts(vec![sealed]))
}

fn say(fold: &mut Fold, n: u8, verdict: &Verdict) -> Vec<Event> {
    fold.send(Who::Validator(n), Command::Judge(vec![verdict.clone()]))
}

fn has(events: &[Event], what: impl Fn(&Event) -> bool) -> bool {
    events.iter().any(what)
}

fn is_settled(event: &Event) -> bool {
    matches!(event, Event::Settled { .. })
}

fn worth(fold: &Fold, key: &PublicKey) -> Ohc {
    let account = fold.state.ledger().account(key);
    account.balance.checked_add(account.stake).unwrap()
}

#[test]
fn who_re_executes_says_nothing_before_all_have_sealed_what_they_will_say() {
    let (mut fold, receipt) = drawn(4);
    let (committee, _) = by_duty(&fold, &receipt);
    let [first, second] = committee[..] else { panic!("{committee:?}") };
    let agree = fold.verdict(&receipt, Finding::Agree);
    refused(&say(&mut fold, first, &agree), Reject::Unsealed);
    assert_eq!(seal(&mut fold, first, &agree), []);
    refused(&say(&mut fold, first, &agree), Reject::Unsealed);
    // Whoever waits for others' seals learns nothing: a seal is of its author.
    let seed = fold.state.seed_of(receipt.lease).unwrap();
    let copied = agree.seal(Who::Validator(first).key(), seed);
    assert_eq!(fold.send(Who::Validator(second), Command::SealVerdicts(vec![copied])), []);
    refused(&say(&mut fold, second, &agree), Reject::Unsealed);
    assert_eq!(say(&mut fold, first, &agree), []);
    let other = fold.verdict(&receipt, Finding::Object { segment: SEGMENT, found: Found::Other });
    refused(&say(&mut fold, first, &other), Reject::Spoken);
    refused(&seal(&mut fold, first, &other), Reject::Spoken);
}

#[test]
fn r9_nothing_is_drawn_before_every_validator_has_revealed_and_the_chain_has_run_on() {
    let mut ground = genesis(4, ohc(100));
    ground.params.beacon_ticks = 4;
    let mut fold = Fold::of(&ground);
    fold.bid(WORKER, 500_000);
    fold.submit(&one(), ohc(5));
    fold.deliver(WORKER);
    for _ in 0..5 {
        assert_eq!(fold.slot(1, &[]), [], "nobody has pledged a value");
    }
    let is_drawn = |event: &Event| matches!(event, Event::Drawn { .. });
    let drawn = fold.draw();
    assert_eq!(drawn.iter().filter(|event| is_drawn(event)).count(), 1, "{drawn:?}");
}

#[test]
fn r9_without_a_delay_the_last_value_draws_in_its_own_slot_and_none_before() {
    let mut fold = Fold::new(4);
    assert_eq!(fold.state.params().beacon_ticks, 0);
    fold.bid(WORKER, 500_000);
    fold.submit(&one(), ohc(5));
    fold.reveal();
    fold.deliver(WORKER);
    fold.mute.insert(3);
    assert_eq!(fold.reveal(), [], "one of four has not revealed");
    fold.mute.clear();
    let drawn = fold.reveal();
    assert!(matches!(drawn[..], [Event::Drawn { .. }]), "{drawn:?}");
}

#[test]
fn who_agrees_without_looking_is_found_out_by_what_all_others_trace() {
    let (mut fold, receipt) = drawn(4);
    let (committee, others) = by_duty(&fold, &receipt);
    let [lazy, honest] = committee[..] else { panic!("{committee:?}") };
    let before = worth(&fold, &Who::Validator(lazy).key());
    let guess = fold.verdict(&receipt, Finding::Agree);
    let truth = Verdict { trace: Digest::of(b"what it takes to know"), ..guess.clone() };
    seal(&mut fold, lazy, &guess);
    seal(&mut fold, honest, &truth);
    for n in &others {
        say(&mut fold, *n, &guess);
    }
    say(&mut fold, lazy, &guess);
    let events = say(&mut fold, honest, &truth);
    let widened =
        |event: &Event| matches!(event, Event::Redrawn { committee, .. } if committee.len() == 4);
    assert!(has(&events, widened), "two of four cannot say who is right: {events:?}");
    for n in &others {
        seal(&mut fold, *n, &truth);
    }
    say(&mut fold, others[0], &truth);
    let events = say(&mut fold, others[1], &truth);
    let fine = fold.state.params().lazy_fine;
    let found = Event::Lazy {
        lease: receipt.lease,
        validator: Who::Validator(lazy).key(),
        challenger: None,
        fine,
    };
    assert_eq!(events.first(), Some(&found));
    assert!(has(&events, is_settled), "{events:?}");
    let after = worth(&fold, &Who::Validator(lazy).key());
    assert!(after < before.checked_sub(fine).unwrap().checked_add(ohc(1)).unwrap());
}

#[test]
fn who_stays_away_is_fined_once_and_another_re_executes() {
    let (mut fold, receipt) = drawn(4);
    let (committee, others) = by_duty(&fold, &receipt);
    let [away, there] = committee[..] else { panic!("{committee:?}") };
    let agree = fold.verdict(&receipt, Finding::Agree);
    seal(&mut fold, there, &agree);
    let events = fold.slot(2_000, &[]);
    let fine = fold.state.params().absent_fine;
    let validator = Who::Validator(away).key();
    assert_eq!(events.first(), Some(&Event::Absent { validator, fine }));
    assert!(has(&events, |event| matches!(event, Event::Redrawn { .. })), "{events:?}");
    let (next, _) = by_duty(&fold, &receipt);
    let fresh: Vec<u8> = next.into_iter().filter(|n| *n != there).collect();
    let [fresh] = fresh[..] else { panic!("{fresh:?}") };
    assert!(others.contains(&fresh));
    seal(&mut fold, fresh, &agree);
    for n in others.iter().chain([&there]) {
        say(&mut fold, *n, &agree);
    }
    assert!(has(&fold.events, is_settled), "three of four are enough");
    assert!(!has(&fold.slot(2_000, &[]), |event| matches!(event, Event::Absent { .. })));
}

/// Four validators of these tempers and two workers, of which the cheaper one is of this nature.
fn disputed(seed: u64, tempers: [Temper; 4], nature: Nature) -> World {
    disputed_in("exact", seed, tempers, nature)
}

/// The same, of trainings in this mode.
fn disputed_in(mode: &str, seed: u64, tempers: [Temper; 4], nature: Nature) -> World {
    let validators = tempers.map(|temper| (temper, STAKE)).to_vec();
    let workers = vec![(nature, 550_000), (Nature::Honest, 700_000)];
    let spec = "  defaults: { verification: full, retry: { maxAttempts: 6 } }\n";
    let mode = format!("mode: {mode}, target: species");
    let manifest = iris("iris", spec, 1).replace("target: species", &mode);
    let submission = submission(manifest, vec![pin("flowers")], ohc(50));
    let wants = vec![Want { name: "iris".to_owned(), submission }];
    let mut world =
        World::new(seed, Weather::CALM, Cast { validators, workers, purse: ohc(100), wants });
    let waiting = world.finish(600_000).unwrap();
    assert!(waiting.is_empty(), "{waiting:?}");
    honest(&world, false).unwrap();
    world
}

#[test]
fn a_state_that_is_disputed_is_narrowed_to_one_step_and_the_liar_pays() {
    let mut narrowed = 0;
    for seed in 0..12 {
        let world = disputed(seed, [Temper::Honest; 4], Nature::WrongWeights);
        let events = &world.checker.events;
        for (at, event) in events.iter().enumerate() {
            let Event::Narrowed { lease, step } = event else { continue };
            narrowed += 1;
            assert_ne!(step.worker, step.objector);
            let later = &events[at..];
            let slashed = |e: &Event| matches!(e, Event::Slashed { lease: l, .. } if l == lease);
            assert!(has(later, slashed), "seed {seed}: {lease}");
        }
        let lost = |e: &Event| matches!(e, Event::Overruled { .. } | Event::Lazy { .. });
        assert!(!has(events, lost), "seed {seed}: the honest lose nothing");
    }
    assert!(narrowed > 2, "{narrowed} disputes came to one step");
}

#[test]
fn who_objects_to_a_state_that_is_true_contradicts_himself_and_pays() {
    use Temper::{Accuser, Honest};
    let mut overruled = 0;
    for seed in 0..6 {
        let world = disputed(seed, [Accuser, Honest, Honest, Honest], Nature::Honest);
        let events = &world.checker.events;
        let accuser = Who::Validator(0).key();
        let of =
            |e: &&Event| matches!(e, Event::Overruled { validator, .. } if *validator == accuser);
        overruled += events.iter().filter(of).count();
        assert!(!has(events, |e| matches!(e, Event::Slashed { .. })), "seed {seed}");
    }
    assert!(overruled >= 6, "{overruled}");
}

#[test]
fn a_state_of_a_fast_training_is_voted_on_and_not_narrowed() {
    use Temper::{Accuser, Honest};
    // Its worker need not find the same states again, and would lose every dispute about a step.
    let (mut slashed, mut overruled) = (0, 0);
    for seed in 0..6 {
        let liar = disputed_in("fast", seed, [Honest; 4], Nature::WrongWeights);
        let accused = disputed_in("fast", seed, [Accuser, Honest, Honest, Honest], Nature::Honest);
        for world in [&liar, &accused] {
            assert!(!has(&world.checker.events, |e| matches!(e, Event::Narrowed { .. })));
        }
        let count = |world: &World, is: fn(&Event) -> bool| {
            world.checker.events.iter().filter(|event| is(event)).count()
        };
        slashed += count(&liar, |event| matches!(event, Event::Slashed { .. }));
        overruled += count(&accused, |event| matches!(event, Event::Overruled { .. }));
        assert_eq!(count(&accused, |event| matches!(event, Event::Slashed { .. })), 0);
    }
    assert!(slashed >= 6 && overruled >= 6, "{slashed} {overruled}");
}

/// A lie that four lazy validators let pass, while it can be challenged.
fn believed() -> (Fold, Receipt) {
    let mut ground = genesis(4, ohc(100));
    ground.params.challenge_ticks = 10_000;
    let mut fold = Fold::of(&ground);
    fold.bid(WORKER, 500_000);
    fold.submit(&one(), ohc(5));
    let mut lie = fold.receipt(fold.held(WORKER)[0]);
    let Outcome::Done(claims) = &mut lie.outcome else { panic!() };
    claims[0].outputs[0] = Digest::of(b"lie");
    fold.send(WORKER, Command::Deliver(vec![lie.clone()]));
    fold.draw();
    for n in 0..4 {
        fold.judge(n, &lie, Finding::Agree);
    }
    assert!(has(&fold.events, is_settled));
    (fold, lie)
}

fn vote(fold: &mut Fold, receipt: &Receipt, finding: Finding) -> Vec<Event> {
    let verdict = fold.verdict(receipt, finding);
    (0..3).flat_map(|n| say(fold, n, &verdict)).collect()
}

#[test]
fn a_lie_that_was_settled_is_revoked_and_those_who_let_it_pass_pay() {
    let (mut fold, lie) = believed();
    let (client, worker) = (fold.balance(CLIENT), fold.balance(WORKER));
    assert_eq!(fold.state.cache().len(), 1);
    let challenge = Command::Challenge { lease: lie.lease, segment: SEGMENT };
    let events = fold.send(CLIENT, challenge.clone());
    assert!(has(&events, |event| matches!(event, Event::Challenged { .. })), "{events:?}");
    refused(&fold.send(CLIENT, challenge), Reject::NoChallenge);
    let object = Finding::Object { segment: SEGMENT, found: Found::Other };
    let events = vote(&mut fold, &lie, object);
    assert!(has(&events, |event| matches!(event, Event::Revoked { .. })), "{events:?}");
    let lazy = |event: &&Event| matches!(event, Event::Lazy { challenger: Some(_), .. });
    assert_eq!(events.iter().filter(lazy).count(), 2, "the two of its committee");
    assert!(fold.state.cache().is_empty(), "nobody uses it again");
    assert!(fold.balance(WORKER) < worker);
    let found = fold.state.params().lazy_fine; // half of two fines
    assert!(fold.balance(CLIENT) > client.checked_add(found).unwrap().checked_sub(ohc(1)).unwrap());
    assert_eq!(fold.held_money(), 0);
}

#[test]
fn a_challenge_that_does_not_hold_costs_its_deposit() {
    let (mut fold, receipt) = believed();
    let client = fold.balance(CLIENT);
    let challenge = Command::Challenge { lease: receipt.lease, segment: SEGMENT };
    fold.send(CLIENT, challenge.clone());
    let events = vote(&mut fold, &receipt, Finding::Deny { segment: SEGMENT });
    assert!(has(&events, |event| matches!(event, Event::Dismissed { .. })), "{events:?}");
    assert!(fold.balance(CLIENT) < client);
    assert_eq!(fold.held_money(), 0);
    refused(&fold.send(CLIENT, challenge), Reject::NoChallenge);
}

#[test]
fn what_nobody_challenged_in_time_stands_for_ever() {
    let (mut fold, receipt) = believed();
    assert!(fold.state.is_waiting());
    fold.slot(10_001, &[]);
    assert!(!fold.state.is_waiting());
    let challenge = Command::Challenge { lease: receipt.lease, segment: SEGMENT };
    refused(&fold.send(CLIENT, challenge), Reject::NoChallenge);
}

/// A receipt for whose audit all but the last value is there, and the commands with the values.
fn awaiting() -> (Fold, Receipt, Vec<SignedOrder>) {
    let mut fold = Fold::new(4);
    fold.bid(WORKER, 500_000);
    fold.submit(&one(), ohc(5));
    fold.reveal();
    let receipt = fold.deliver(WORKER);
    let reveals = fold.reveals();
    (fold, receipt, reveals)
}

#[test]
fn r9_what_is_drawn_in_a_slot_may_be_sealed_in_the_same_and_is_what_was_foreseen() {
    let (mut fold, receipt, mut orders) = awaiting();
    let some = fold.state.foresee(orders.iter().take(3).map(revealed));
    assert!(some.is_none(), "one value is missing");
    let foresight = fold.state.foresee(orders.iter().map(revealed)).unwrap();
    let agree = fold.verdict(&receipt, Finding::Agree);
    let mut sealers = 0;
    for who in (0..4).map(Who::Validator) {
        let [matter] = foresight.questions(&who.key()).collect::<Vec<_>>()[..] else { panic!() };
        if matter.question == Question::Audit {
            let seal = agree.seal(who.key(), matter.seed);
            orders.push(fold.sign(who, Command::SealVerdicts(vec![seal])));
            sealers += 1;
        }
        let duty = fold.state.duty_ahead(&foresight, matter).unwrap();
        assert_eq!(duty.matter(), matter);
    }
    assert_eq!(sealers, 2);
    let events = fold.slot(0, &orders);
    assert!(matches!(events[..], [Event::Drawn { .. }]), "{events:?}");
    for who in (0..4).map(Who::Validator) {
        let asked: Vec<_> = foresight.questions(&who.key()).collect();
        assert_eq!(fold.state.questions(&who.key()), asked);
    }
    let said = |n| (Who::Validator(n), Command::Judge(vec![agree.clone()]));
    let orders: Vec<_> = (0..4).map(said).collect();
    let orders: Vec<_> = orders.into_iter().map(|(who, said)| fold.sign(who, said)).collect();
    let events = fold.slot(0, &orders);
    assert!(has(&events, is_settled), "all had been sealed: {events:?}");
}

/// Otherwise it could never say what it finds then, and would be absent.
#[test]
fn a_seal_about_what_was_foreseen_and_did_not_come_counts_for_nothing() {
    let (mut fold, receipt, orders) = awaiting();
    fold.slot(0, &orders);
    let (committee, _) = by_duty(&fold, &receipt);
    let agree = fold.verdict(&receipt, Finding::Agree);
    let foreseen = agree.seal(Who::Validator(committee[0]).key(), Seed::NONE);
    let said = Command::SealVerdicts(vec![foreseen]);
    refused(&fold.send(Who::Validator(committee[0]), said), Reject::NoReceipt);
    assert_eq!(seal(&mut fold, committee[0], &agree), []);
}
