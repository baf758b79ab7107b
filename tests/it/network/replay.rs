//! A server of messages that says everything again: what nodes have said is taken down, and said
//! once more, much of it and in no order, while another run goes on. Never forges anything.

use super::flood::connect;
use super::lab::Lab;
use super::outages::{APPLY, digests, done, undisturbed};
use crate::crash::Dice;
use crate::site::{Ran, Site};
use ohc::base::canon::Digest;
use ohc::effects::bus::{Bus, Message, Subscription};
use ohc::node::wire::Wire;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;
use tokio::runtime::Runtime;

const NODES: [&str; 7] =
    ["validator-1", "validator-2", "validator-3", "validator-4", "worker-1", "worker-2", "client"];

/// What was said, each thing once.
struct Tape {
    ear: Receiver<Message>,
    _held: Vec<Subscription>,
    known: BTreeSet<Digest>,
    said: Vec<(String, Vec<u8>)>,
    /// Who may say what, by subject.
    mouths: BTreeMap<String, Bus>,
}

impl Tape {
    fn start(lab: &Lab, runtime: &Runtime) -> Self {
        let wire = Wire::new(lab.network().id());
        let mut mouths = BTreeMap::new();
        for name in NODES {
            let (key, bus) = connect(lab, name, runtime);
            let subjects = [wire.command(&key), wire.consensus(&key), wire.head(&key), wire.slot()];
            let its = if name.starts_with("validator-") { &subjects[..] } else { &subjects[..1] };
            its.iter().for_each(|subject| drop(mouths.insert(subject.clone(), bus.clone())));
        }
        let (sender, ear) = mpsc::channel();
        let (_, bus) = connect(lab, "validator-1", runtime);
        let all = [wire.command_of_all(), wire.consensus_of_all(), wire.head_of_all(), wire.slot()];
        let hear = |subject: &String| {
            let sender = sender.clone();
            bus.subscribe(subject, None, 1 << 28, move |said| sender.send(said).is_ok()).unwrap()
        };
        let held = all.iter().map(hear).collect();
        Self { ear, _held: held, known: BTreeSet::new(), said: Vec::new(), mouths }
    }

    /// Takes down what was said since.
    fn listen(&mut self) {
        for Message { subject, bytes, .. } in self.ear.try_iter() {
            if self.known.insert(Digest::of(&[subject.as_bytes(), &bytes].concat())) {
                self.said.push((subject, bytes));
            }
        }
    }

    /// Says again so many things that were ever said, by lot.
    fn say_again(&self, count: usize, dice: &mut Dice) {
        for _ in 0..count {
            let (subject, bytes) = &self.said[dice.below(self.said.len() as u64) as usize];
            // What does not get through was not said.
            drop(self.mouths[subject].publish(subject, bytes.clone()));
        }
    }

    fn has(&self, what: &str) -> bool {
        self.said.iter().any(|(subject, _)| subject.split('.').nth(2) == Some(what))
    }
}

#[test]
fn r3_what_is_said_again_changes_neither_model_nor_money() {
    let site = Site::new();
    site.vary("long.yaml", "default: 60", "default: 300");
    let Some(mut lab) = Lab::start(site, 4, 2) else { return };
    let runtime = Runtime::new().unwrap();
    let mut tape = Tape::start(&lab, &runtime);
    lab.run("worker-1");
    lab.run("worker-2");
    let expected = undisturbed(&lab);
    let first = lab.client(&APPLY).end(&lab);
    assert_eq!(digests(&first), expected);
    let fees = lab.fees("client");
    tape.listen();
    for what in ["command", "consensus", "head", "slot"] {
        assert!(tape.has(what), "nobody has heard a {what}");
    }

    let (mut dice, mut rounds) = (Dice::thrown("OHC_CRASH_SEED"), 0);
    let seed = dice.0;
    let mut client = lab.client(&[&APPLY[..], &["--no-cache"]].concat());
    while !client.has_ended() && rounds < 2_000 {
        tape.say_again(100, &mut dice);
        thread::sleep(Duration::from_millis(50));
        tape.listen();
        rounds += 1;
    }
    let again = client.end(&lab);
    assert_eq!(digests(&again), expected, "OHC_CRASH_SEED={seed}");
    assert_eq!(done(&again), done(&first), "OHC_CRASH_SEED={seed}");
    assert!(rounds > 5, "it was over before much was said");
    // No order was taken twice.
    assert_eq!(lab.fees("client"), 2 * fees, "OHC_CRASH_SEED={seed}");
    let of = |args: &[&str]| Ran::of(lab.command(args).spawn().unwrap());
    let runs = of(&["get", "runs", "-o", "json"]).last();
    assert_eq!(runs["items"].as_array().unwrap().len(), 2, "{runs}");
    assert_eq!(of(&["log", "verify", "-o", "json"]).last()["ok"], true);
    assert!(!of(&["log", "show", "-o", "json"]).out().contains("\"kind\":\"equivocated\""));
}
