//! Test vectors of the protocol: what is said on a network, byte by byte, for whoever speaks it in
//! another language (`docs/protocol.md`, `schemas/wire.v1.json`). Never says what they mean.

use crate::check;
use ohc::base::amount::{Ohc, Price, SUPPLY, Work};
use ohc::base::canon::{Canonical, Digest, Encode};
use ohc::base::ids::{BlockId, JobId, LeaseId, RunId};
use ohc::base::keys::{NetworkId, SecretKey, Signed};
use ohc::base::time::Height;
use ohc::domain::beacon::{Reveal, Seed};
use ohc::domain::bisection::Move;
use ohc::domain::classes::Classes;
use ohc::domain::command::{Beat, Bid, Command, Order, Revealed, SignedOrder, Submission, Tender};
use ohc::domain::event::{Event, events_digest, events_root};
use ohc::domain::genesis::{Allocation, Genesis, Params};
use ohc::domain::job::{Chunk, Column, ColumnKind, Groups, Noop, Pin, Spec};
use ohc::domain::milestone::{Milestone, Parts};
use ohc::domain::poh::Entry;
use ohc::domain::receipt::{Claim, Flaw, Opening, Outcome, Receipt, Seal};
use ohc::domain::slot::{Draft, Head, Slot, commands_root};
use ohc::domain::terms::Equipment;
use ohc::domain::verdict::{Finding, Found, SealedVerdict, Segment, Verdict};
use ohc::domain::vote::{Certificate, Evidence, Kind, Proposal, Vote};
use ohc::effects::artifacts::{Act, ObjectRequest};
use ohc::node::wire::{Answer, Ask, Held, HeldInput, HeldTask, Pulse, Wire, inbox};
use ohc::node::words::{What, Word, Words};
use ohc::role::consensus::{Message, Passed, Polka};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;
use std::sync::Arc;

const LEASE: LeaseId = LeaseId { block: BlockId { run: RunId(7), index: 3 }, attempt: 2 };
const SEGMENT: Segment = Segment { job: JobId(4), index: 1 };

fn digest(n: u8) -> Digest {
    Digest([n; 32])
}

fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A network of four validators, of keys 1 to 4; all else is key 9's.
fn genesis() -> Genesis {
    let stake = Ohc::from_whole(1_000_000).unwrap();
    let mut allocations: Vec<Allocation> =
        (1..=4).map(|n| Allocation { key: key(n).public(), balance: Ohc::ZERO, stake }).collect();
    let rest = SUPPLY.checked_sub(Ohc::from_whole(4_000_000).unwrap()).unwrap();
    allocations.push(Allocation { key: key(9).public(), balance: rest, stake: Ohc::ZERO });
    Genesis { name: "vectors".into(), salt: [7; 32], params: Params::embedded(), allocations }
}

