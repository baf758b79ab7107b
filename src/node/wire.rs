//! The wire: what nodes of a network say to each other, on which subjects, in which frames.
//! Never sends or keeps anything, and believes nothing: who reads a message checks what is signed.
//!
//! `N` are the first 16 hex digits of the network id, `K` those of a public key:
//!
//! | subject | frame of | from | to |
//! |---|---|---|---|
//! | `ohc.N.command.K` | a signed order | anybody, as K | all validators |
//! | `ohc.N.consensus.K` | a message of the agreement | validator K | all validators |
//! | `ohc.N.slot` | a final slot | its proposer | everybody |
//! | `ohc.N.head.K` | a signed [`Pulse`] | validator K | everybody |
//! | `ohc.N.fetch.K` | an [`Ask`], answered by an [`Answer`] | anybody, as K | one validator |
//! | `ohc.N.fetch.V.K` | the same | anybody, as K | the validator whose name V is |
//! | `ohc.N.journal.R.K` | signed [`super::words::Words`] | worker K | who follows run R |
//!
//! A frame is a version (`u16`, little-endian), the first 8 bytes of the network id, and canonical
//! bytes. It has [`WIRE_BYTES_MAX`] bytes at the most. A message that is doubled or old does no
//! harm: orders have numbers, slots have heights, and the rest is only a hint.

use crate::base::canon::{Decode, DecodeError, Digest, Encode, canonical_enum, canonical_struct};
use crate::base::ids::{JobId, LeaseId, RunId};
use crate::base::keys::{NetworkId, PublicKey, Signed};
use crate::base::limits::WIRE_BYTES_MAX;
use crate::base::time::Height;
use crate::domain::milestone::{Milestone, Parts};
use crate::effects::artifacts::ObjectRequest;
use crate::role::quota::Sender;

/// The version of everything that is said here.
pub const VERSION: u16 = 1;
/// Bytes of a network id in a frame.
const NETWORK_BYTES: usize = 8;
/// What every inbox begins with.
const INBOX: &str = "_INBOX_";
/// What stands before the canonical bytes.
pub const HEADER_BYTES: usize = 2 + NETWORK_BYTES;
/// Those who answer on `ohc.N.fetch.K`: one of them gets each question.
pub const VALIDATORS: &str = "validators";

/// How far the log of a validator goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// Its last slot.
    pub height: Height,
    /// The digest of the head of that slot; of the genesis if there is none.
    pub head: Digest,
}
canonical_struct!(Pulse { height, head } tag "ohc/pulse/1");

/// A question to a validator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// What does the log begin with?
    Genesis,
    /// How far does it go?
    Pulse,
    /// Which slots are there from this one on?
    Slots {
        /// The first of them.
        from: Height,
    },
    /// What has this worker been leased? For those who follow the log and do not fold it.
    Work {
        /// Who.
        worker: PublicKey,
    },
    /// Which is the last state that the log commits to and you have?
    Snapshot,
    /// Which slots after this one have changed who validates?
    Milestones {
        /// The last that is known.
        after: Height,
    },
    /// What is this part of the state after that slot?
    Part {
        /// The slot that commits to the state.
        height: Height,
        /// Which part, from 0.
        part: u32,
    },
    /// With which query does the store take this request? For who signed it and asks.
    Presign(Signed<ObjectRequest>),
}
canonical_enum!(Ask {
    1 => Genesis,
    2 => Pulse,
    3 => Slots { from },
    4 => Work { worker },
    5 => Snapshot,
    6 => Milestones { after },
    7 => Part { height, part },
    8 => Presign(x),
});

/// A lease that somebody holds, and what is to be computed for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The lease.
    pub lease: LeaseId,
    /// The jobs, in an order in which every input is known when its turn comes.
    pub tasks: Vec<HeldTask>,
}
canonical_struct!(Held { lease, tasks });

/// One job of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldTask {
    /// The job.
    pub job: JobId,
    /// What kind it is: `noop`, `train`, …
    pub kind: String,
    /// What to compute, in canonical bytes.
    pub spec: Vec<u8>,
    /// From what, by name.
    pub inputs: Vec<(String, HeldInput)>,
}
canonical_struct!(HeldTask { job, kind, spec, inputs });

