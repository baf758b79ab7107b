//! Single roles: what they say when nothing else would make them say it.
//! Never folds more than it takes to ask.

use crate::fold::{CLIENT, Fold, WORKER, drawn, one, revealed};
use crate::ground::{STAKE, Who, genesis, noops, ohc, submission};
use crate::labour;
use crate::stakes::{begun, evidence};
use ohc::base::amount::{Price, SUPPLY, Work};
use ohc::base::canon::{Digest, Encode};
use ohc::base::ids::{BlockId, LeaseId, RunId};
use ohc::base::limits::MESSAGE_BYTES_MAX;
use ohc::base::time::Millis;
use ohc::domain::command::{Bid, Command, Order, SignedOrder};
use ohc::domain::event::{Event, Reject};
use ohc::domain::receipt::Outcome;
use ohc::domain::state::{Matter, Question};
use ohc::domain::terms::Equipment;
use ohc::domain::verdict::{Finding, Verdict};
use ohc::role::{Folded, Machine, Signer, client, validator, worker};
use std::collections::BTreeSet;

fn verdict(index: u32) -> Verdict {
    let lease = LeaseId { block: BlockId { run: RunId(1), index }, attempt: 1 };
    let (receipt, trace, salt) = Default::default();
    Verdict { lease, receipt, finding: Finding::Agree, trace, salt }
}

/// A validator of four that has concluded about a receipt, and that receipt's verdict.
fn one_of_four() -> (Fold, validator::Validator, Verdict) {
    let (fold, receipt) = drawn(4);
    let question = Question::Receipt;
    let is_asked = |who: &Who| fold.state.wants(receipt.lease, question, &who.key());
    let who = (0..4).map(Who::Validator).find(is_asked).unwrap();
    let mut validator = validator::Validator::new(Signer::new(who.secret()), Millis(0));
    let out = hears(&mut validator, &fold, 0, validator::Input::Folded);
    let [validator::Output::Check(duty)] = &out[..] else { panic!("{out:?}") };
    let verdict = fold.verdict(&receipt, Finding::Agree);
    let input = validator::Input::Checked(duty.matter(), verdict.clone());
    hears(&mut validator, &fold, 0, input);
    (fold, validator, verdict)
}

fn hears(
    validator: &mut validator::Validator,
    fold: &Fold,
    now: u64,
    input: validator::Input,
) -> Vec<validator::Output> {
    let mut out = Vec::new();
    validator.handle(Millis(now), &fold.state, input, &mut out);
    out
}

#[test]
fn a_validator_of_several_sends_its_verdict_again_until_it_is_folded() {
    let (mut fold, mut validator, verdict) = one_of_four();
    let mut said = Vec::new();
    for now in [0, 2_000] {
        let at = validator.deadline(&fold.state).unwrap();
        assert!(at <= Millis(now), "{at:?}");
        let out = hears(&mut validator, &fold, now, validator::Input::Wake);
        let [validator::Output::Send(order)] = &out[..] else { panic!("{out:?}") };
        assert_eq!(order.body.command, Command::Judge(vec![verdict.clone()]));
        said.push(order.clone());
    }
    fold.slot(0, &said);
    hears(&mut validator, &fold, 2_001, validator::Input::Folded);
    assert!(hears(&mut validator, &fold, 4_000, validator::Input::Wake).is_empty());
    assert_eq!(validator.deadline(&fold.state), None);
}

/// Nobody tells it what it says itself: it knows.
#[test]
fn what_a_validator_of_several_says_is_in_its_own_drafts() {
    let (fold, mut validator, _) = one_of_four();
    let out = hears(&mut validator, &fold, 0, validator::Input::Wake);
    let [validator::Output::Send(order)] = &out[..] else { panic!("{out:?}") };
    // And hearing it after all makes it no second one.
    hears(&mut validator, &fold, 0, validator::Input::Command(order.clone()));
    let out = hears(&mut validator, &fold, 1, validator::Input::Propose);
    let [validator::Output::Cut(draft)] = &out[..] else { panic!("{out:?}") };
    assert_eq!(draft.commands, std::slice::from_ref(order));
}