fn commands() -> Vec<(&'static str, Command)> {
    let claim = Claim {
        job: JobId(4),
        outputs: vec![digest(1), digest(2)],
        bytes: 70_000,
        read: 9_000,
        given: 4_000,
        segments: vec![digest(3), digest(4)],
        metrics: vec![("loss".into(), 0.25)],
    };
    let done = Receipt { lease: LEASE, outcome: Outcome::Done(vec![claim]) };
    let (message, hint) = ("a column is missing".into(), "look at it".into());
    let failed = Outcome::Failed { job: JobId(4), message, hint, flaw: Flaw::Memory };
    let failed = Receipt { lease: LEASE, outcome: failed };
    let has = Equipment { cores: 4, memory: 8 << 30, gpus: 0 };
    let bid = Bid { ask: Price::new(1_000_000), capacity: Work::new(100_000), has };
    let verdict = |finding| Verdict {
        lease: LEASE,
        receipt: digest(5),
        finding,
        trace: digest(6),
        salt: digest(7),
    };
    let object = |found| verdict(Finding::Object { segment: SEGMENT, found });
    let verdicts = vec![
        verdict(Finding::Agree),
        object(Found::Withheld),
        object(Found::State(digest(8))),
        object(Found::Output(digest(9))),
        object(Found::Other),
        object(Found::Lost(digest(9))),
        object(Found::Far),
        verdict(Finding::Deny { segment: SEGMENT }),
    ];
    let amount = Ohc::from_nano(1_250_000_000);
    vec![
        ("transfer", Command::Transfer { to: key(2).public(), amount }),
        ("submit", Command::Submit(Box::new(submission()))),
        ("cancel", Command::Cancel { run: RunId(7) }),
        ("pause", Command::Pause { run: RunId(7) }),
        ("resume", Command::Resume { run: RunId(7), added: amount }),
        ("bid", Command::Bid(bid)),
        (
            "bid for some",
            Command::BidFor { bid, classes: Classes::read("train,evaluate").unwrap() },
        ),
        ("withdraw", Command::Withdraw),
        ("heartbeat", Command::Heartbeat(vec![Beat { lease: LEASE, step: 12 }])),
        ("deliver", Command::Deliver(vec![done.clone(), failed])),
        ("seal", Command::Seal(vec![Seal { lease: LEASE, seal: digest(1) }])),
        ("open", Command::Open(vec![Opening { receipt: done, salt: digest(2) }])),
        ("tender", Command::Tender(vec![Tender { block: LEASE.block, seal: digest(1) }])),
        ("tell", Command::Tell(vec![told()])),
        ("judge", Command::Judge(verdicts)),
        ("seal verdicts", Command::SealVerdicts(vec![sealed()])),
        ("reveal", Command::Reveal(Reveal { value: Some(digest(1)), next: digest(2) })),
        ("first reveal", Command::Reveal(Reveal { value: None, next: digest(2) })),
        ("bisect", Command::Bisect(vec![moved()])),
        ("challenge", Command::Challenge { lease: LEASE, segment: SEGMENT }),
        ("bond", Command::Bond { amount }),
        ("unbond", Command::Unbond { amount }),
        ("upload", Command::Upload { bytes: 1_048_576 }),
        ("accuse of votes", Command::Accuse(Box::new(votes()))),
        ("accuse of proposals", Command::Accuse(Box::new(proposals()))),
    ]
}

fn submission() -> Submission {
    let whole = Chunk { digest: digest(3), bytes: 90, rows: 4, first_line: 2, groups: None };
    let groups = Some(Groups { first: 1, count: 2 });
    let part = Chunk { digest: digest(4), bytes: 80, rows: 5, first_line: 6, groups };
    let kinds = [ColumnKind::Real, ColumnKind::Integer, ColumnKind::Text, ColumnKind::Truth];
    let columns = kinds.map(|kind| Column { name: format!("{kind:?}"), kind }).to_vec();
    let (source, chunks) = ("rows".into(), vec![whole, part]);
    let pin = Pin { source, digest: digest(2), bytes: 170, rows: 9, columns, chunks };
    Submission {
        manifest: "apiVersion: ohc/v1alpha1\nkind: Pipeline\n# ä\n".into(),
        params: vec![("epochs".into(), "90".into())],
        pins: vec![pin],
        budget: Ohc::from_nano(5_000_000_000),
        fresh: vec![digest(6)],
    }
}

fn held() -> Held {
    let earlier = HeldInput::Earlier { task: 0, output: 1 };
    let inputs = vec![("rows".into(), HeldInput::Artifact(digest(3))), ("model".into(), earlier)];
    let spec = Spec::Noop(Noop { tag: 6 });
    let (kind, spec) = (spec.kind().to_owned(), spec.to_bytes());
    Held { lease: LEASE, tasks: vec![HeldTask { job: JobId(4), kind, spec, inputs }] }
}

fn told() -> Revealed {
    Revealed { block: LEASE.block, ask: Price::new(900_000), salt: digest(1) }
}

fn sealed() -> SealedVerdict {
    SealedVerdict { lease: LEASE, receipt: digest(5), seed: Seed(digest(7)), seal: digest(6) }
}

fn moved() -> Move {
    Move { lease: LEASE, round: 3, steps: 400, state: digest(7) }
}