/// Where an input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldInput {
    /// The artifact store.
    Artifact(Digest),
    /// An earlier job of the same lease.
    Earlier {
        /// Its place.
        task: u32,
        /// The place of the output.
        output: u32,
    },
}
canonical_enum!(HeldInput { 1 => Artifact(x), 2 => Earlier { task, output } });

/// What a validator answers.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// The genesis.
    Genesis(Vec<u8>),
    /// So far, signed.
    Pulse(Signed<Pulse>),
    /// Consecutive slots, as many as fit; none if there is none yet.
    Slots {
        /// Each as it is in the log.
        slots: Vec<Vec<u8>>,
        /// The last slot that it has.
        last: Height,
    },
    /// It does not have what was asked for.
    Nothing,
    /// What a worker holds, as many as fit. It is one validator's word: whoever is misled by it
    /// loses the work and the fee of a refusal.
    Work(Vec<Held>),
    /// The last state that it has of those that the log commits to.
    Snapshot {
        /// What commits to it.
        milestone: Box<Milestone>,
        /// The digests of its parts.
        parts: Parts,
    },
    /// Slots that changed who validates, in their order, as many as fit; none if there are none.
    Milestones(Vec<Milestone>),
    /// One part of a state.
    Part(Vec<u8>),
    /// Those slots have been taken away here.
    Pruned {
        /// The first slot that is left.
        first: Height,
        /// The slot after which there is a state to go on from.
        snapshot: Height,
    },
    /// The query of a request to the store, with its signature. Whoever has it may make the
    /// request, for a while.
    Presigned(String),
    /// It was asked for more signatures than it gives in such a time: again, a little later.
    Later,
}
canonical_enum!(Answer {
    1 => Genesis(x),
    2 => Pulse(x),
    3 => Slots { slots, last },
    4 => Nothing,
    5 => Work(x),
    6 => Snapshot { milestone, parts },
    7 => Milestones(x),
    8 => Part(x),
    9 => Pruned { first, snapshot },
    10 => Presigned(x),
    11 => Later,
});

/// Why a message is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Too short to say what it is.
    #[error("a frame of {bytes} bytes says nothing")]
    Short {
        /// Its length.
        bytes: usize,
    },
    /// Longer than it may be.
    #[error("a frame of {bytes} bytes is longer than the {most} that are allowed")]
    Long {
        /// Its length.
        bytes: usize,
        /// What is allowed.
        most: usize,
    },
    /// Of another version of what is said here.
    #[error("a frame of version {version}; hint: this program speaks version {VERSION}")]
    Version {
        /// Which.
        version: u16,
    },
    /// Of another network.
    #[error("a frame of another network")]
    Network,
    /// Its bytes are not what belongs on this subject.
    #[error("a frame that makes no sense: {0}")]
    Nonsense(#[from] DecodeError),
}

/// The subjects and frames of one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wire {
    header: [u8; HEADER_BYTES],
    prefix: String,
}

impl Wire {
    /// Those of this network.
    #[must_use]
    pub fn new(network: NetworkId) -> Self {
        let mut header = [0; HEADER_BYTES];
        let id = network.0.as_bytes().iter().take(NETWORK_BYTES);
        let start = VERSION.to_le_bytes().into_iter().chain(id.copied());
        header.iter_mut().zip(start).for_each(|(byte, value)| *byte = value);
        Self { header, prefix: format!("ohc.{}", digits(&network.0)) }
    }

    /// Where commands go that this key sends, whoever signed them.
    #[must_use]
    pub fn command(&self, sender: &PublicKey) -> String {
        format!("{}.command.{}", self.prefix, short(sender))
    }

    /// Where commands of all go.
    #[must_use]
    pub fn command_of_all(&self) -> String {
        format!("{}.command.*", self.prefix)
    }

    /// Where a validator speaks to the others.
    #[must_use]
    pub fn consensus(&self, validator: &PublicKey) -> String {
        format!("{}.consensus.{}", self.prefix, short(validator))
    }

