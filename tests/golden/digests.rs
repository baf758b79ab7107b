//! The digest of one value of every type that is hashed or signed. A change here is a change of
//! the format of the log: it needs a new version in the type's tag.

use ohc::base::amount::{Ohc, Price, Work};
use ohc::base::canon::{Canonical, Decode, Digest};
use ohc::base::ids::{BlockId, JobId, LeaseId, RunId};
use ohc::base::keys::{NetworkId, PublicKey, SecretKey};
use ohc::base::time::{Height, Tick};
use ohc::domain::beacon::{Reveal, Seed};
use ohc::domain::bisection::{self, Move};
use ohc::domain::command::{Beat, Bid, Command, Order, Revealed, Submission, Tender};
use ohc::domain::event::{Ending, Event, GaveUp, Pause, Reject, Skip, events_digest, events_root};
use ohc::domain::genesis::{Allocation, Genesis, Params};
use ohc::domain::job::{
    Activation, Chunk, ClassWeights, Column, ColumnKind, Dealing, Decay, Deltas, EarlyStopping,
    Evaluate, Export, Fill, Filling, Format, Formula, Groups, Images, Ingest, Input, Label, Merge,
    Metric, Mode, Model, ModelFormat, Noop, Optimizer, Parallel, Part, Perplexity, Pin, Predict,
    Reading, Rounds, Rule, Scaling, Schedule, Spec, Split, Step, Task, Train, Transform, job_key,
};
use ohc::domain::poh::Entry;
use ohc::domain::receipt::{Claim, Flaw, Opening, Outcome, Receipt, Seal};
use ohc::domain::slot::{Draft, Slot, commands_root};
use ohc::domain::terms::{Cause, Equipment};
use ohc::domain::verdict::{Audit, Finding, Found, Segment, Verdict};
use ohc::domain::vote::{Certificate, Evidence, Kind, Vote};

/// The lines of the golden file.
#[derive(Default)]
struct Lines {
    text: String,
}

impl Lines {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// Adds a value, which is also read back: its bytes have one meaning.
    fn both<T: Canonical + Decode>(&mut self, what: &str, value: &T) {
        let again = T::from_bytes(&value.to_bytes());
        let again = again.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(again.to_bytes(), value.to_bytes(), "{what}");
        self.line(&format!("{:20} {what:24} {}", T::TAG, value.digest()));
    }
}

const LEASE: LeaseId = LeaseId { block: BlockId { run: RunId(7), index: 3 }, attempt: 2 };
const SEGMENT: Segment = Segment { job: JobId(4), index: 1 };

fn digest(n: u8) -> Digest {
    Digest([n; 32])
}

fn key(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32])
}

fn nano(n: u64) -> Ohc {
    Ohc::from_nano(n)
}

const MERGE: Merge =
    Merge { rule: Rule::TrimmedMean { trim: 1 }, quorum: 3, lr: 0.7, momentum: 0.9 };

fn specs() -> Vec<Spec> {
    let model = Model::Mlp { hidden: vec![16, 8], activation: Activation::Tanh };
    let optimizer =
        Optimizer::AdamW { lr: 0.01, beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 };
    vec![
        Spec::Ingest(Ingest::unpinned(Reading::csv()).pinned(&pin(), 0, 1).expect("one chunk")),
        Spec::Split(Split {
            ratios: vec![("train".into(), 0.8), ("test".into(), 0.2)],
            dealing: Dealing::Stratified("species".into()),
            seed: 7,
        }),
        Spec::Train(Train {
            task: Task::Classification,
            model,
            targets: vec!["species".into()],
            features: None,
            class_weights: ClassWeights::Of([("setosa".into(), 2.0)].into()),
            epochs: 60,
            batch: 32,
            accumulate: 1,
            optimizer,
            schedule: Schedule { decay: Decay::Cosine, warmup: 0.5, end: 0.125 },
            clip: Some(1.0),
            validation: Some(0.25),
            early_stopping: Some(EarlyStopping { patience: 5, min_delta: 0.0 }),
            seed: 1,
            scaling: Scaling::Standard,
            part: Part::of(1, 3),
            parallel: Some(Parallel::Whole(Rounds {
                shards: 4,
                rounds: 8,
                local_steps: 20,
                merge: MERGE,
                grace_ms: Some(30_000),
                deltas: Deltas::Int8,
                alone: 2,
            })),
            segments: 12,
            mode: Mode::Fast,
        }),
        Spec::Evaluate(Evaluate { select: Some(Metric::Accuracy.best()) }),
        Spec::Noop(Noop { tag: 9 }),
        Spec::Transform(Transform {
            steps: vec![
                Step::Derive(vec![("ratio".into(), formula("a / b"))]),
                Step::Fill(Fill { columns: vec!["a".into()], with: Filling::Median }),
                Step::Shuffle { seed: 7 },
            ],
        }),
        Spec::Predict(Predict { keep: Some(vec!["id".into()]), probabilities: true }),
        Spec::Export(Export {
            format: ModelFormat::Safetensors,
            description: None,
            held_out: false,
        }),
        Spec::Merge(MERGE),
        Spec::MergeDeltas(MERGE),
        Spec::Ingest(Ingest::unpinned(Reading {
            format: Format::Png(Images { label: Label::First(b'-'), channels: Some(3) }),
            ..Reading::csv()
        })),
        Spec::Perplexity(Perplexity {
            column: "text".into(),
            joined: true,
            length: 512,
            stride: 256,
        }),
    ]
}