fn vote(head: Option<Digest>) -> Signed<Vote> {
    let vote = Vote { height: Height(1), round: 2, kind: Kind::Prevote, head };
    key(1).seal(genesis().network(), vote)
}

fn votes() -> Evidence {
    Evidence::Votes { one: vote(Some(digest(1))), other: vote(None) }
}

fn proposal(head: Digest, valid: Option<u32>) -> Signed<Proposal> {
    key(1).seal(genesis().network(), Proposal { height: Height(1), round: 2, head, valid })
}

fn proposals() -> Evidence {
    let (one, other) = (proposal(digest(1), None), proposal(digest(2), Some(1)));
    Evidence::Proposals { one, other }
}

/// The first slot, with a bid in it, made final by three of the four.
fn slot() -> Slot {
    let network = genesis().network();
    let order = Order { nonce: 1, command: Command::Withdraw };
    let commands: Vec<SignedOrder> = vec![key(5).seal(network, order)];
    let tick = Entry { hashes: 1_000, hash: digest(1), mixin: None };
    let mixin = Some(commands_root(&commands));
    let poh = vec![tick, Entry { hashes: 3, hash: digest(2), mixin }];
    let draft = Draft { height: Height(1), proposer: key(1).public(), poh, commands };
    let head = draft.head(genesis().digest(), digest(9));
    let mut certificate = Certificate { round: 0, ..Certificate::default() };
    let vote = certificate.vote(Height(1), head.digest());
    for n in [1, 2, 4] {
        certificate.signatures.insert(key(n).public(), key(n).sign(network, &vote));
    }
    Slot { head, poh: draft.poh, commands: draft.commands, certificate }
}

/// Collects vectors of one network.
struct Vectors {
    wire: Wire,
    network: NetworkId,
    all: Vec<Value>,
}

/// A slot that did this, as whoever has no log sees it.
fn milestone(event: Event) -> Milestone {
    let events = [Event::BidPlaced { worker: key(5).public() }, event.clone()];
    let head = Head { events: events_root(&events), ..slot().head };
    Milestone { head, certificate: slot().certificate, event, all: events_digest(&events) }
}

impl Vectors {
    /// A value; its digest if it is hashed.
    fn value(&mut self, name: &str, kind: &str, value: &impl Encode, more: Value) {
        let mut fields = Map::new();
        fields.insert("name".into(), name.into());
        fields.insert("type".into(), kind.into());
        fields.insert("bytes".into(), hex(&value.to_bytes()).into());
        fields.extend(more.as_object().cloned().unwrap_or_default());
        self.all.push(Value::Object(fields));
    }

    /// A message, with its subject and its frame.
    fn message(&mut self, name: &str, kind: &str, subject: &str, value: &impl Encode) {
        let frame = hex(&self.wire.frame(value));
        self.value(name, kind, value, json!({"subject": subject, "frame": frame}));
    }

    fn orders(&mut self) {
        let subject = self.wire.command(&key(5).public());
        for (nonce, (name, command)) in (1u64..).zip(commands()) {
            let signed = key(5).seal(self.network, Order { nonce, command });
            assert!(signed.clone().verify(self.network).is_ok());
            self.message(name, "SignedOrder", &subject, &signed);
        }
    }