    /// Where all validators speak.
    #[must_use]
    pub fn consensus_of_all(&self) -> String {
        format!("{}.consensus.*", self.prefix)
    }

    /// Where final slots are told.
    #[must_use]
    pub fn slot(&self) -> String {
        format!("{}.slot", self.prefix)
    }

    /// Where a validator says how far its log goes.
    #[must_use]
    pub fn head(&self, validator: &PublicKey) -> String {
        format!("{}.head.{}", self.prefix, short(validator))
    }

    /// Where all say that.
    #[must_use]
    pub fn head_of_all(&self) -> String {
        format!("{}.head.*", self.prefix)
    }

    /// Where any validator is asked by who gets answers in this inbox.
    #[must_use]
    pub fn fetch(&self, inbox: &str) -> String {
        format!("{}.fetch.{}", self.prefix, owner(inbox))
    }

    /// Where any validator is asked by anybody.
    #[must_use]
    pub fn fetch_by_all(&self) -> String {
        format!("{}.fetch.*", self.prefix)
    }

    /// Where this validator, or each if none is named, is asked by who gets answers in this inbox.
    #[must_use]
    pub fn fetch_of(&self, validator: Option<&PublicKey>, inbox: &str) -> String {
        let validator = validator.map_or_else(|| "*".to_owned(), short);
        format!("{}.fetch.{validator}.{}", self.prefix, owner(inbox))
    }

    /// Where this validator is asked by anybody.
    #[must_use]
    pub fn fetch_of_by_all(&self, validator: &PublicKey) -> String {
        format!("{}.fetch.{}.*", self.prefix, short(validator))
    }

    /// Where a worker says what it does for a run.
    #[must_use]
    pub fn journal(&self, run: RunId, worker: &PublicKey) -> String {
        format!("{}.journal.{}.{}", self.prefix, run.0, short(worker))
    }

    /// Where all workers say what they do for a run.
    #[must_use]
    pub fn journal_of(&self, run: RunId) -> String {
        format!("{}.journal.{}.*", self.prefix, run.0)
    }

    /// Where a worker says what it does for any run; where all do.
    #[must_use]
    pub fn journals(&self, worker: Option<&PublicKey>) -> String {
        let who = worker.map_or_else(|| "*".to_owned(), short);
        format!("{}.journal.*.{who}", self.prefix)
    }

    /// A value as a message.
    #[must_use]
    pub fn frame(&self, what: &impl Encode) -> Vec<u8> {
        self.frame_bytes(&what.to_bytes())
    }

    /// Bytes that are canonical already as a message.
    #[must_use]
    pub fn frame_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        [self.header.as_slice(), bytes].concat()
    }

    /// The canonical bytes of a message that may have so many bytes in all.
    pub fn open<'a>(&self, frame: &'a [u8], bytes_max: usize) -> Result<&'a [u8], WireError> {
        let most = bytes_max.min(WIRE_BYTES_MAX);
        if frame.len() > most {
            return Err(WireError::Long { bytes: frame.len(), most });
        }
        let Some((header, bytes)) = frame.split_first_chunk::<HEADER_BYTES>() else {
            return Err(WireError::Short { bytes: frame.len() });
        };
        let [low, high, ..] = *header;
        let version = u16::from_le_bytes([low, high]);
        if version != VERSION {
            return Err(WireError::Version { version });
        }
        if *header == self.header { Ok(bytes) } else { Err(WireError::Network) }
    }

    /// The value of a message that may have so many bytes in all.
    pub fn unframe<T: Decode>(&self, frame: &[u8], bytes_max: usize) -> Result<T, WireError> {
        Ok(T::from_bytes(self.open(frame, bytes_max)?)?)
    }
}

/// The name of a key in subjects.
#[must_use]
pub fn short(key: &PublicKey) -> String {
    digits(&Digest(key.0))
}

/// What the subjects begin with on which a key gets answers.
#[must_use]
pub fn inbox(key: &PublicKey) -> String {
    format!("{INBOX}{}", short(key))
}

