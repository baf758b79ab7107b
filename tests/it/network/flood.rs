//! Floods: nodes that are let in and send all that they can. They are dropped; a run of somebody
//! else goes on beside them, and whoever sends much, but not too much, loses nothing.

use super::lab::Lab;
use super::language::fold;
use super::outages::digests;
use crate::site::Site;
use ohc::base::amount::Ohc;
use ohc::base::canon::Encode;
use ohc::base::ids::{BlockId, LeaseId, RunId};
use ohc::base::keys::{PublicKey, Signed};
use ohc::base::limits::WIRE_BYTES_MAX;
use ohc::domain::command::{Command, Order, SignedOrder};
use ohc::domain::state::State;
use ohc::effects::artifacts::{Act, ObjectRequest};
use ohc::effects::bus::{Bus, BusError, Message};
use ohc::node::network::Network;
use ohc::node::wire::{Answer, Ask, Wire, inbox};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use tokio::runtime::Runtime;

const SOON: Duration = Duration::from_secs(10);

/// A connection with what opens it for a node.
pub(super) fn connect(lab: &Lab, name: &str, runtime: &Runtime) -> (PublicKey, Bus) {
    let mut network: Network = lab.network();
    network.credentials = Some(lab.folder.join(name).join("nats.seed"));
    let key = lab.public(name);
    let options = network.bus(&key, SOON).unwrap();
    (key, Bus::connect(&options, runtime.handle(), |_| {}).unwrap())
}

/// Waits until a validator listens.
fn listens(lab: &Lab, bus: &Bus, validator: &PublicKey) {
    let wire = Wire::new(lab.network().id());
    let subject = wire.fetch_of(Some(validator), bus.inbox());
    let is_there = |_: u32| {
        thread::sleep(Duration::from_millis(50));
        bus.request(&subject, wire.frame(&Ask::Pulse), 1_024, SOON).is_ok()
    };
    assert!((0..600).any(is_there), "{}", lab.logs());
}

/// A payment of a worker; nobody else may sign it.
fn payment(lab: &Lab, wire: &Network, nonce: u64) -> SignedOrder {
    let command = Command::Transfer { to: lab.public("client"), amount: Ohc::from_nano(1_000_000) };
    lab.key("worker-2").seal(wire.id(), Order { nonce, command })
}

