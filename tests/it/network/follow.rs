//! Following a log over a real server: start, gaps, and those who lie. Never trusts a validator:
//! neither do the tests.

use super::history::{History, key};
use super::nats::Nats;
use ohc::base::canon::{Decode, Digest, Encode};
use ohc::base::keys::SecretKey;
use ohc::base::limits::WIRE_ROOM_BYTES;
use ohc::base::time::Height;
use ohc::domain::command::{Command, Submission};
use ohc::domain::genesis::Genesis;
use ohc::domain::milestone::Checkpoint;
use ohc::domain::slot::Slot;
use ohc::effects::artifacts::Artifacts;
use ohc::effects::bus::{Bus, Options, Subscription};
use ohc::effects::store::Store;
use ohc::node::Clock;
use ohc::node::boot::{self, Booted};
use ohc::node::follow::{Follower, Heard, Refusal, Replica};
use ohc::node::handouts::Handouts;
use ohc::node::home::Home;
use ohc::node::serve::{Log, Server};
use ohc::node::wire::{Answer, Ask, Pulse, Wire, inbox};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

const SOON: Duration = Duration::from_secs(20);
const ALL: [u8; 4] = [1, 2, 3, 4];
const QUORUM: [u8; 3] = [1, 2, 3];

pub(super) struct Scene {
    nats: Nats,
    runtime: Runtime,
    pub(super) dir: tempfile::TempDir,
    pub(super) clock: Clock,
}

/// A follower, and what it hears.
pub(super) struct Reader {
    pub(super) follower: Follower,
    inbox: Receiver<Heard>,
    clock: Clock,
    _bus: Bus,
}

impl Scene {
    pub(super) fn new() -> Option<Self> {
        let nats = Nats::start("")?;
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Some(Self { nats, runtime, dir: tempfile::tempdir().unwrap(), clock: Clock::start() })
    }

    pub(super) fn bus(&self, news: Option<mpsc::Sender<Heard>>) -> Bus {
        let options = Options {
            urls: vec![self.nats.url()],
            name: "test".into(),
            inbox: inbox(&key(77).public()),
            patience: SOON,
            ..Options::default()
        };
        let tell = move |said| {
            if let Some(news) = &news {
                let _ = news.send(Heard::News(said));
            }
        };
        Bus::connect(&options, self.runtime.handle(), tell).unwrap()
    }

    /// A validator that serves these slots.
    pub(super) fn serve(&self, history: &History, n: u8) -> (Server, Arc<Store>) {
        let store = Arc::new(Store::open(&self.dir.path().join(format!("v{n}"))).unwrap().0);
        let slots: Vec<&[u8]> = history.slots.iter().map(Vec::as_slice).collect();
        store.append_many(Height(1), &slots).unwrap();
        let (genesis, key) = (history.genesis.clone(), Arc::new(key(n)));
        let home = Home::at(&self.dir.path().join(format!("v{n}")));
        let log = Log::new(store.clone(), genesis, key, Handouts::of(&home));
        (Server::start(&self.bus(None), log).unwrap(), store)
    }

    /// A validator that signs that it is so far, and answers what it likes.
    fn lie(
        &self,
        genesis: &Genesis,
        n: u8,
        height: u64,
        answer: impl Fn(Height) -> Vec<Vec<u8>> + Send + 'static,
    ) -> Subscription {
        self.lie_to_all(genesis, n, height, move |ask| match ask {
            Ask::Slots { from } => Answer::Slots { slots: answer(from), last: Height(height) },
            _ => Answer::Nothing,
        })
    }

    /// The same, whatever it is asked.
    pub(super) fn lie_to_all(
        &self,
        genesis: &Genesis,
        n: u8,
        height: u64,
        answer: impl Fn(Ask) -> Answer + Send + 'static,
    ) -> Subscription {
        let (bus, network) = (self.bus(None), genesis.network());
        let (wire, liar) = (Wire::new(network), key(n));
        let (sender, questions) = mpsc::channel::<ohc::effects::bus::Message>();
        let subject = wire.fetch_of_by_all(&liar.public());
        let held = bus.subscribe(&subject, None, 1 << 20, move |m| sender.send(m).is_ok());
        std::thread::spawn(move || {
            for question in questions {
                let answer = match wire.unframe(&question.bytes, 99).unwrap() {
                    Ask::Pulse => pulse(&liar, network, height),
                    ask => answer(ask),
                };
                bus.publish(&question.reply.unwrap(), wire.frame(&answer)).unwrap();
            }
        });
        held.unwrap()
    }

    pub(super) fn follow(&self, genesis: &Genesis, name: &str) -> Reader {
        self.follow_by(genesis, name, None)
    }