fn formula(text: &str) -> Formula {
    Formula::parse(text).expect("a formula")
}

fn commands() -> Vec<Command> {
    let claim = Claim {
        job: JobId(4),
        outputs: vec![digest(1), digest(2)],
        bytes: 4_096,
        read: 9_000,
        given: 1_024,
        segments: vec![digest(3)],
        metrics: vec![("loss".into(), 0.25)],
    };
    let (message, hint) = ("no".into(), "lower the rate".into());
    let failed = Outcome::Failed { job: JobId(4), message, hint, flaw: Flaw::Job };
    let object = Finding::Object { segment: SEGMENT, found: Found::State(digest(5)) };
    let (trace, salt) = (digest(7), digest(8));
    let verdict = |finding| Verdict { lease: LEASE, receipt: digest(4), finding, trace, salt };
    let said = Move { lease: LEASE, round: 1, steps: 9, state: digest(5) };
    vec![
        Command::Transfer { to: key(2).public(), amount: nano(5) },
        Command::Submit(Box::new(Submission {
            manifest: "apiVersion: ohc/v1alpha1\n".into(),
            params: vec![("epochs".into(), "5".into())],
            pins: vec![pin()],
            budget: nano(5_000_000_000),
            fresh: vec![digest(6)],
        })),
        Command::Cancel { run: RunId(7) },
        Command::Bid(Bid {
            ask: Price::new(800),
            capacity: Work::new(25),
            has: Equipment { cores: 2, memory: 3, gpus: 4 },
        }),
        Command::Pause { run: RunId(7) },
        Command::Resume { run: RunId(7), added: nano(5) },
        Command::Withdraw,
        Command::Heartbeat(vec![Beat { lease: LEASE, step: 12 }]),
        Command::Deliver(vec![
            Receipt { lease: LEASE, outcome: Outcome::Done(vec![claim]) },
            Receipt { lease: LEASE, outcome: failed },
        ]),
        Command::Judge(vec![
            verdict(Finding::Agree),
            verdict(object),
            verdict(Finding::Deny { segment: SEGMENT }),
            verdict(Finding::Object { segment: SEGMENT, found: Found::Withheld }),
            verdict(Finding::Object { segment: SEGMENT, found: Found::Lost(digest(9)) }),
        ]),
        Command::Tender(vec![Tender { block: LEASE.block, seal: digest(6) }]),
        Command::Tell(vec![Revealed { block: LEASE.block, ask: Price::new(800), salt: digest(7) }]),
        Command::Reveal(Reveal { value: Some(digest(1)), next: digest(2) }),
        Command::SealVerdicts(vec![verdict(Finding::Agree).seal(key(3).public(), Seed(digest(9)))]),
        Command::Bisect(vec![said]),
        Command::Challenge { lease: LEASE, segment: SEGMENT },
        Command::Seal(vec![Seal { lease: LEASE, seal: digest(6) }]),
        Command::Open(vec![Opening {
            receipt: Receipt { lease: LEASE, outcome: Outcome::Done(Vec::new()) },
            salt: digest(7),
        }]),
        Command::Bond { amount: nano(40_000) },
        Command::Unbond { amount: nano(40_000) },
        Command::Accuse(Box::new(evidence())),
        Command::Upload { bytes: 1_024 },
    ]
}