#[test]
fn r13_who_floods_is_dropped_and_others_are_served() {
    let site = Site::new();
    site.vary("short.yaml", "default: 60", "default: 60");
    let Some(mut lab) = Lab::start(site, 4, 2) else { return };
    lab.run("worker-1");
    let runtime = Runtime::new().unwrap();
    let (network, mut state) = (lab.network(), State::new(&lab.network().genesis));
    let wire = Wire::new(network.id());

    // Much, and not too much: all of it is heard.
    let (payer, bus) = connect(&lab, "worker-2", &runtime);
    (1..=4).for_each(|n| listens(&lab, &bus, &lab.public(&format!("validator-{n}"))));
    for nonce in 1..=500 {
        bus.publish(&wire.command(&payer), wire.frame(&payment(&lab, &network, nonce))).unwrap();
    }
    for _ in 0..600 {
        fold(&bus, &wire, &mut state);
        if state.nonce(&payer) == 500 {
            break;
        }
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(state.nonce(&payer), 500, "{}", lab.logs());
    assert!(!lab.logs().contains("flooded"), "{}", lab.logs());

    // One of four validators and a worker say all that they can.
    lab.kill("validator-4");
    let (speaker, loud) = connect(&lab, "validator-4", &runtime);
    let (asked, is_over) = (lab.public("validator-1"), Arc::new(AtomicBool::new(false)));
    let forged = Signed { author: lab.public("client"), ..payment(&lab, &network, 9_000) };
    let talking = {
        let (is_over, wire, bus) = (is_over.clone(), wire.clone(), bus.clone());
        thread::spawn(move || {
            let nonsense = wire.frame_bytes(&[0xff; 40_000]);
            while !is_over.load(Ordering::SeqCst) {
                drop(loud.publish(&wire.consensus(&speaker), nonsense.clone()));
                drop(bus.publish(&wire.command(&payer), nonsense.clone()));
                drop(bus.publish(&wire.command(&payer), wire.frame(&forged)));
                thread::sleep(Duration::from_millis(1));
            }
        })
    };
    let asking = {
        let (is_over, wire) = (is_over.clone(), wire.clone());
        thread::spawn(move || {
            let (mut answered, mut dropped, wait) = (0, 0, Duration::from_millis(300));
            let subject = wire.fetch_of(Some(&asked), bus.inbox());
            while !is_over.load(Ordering::SeqCst) {
                match bus.request(&subject, wire.frame(&Ask::Pulse), 1_024, wait) {
                    Err(BusError::Silent { .. }) => dropped += 1,
                    _ => answered += 1,
                }
            }
            (answered, dropped)
        })
    };
    let afresh = ["apply", "short.yaml", "-y", "-o", "json"];
    let result = lab.client(&afresh).end(&lab);
    let (_, client) = connect(&lab, "client", &runtime);
    for _ in 0..50 {
        let pulse = wire.frame(&Ask::Pulse);
        let subject = wire.fetch_of(Some(&asked), client.inbox());
        let answer = client.request(&subject, pulse, 1_024, SOON).unwrap();
        assert!(matches!(wire.unframe(&answer, 1_024), Ok(Answer::Pulse(_))));
    }
    thread::sleep(Duration::from_secs(2));
    is_over.store(true, Ordering::SeqCst);
    talking.join().unwrap();
    let (answered, dropped) = asking.join().unwrap();
    assert!(answered > 200 && dropped > 0, "{answered} answered, {dropped} not");
    let logs = lab.logs();
    let asking = wire.fetch_of(Some(&asked), &inbox(&payer));
    for subject in [wire.consensus(&speaker), wire.command(&payer), asking] {
        assert!(logs.contains(&format!("flooded  {subject}")), "{subject}\n{logs}");
    }
    assert_eq!(digests(&result), digests(&lab.site.json(&[&afresh[..], &EMBEDDED].concat())));
}

const EMBEDDED: [&str; 2] = ["--network", "embedded"];

#[test]
fn who_asks_for_too_many_signatures_is_told_so_at_once() {
    let site = Site::new();
    let Some(lab) = Lab::start(site, 1, 1) else { return };
    let (runtime, network) = (Runtime::new().unwrap(), lab.network());
    let (wire, asked) = (Wire::new(network.id()), lab.public("validator-1"));
    let (_, bus) = connect(&lab, "worker-1", &runtime);
    let lease = LeaseId { block: BlockId { run: RunId(1), index: 0 }, attempt: 1 };
    let request = ObjectRequest { lease: Some(lease), act: Act::Read, artifact: None, at: 0 };
    let frame = wire.frame(&Ask::Presign(lab.key("worker-1").seal(network.id(), request)));
    let subject = wire.fetch_of(Some(&asked), bus.inbox());
    listens(&lab, &bus, &asked);
    let asks = (0..350).map(|_| bus.ask(&subject, frame.clone(), 1_024, SOON));
    let answers = runtime.block_on(futures_util::future::join_all(asks));
    let said = |expect: &Answer| {
        let is = |answer: &&Result<Vec<u8>, BusError>| {
            let bytes = answer.as_ref().unwrap();
            wire.unframe::<Answer>(bytes, 1_024).as_ref() == Ok(expect)
        };
        answers.iter().filter(is).count()
    };
    let (refused, later) = (said(&Answer::Nothing), said(&Answer::Later));
    assert!(refused >= 199 && later > 50, "{refused} refused, {later} put off");
    assert_eq!(refused + later, 350, "none is left to wait");
}

/// A question of a worker that wants its answer said somewhere else.
fn misdirect(lab: &Lab, runtime: &Runtime, subject: &str, reply: &str, question: &[u8]) {
    let seed = std::fs::read_to_string(lab.folder.join("worker-1/nats.seed")).unwrap();
    let options = async_nats::ConnectOptions::with_nkey(seed.trim().to_owned());
    runtime.block_on(async {
        let client = options.connect(lab.network().nats[0].as_str()).await.unwrap();
        let (subject, reply) = (subject.to_owned(), reply.to_owned());
        let question = question.to_vec().into();
        client.publish_with_reply(subject, reply, question).await.unwrap();
        client.flush().await.unwrap();
    });
}

#[test]
fn r13_nobody_has_an_answer_said_where_another_listens() {
    let site = Site::new();
    let Some(mut lab) = Lab::start(site, 4, 2) else { return };
    let (runtime, network) = (Runtime::new().unwrap(), lab.network());
    let (wire, asked) = (Wire::new(network.id()), lab.public("validator-1"));
    lab.kill("validator-4");
    let ((other, bus), (_, fellow)) =
        (connect(&lab, "worker-2", &runtime), connect(&lab, "validator-4", &runtime));
    let (sender, heard) = std::sync::mpsc::channel::<Message>();
    let hear = |bus: &Bus, subject: &str| {
        let sender = sender.clone();
        bus.subscribe(subject, None, 1 << 24, move |said| sender.send(said).is_ok()).unwrap()
    };
    let own = inbox(&other);
    let _held = [
        hear(&bus, &wire.slot()),
        hear(&bus, &format!("{own}.elsewhere.>")),
        hear(&fellow, &wire.consensus_of_all()),
    ];
    let subject = wire.fetch_of(Some(&asked), bus.inbox());
    listens(&lab, &bus, &asked);

    let question = wire.frame(&Ask::Genesis);
    let answer = wire.frame(&Answer::Genesis(network.genesis.to_bytes()));
    let places = [wire.slot(), wire.consensus(&asked), format!("{own}.elsewhere.1")];
    let from = wire.fetch_of(Some(&asked), &inbox(&lab.public("worker-1")));
    for reply in &places {
        misdirect(&lab, &runtime, &from, reply, &question);
    }
    // What was asked before is answered before.
    assert_eq!(bus.request(&subject, question, WIRE_BYTES_MAX, SOON).unwrap(), answer);
    // What the one that was asked says to the others still gets through.
    bus.publish(&wire.command(&other), wire.frame(&payment(&lab, &network, 1))).unwrap();
    let mut said = Vec::new();
    while !said.iter().any(|said: &Message| said.subject == wire.consensus(&asked)) {
        match heard.recv_timeout(SOON) {
            Ok(message) => said.push(message),
            Err(_) => panic!("validator-1 is not heard: {}", lab.logs()),
        }
    }
    thread::sleep(Duration::from_millis(500));
    said.extend(heard.try_iter());
    let misled = said.iter().filter(|said| said.bytes == answer).map(|said| &said.subject);
    assert_eq!(misled.collect::<Vec<_>>(), Vec::<&String>::new());
}