    /// The same by way of a checkpoint.
    pub(super) fn follow_by(
        &self,
        genesis: &Genesis,
        name: &str,
        checkpoint: Option<Checkpoint>,
    ) -> Reader {
        let (sender, inbox) = mpsc::channel();
        let bus = self.bus(Some(sender.clone()));
        let replica =
            Replica::new(Booted { checkpoint, ..booted(&self.dir.path().join(name), genesis) });
        let follower = Follower::start(&bus, replica, &sender).unwrap();
        Reader { follower, inbox, clock: self.clock, _bus: bus }
    }
}

fn pulse(key: &SecretKey, network: ohc::base::keys::NetworkId, height: u64) -> Answer {
    Answer::Pulse(key.seal(network, Pulse { height: Height(height), head: Default::default() }))
}

pub(super) fn replica(dir: &Path, genesis: &Genesis) -> Replica {
    Replica::new(booted(dir, genesis))
}

pub(super) fn booted(dir: &Path, genesis: &Genesis) -> Booted {
    let home = Home::find(Some(dir), dir);
    let artifacts = Arc::new(Artifacts::open(&home.artifacts()).unwrap());
    boot::join(&home, genesis, artifacts).unwrap()
}

impl Reader {
    /// Follows until something holds.
    pub(super) fn until(&mut self, holds: impl Fn(&Follower) -> bool) {
        self.until_refused(holds).unwrap();
    }

    /// The same, or until what it hears is refused.
    pub(super) fn until_refused(
        &mut self,
        holds: impl Fn(&Follower) -> bool,
    ) -> Result<(), Refusal> {
        let begin = self.clock.now();
        while !holds(&self.follower) {
            let now = self.clock.now();
            assert!(now.since(begin) < 20_000, "at {:?}", self.follower.state().height());
            self.follower.wake(now);
            let at_most = self.follower.deadline().map_or(500, |at| at.since(now)).min(500);
            if let Ok(heard) = self.inbox.recv_timeout(Duration::from_millis(at_most)) {
                self.follower.hear(self.clock.now(), heard, &mut |_, _, _| {})?;
            }
        }
        Ok(())
    }
}

#[test]
fn a_late_follower_has_all_of_a_long_history_and_then_what_is_told() {
    let Some(scene) = Scene::new() else { return };
    let mut history = History::new(4, 0);
    history.grow(3_000, &QUORUM);
    let (_server, store) = scene.serve(&history, 1);
    let mut reader = scene.follow(&history.genesis, "late");
    reader.until(|follower| follower.state().height() == Height(3_000));
    assert!(!reader.follower.is_current(), "one of four says so");
    let _other = scene.serve(&history, 2);
    reader
        .follower
        .hear(scene.clock.now(), Heard::News(ohc::effects::bus::News::Up), &mut |_, _, _| {})
        .unwrap();
    reader.until(Follower::is_current);
    assert_eq!(reader.follower.replica().parent(), history.parent);
    // Told to all.
    let (bus, wire) = (scene.bus(None), Wire::new(history.genesis.network()));
    history.grow(1, &QUORUM);
    bus.publish(&wire.slot(), wire.frame_bytes(history.slots.last().unwrap())).unwrap();
    reader.until(|follower| follower.state().height() == Height(3_001));
    // Missed, and shown by a later one.
    history.grow(3, &QUORUM);
    let new: Vec<&[u8]> = history.slots[3_000..].iter().map(Vec::as_slice).collect();
    store.append_many(Height(3_001), &new).unwrap();
    bus.publish(&wire.slot(), wire.frame_bytes(history.slots.last().unwrap())).unwrap();
    reader.until(|follower| follower.state().height() == Height(3_004));
    // A start is from its own copy.
    drop(reader);
    let again = replica(&scene.dir.path().join("late"), &history.genesis);
    assert_eq!((again.state().height(), again.parent()), (Height(3_004), history.parent));
}

#[test]
fn r7_who_lies_is_found_out_and_another_is_asked() {
    let Some(scene) = Scene::new() else { return };
    let mut history = History::new(4, 0);
    history.grow(40, &QUORUM);
    let mut other = History::new(4, 0);
    for _ in 0..60 {
        let payment = other.payment(key(8).public());
        other.add(vec![payment], &[4]); // a history that one of them signs alone
    }
    let from = |slots: Vec<Vec<u8>>| {
        move |from: Height| slots.get(from.0 as usize - 1..).unwrap_or_default().to_vec()
    };
    let mut damaged = history.slots.clone();
    let middle = damaged[20].len() / 2;
    damaged[20][middle] ^= 1;
    let genesis = &history.genesis;
    let _liars = [
        scene.lie(genesis, 4, 60, from(other.slots.clone())),
        scene.lie(genesis, 2, 50, from(damaged)),
        scene.lie(genesis, 3, 99, |_| vec![vec![7; 9]; 9]),
    ];
    let _server = scene.serve(&history, 1);
    let mut reader = scene.follow(genesis, "reader");
    reader.until(|follower| follower.state().height() == Height(40));
    assert_eq!(reader.follower.replica().parent(), history.parent);
}