#[test]
fn what_could_not_be_looked_into_is_looked_into_again_a_while_later() {
    let (fold, receipt) = drawn(4);
    let is_asked = |who: &Who| fold.state.wants(receipt.lease, Question::Receipt, &who.key());
    let who = (0..4).map(Who::Validator).find(is_asked).unwrap();
    let mut validator = validator::Validator::new(Signer::new(who.secret()), Millis(0));
    let mut checks = |now, input| {
        let out = hears(&mut validator, &fold, now, input);
        let asked = |output: &validator::Output| matches!(output, validator::Output::Check(_));
        (out.iter().any(asked), validator.deadline(&fold.state))
    };
    assert!(checks(0, validator::Input::Folded).0);
    assert!(!checks(1, validator::Input::Folded).0, "it is being looked into");
    let (lease, question) = (receipt.lease, Question::Receipt);
    let seed = fold.state.seed_of(lease).unwrap();
    let away = validator::Input::Unchecked(Matter { lease, question, seed });
    let (_, at) = checks(2, away);
    assert!(at > Some(Millis(2)), "{at:?}");
    assert!(!checks(3, validator::Input::Folded).0, "the store is away a moment longer");
    assert!(checks(at.unwrap().0, validator::Input::Wake).0);
}

/// The accusation among what a validator says, if there is one.
fn accusation(out: Vec<validator::Output>) -> Option<SignedOrder> {
    let is_one = |order: &SignedOrder| matches!(order.body.command, Command::Accuse(_));
    let order = |said| match said {
        validator::Output::Send(order) if is_one(&order) => Some(order),
        _ => None,
    };
    out.into_iter().find_map(order)
}

#[test]
fn r6_a_validator_accuses_until_the_log_has_it_and_then_no_more() {
    let mut fold = begun(4);
    fold.slot(0, &[]);
    let mut validator =
        validator::Validator::new(Signer::new(Who::Validator(0).secret()), Millis(0));
    let proof = validator::Input::Evidence(evidence(&fold, Who::Validator(1), 1, 0));
    hears(&mut validator, &fold, 1, proof);
    let mut wake =
        |fold: &Fold, now| accusation(hears(&mut validator, fold, now, validator::Input::Wake));
    assert!(wake(&fold, 2).is_some());
    assert!(wake(&fold, 3).is_none(), "it is on its way");
    let again = wake(&fold, 5_000).expect("it was lost");
    fold.slot(0, &[again]);
    hears(&mut validator, &fold, 5_001, validator::Input::Folded);
    assert!(accusation(hears(&mut validator, &fold, 60_000, validator::Input::Wake)).is_none());
}

#[test]
fn a_validator_of_several_proposes_when_it_is_its_turn_and_keeps_what_is_not_folded() {
    let (mut fold, mut validator, _) = one_of_four();
    let order = fold.sign(CLIENT, Command::Cancel { run: RunId(1) });
    let input = validator::Input::Command(order.clone());
    assert!(hears(&mut validator, &fold, 1, input).is_empty());
    for now in [1, 2] {
        let out = hears(&mut validator, &fold, now, validator::Input::Propose);
        let [validator::Output::Cut(draft)] = &out[..] else { panic!("{out:?}") };
        assert_eq!(draft.commands, std::slice::from_ref(&order), "its verdict is not its own");
    }
    fold.slot(0, &[order]);
    hears(&mut validator, &fold, 3, validator::Input::Folded);
    let out = hears(&mut validator, &fold, 3, validator::Input::Propose);
    let [validator::Output::Cut(draft)] = &out[..] else { panic!("{out:?}") };
    assert!(draft.commands.is_empty(), "what is folded waits no more");
}

#[test]
fn time_that_one_validator_counted_is_not_counted_by_the_next() {
    let (mut fold, _) = drawn(4);
    let mut validator =
        validator::Validator::new(Signer::new(Who::Validator(0).secret()), Millis(0));
    fold.bid(Who::Worker(1), 500_000);
    fold.submit(&noops("two", "", &["a: { uses: noop, with: { tag: 5 } }"]), ohc(5));
    hears(&mut validator, &fold, 1_000, validator::Input::Folded);
    fold.slot(40, &[]);
    hears(&mut validator, &fold, 1_400, validator::Input::Folded);
    let out = hears(&mut validator, &fold, 2_300, validator::Input::Propose);
    let [validator::Output::Cut(draft)] = &out[..] else { panic!("{out:?}") };
    assert_eq!(draft.poh.iter().filter(|entry| entry.mixin.is_none()).count(), 90);
}

