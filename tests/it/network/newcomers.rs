//! Who comes when the validators are others than those of the genesis: by what the validators have
//! signed about who follows them, from real processes and from those who forge it. Never told more
//! than the genesis.

use super::follow::Scene;
use super::history::{CLIENT, History, key};
use super::lab::Lab;
use super::snapshots::keep;
use crate::site::{Ran, SUPPLY_NANO, Site};
use ohc::base::amount::Ohc;
use ohc::base::canon::{Decode, Encode};
use ohc::base::keys::{NetworkId, PublicKey, SecretKey};
use ohc::base::limits::{MILESTONE_BYTES_MAX, SNAPSHOT_PART_BYTES, WIRE_BYTES_MAX};
use ohc::base::time::Height;
use ohc::domain::command::{Command, Order, SignedOrder, Submission};
use ohc::domain::genesis::{Genesis, Params};
use ohc::domain::milestone::{Milestone, Parts, Trust};
use ohc::domain::slot::Slot;
use ohc::domain::state::State;
use ohc::effects::bus::{Bus, Message};
use ohc::effects::store::Store;
use ohc::node::follow::Follower;
use ohc::node::handouts::Handouts;
use ohc::node::home::Home;
use ohc::node::serve::{Log, Server};
use ohc::node::wire::{Answer, Ask, Pulse, Wire};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::runtime::Runtime;

/// Those who forge a history.
pub(super) const FORGERS: [u8; 4] = [21, 22, 23, 24];
const SOON: Duration = Duration::from_secs(10);

/// A network of validators 1 to 4 whose set changes each hundred ticks.
pub(super) fn history() -> History {
    let genesis = History::new(4, 0).genesis;
    let params = Params {
        snapshot_events: 600,
        set_ticks: 100,
        evidence_ticks: 200,
        unbonding_ticks: 300,
        ..genesis.params
    };
    History::of(Genesis { params, ..genesis }, BTreeMap::new())
}

/// Has some validators go and as many others come. The slot that changes the set has such commands
/// too; gives what it shows, and the bytes of all that it did.
pub(super) fn hand_over(
    history: &mut History,
    (old, new): (&[u8], &[u8]),
    signers: &[u8],
    more: impl Fn(&History) -> Vec<SignedOrder>,
) -> (Milestone, usize) {
    let stake = history.state.stake_of(&history.key(old[0]).public()).stake;
    for n in new {
        let to = history.key(*n).public();
        // What it bonds, and the fee for that.
        let amount = stake.checked_add(history.state.order_fee()).unwrap();
        let paid = history.order(CLIENT, Command::Transfer { to, amount });
        history.add(vec![paid], signers);
    }
    let bonds = new.iter().map(|n| history.order(*n, Command::Bond { amount: stake }));
    let unbonds = old.iter().map(|n| history.order(*n, Command::Unbond { amount: stake }));
    history.add(bonds.chain(unbonds).collect(), signers);
    history.ticks = 10;
    let before = history.state.validators().clone();
    loop {
        let ends = history.state.set_changes_at().unwrap().since(history.state.tick());
        let commands = if ends <= history.ticks { more(history) } else { vec![] };
        let (slot, _) = history.slot(commands.clone(), signers);
        let events = history.state.clone().apply(slot.head.height, &slot.poh, &slot.commands);
        history.add(commands, signers);
        if history.state.validators() != &before {
            history.ticks = 0;
            assert!(
                new.iter().all(|n| {
                    history.state.validators().contains_key(&history.key(*n).public())
                })
            );
            return (Milestone::of(&slot, &events).unwrap(), events.to_bytes().len());
        }
    }
}

/// What a history shows to who has none of it: who follows whom, and the last state that it commits
/// to.
pub(super) fn shown(history: &History) -> (Vec<Milestone>, (Milestone, Vec<u8>)) {
    let mut state = State::new(&history.genesis);
    let (mut changes, mut last) = (Vec::new(), None);
    for slot in history.slots.iter().map(|bytes| Slot::from_bytes(bytes).unwrap()) {
        let events = state.apply(slot.head.height, &slot.poh, &slot.commands);
        match Milestone::of(&slot, &events) {
            Some(stone) if stone.committed().is_some() => last = Some((stone, state.snapshot())),
            Some(stone) => changes.push(stone),
            None => {}
        }
    }
    (changes, last.unwrap())
}