#[test]
fn r13_nonsense_on_every_subject_changes_nothing_and_stops_nobody() {
    let Some(scene) = Scene::new() else { return };
    let mut history = History::new(4, 0);
    history.grow(5, &QUORUM);
    let _servers: Vec<_> = ALL.iter().map(|n| scene.serve(&history, *n)).collect();
    let mut reader = scene.follow(&history.genesis, "reader");
    reader.until(Follower::is_current);
    let (bus, wire) = (scene.bus(None), Wire::new(history.genesis.network()));
    let mut far = history.slot(vec![], &ALL).0;
    far.head.height = Height(1 << 60);
    let unsigned = history.slot(vec![], &[4]).0;
    let k = key(1).public();
    let asks = wire.fetch(bus.inbox());
    for subject in [wire.slot(), wire.head(&k), asks, wire.command(&k)] {
        for bytes in [&b""[..], b"\x01", &[0xff; 900], &wire.frame_bytes(&[0xff; 99])] {
            bus.publish(&subject, bytes.to_vec()).unwrap();
        }
        bus.publish(&subject, wire.frame(&far)).unwrap();
        bus.publish(&subject, wire.frame(&unsigned)).unwrap();
        bus.publish(
            &subject,
            wire.frame(&key(9).seal(
                history.genesis.network(),
                Pulse { height: Height(1 << 60), head: Default::default() },
            )),
        )
        .unwrap();
    }
    bus.flush(SOON).unwrap();
    history.grow(1, &QUORUM);
    bus.publish(&wire.slot(), wire.frame_bytes(history.slots.last().unwrap())).unwrap();
    reader.until(|follower| follower.state().height() == Height(6));
    assert_eq!(reader.follower.replica().parent(), history.parent);
}

#[test]
fn a_server_that_was_away_is_caught_up_with() {
    let Some(mut scene) = Scene::new() else { return };
    let mut history = History::new(1, 0);
    history.grow(5, &[1]);
    let (_server, store) = scene.serve(&history, 1);
    let mut reader = scene.follow(&history.genesis, "reader");
    reader.until(|follower| follower.state().height() == Height(5));
    scene.nats.kill();
    history.grow(5, &[1]);
    let new: Vec<&[u8]> = history.slots[5..].iter().map(Vec::as_slice).collect();
    store.append_many(Height(6), &new).unwrap();
    scene.nats.restart();
    reader.until(|follower| follower.state().height() == Height(10));
    reader.until(Follower::is_current);
}

#[test]
fn what_found_no_room_is_asked_for_though_nobody_speaks_of_it_again() {
    let Some(scene) = Scene::new() else { return };
    let mut history = History::new(1, 0);
    history.grow(7, &[1]);
    // It answers when it is asked, and says by itself nothing of how far it is.
    let (slots, there) = (history.slots.clone(), Arc::new(AtomicUsize::new(5)));
    let end = there.clone();
    let _server = scene.lie(&history.genesis, 1, 5, move |from| {
        slots[from.0 as usize - 1..end.load(Ordering::SeqCst)].to_vec()
    });
    let mut reader = scene.follow(&history.genesis, "reader");
    reader.until(|follower| follower.is_current() && follower.state().height() == Height(5));
    // Nobody hears what comes now: it fills the room, and of two slots that are told none fits.
    let (bus, wire) = (scene.bus(None), Wire::new(history.genesis.network()));
    let slot = |n: usize| wire.frame_bytes(&history.slots[n]);
    for _ in 0..WIRE_ROOM_BYTES / slot(5).len() {
        bus.publish(&wire.slot(), vec![0xff; slot(5).len()]).unwrap();
    }
    there.store(7, Ordering::SeqCst);
    [5, 6].iter().for_each(|n| bus.publish(&wire.slot(), slot(*n)).unwrap());
    bus.flush(SOON).unwrap();
    // By the time that this is answered, all of it has come.
    drop(reader._bus.request("nobody", Vec::new(), 99, SOON));
    std::thread::sleep(Duration::from_millis(300));
    reader.until(|follower| follower.state().height() == Height(7));
}