#[test]
fn a_worker_divides_its_receipts_into_messages() {
    let mut fold = Fold::new(1);
    let stages: Vec<String> =
        (0..40).map(|n| format!("s{n}: {{ uses: noop, with: {{ tag: {n} }} }}")).collect();
    let stages: Vec<&str> = stages.iter().map(String::as_str).collect();
    let bid = Bid { ask: Price::new(1), capacity: Work::new(100_000), has: Default::default() };
    fold.send(WORKER, Command::Bid(bid));
    fold.submit(&noops("many", "", &stages), ohc(500));
    let leases = fold.held(WORKER);
    assert_eq!(leases.len(), 40);
    let mut worker = worker::Worker::new(Signer::new(WORKER.secret()), bid);
    let mut out = Vec::new();
    worker.handle(Millis(0), &fold.state, worker::Input::Folded, &mut out);
    for lease in leases {
        let mut outcome = labour::compute(&fold.state.assignment(lease).unwrap());
        if let Outcome::Done(claims) = &mut outcome {
            claims[0].metrics = vec![("m".repeat(1_000), 0.0); 60];
        }
        worker.handle(Millis(0), &fold.state, worker::Input::Computed(lease, outcome), &mut out);
    }
    out.clear();
    while worker.deadline(&fold.state) == Some(Millis(0)) {
        worker.handle(Millis(1), &fold.state, worker::Input::Wake, &mut out);
    }
    let mut receipts = 0;
    for output in &out {
        let worker::Output::Send(order) = output else { continue };
        assert!(order.to_bytes().len() <= MESSAGE_BYTES_MAX);
        if let Command::Deliver(batch) = &order.body.command {
            receipts += batch.len();
        }
    }
    assert_eq!(receipts, 40);
}

#[test]
fn a_worker_ends_where_another_bids_with_its_key() {
    let mut fold = Fold::new(1);
    let bid =
        |ask| Bid { ask: Price::new(ask), capacity: Work::new(1_000), has: Default::default() };
    let mut machine = worker::Worker::new(Signer::new(WORKER.secret()), bid(2));
    let mut hears = |fold: &Fold, now| {
        let mut out = Vec::new();
        machine.handle(Millis(now), &fold.state, worker::Input::Folded, &mut out);
        out
    };
    let is_overtaken = |out: &[worker::Output]| {
        out.iter().any(|output| matches!(output, worker::Output::Overtaken))
    };
    // What it bid before it was started again is its own.
    fold.send(WORKER, Command::Bid(bid(1)));
    let out = hears(&fold, 0);
    assert!(!is_overtaken(&out) && !out.is_empty());
    fold.send(WORKER, Command::Bid(bid(2)));
    assert!(hears(&fold, 1).is_empty());
    fold.send(WORKER, Command::Bid(bid(3)));
    assert!(is_overtaken(&hears(&fold, 2)));
}

/// A client that has just sent its submission.
fn submitting(fold: &Fold) -> (client::Client, SignedOrder) {
    let wish = submission(one(), Vec::new(), ohc(5));
    let mut client = client::Client::new(Signer::new(CLIENT.secret()), "one".to_owned(), wish);
    let sent = says(&mut client, fold, 0, client::Input::Wake);
    let [client::Output::Send(order)] = &sent[..] else { panic!("{sent:?}") };
    (client, order.clone())
}

pub(crate) fn says(
    client: &mut client::Client,
    fold: &Fold,
    now: u64,
    input: client::Input,
) -> Vec<client::Output> {
    let mut out = Vec::new();
    client.handle(Millis(now), &fold.state, input, &mut out);
    out
}

/// Folds these in one slot: what a client hears of it.
pub(crate) fn folds(fold: &mut Fold, orders: &[SignedOrder]) -> client::Input {
    let (events, mut folded) = (fold.slot(0, orders), Folded::default());
    folded.add(&CLIENT.key(), orders, &events);
    client::Input::Folded(folded)
}

fn hears_nothing() -> client::Input {
    client::Input::Folded(Folded::default())
}

#[test]
fn r3_a_submission_that_is_sent_again_is_the_same_command() {
    let fold = Fold::new(1);
    let (mut client, order) = submitting(&fold);
    let again = says(&mut client, &fold, 2_000, client::Input::Wake);
    assert!(matches!(&again[..], [client::Output::Send(copy)] if *copy == order), "{again:?}");
}