/// A history that the validators of a genesis have nothing to do with: all of it is signed by
/// others, who are the validators at its end. Whoever believed them would see nothing wrong.
fn forgery(mut history: History) -> (Vec<Milestone>, (Milestone, Vec<u8>)) {
    let genesis = history.state.validators().clone();
    hand_over(&mut history, (&[1, 2, 3, 4], &FORGERS), &FORGERS, |_| vec![]);
    history.grow(100, &FORGERS);
    let forged = shown(&history);
    let forgers: BTreeMap<PublicKey, Ohc> =
        FORGERS.iter().map(|n| (key(*n).public(), Ohc::from_nano(1))).collect();
    let network = history.genesis.network();
    assert!(Trust::new(network, Height(0), forgers).see(&forged.1.0).is_ok());
    let mut trust = Trust::new(network, Height(0), genesis);
    assert!(trust.see(&forged.1.0).is_err() && trust.follow(&forged.0[0]).is_err());
    forged
}

/// What somebody answers who forges a history; counts how often it is asked for the last state.
pub(super) fn lie(
    (changes, (stone, state)): (Vec<Milestone>, (Milestone, Vec<u8>)),
    asked: Arc<AtomicUsize>,
) -> impl Fn(Ask) -> Answer + Send + 'static {
    move |ask| match ask {
        Ask::Snapshot => {
            asked.fetch_add(1, Ordering::SeqCst);
            Answer::Snapshot { milestone: Box::new(stone.clone()), parts: Parts::of(&state) }
        }
        Ask::Milestones { after } => {
            let later = changes.iter().filter(|stone| stone.head.height > after);
            Answer::Milestones(later.cloned().collect())
        }
        Ask::Part { part, .. } => {
            let part = state.chunks(SNAPSHOT_PART_BYTES).nth(part as usize).unwrap();
            Answer::Part(part.to_vec())
        }
        Ask::Slots { .. } => {
            Answer::Pruned { first: stone.head.height.next(), snapshot: stone.head.height }
        }
        _ => Answer::Nothing,
    }
}

/// One home that is served as by these validators.
pub(super) fn serve(scene: &Scene, history: &History, home: &Home, as_whom: &[u8]) -> Vec<Server> {
    let store = Arc::new(Store::open(&home.log()).unwrap().0);
    let serve = |n: &u8| {
        let (genesis, handouts) = (history.genesis.clone(), Handouts::of(home));
        let log = Log::new(store.clone(), genesis, Arc::new(key(*n)), handouts);
        Server::start(&scene.bus(None), log).unwrap()
    };
    as_whom.iter().map(serve).collect()
}

/// A run of so many blocks, all of which are on offer at once.
fn submit(history: &History, blocks: u32) -> SignedOrder {
    let (rows, columns) = (blocks / 100, 100);
    let list = |n: u32| (0..n).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    let manifest = format!(
        "apiVersion: ohc/v1alpha1\nkind: Pipeline\nmetadata: {{ name: many }}\nspec:\n  run: {{ \
         limits: {{ instances: {blocks}, jobsPerBlock: 1 }} }}\n  stages:\n    job: {{ uses: noop, \
         matrix: {{ axes: {{ a: [{}], b: [{}] }} }}, with: {{ tag: \"${{{{ matrix.a * {columns} + \
         matrix.b }}}}\" }} }}\n",
        list(rows),
        list(columns)
    );
    let budget = Ohc::from_whole(100_000).unwrap();
    let (params, pins, fresh) = Default::default();
    let submission = Submission { manifest, params, pins, budget, fresh };
    history.order(CLIENT, Command::Submit(Box::new(submission)))
}