    fn questions(&mut self) {
        let own = inbox(&key(5).public());
        let (any, one) = (self.wire.fetch(&own), self.wire.fetch_of(Some(&key(1).public()), &own));
        self.message("ask for the genesis", "Ask", &any, &Ask::Genesis);
        self.message("ask how far", "Ask", &one, &Ask::Pulse);
        self.message("ask for slots", "Ask", &any, &Ask::Slots { from: Height(3) });
        let ask = Ask::Work { worker: key(5).public() };
        self.message("ask for work", "Ask", &any, &ask);
        self.message("ask for a state", "Ask", &one, &Ask::Snapshot);
        let ask = Ask::Milestones { after: Height(3) };
        self.message("ask who validates", "Ask", &one, &ask);
        let ask = Ask::Part { height: Height(9), part: 2 };
        self.message("ask for a part", "Ask", &one, &ask);
        for artifact in [None, Some(Digest::of(b"model"))] {
            let (lease, act) = (artifact.map(|_| LEASE), Act::Create { bytes: 4_096 });
            let request = ObjectRequest { lease, act, artifact, at: 1_798_761_600 };
            let ask = Ask::Presign(key(5).seal(self.network, request));
            self.message("ask for a signature", "Ask", &any, &ask);
        }
        let pulse = Pulse { height: Height(1), head: slot().head.digest() };
        let pulse = key(1).seal(self.network, pulse);
        let head = self.wire.head(&key(1).public());
        self.message("pulse", "SignedPulse", &head, &pulse);
        let step = What::Step { step: 20, steps: 600, loss: Some(0.25), rate: None, rows: 1_500 };
        let word = |what| Word { lease: LEASE, job: JobId(4), what };
        let words = Words { number: 1_000, words: vec![word(What::Began), word(step)] };
        let journal = self.wire.journal(LEASE.block.run, &key(5).public());
        self.message("words", "SignedWords", &journal, &key(5).seal(self.network, words));
        let slots = vec![slot().to_bytes()];
        let parts = Parts::of(b"a state");
        let committed = Event::Snapshot { parts: parts.digest(), bytes: parts.bytes };
        let ohc = Ohc::from_nano(40);
        let set = |n: u8| [(key(n).public(), ohc)].into();
        let changed = Event::SetChanged { was: set(1), now: set(2) };
        for (name, answer) in [
            ("the genesis", Answer::Genesis(genesis().to_bytes())),
            ("so far", Answer::Pulse(pulse)),
            ("slots", Answer::Slots { slots, last: Height(1) }),
            ("nothing", Answer::Nothing),
            ("work", Answer::Work(vec![held()])),
            ("a state", Answer::Snapshot { milestone: Box::new(milestone(committed)), parts }),
            ("who validates", Answer::Milestones(vec![milestone(changed)])),
            ("a part", Answer::Part(vec![1, 2, 3])),
            ("pruned", Answer::Pruned { first: Height(8), snapshot: Height(9) }),
            ("a signature", Answer::Presigned("X-Amz-Signature=5eed".into())),
            ("too many questions", Answer::Later),
        ] {
            self.message(name, "Answer", "a reply", &answer);
        }
    }

    fn agreement(&mut self) {
        let (slot, subject) = (slot(), self.wire.slot());
        assert!(slot.check_content(genesis().digest()).is_ok());
        let more = json!({"digest": slot.head.digest().to_string()});
        self.value("head", "Head", &slot.head, more);
        self.message("slot", "Slot", &subject, &slot);
        let (head, signatures) = (slot.head.digest(), slot.certificate.signatures.clone());
        let subject = self.wire.consensus(&key(1).public());
        let polka = Polka { height: Height(1), round: 0, head, signatures };
        let votes = vec![vote(Some(head)), vote(None)];
        let passed = Passed { height: Height(1), round: 2, is_overtaken: true, votes };
        let proposal = proposal(head, Some(1));
        for (name, message) in [
            ("propose", Message::Proposal { proposal, slot: Arc::new(slot) }),
            ("vote", Message::Vote(vote(Some(head)))),
            ("polka", Message::Polka(polka)),
            ("passed", Message::Passed(passed)),
        ] {
            self.message(name, "Message", &subject, &message);
        }
    }
}

#[test]
fn the_vectors_of_the_protocol_are_current() {
    let network = genesis().network();
    let mut vectors = Vectors { wire: Wire::new(network), network, all: Vec::new() };
    vectors.orders();
    vectors.questions();
    vectors.agreement();
    let keys = (1..=5u8)
        .chain([9])
        .map(|n| json!({"secret": hex(&[n; 32]), "public": key(n).public().to_string()}));
    let file = json!({
        "about": "Made by tests/golden/wire.rs from the program; schemas/wire.v1.json says what \
                  the bytes are.",
        "network": network.0.to_string(),
        "genesis": hex(&genesis().to_bytes()),
        "keys": keys.collect::<Vec<_>>(),
        "messages": vectors.all,
    });
    check("schemas/wire-vectors.v1.json", &format!("{file:#}\n"));
}