#[test]
fn a_submission_whose_number_was_used_up_gets_another_one() {
    let mut fold = Fold::new(1);
    let (mut client, order) = submitting(&fold);
    let other = fold.sign(CLIENT, Command::Transfer { to: WORKER.key(), amount: ohc(1) });
    let input = folds(&mut fold, &[other, order]);
    let again = says(&mut client, &fold, 1, input);
    assert!(
        matches!(&again[..], [client::Output::Send(order)] if order.body.nonce == 2),
        "{again:?}"
    );
}

#[test]
fn the_refusal_of_something_else_is_no_refusal_of_the_submission() {
    let mut fold = Fold::new(1);
    let (mut client, order) = submitting(&fold);
    let dear = Command::Transfer { to: WORKER.key(), amount: SUPPLY };
    let nonce = order.body.nonce + 1;
    let next = CLIENT.secret().seal(fold.state.network(), Order { nonce, command: dear });
    let input = folds(&mut fold, &[order, next]);
    let said = says(&mut client, &fold, 2, input);
    assert!(matches!(&said[..], [client::Output::Following(RunId(1))]), "{said:?}");
}

#[test]
fn a_cancel_that_nobody_heard_is_sent_again() {
    let mut fold = Fold::new(1);
    let (mut client, order) = submitting(&fold);
    let input = folds(&mut fold, &[order]);
    says(&mut client, &fold, 1, input);
    let is_cancel = |out: &[client::Output]| {
        matches!(out, [client::Output::Send(order)]
            if matches!(order.body.command, Command::Cancel { run: RunId(1) }))
    };
    let first = says(&mut client, &fold, 1, client::Input::Cancel);
    assert!(is_cancel(&first));
    assert!(says(&mut client, &fold, 2, client::Input::Wake).is_empty());
    let again = says(&mut client, &fold, 2_001, client::Input::Wake);
    assert_eq!(format!("{again:?}"), format!("{first:?}"), "both together cost no more than one");
    // Something else took its number: it can never count.
    for _ in 0..2 {
        fold.send(CLIENT, Command::Transfer { to: WORKER.key(), amount: ohc(1) });
    }
    let last = says(&mut client, &fold, 4_001, client::Input::Wake);
    assert!(is_cancel(&last) && format!("{last:?}") != format!("{first:?}"), "{last:?}");
}

#[test]
fn runs_in_the_way_are_cancelled_by_the_same_command_until_it_is_heard() {
    let mut fold = Fold::new(1);
    fold.submit(&one(), ohc(5));
    let other = noops("one", "", &["b: { uses: noop }"]);
    let wish = submission(other, Vec::new(), ohc(3));
    let mut client = client::Client::new(Signer::new(CLIENT.secret()), "one".to_owned(), wish);
    let first = says(&mut client, &fold, 0, client::Input::Wake);
    let again = says(&mut client, &fold, 2_000, client::Input::Wake);
    assert_eq!((first.len(), format!("{again:?}")), (1, format!("{first:?}")));
}

/// What a worker sends.
fn sends(
    worker: &mut worker::Worker,
    fold: &Fold,
    now: u64,
    input: worker::Input,
) -> Vec<SignedOrder> {
    let mut out = Vec::new();
    worker.handle(Millis(now), &fold.state, input, &mut out);
    let sent = |output| match output {
        worker::Output::Send(order) => Some(order),
        _ => None,
    };
    out.into_iter().filter_map(sent).collect()
}

const BID: Bid = Bid {
    ask: Price::new(1),
    capacity: Work::new(100_000),
    has: Equipment { cores: 0, memory: 0, gpus: 0 },
};

#[test]
fn a_bid_that_nobody_heard_is_sent_again_as_it_was() {
    let fold = Fold::new(1);
    let mut worker = worker::Worker::new(Signer::new(WORKER.secret()), BID);
    let first = sends(&mut worker, &fold, 0, worker::Input::Folded);
    assert_eq!(first.len(), 1);
    assert_eq!(sends(&mut worker, &fold, 1_999, worker::Input::Wake), []);
    assert_eq!(sends(&mut worker, &fold, 2_000, worker::Input::Wake), first);
    assert_eq!(worker.deadline(&fold.state), Some(Millis(4_000)));
}