#[test]
fn a_change_of_the_set_in_a_slot_of_more_than_a_mebibyte_of_events_is_followed() {
    let Some(scene) = Scene::new() else { return };
    let mut history = history();
    hand_over(&mut history, (&[1, 2], &[5, 6]), &[1, 2, 3], |_| vec![]);
    history.grow(3, &[4, 5, 6]);
    let (stone, bytes) =
        hand_over(&mut history, (&[3, 4], &[7, 8]), &[3, 5, 6], |h| vec![submit(h, 40_000)]);
    assert!(bytes > 1 << 20, "its events have {bytes} bytes");
    assert!(stone.to_bytes().len() <= MILESTONE_BYTES_MAX);
    history.grow(90, &[5, 6, 7]);
    let home = keep(&scene.dir.path().join("home"), &history, Some(9));
    // Two who have left, and two of those who are validators now.
    let _servers = serve(&scene, &history, &home, &[1, 2, 5, 6]);
    let mut reader = scene.follow(&history.genesis, "late");
    reader.until(Follower::is_current);
    assert_eq!(reader.follower.replica().parent(), history.parent);
    assert!(reader.follower.replica().store().base() > stone.head.height);
}

#[test]
fn r7_a_state_that_is_signed_by_those_who_never_were_validators_is_not_believed() {
    let Some(scene) = Scene::new() else { return };
    let mut history = history();
    hand_over(&mut history, (&[1, 2], &[5, 6]), &[1, 2, 3], |_| vec![]);
    history.grow(100, &[4, 5, 6]);
    let home = keep(&scene.dir.path().join("home"), &history, Some(9));
    let (forged, asked) = (forgery(self::history()), Arc::new(AtomicUsize::new(0)));
    let liar = |n| {
        let answer = lie(forged.clone(), asked.clone());
        scene.lie_to_all(&history.genesis, n, 1_000_000, answer)
    };
    // They are asked first: they say that they have the most.
    let _liars = [liar(1), liar(2), liar(3)];
    let _server = serve(&scene, &history, &home, &[5]);
    let mut reader = scene.follow(&history.genesis, "late");
    let last = history.state.height();
    reader.until(|follower| follower.state().height() == last);
    assert_eq!(reader.follower.replica().parent(), history.parent);
    assert!(asked.load(Ordering::SeqCst) > 0, "nobody asked those who lie");
}

/// The first page of a network whose set changes each three seconds, and of whose validators the
/// last two are none yet: what they would have at stake they may spend.
fn short_epochs(page: String) -> String {
    let mut page = page;
    for (name, value) in [
        ("set_ticks", "300"),
        ("evidence_ticks", "400"),
        ("unbonding_ticks", "500"),
        ("snapshot_events", "400"),
    ] {
        let (before, rest) = page.split_once(&format!("  {name}: ")).unwrap();
        page = format!("{before}  {name}: {value}\n{}", rest.split_once('\n').unwrap().1);
    }
    for name in ["validator-5", "validator-6"] {
        let (before, rest) = page.split_once(&format!(" # {name}\n")).unwrap();
        let staked = "    balance: \"1000.00\"\n    stake: \"1000000.00\"\n";
        assert!(rest.starts_with(staked), "{rest}");
        let rest = rest.replacen(staked, "    balance: \"1001000.00\"\n", 1);
        page = format!("{before} # {name}\n{rest}");
    }
    page
}

/// Somebody on the bus of a lab.
pub(super) struct Voice {
    pub(super) key: SecretKey,
    pub(super) wire: Wire,
    pub(super) bus: Bus,
    _runtime: Runtime,
}

impl Voice {
    pub(super) fn of(lab: &Lab, name: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let (mut network, key) = (lab.network(), lab.key(name));
        network.credentials = Some(lab.folder.join(name).join("nats.seed"));
        let options = network.bus(&key.public(), SOON).unwrap();
        let bus = Bus::connect(&options, runtime.handle(), |_| {}).unwrap();
        Self { key, wire: Wire::new(network.id()), bus, _runtime: runtime }
    }

    fn ask(&self, who: &PublicKey, ask: Ask) -> Option<Answer> {
        let question = self.wire.frame(&ask);
        let subject = self.wire.fetch_of(Some(who), self.bus.inbox());
        let answer = self.bus.request(&subject, question, WIRE_BYTES_MAX, SOON);
        self.wire.unframe(&answer.ok()?, WIRE_BYTES_MAX).ok()
    }