#[test]
fn r8_a_copy_takes_only_what_the_validators_have_made_final() {
    let mut history = History::new(4, 0);
    history.grow(9, &[1]); // one signature under each…
    let dir = tempfile::tempdir().unwrap();
    let mut copy = replica(dir.path(), &history.genesis);
    let lie = copy.take(&history.slots, &mut |_, _, _| panic!("it was folded"));
    assert!(matches!(lie, Err(Refusal::Lie { height: Height(1), .. })), "{lie:?}");
    history.grow(1, &QUORUM); // … and three under the last, which stands for all
    assert_eq!(copy.take(&history.slots, &mut |_, _, _| {}).unwrap(), 10);
    assert_eq!((copy.parent(), copy.state().height()), (history.parent, Height(10)));
    assert_eq!(copy.take(&history.slots, &mut |_, _, _| {}).unwrap(), 0, "they are there");
    history.grow(3, &QUORUM);
    let gap = copy.take(&history.slots[12..], &mut |_, _, _| {});
    assert!(matches!(gap, Err(Refusal::Gap { height: Height(13), .. })), "{gap:?}");
    let shuffled = [history.slots[10].clone(), history.slots[12].clone()];
    let lie = copy.take(&shuffled, &mut |_, _, _| {});
    assert!(matches!(lie, Err(Refusal::Lie { height: Height(12), .. })), "{lie:?}");
    assert_eq!(copy.state().height(), Height(10));
    let mut other = history.slot(vec![], &QUORUM).0;
    other.head.events = Default::default();
    assert!(copy.take(&[other.to_bytes()], &mut |_, _, _| {}).is_err());
    assert_eq!(copy.take(&history.slots, &mut |_, _, _| {}).unwrap(), 3);
    assert_eq!(copy.parent(), history.parent);
}

/// What this node itself had part in making final it need not check again; nothing else is taken
/// that way.
#[test]
fn a_slot_that_was_decided_here_is_taken_if_it_is_the_next() {
    let mut history = History::new(4, 0);
    history.grow(1, &[1]); // its certificate is not what it is taken for
    let (next, later) = (history.slots[0].clone(), history.slot(vec![], &QUORUM).0);
    let dir = tempfile::tempdir().unwrap();
    let mut copy = replica(dir.path(), &history.genesis);
    let slot = |bytes: &[u8]| Slot::from_bytes(bytes).unwrap();
    let bytes = later.to_bytes();
    assert!(!copy.take_decided(later.clone(), &bytes, &mut |_, _, _| {}).unwrap(), "too early");
    let mut stray = slot(&next);
    stray.head.parent = Digest([9; 32]);
    assert!(!copy.take_decided(stray, &next, &mut |_, _, _| {}).unwrap(), "after another one");
    let mut wrong = slot(&next);
    wrong.head.events = Digest([9; 32]);
    let wrong = replica(&dir.path().join("other"), &history.genesis).take_decided(
        wrong,
        &next,
        &mut |_, _, _| {},
    );
    assert!(matches!(wrong, Err(Refusal::Diverged { height: Height(1) })), "{wrong:?}");
    assert!(copy.take_decided(slot(&next), &next, &mut |_, _, _| {}).unwrap());
    assert!(!copy.take_decided(slot(&next), &next, &mut |_, _, _| {}).unwrap(), "it is there");
    assert!(copy.take_decided(later, &bytes, &mut |_, _, _| {}).unwrap());
    assert_eq!(copy.store().read(Height(1)).unwrap(), Some(next));
    assert_eq!(copy.state().height(), Height(2));
}

#[test]
fn r13_junk_takes_no_room_from_slots_that_come_early() {
    let Some(scene) = Scene::new() else { return };
    let (mut history, mut junk) = (History::new(4, 0), Vec::new());
    for n in 0..12 {
        // Well formed, of nearly a megabyte, and signed by nobody but one.
        let orders: Vec<_> = (0..2)
            .map(|_| {
                let manifest = "x".repeat(450_000);
                let (params, pins, budget, fresh) = Default::default();
                let submission = Submission { manifest, params, pins, budget, fresh };
                history.order(8, Command::Submit(Box::new(submission)))
            })
            .collect();
        let (mut slot, _) = history.slot(orders, &[4]);
        slot.head.height = Height(3 + n);
        junk.push(slot.to_bytes());
    }
    history.grow(12, &QUORUM);
    // Nobody answers: what is not kept is gone.
    let mut reader = scene.follow(&history.genesis, "reader");
    let (bus, wire) = (scene.bus(None), Wire::new(history.genesis.network()));
    let say = |slot: &Vec<u8>| bus.publish(&wire.slot(), wire.frame_bytes(slot)).unwrap();
    junk.iter().for_each(say);
    history.slots[1..].iter().for_each(say);
    junk.iter().for_each(say);
    say(&history.slots[0]);
    reader.until(|follower| follower.state().height() == Height(12));
    assert_eq!(reader.follower.replica().parent(), history.parent);
}