#[test]
fn a_bid_that_is_refused_is_placed_more_and_more_seldom() {
    let mut genesis = genesis(1, ohc(100));
    genesis.params.order_fee = ohc(1);
    let mut fold = Fold::of(&genesis);
    let amount = fold.balance(WORKER).checked_sub(ohc(1)).unwrap();
    fold.send(WORKER, Command::Transfer { to: CLIENT.key(), amount });
    let mut worker = worker::Worker::new(Signer::new(WORKER.secret()), BID);
    let mut seconds = Vec::new();
    for second in 0..200 {
        let orders = sends(&mut worker, &fold, second * 1_000, worker::Input::Folded);
        if !orders.is_empty() {
            seconds.push(second);
            fold.slot(0, &orders);
        }
    }
    assert_eq!(seconds, [0, 2, 6, 14, 30, 62, 122, 182]);
}

#[test]
fn a_lease_that_has_just_begun_makes_no_heartbeat_due() {
    let mut genesis = genesis(1, ohc(100));
    genesis.params.order_fee = ohc(1);
    let mut fold = Fold::of(&genesis);
    fold.send(WORKER, Command::Bid(BID));
    let params = fold.state.params();
    let (ticks, second) = (params.heartbeat_ticks / 3, params.ticks_per_second);
    let every = params.heartbeat_ticks * 1_000 / second / 3;
    let mut worker = worker::Worker::new(Signer::new(WORKER.secret()), BID);
    fold.submit(&one(), ohc(5));
    let first = fold.held(WORKER)[0];
    sends(&mut worker, &fold, 0, worker::Input::Folded);
    // Another begins as the first is computed.
    fold.slot(ticks, &[]);
    fold.submit(&noops("two", "", &["b: { uses: noop, with: { tag: 2 } }"]), ohc(5));
    assert_eq!(fold.held(WORKER).len(), 2);
    sends(&mut worker, &fold, every, worker::Input::Folded);
    let outcome = labour::compute(&fold.state.assignment(first).unwrap());
    sends(&mut worker, &fold, every, worker::Input::Computed(first, outcome));
    let fees =
        |events: &[Event]| events.iter().filter(|event| matches!(event, Event::Fee { .. })).count();
    let orders = sends(&mut worker, &fold, every, worker::Input::Wake);
    assert!(orders.iter().all(|order| matches!(order.body.command, Command::Deliver(_))));
    assert_eq!((orders.len(), fees(&fold.slot(1, &orders))), (1, 0), "{orders:?}");
    let orders = sends(&mut worker, &fold, 2 * every, worker::Input::Wake);
    assert!(matches!(orders[..], [ref beat] if matches!(beat.body.command, Command::Heartbeat(_))));
    assert_eq!(fees(&fold.slot(ticks, &orders)), 0);
}

/// What a client says first that has the same pipeline and so much to spend.
fn first(fold: &Fold, budget: u64) -> Command {
    let wish = submission(one(), Vec::new(), ohc(budget));
    let mut client = client::Client::new(Signer::new(CLIENT.secret()), "one".to_owned(), wish);
    let said = says(&mut client, fold, 0, client::Input::Wake);
    let [client::Output::Send(order)] = &said[..] else { panic!("{said:?}") };
    order.body.command.clone()
}

#[test]
fn a_paused_run_of_the_same_pipeline_is_given_what_it_lacks_and_no_second_one_begins() {
    let mut fold = Fold::new(1);
    fold.submit(&one(), ohc(5));
    fold.send(CLIENT, Command::Pause { run: RunId(1) });
    assert_eq!(first(&fold, 7), Command::Resume { run: RunId(1), added: ohc(2) });
    assert_eq!(first(&fold, 5), Command::Resume { run: RunId(1), added: ohc(0) });
    // Nobody takes money out of a run: a smaller budget is another run.
    assert_eq!(first(&fold, 3), Command::Cancel { run: RunId(1) });
}