    /// Answers as this validator: to whoever asks it, and says that it has more than all others.
    fn answer(self, network: NetworkId, answer: impl Fn(Ask) -> Answer + Send + 'static) {
        let (sender, questions) = mpsc::channel::<Message>();
        let subject = self.wire.fetch_of_by_all(&self.key.public());
        let held = self.bus.subscribe(&subject, None, 1 << 20, move |m| sender.send(m).is_ok());
        let held = held.unwrap();
        std::thread::spawn(move || {
            // All of it: without its threads nobody is heard.
            let (Self { key, wire, bus, _runtime }, _held) = (self, held);
            for question in questions {
                let answer = match wire.unframe(&question.bytes, 256).unwrap() {
                    Ask::Pulse => {
                        let pulse = Pulse { height: Height(1 << 40), head: Default::default() };
                        Answer::Pulse(key.seal(network, pulse))
                    }
                    ask => answer(ask),
                };
                // Who asked may be gone, and so may the server at the end of the test.
                let _ = bus.publish(&question.reply.unwrap(), wire.frame(&answer));
            }
        });
    }
}

fn run(lab: &Lab, args: &[&str]) -> Ran {
    let ran = Ran::of(lab.command(args).spawn().unwrap());
    assert_eq!(ran.code(), Some(0), "{args:?}: {}\n{}", ran.err(), lab.logs());
    ran
}

/// Who validates by now.
fn validators(lab: &Lab) -> BTreeSet<String> {
    let status = run(lab, &["stake", "status", "-o", "json"]).last();
    let items = status["items"].as_array().unwrap().iter();
    let counting = items.filter(|item| item["counts"] != "0.00");
    counting.map(|item| item["name"].as_str().unwrap().to_owned()).collect()
}

/// Payments until a validator has pruned the first slots of its log.
fn fill(lab: &Lab, who: &[&str]) {
    let client = Voice::of(lab, "client");
    let network = lab.network().id();
    let to = lab.public("worker-1");
    let command = Command::Transfer { to, amount: Ohc::from_nano(1_000_000) };
    let mut nonce = 1_000;
    for name in who {
        let key = lab.public(name);
        while !matches!(
            client.ask(&key, Ask::Slots { from: Height(1) }),
            Some(Answer::Pruned { .. })
        ) {
            assert!(nonce < 5_000, "{name} keeps all slots");
            for _ in 0..10 {
                nonce += 1;
                let order = client.key.seal(network, Order { nonce, command: command.clone() });
                let subject = client.wire.command(&client.key.public());
                client.bus.publish(&subject, client.wire.frame(&order)).unwrap();
                std::thread::sleep(Duration::from_millis(15));
            }
        }
    }
}

/// What one client prints another joins by, and with another digest nobody does.
fn by_checkpoint(lab: &Lab, printed: &serde_json::Value) {
    let checkpoint = printed.as_str().unwrap_or_else(|| panic!("{printed}"));
    let file = lab.folder.join("network.yaml");
    let text = fs::read_to_string(&file).unwrap();
    let join = |half: usize, by: &str| {
        fs::write(&file, format!("{text}checkpoint: \"{by}\"\n")).unwrap();
        Ran::of(lab.command_in(half, &["get", "accounts"]).spawn().unwrap())
    };
    let joined = join(1, checkpoint);
    assert_eq!(joined.code(), Some(0), "{}\n{}", joined.err(), lab.logs());
    let verdict = Ran::of(lab.command_in(1, &["log", "verify", "-o", "json"]).spawn().unwrap());
    assert_eq!(verdict.last()["ok"], true, "{}", verdict.out());
    let shown = Ran::of(lab.command_in(1, &["network", "checkpoint"]).spawn().unwrap());
    assert_eq!(shown.out().trim(), checkpoint);
    let last = if checkpoint.ends_with('0') { "1" } else { "0" };
    let other = format!("{}{last}", &checkpoint[..checkpoint.len() - 1]);
    // One who has nothing yet, and one whose log has the right one.
    for half in [2, 1] {
        let refused = join(half, &other);
        assert_eq!(refused.code(), Some(1), "{}", refused.out());
        let (_, head) = checkpoint.split_once(':').unwrap();
        for part in [&*other, head, "hint", "ohc network checkpoint"] {
            assert!(refused.err().contains(part), "{part}: {}", refused.err());
        }
    }
    fs::write(&file, text).unwrap();
}

