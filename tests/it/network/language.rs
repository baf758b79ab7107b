//! Another language: a codec in Python passes every test vector of the protocol, from the schema
//! alone, and a worker in Python follows the log of a network, bids, runs blocks and is paid. Never
//! shares code with the program.

use super::lab::Lab;
use crate::site::{Site, python_with};
use ohc::base::amount::Ohc;
use ohc::base::canon::Decode;
use ohc::base::limits::WIRE_BYTES_MAX;
use ohc::domain::command::{Command, Order, Submission};
use ohc::domain::slot::Slot;
use ohc::domain::state::State;
use ohc::effects::bus::Bus;
use ohc::node::wire::{Answer, Ask, Wire};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

fn schemas() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas")
}

#[test]
fn what_the_schema_says_is_enough_to_read_write_and_sign_every_message() {
    let ran = python_with(&["wire"], "wire.py").arg(schemas()).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let told: Value = serde_json::from_slice(&ran.stdout).unwrap();
    assert!(told["vectors"].as_u64() >= Some(42) && told["signatures"].as_u64() >= Some(29));
}

/// What the log comes to by now, as one of the validators has it.
pub(super) fn fold(bus: &Bus, wire: &Wire, state: &mut State) {
    let ask = wire.frame(&Ask::Slots { from: state.height().next() });
    let Ok(answer) = bus.request(&wire.fetch(bus.inbox()), ask, WIRE_BYTES_MAX, SOON) else {
        return;
    };
    let answer = wire.unframe(&answer, WIRE_BYTES_MAX).unwrap();
    let Answer::Slots { slots, .. } = answer else { panic!("{answer:?}") };
    for slot in slots {
        let slot = Slot::from_bytes(&slot).unwrap();
        state.apply(slot.head.height, &slot.poh, &slot.commands);
    }
}

#[test]
fn a_worker_in_another_language_bids_runs_blocks_and_is_paid() {
    let Some(lab) = Lab::start(Site::of_all(), 4, 1) else { return };
    // What the first upload of a client does.
    fs::create_dir(lab.folder.join("store")).unwrap();
    fs::write(lab.folder.join("store/ohc-store"), "ohc artifacts 1\n").unwrap();
    let (network, client, me) = (lab.network(), lab.key("client"), lab.public("worker-1"));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let options = network.bus(&client.public(), SOON).unwrap();
    let bus = Bus::connect(&options, runtime.handle(), |_| {}).unwrap();
    let mut python = python_with(&["wire"], "worker.py");
    python.arg(lab.folder.join("worker-1")).arg(schemas());
    python.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut worker = python.spawn().unwrap();
    let mut lines = BufReader::new(worker.stdout.take().unwrap()).lines();
    let ready: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(ready["ready"].as_str(), Some(me.to_string().as_str()));

    let mut state = State::new(&network.genesis);
    let manifest = fs::read_to_string(lab.site.path("noop.yaml")).unwrap();
    let budget = Ohc::from_whole(10).unwrap();
    let (params, pins, fresh) = Default::default();
    let submission = Box::new(Submission { manifest, params, pins, budget, fresh });
    let order = Order { nonce: 1, command: Command::Submit(submission) };
    let wire = Wire::new(network.id());
    let order = wire.frame(&client.seal(network.id(), order));
    bus.publish(&wire.command(&client.public()), order).unwrap();
    let is_over = |state: &State| state.runs().values().any(|run| run.is_over());
    for _ in 0..1_200 {
        if is_over(&state) {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
        fold(&bus, &wire, &mut state);
    }
    assert!(is_over(&state), "the run does not come to its end");
    let known = &state.workers()[&me];
    assert!(known.earned > Ohc::ZERO && known.leases.is_empty());
    let balance = state.ledger().account(&me).balance;
    let earned = known.earned.checked_sub(state.order_fee()).unwrap();
    assert_eq!(balance, Ohc::from_whole(10_000).unwrap().checked_add(earned).unwrap());
    drop(worker.stdin.take());
    assert!(worker.wait().unwrap().success());
    fold(&bus, &wire, &mut state);
    assert_eq!(state.workers()[&me].bid, None, "its bid is withdrawn");
}