#[test]
fn a_client_that_asks_one_thing_of_a_run_follows_it_until_it_stands_still() {
    let mut fold = Fold::new(1);
    fold.submit(&one(), ohc(5));
    let signer = || Signer::new(CLIENT.secret());
    let pause = Command::Pause { run: RunId(1) };
    let mut client = client::Client::about(signer(), RunId(1), Some(pause));
    let said = says(&mut client, &fold, 0, client::Input::Wake);
    let [client::Output::Send(order)] = &said[..] else { panic!("{said:?}") };
    assert!(says(&mut client, &fold, 1, hears_nothing()).is_empty());
    let input = folds(&mut fold, std::slice::from_ref(order));
    let said = says(&mut client, &fold, 2, input);
    let ends =
        matches!(said[..], [client::Output::Following(_), client::Output::Finished(RunId(1))]);
    assert!(ends, "{said:?}");
    let again = Command::Pause { run: RunId(1) };
    let mut client = client::Client::about(signer(), RunId(1), Some(again));
    let said = says(&mut client, &fold, 3, client::Input::Wake);
    let [client::Output::Send(order)] = &said[..] else { panic!("{said:?}") };
    let input = folds(&mut fold, std::slice::from_ref(order));
    let said = says(&mut client, &fold, 4, input);
    assert!(matches!(said[..], [client::Output::Refused(Reject::NotRunning)]), "{said:?}");
}