/// A validator that votes for two heads.
fn evidence() -> Evidence {
    let network = NetworkId(digest(1));
    let vote = |n| {
        let (height, kind) = (Height(3), Kind::Prevote);
        key(3).seal(network, Vote { height, round: 1, kind, head: Some(digest(n)) })
    };
    Evidence::Votes { one: vote(1), other: vote(2) }
}

fn pin() -> Pin {
    let column = |name: &str, kind| Column { name: name.into(), kind };
    let columns = vec![column("a", ColumnKind::Real), column("b", ColumnKind::Text)];
    let (digest, bytes, rows) = (digest(9), 3_858, 150);
    let groups = Some(Groups { first: 0, count: 2 });
    let chunks = vec![Chunk { digest, bytes, rows, first_line: 2, groups }];
    Pin { source: "rows".into(), digest, bytes, rows, columns, chunks }
}

fn events(worker: PublicKey) -> Vec<Event> {
    let (lease, block, run, validator) = (LEASE, LEASE.block, RunId(7), key(3).public());
    let (amount, job) = (nano(11), JobId(4));
    let ended = |ending| Event::Ended { run, ending, refund: amount };
    let audit = Audit { committee: vec![validator], segments: vec![SEGMENT] };
    let (from, objector) = (digest(1), digest(3));
    let step = bisection::Step { index: 3, from, worker: digest(2), objector };
    vec![
        Event::Rejected { author: worker, nonce: 3, reason: Reject::NoLease },
        Event::Transferred { from: worker, to: validator, amount },
        Event::Submitted { run, client: worker, subject: digest(8), budget: amount },
        Event::Uploading { author: worker, bytes: 1_024 },
        Event::BidPlaced { worker },
        Event::BidGone { worker },
        Event::Cached { run, job },
        Event::Offered { block, attempt: 1, reserve: amount, gas: amount },
        Event::Repriced { block, reserve: amount },
        Event::Leased { lease, worker, price: amount, bond: amount, work: Work::new(100) },
        Event::Lapsed { lease, worker, cause: Cause::Timeout, fine: amount },
        Event::Released { lease, worker },
        Event::Failed { run, job, message: "no".into(), hint: "do".into() },
        Event::GivenUp { block, why: GaveUp::Deadline },
        Event::GivenUp { block, why: GaveUp::Budget },
        Event::GivenUp { block, why: GaveUp::Lost },
        Event::Skipped { run, job, why: Skip::Condition },
        Event::Skipped { run, job, why: Skip::Needs(job) },
        Event::Skipped { run, job, why: Skip::FailFast(job) },
        Event::Skipped { run, job, why: Skip::Beaten },
        Event::Resumed { run, added: amount },
        Event::Delivered { lease, receipt: digest(4) },
        Event::Drawn { lease, audit },
        Event::Disputed { lease, validator, segment: SEGMENT },
        Event::Overruled { lease, validator, fine: amount },
        Event::Slashed { lease, worker, bond: amount, segment: SEGMENT },
        Event::Settled { lease, worker, reward: amount, gas: amount },
        Event::Paused { run, reason: Pause::NoBids },
        Event::Paused { run, reason: Pause::Budget },
        ended(Ending::Settled),
        ended(Ending::Failed { job, message: "no".into(), hint: "do".into() }),
        Event::Paused { run, reason: Pause::StageBudget { stage: "train".into() } },
        Event::Paused { run, reason: Pause::Client },
        ended(Ending::Exhausted { block, why: GaveUp::Attempts(Cause::NoBids) }),
        ended(Ending::Cancelled),
        ended(Ending::Overdue),
        ended(Ending::Unpaid),
        Event::Absent { validator, fine: amount },
        Event::Redrawn { lease, committee: vec![validator] },
        Event::Lazy { lease, validator, challenger: Some(worker), fine: amount },
        Event::Narrowed { lease, step },
        Event::Challenged { lease, by: worker, segment: SEGMENT, deposit: amount },
        Event::Dismissed { lease, by: worker, deposit: amount },
        Event::Revoked { lease, worker, fine: amount },
        Event::Voided { lease, worker, artifact: digest(9) },
        Event::Late { lease, ticks: 3, grace: 8, price: amount },
        Event::BaseMoved { was: Price::new(8), price: Price::new(9), unfilled_ppm: 60_000 },
        Event::Charged { author: worker, refused: 2, fee: amount },
        Event::Sealed { lease, seal: digest(6) },
        Event::Opening { block, ticks: 200 },
        Event::Tendered { block, ticks: 200 },
        Event::BidSealed { block, worker, bond: amount },
        Event::BidTold { block, worker, ask: Price::new(800) },
        Event::BidLost { block, worker, fine: amount },
        Event::Bonded { validator, amount },
        Event::Unbonded { validator, amount },
        Event::Joined { validator, stake: amount },
        Event::Left { validator },
        Event::Locked { validator, amount, until: Tick(9) },
        Event::Unlocked { validator, amount },
        Event::Equivocated { validator, height: Height(3), by: worker, fine: amount },
        Event::Snapshot { parts: digest(4), bytes: 700_000 },
        Event::SetChanged { was: [(worker, amount)].into(), now: [(validator, amount)].into() },
    ]
}