#[test]
fn who_has_only_the_genesis_joins_when_half_of_its_validators_have_gone() {
    let store = ("store/", Vec::new());
    let Some(mut lab) = Lab::found_with(Site::new(), (6, 1), store, short_epochs) else { return };
    let named = |numbers: &[u8]| -> BTreeSet<String> {
        numbers.iter().map(|n| format!("validator-{n}")).collect()
    };
    for n in 1..=5 {
        let config = lab.folder.join(format!("validator-{n}/config.yaml"));
        let text = fs::read_to_string(&config).unwrap() + "retainSlots: 20\n";
        fs::write(config, text).unwrap();
        lab.run(&format!("validator-{n}"));
    }
    assert_eq!(validators(&lab), named(&[1, 2, 3, 4]));
    for (verb, n) in [("bond", 5), ("bond", 6), ("unbond", 1), ("unbond", 2)] {
        let key = lab.folder.join(format!("validator-{n}/key.pem"));
        run(&lab, &["stake", verb, "1000000", "--key", key.to_str().unwrap(), "-y"]);
    }
    for _ in 0..100 {
        if validators(&lab) == named(&[3, 4, 5, 6]) {
            break;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(validators(&lab), named(&[3, 4, 5, 6]), "{}", lab.logs());
    lab.kill("validator-1");
    lab.kill("validator-2");
    fill(&lab, &["validator-3", "validator-4", "validator-5"]);

    // One of those who have gone tells of another history to whoever asks.
    let names = ["validator-1", "validator-2", "validator-3", "validator-4"];
    let mut keys: BTreeMap<u8, _> =
        (1..).zip(names).map(|(n, name)| (n, Arc::new(lab.key(name)))).collect();
    keys.insert(CLIENT, Arc::new(lab.key("client")));
    let network = lab.network();
    let (forged, asked) =
        (forgery(History::of(network.genesis.clone(), keys)), Arc::new(AtomicUsize::new(0)));
    Voice::of(&lab, "validator-1").answer(network.id(), lie(forged, asked.clone()));

    // A worker that knows only these four: one lies, the others are not there.
    lab.kill("validator-3");
    lab.kill("validator-4");
    lab.run("worker-1");
    let home = Home::at(&lab.folder.join("worker-1/home"));
    let begins = || !Handouts::of(&home).heights().is_empty();
    for _ in 0..600 {
        if begins() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(begins(), "it has no state to begin with: {}", lab.logs());
    assert!(asked.load(Ordering::SeqCst) > 0, "it did not ask the one who lies");

    // A validator whose stake counts already, and a client: both have nothing.
    ["validator-3", "validator-4", "validator-6"].iter().for_each(|name| lab.run(name));
    let late = |lab: &Lab, args: &[&str]| {
        let ran = Ran::of(lab.command_in(0, args).spawn().unwrap());
        assert_eq!(ran.code(), Some(0), "{args:?}: {}\n{}", ran.err(), lab.logs());
        ran.last()
    };
    let result = late(&lab, &["apply", "iris.yaml", "-y", "-o", "json"]);
    assert_eq!(result["status"], "settled");
    let verdict = late(&lab, &["log", "verify", "-o", "json"]);
    assert!(verdict["ok"] == true && verdict["base"].as_u64() > Some(0), "{verdict}");
    assert_eq!(lab.all_money(), SUPPLY_NANO);
    by_checkpoint(&lab, &late(&lab, &["network", "checkpoint", "-o", "json"])["checkpoint"]);
    // The late one takes part: without it two of three others are not enough.
    lab.kill("validator-3");
    run(&lab, &["wallet", "transfer", "worker-1", "1.5", "-y"]);
}
