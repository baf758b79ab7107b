//! The servers of `deploy/`: who is let in, what each may say, and that nobody listens in. A real
//! nats-server with that configuration; never one that was there before.

use super::nats::Nats;
use crate::site::python;
use ohc::base::ids::RunId;
use ohc::base::keys::PublicKey;
use ohc::effects::bus::{Bus, BusError, Message, News, Options};
use ohc::effects::keyring;
use ohc::node::network::{Config, Founding, Network, Tls, found};
use ohc::node::wire::{Wire, inbox};
use std::fs;
use std::path::Path;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;
use tokio::runtime::Runtime;

const SOON: Duration = Duration::from_secs(10);

/// A founded network, and a server that knows it.
struct Lab {
    dir: tempfile::TempDir,
    nats: Nats,
    runtime: Runtime,
}

impl Lab {
    fn start() -> Option<Self> {
        super::nats::program()?;
        let dir = tempfile::tempdir().unwrap();
        let founding = Founding {
            out: dir.path().join("lab"),
            name: "lab".into(),
            validators: 2,
            workers: 2,
            nats: vec!["tls://127.0.0.1:4222".into()],
            store: "store/".into(),
        };
        found(&founding).unwrap();
        assert!(python("certs.py").arg(dir.path()).status().unwrap().success());
        let config = config(dir.path());
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        Some(Self { nats: Nats::start(&config)?, dir, runtime })
    }

    /// A node by its folder, and how it connects to this server.
    fn node(&self, name: &str) -> (PublicKey, Options, Network) {
        let config = Config::read(&self.dir.path().join("lab").join(name)).unwrap();
        let key = keyring::load(&config.key).unwrap().unwrap().public();
        let mut network = config.network;
        network.nats = vec![self.nats.url().replace("nats://", "tls://")];
        network.tls = Some(Tls { ca: Some(self.dir.path().join("ca.pem")), cert: None, key: None });
        (key, network.bus(&key, SOON).unwrap(), network)
    }

    fn connect(&self, options: &Options) -> Result<(Bus, Receiver<News>), BusError> {
        let (sender, news) = mpsc::channel();
        let tell = move |news| drop(sender.send(news));
        Ok((Bus::connect(options, self.runtime.handle(), tell)?, news))
    }
}

/// The configuration of `deploy/` with the port of the test, and what it includes in its place.
fn config(dir: &Path) -> String {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/nats/nats-server.conf");
    let users = fs::read_to_string(dir.join("lab/nats-users.conf")).unwrap();
    let mut text = fs::read_to_string(deploy).unwrap();
    let file = |name: &str| format!("\"{}\"", dir.join(name).display());
    for (from, to) in [
        ("listen: 0.0.0.0:4222\n", String::new()),
        ("\"server.pem\"", file("server.pem")),
        ("\"server-key.pem\"", file("server-key.pem")),
        ("include \"nats-users.conf\"", users),
    ] {
        assert!(text.contains(from), "{from:?} is not in {text}");
        text = text.replacen(from, &to, 1);
    }
    text
}

/// Whether a server lets a node say something on a subject: all that it refuses is told.
fn may_say((bus, news): &(Bus, Receiver<News>), subject: &str) -> bool {
    news.try_iter().for_each(drop);
    bus.publish(subject, b"x".to_vec()).unwrap();
    !was_refused(bus, news)
}

fn may_hear((bus, news): &(Bus, Receiver<News>), subject: &str) -> bool {
    news.try_iter().for_each(drop);
    let _held = bus.subscribe(subject, None, 1 << 20, |_| true);
    !was_refused(bus, news)
}

/// Whether the server has refused what was asked for last: it refuses in the order in which it is
/// asked, and what nobody may say it refuses every time.
fn was_refused(bus: &Bus, news: &Receiver<News>) -> bool {
    bus.publish("end.of.question", b"x".to_vec()).unwrap();
    let mut was_refused = false;
    loop {
        match news.recv_timeout(SOON).unwrap() {
            News::Refused(what) if what.contains("end.of.question") => return was_refused,
            News::Refused(_) => was_refused = true,
            _ => {}
        }
    }
}