fn genesis() -> Genesis {
    let allocations = vec![Allocation { key: key(1).public(), balance: nano(60), stake: nano(40) }];
    Genesis { name: "golden".into(), salt: [5; 32], params: Params::embedded(), allocations }
}

#[test]
fn every_kind_of_job_is_a_class_that_workers_can_name() {
    for spec in specs() {
        assert!(ohc::domain::classes::Classes::of(spec.kind()).is_some(), "{}", spec.kind());
    }
}

#[test]
fn the_digest_of_every_type_is_golden() {
    let mut lines = Lines::default();
    let network = genesis().network();
    lines.both("genesis", &genesis());
    for spec in specs() {
        lines.both(spec.kind(), &spec);
        let input = Input { name: "data".into(), digest: digest(1) };
        let job_key = job_key(&spec, &[input]);
        let name = format!("{} key", spec.kind());
        lines.line(&format!("{:20} {name:24} {job_key}", "ohc/job-key/1"));
    }
    lines.both("pin", &pin());
    for (nonce, command) in (1u64..).zip(commands()) {
        let name = format!("{command:?}");
        let name: String = name.chars().take_while(char::is_ascii_alphanumeric).collect();
        lines.both(&name, &command);
        match &command {
            Command::Submit(submission) => lines.both("submission", submission.as_ref()),
            Command::Deliver(receipts) => receipts.iter().for_each(|r| lines.both("receipt", r)),
            Command::Judge(verdicts) => verdicts.iter().for_each(|v| lines.both("verdict", v)),
            _ => {}
        }
        lines.both("order", &Order { nonce, command });
    }
    let worker = key(2).public();
    for event in events(worker) {
        lines.both("event", &event);
    }
    let (all, root) = (events_digest(&events(worker)), events_root(&events(worker)));
    lines.line(&format!("{:20} {:24} {all}", "ohc/events/1", "all events"));
    lines.line(&format!("{:20} {:24} {root}", "ohc/shown/1", "the first that shows"));

    let orders: Vec<_> = (1u64..)
        .zip(commands())
        .map(|(nonce, command)| key(2).seal(network, Order { nonce, command }))
        .collect();
    let entry = Entry { hashes: 3, hash: digest(7), mixin: Some(commands_root(&orders)) };
    lines.both("entry", &entry);
    let draft = Draft {
        height: Height(1),
        proposer: key(1).public(),
        poh: vec![entry],
        commands: orders.clone(),
    };
    let head = draft.head(network.0, root);
    lines.both("head", &head);
    let mut certificate = Certificate::default();
    let vote = certificate.vote(head.height, head.digest());
    lines.both("vote", &vote);
    certificate.signatures.insert(key(1).public(), key(1).sign(network, &vote));
    let slot = Slot { head, poh: draft.poh, commands: draft.commands, certificate };
    lines.both("slot", &slot);
    let commands = commands_root(&orders);
    lines.line(&format!("{:20} {:24} {commands}", "ohc/commands/1", "all commands"));
    let seed = Seed::of_chain(digest(7));
    lines.line(&format!("{:20} {:24} {}", "ohc/seed/1", "seed", seed.0));
    let rolls: Vec<u32> = (0..6).map(|n| seed.below(1_000_000, "golden", LEASE, n)).collect();
    lines.line(&format!("{:20} {:24} {rolls:?}", "ohc/roll/1", "six numbers below 10^6"));
    super::check("tests/data/digests.txt", &lines.text);
}