#[test]
fn what_others_ask_for_gets_the_next_number() {
    let fold = Fold::new(1);
    let (mut client, order) = submitting(&fold);
    let transfer = Command::Transfer { to: WORKER.key(), amount: ohc(1) };
    let said = says(&mut client, &fold, 1, client::Input::Ask(transfer));
    let [client::Output::Send(asked)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(asked.body.nonce, order.body.nonce + 1);
}

/// A validator of four that hears what all reveal, one after the other; and the receipt that waits.
fn looking_ahead() -> (Fold, validator::Validator, Vec<SignedOrder>, Digest) {
    let mut fold = Fold::new(4);
    fold.bid(WORKER, 500_000);
    fold.submit(&one(), ohc(5));
    fold.reveal();
    let receipt = fold.deliver(WORKER).id();
    let reveals = fold.reveals();
    // One that re-executes, so that it has something to seal.
    let foresight = fold.state.foresee(reveals.iter().map(revealed)).unwrap();
    let seals = |who: &Who| {
        foresight.questions(&who.key()).any(|matter| matter.question == Question::Audit)
    };
    let who = (0..4).map(Who::Validator).find(seals).unwrap();
    let validator = validator::Validator::new(Signer::new(who.secret()), Millis(0));
    (fold, validator, reveals, receipt)
}

/// What it looks into, and the commands that it says.
fn acts(out: Vec<validator::Output>) -> (Vec<Matter>, Vec<SignedOrder>) {
    let (mut looks, mut says) = (Vec::new(), Vec::new());
    for output in out {
        match output {
            validator::Output::Check(duty) => looks.push(duty.matter()),
            validator::Output::Send(order) => says.push(order),
            _ => {}
        }
    }
    (looks, says)
}

#[test]
fn a_validator_seals_what_the_values_that_it_heard_will_draw_and_proposes_both_together() {
    let (mut fold, mut validator, reveals, receipt) = looking_ahead();
    let me = validator.key();
    hears(&mut validator, &fold, 0, validator::Input::Folded);
    let (looks, mut said) = acts(hears(&mut validator, &fold, 0, validator::Input::Wake));
    assert_eq!((looks, said.len()), (vec![], 1), "its own value alone draws nothing");
    let mut looks = Vec::new();
    for order in reveals.iter().filter(|order| order.author != me) {
        assert!(looks.is_empty(), "a value is missing");
        looks = acts(hears(&mut validator, &fold, 1, validator::Input::Command(order.clone()))).0;
    }
    let [matter] = looks[..] else { panic!("{looks:?}") };
    let until = validator.proposes_at(&fold.state).unwrap();
    assert!(until > Millis(1), "who looks into it is waited for");
    let verdict = Verdict { lease: matter.lease, ..verdict(0) };
    let verdict = Verdict { receipt, ..verdict };
    hears(&mut validator, &fold, 2, validator::Input::Checked(matter, verdict.clone()));
    said.extend(acts(hears(&mut validator, &fold, 2, validator::Input::Wake)).1);
    let seal = Command::SealVerdicts(vec![verdict.seal(me, matter.seed)]);
    assert_eq!(said.last().map(|order| &order.body.command), Some(&seal));
    let out = hears(&mut validator, &fold, 3, validator::Input::Propose);
    let [validator::Output::Cut(draft)] = &out[..] else { panic!("{out:?}") };
    assert_eq!(draft.commands.last().map(|order| &order.body.command), Some(&seal));
    fold.slot(0, &draft.commands);
    assert_eq!(fold.state.seed_of(matter.lease), Some(matter.seed));
    let (looks, said) = acts(hears(&mut validator, &fold, 4, validator::Input::Folded));
    assert!(looks.is_empty() && said.is_empty(), "it is done: {looks:?} {said:?}");
    let (looks, said) = acts(hears(&mut validator, &fold, 4, validator::Input::Wake));
    assert!(looks.is_empty() && said.is_empty(), "others have not sealed: {looks:?} {said:?}");
}

#[test]
fn what_was_sealed_too_early_is_sealed_again_at_once() {
    let (mut fold, mut validator, reveals, receipt) = looking_ahead();
    let me = validator.key();
    hears(&mut validator, &fold, 0, validator::Input::Folded);
    hears(&mut validator, &fold, 0, validator::Input::Wake);
    let others = || reveals.iter().filter(|order| order.author != me).cloned();
    let mut looks = Vec::new();
    for order in others() {
        looks.extend(acts(hears(&mut validator, &fold, 1, validator::Input::Command(order))).0);
    }
    let verdict = Verdict { lease: looks[0].lease, receipt, ..verdict(0) };
    hears(&mut validator, &fold, 2, validator::Input::Checked(looks[0], verdict));
    let seal = acts(hears(&mut validator, &fold, 2, validator::Input::Wake)).1;
    let out = hears(&mut validator, &fold, 2, validator::Input::Propose);
    let [validator::Output::Cut(draft)] = &out[..] else { panic!("{out:?}") };
    // Somebody proposes the seal before the last value, which comes a slot later.
    let own = draft.commands.iter().find(|order| order.author == me).unwrap();
    let mut early = vec![own.clone()];
    early.extend(others().take(2));
    early.extend(seal.clone());
    assert_eq!(fold.slot(0, &early).len(), 1, "refused");
    hears(&mut validator, &fold, 3, validator::Input::Folded);
    assert!(acts(hears(&mut validator, &fold, 3, validator::Input::Wake)).1.is_empty());
    fold.slot(0, &others().skip(2).collect::<Vec<_>>());
    hears(&mut validator, &fold, 4, validator::Input::Folded);
    let again = acts(hears(&mut validator, &fold, 4, validator::Input::Wake)).1;
    assert_eq!(again.len(), 1, "{again:?}");
    assert_eq!(again[0].body.command, seal[0].body.command);
    assert_eq!(fold.slot(0, &again), [], "now it counts");
}

/// The chain draws then, nobody seals, and the other one knew what would have been drawn.
#[test]
fn r9_who_is_left_alone_does_not_say_what_it_found_about_what_it_foresaw() {
    for is_done_before in [true, false] {
        let mut fold = begun(2);
        fold.bid(WORKER, 500_000);
        fold.submit(&one(), ohc(5));
        fold.reveal();
        fold.send(Who::Validator(1), Command::Unbond { amount: ohc(STAKE) });
        fold.deliver(WORKER);
        let me = Who::Validator(0);
        let mut machine = validator::Validator::new(Signer::new(me.secret()), Millis(0));
        let mut out = Vec::new();
        let mut hear = |fold: &Fold, input| {
            out.clear();
            machine.handle(Millis(1), &fold.state, input, &mut out);
            std::mem::take(&mut out)
        };
        hear(&fold, validator::Input::Folded);
        hear(&fold, validator::Input::Wake);
        let theirs = fold.reveals().into_iter().find(|order| order.author != me.key()).unwrap();
        let asked = hear(&fold, validator::Input::Command(theirs));
        let [validator::Output::Check(duty)] = &asked[..] else { panic!("{asked:?}") };
        let verdict = labour::check(duty, &BTreeSet::new(), Digest::default());
        let found = validator::Input::Checked(duty.matter(), verdict);
        let next = fold.state.set_changes_at().unwrap().since(fold.state.tick());
        if is_done_before {
            hear(&fold, found);
            fold.slot(next, &[]);
            hear(&fold, validator::Input::Folded);
        } else {
            fold.slot(next, &[]);
            hear(&fold, validator::Input::Folded);
            hear(&fold, found);
        }
        assert!(fold.state.is_alone());
        let drafts = hear(&fold, validator::Input::Wake);
        let [validator::Output::Cut(draft)] = &drafts[..] else { panic!("{drafts:?}") };
        let judges = |order: &SignedOrder| matches!(order.body.command, Command::Judge(_));
        assert!(!draft.commands.iter().any(judges), "{draft:?}");
    }
}