#[test]
fn a_node_may_say_and_hear_what_its_role_does_and_nothing_else() {
    let Some(lab) = Lab::start() else { return };
    let ((one, options, network), (other, ..)) = (lab.node("validator-1"), lab.node("validator-2"));
    let validator = lab.connect(&options).unwrap();
    let (worker_key, options, _) = lab.node("worker-1");
    let worker = lab.connect(&options).unwrap();
    let wire = Wire::new(network.id());
    let own_inbox = |key: &PublicKey| format!("{}.>", inbox(key));

    for (subject, of_validator, of_worker) in [
        (wire.command(&one), true, false),
        (wire.command(&worker_key), false, true),
        (wire.fetch(&inbox(&one)), true, false),
        (wire.fetch(&inbox(&worker_key)), false, true),
        (wire.fetch_of(Some(&other), &inbox(&one)), true, false),
        (wire.fetch_of(Some(&other), &inbox(&worker_key)), false, true),
        (wire.slot(), true, false),
        (wire.consensus(&one), true, false),
        (wire.head(&one), true, false),
        (wire.journal(RunId(5), &worker_key), false, true),
        (wire.journal(RunId(5), &one), false, false),
        (wire.consensus(&other), false, false),
        (wire.head(&other), false, false),
        ("ohc.0000000000000000.command".into(), false, false),
        ("anything".into(), false, false),
        ("$SYS.REQ.SERVER.PING".into(), false, false),
    ] {
        assert_eq!(may_say(&validator, &subject), of_validator, "a validator on {subject}");
        assert_eq!(may_say(&worker, &subject), of_worker, "a worker on {subject}");
    }
    for (subject, of_validator, of_worker) in [
        (wire.slot(), true, true),
        (wire.head_of_all(), true, true),
        (wire.journal_of(RunId(5)), false, true),
        (own_inbox(&one), true, false),
        (own_inbox(&worker_key), false, true),
        (wire.command_of_all(), true, false),
        (wire.consensus_of_all(), true, false),
        (wire.fetch_by_all(), true, false),
        (wire.fetch_of_by_all(&one), true, false),
        (wire.fetch_of_by_all(&other), false, false),
        ("_INBOX_*.>".into(), false, false),
        (">".into(), false, false),
    ] {
        assert_eq!(may_hear(&validator, &subject), of_validator, "a validator on {subject}");
        assert_eq!(may_hear(&worker, &subject), of_worker, "a worker on {subject}");
    }
}

#[test]
fn a_question_is_answered_to_who_asked_it() {
    let Some(lab) = Lab::start() else { return };
    let (key, options, network) = lab.node("validator-1");
    let (bus, news) = lab.connect(&options).unwrap();
    let (sender, questions) = mpsc::channel::<Message>();
    let wire = Wire::new(network.id());
    let asked = wire.fetch_of_by_all(&key);
    let _held = bus.subscribe(&asked, None, 1 << 20, move |m| sender.send(m).is_ok());
    assert!(!was_refused(&bus, &news));
    let answering = std::thread::spawn(move || {
        let asked = questions.recv_timeout(SOON).unwrap();
        bus.publish(&asked.reply.unwrap(), asked.bytes.clone()).unwrap();
        bus
    });
    let (_, options, _) = lab.node("worker-1");
    let (worker, _news) = lab.connect(&options).unwrap();
    let subject = wire.fetch_of(Some(&key), worker.inbox());
    let answer = worker.request(&subject, b"how far?".to_vec(), 99, SOON).unwrap();
    assert_eq!(answer, b"how far?");
    assert!(!was_refused(&answering.join().unwrap(), &news));
}

#[test]
fn who_is_not_known_is_not_let_in_and_who_trusts_nobody_does_not_connect() {
    let Some(lab) = Lab::start() else { return };
    let (key, good, mut network) = lab.node("worker-1");
    network.credentials = None;
    let anyone = lab.connect(&network.bus(&key, SOON).unwrap()).map(drop).unwrap_err();
    assert!(matches!(anyone, BusError::Denied { .. }), "{anyone}");
    let stranger = Founding {
        out: lab.dir.path().join("other"),
        name: "other".into(),
        validators: 1,
        workers: 1,
        nats: vec!["tls://127.0.0.1:4222".into()],
        store: "store/".into(),
    };
    found(&stranger).unwrap();
    network.credentials = Some(lab.dir.path().join("other/worker-1/nats.seed"));
    let stranger = lab.connect(&network.bus(&key, SOON).unwrap()).map(drop).unwrap_err();
    assert!(matches!(stranger, BusError::Denied { .. }), "{stranger}");

    network.tls = Some(Tls { ca: None, cert: None, key: None });
    // No patience makes a certificate a better one: it is told at once.
    let patient = network.bus(&key, Duration::from_secs(600)).unwrap();
    let unknown = lab.connect(&patient).map(drop).unwrap_err();
    assert!(matches!(unknown, BusError::Untrusted { .. }), "{unknown}");
    assert!(unknown.to_string().contains("tls: { ca: FILE }"), "{unknown}");
    lab.connect(&good).unwrap();
}
