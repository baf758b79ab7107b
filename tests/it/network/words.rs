//! Words: a run that workers compute on a network is followed from anywhere, by whoever may listen.
//! Real processes and a server that knows who may say what; those who lie are not believed.

use super::lab::Lab;
use crate::site::{Ran, Site};
use ohc::base::ids::{BlockId, JobId, LeaseId, RunId};
use ohc::effects::bus::Bus;
use ohc::node::network::Config;
use ohc::node::wire::Wire;
use ohc::node::words::{What, Word, Words};
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const RUN: RunId = RunId(1);
/// The loss of a job of which a liar tells.
const LIE: f64 = 666.0;

/// The lines of a journal.
#[track_caller]
fn lines(ran: &Ran) -> Vec<Value> {
    assert_eq!(ran.code(), Some(0), "{}", ran.err());
    ran.out().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of<'a>(lines: &'a [Value], what: &str) -> Vec<&'a Value> {
    let is_it = |line: &&Value| line["what"] == what || line["event"]["kind"] == what;
    lines.iter().filter(is_it).collect()
}

/// Tells of jobs that another has been leased, as worker 2, until it is told to stop: in its own
/// name, in that of worker 1 with a signature that is not, and nonsense.
fn lie(lab: &Lab, is_over: &AtomicBool) -> usize {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let network = Config::read(&lab.folder.join("worker-2")).unwrap().network;
    let key = lab.key("worker-2");
    let options = network.bus(&key.public(), Duration::from_secs(10)).unwrap();
    let bus = Bus::connect(&options, runtime.handle(), |_| {}).unwrap();
    let wire = Wire::new(network.id());
    let subject = wire.journal(RUN, &key.public());
    let what = What::Step { step: 7, steps: 9, loss: Some(LIE), rate: None, rows: 1 };
    let mut said = 0;
    while !is_over.load(Ordering::SeqCst) {
        said += 1;
        let lease = |index| LeaseId { block: BlockId { run: RUN, index }, attempt: 1 };
        let word = |n: u32| Word { lease: lease(n % 16), job: JobId(n / 16), what };
        let number = u64::MAX - 9_999 + said as u64;
        let words = Words { number, words: (0..256).map(word).collect() };
        let own = key.seal(network.id(), words);
        let mut stolen = own.clone();
        stolen.author = lab.public("worker-1");
        for bytes in [wire.frame(&own), wire.frame(&stolen), vec![0xff; 60], wire.frame_bytes(&[])]
        {
            let _ = bus.publish(&subject, bytes);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    said
}

#[test]
fn a_run_that_was_left_to_the_network_is_followed_from_another_machine() {
    let site = Site::new();
    site.vary("long.yaml", "default: 60", "default: 1500");
    let Some(mut lab) = Lab::start(site, 4, 2) else { return };
    lab.run("worker-1");
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let liar = scope.spawn(|| lie(&lab, &is_over));
        let left = ["apply", "long.yaml", "-y", "--detach", "-o", "json"];
        let left = Ran::of(lab.command(&left).spawn().unwrap());
        assert_eq!(left.code(), Some(0), "{}", left.err());
        let follow = |args: &[&str]| Ran::of(lab.command_in(1, args).spawn().unwrap());
        let followed = lines(&follow(&["logs", "latest", "-f", "-o", "json"]));
        is_over.store(true, Ordering::SeqCst);
        assert!(liar.join().unwrap() > 0);
        for what in ["opened", "submitted", "leased", "began", "step", "settled", "measured"] {
            assert!(!of(&followed, what).is_empty(), "nothing was {what}: {followed:?}");
        }
        let stages: Vec<&Value> = of(&followed, "step").iter().map(|line| &line["stage"]).collect();
        let trained = (0..4).filter(|n| {
            let (width, seed) = ([16, 32][n % 2], n / 2 + 1);
            stages.iter().any(|stage| **stage == format!("train@width={width},seed={seed}"))
        });
        assert!(trained.count() >= 3, "{stages:?}");
        let last = followed.last().unwrap();
        assert_eq!(last["event"]["ending"], "settled", "{last}");
        assert_eq!(of(&followed, "opened").len(), 1, "one process has written it");
        assert!(followed.iter().all(|line| line["loss"] != LIE), "a liar was believed");
        // It is over, and its journal is here: nobody else is needed.
        let again = lines(&follow(&["logs", "run-1", "-f", "-o", "json"]));
        assert_eq!(again, followed);
    });
}

#[test]
fn who_applies_on_a_network_sees_how_far_its_jobs_are_and_others_are_none_of_its_business() {
    let site = Site::new();
    site.vary("long.yaml", "default: 60", "default: 1500");
    let Some(mut lab) = Lab::start(site, 1, 1) else { return };
    lab.run("worker-1");
    let apply = ["apply", "long.yaml", "-y", "-o", "json"];
    lab.client(&apply).end(&lab);
    let logs = |run| Ran::of(lab.command(&["logs", run, "-o", "json"]).spawn().unwrap());
    let told = lines(&logs("latest"));
    assert!(of(&told, "step").len() > 100 && !of(&told, "began").is_empty(), "{told:?}");
    let unknown = logs("run-9");
    assert_eq!(unknown.code(), Some(1), "{}", unknown.out());
    assert!(unknown.err().contains("run-9"), "{}", unknown.err());
}