/// The name of the key that an inbox is for.
fn owner(inbox: &str) -> &str {
    inbox.strip_prefix(INBOX).unwrap_or_default()
}

/// The key that a subject ends with, as far as subjects tell keys apart.
#[must_use]
pub fn sender(subject: &str) -> Sender {
    named(subject.rsplit('.').next()?)
}

/// The key that asks on a subject and waits for its answer in its own inbox. Servers let nobody ask
/// under the name of another; where an answer goes they leave to who gives it.
#[must_use]
pub fn asker(subject: &str, reply: Option<&str>) -> Sender {
    let (inbox, _) = reply?.split_once('.')?;
    sender(subject).filter(|asker| named(owner(inbox)) == Some(*asker))
}

/// A key as servers know it.
#[must_use]
pub fn sender_of(key: &PublicKey) -> Sender {
    named(&short(key))
}

fn named(digits: &str) -> Sender {
    let is_name = digits.len() == 2 * NETWORK_BYTES && !digits.starts_with('+');
    is_name.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

fn digits(digest: &Digest) -> String {
    digest.to_string().chars().take(2 * NETWORK_BYTES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::BlockId;
    use crate::base::keys::SecretKey;
    use crate::domain::command::{Command, Order, SignedOrder};
    use crate::domain::slot::Slot;
    use crate::node::words::Words;
    use crate::role::consensus::Message;
    use proptest::prelude::*;

    fn wire(n: u8) -> Wire {
        Wire::new(NetworkId(Digest([n; 32])))
    }

    #[test]
    fn a_frame_is_read_by_its_network_and_its_version_alone() {
        let (here, ask) = (wire(7), Ask::Slots { from: Height(3) });
        let frame = here.frame(&ask);
        assert_eq!(frame, [&[1, 0], &[7; 8][..], &[3, 3, 0, 0, 0, 0, 0, 0, 0]].concat());
        assert_eq!(here.unframe(&frame, 99), Ok(ask));
        assert_eq!(wire(8).unframe::<Ask>(&frame, 99), Err(WireError::Network));
        let mut later = frame.clone();
        later[0] = 2;
        assert_eq!(here.unframe::<Ask>(&later, 99), Err(WireError::Version { version: 2 }));
        assert_eq!(here.open(&frame, 9), Err(WireError::Long { bytes: 19, most: 9 }));
        assert_eq!(here.open(&frame[..9], 99), Err(WireError::Short { bytes: 9 }));
        let long = vec![0; WIRE_BYTES_MAX + 1];
        assert!(matches!(here.open(&long, usize::MAX), Err(WireError::Long { .. })));
    }

    #[test]
    fn subjects_name_the_network_and_who_speaks() {
        let key = SecretKey::from_bytes(&[1; 32]).public();
        let k = short(&key);
        assert!(k.len() == 16 && key.to_string().starts_with(&k));
        let n = "07".repeat(8);
        assert_eq!(wire(7).command(&key), format!("ohc.{n}.command.{k}"));
        assert_eq!(wire(7).consensus(&key), format!("ohc.{n}.consensus.{k}"));
        let own = inbox(&key);
        assert_eq!(own, format!("_INBOX_{k}"));
        assert_eq!(wire(7).fetch(&own), format!("ohc.{n}.fetch.{k}"));
        let validator = SecretKey::from_bytes(&[2; 32]).public();
        let v = short(&validator);
        assert_eq!(wire(7).fetch_of(Some(&validator), &own), format!("ohc.{n}.fetch.{v}.{k}"));
        assert_eq!(wire(7).journal(RunId(3), &key), format!("ohc.{n}.journal.3.{k}"));
        assert_eq!(wire(7).journal_of(RunId(3)), format!("ohc.{n}.journal.3.*"));
        assert_eq!(wire(7).journals(Some(&key)), format!("ohc.{n}.journal.*.{k}"));
        let name = u64::from_str_radix(&k, 16).ok();
        assert_eq!(sender(&wire(7).command(&key)), name);
        for nobody in ["", "a", "ohc.command", "ohc.command.+12345678901234", &k[1..]] {
            assert_eq!(sender(nobody), None, "{nobody}");
        }
    }

    #[test]
    fn r13_an_answer_goes_to_the_inbox_of_who_asks_and_nowhere_else() {
        let [key, other] = [1, 2].map(|n| SecretKey::from_bytes(&[n; 32]).public());
        let (wire, own) = (wire(7), inbox(&key));
        let (reply, name) = (format!("{own}.a.b"), sender(&wire.command(&key)));
        for subject in [wire.fetch(&own), wire.fetch_of(Some(&other), &own)] {
            assert_eq!(asker(&subject, Some(&reply)), name);
            let foreign = [
                wire.slot(),
                wire.consensus(&other),
                wire.consensus(&key),
                format!("{}.a", inbox(&other)),
                format!("{own}0.a"),
                format!("a.{reply}"),
                own.clone(),
                String::new(),
            ];
            for reply in foreign.iter().map(|reply| Some(reply.as_str())).chain([None]) {
                assert_eq!(asker(&subject, reply), None, "{reply:?}");
            }
        }
        assert_eq!(asker("ohc.07.fetch", Some("_INBOX_test.a")), None);
        assert_eq!(asker("ohc.07.fetch.", Some("_INBOX_.a")), None);
    }

    fn held() -> Held {
        let lease = LeaseId { block: BlockId { run: RunId(1), index: 2 }, attempt: 1 };
        let digest = HeldInput::Artifact(Digest([3; 32]));
        let earlier = HeldInput::Earlier { task: 0, output: 1 };
        let inputs = vec![("a".into(), digest), ("b".into(), earlier)];
        let task = HeldTask { job: JobId(4), kind: "noop".into(), spec: vec![5], inputs };
        Held { lease, tasks: vec![task] }
    }

    #[test]
    fn what_is_said_reads_back() {
        let (here, key) = (wire(7), SecretKey::from_bytes(&[1; 32]));
        let network = NetworkId(Digest([7; 32]));
        let pulse = key.seal(network, Pulse { height: Height(4), head: Digest([9; 32]) });
        let answers = [
            Answer::Genesis(vec![1, 2]),
            Answer::Pulse(pulse),
            Answer::Slots { slots: vec![vec![1], vec![2, 3]], last: Height(9) },
            Answer::Nothing,
            Answer::Work(vec![held()]),
        ];
        for answer in answers {
            assert_eq!(here.unframe(&here.frame(&answer), 999), Ok(answer));
        }
    }

    proptest! {
        #[test]
        fn r13_no_message_panics_its_reader(mut frame: Vec<u8>, is_framed: bool) {
            let wire = wire(7);
            if is_framed {
                frame = wire.frame_bytes(&frame);
            }
            let _ = wire.unframe::<Ask>(&frame, WIRE_BYTES_MAX);
            let _ = wire.unframe::<Answer>(&frame, WIRE_BYTES_MAX);
            let _ = wire.unframe::<Signed<Pulse>>(&frame, WIRE_BYTES_MAX);
            let _ = wire.unframe::<SignedOrder>(&frame, WIRE_BYTES_MAX);
            let _ = wire.unframe::<Slot>(&frame, WIRE_BYTES_MAX);
            let _ = wire.unframe::<Message>(&frame, WIRE_BYTES_MAX);
            let _ = wire.unframe::<Signed<Words>>(&frame, WIRE_BYTES_MAX);
        }

        #[test]
        fn r13_a_message_with_a_wrong_bit_is_refused(at in 0usize..200, bit in 0u8..8) {
            let (wire, key) = (wire(7), SecretKey::from_bytes(&[1; 32]));
            let order = Order { nonce: 1, command: Command::Withdraw };
            let order = key.seal(NetworkId(Digest([7; 32])), order);
            let mut frame = wire.frame(&order);
            let at = at % frame.len();
            frame[at] ^= 1 << bit;
            if let Ok(read) = wire.unframe::<SignedOrder>(&frame, WIRE_BYTES_MAX) {
                prop_assert!(read.verify(NetworkId(Digest([7; 32]))).is_err());
            }
        }
    }
}
