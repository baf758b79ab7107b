//! Commands: the closed list of what participants sign and the log contains.
//! Never says what a command does: the fold does.

use super::beacon::Reveal;
use super::bisection::Move;
use super::classes::Classes;
use super::job::Pin;
use super::receipt::{Opening, Receipt, Seal};
use super::terms::Equipment;
use super::verdict::{SealedVerdict, Segment, Verdict};
use super::vote::Evidence;
use crate::base::amount::{Ohc, Price, Work};
use crate::base::canon::{Canonical, Digest, canonical_enum, canonical_struct};
use crate::base::ids::{BlockId, LeaseId, RunId};
use crate::base::keys::{PublicKey, Signed};
use crate::base::time::Height;

/// What a participant asks for. One command may carry many things: signatures cost 50 µs.
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    /// Moves balance to another account.
    Transfer {
        /// The payee.
        to: PublicKey,
        /// How much.
        amount: Ohc,
    },
    /// Asks for a pipeline and locks its budget in escrow.
    Submit(Box<Submission>),
    /// Stops a run of this client: what is delivered is settled, the rest is refunded.
    Cancel {
        /// The run.
        run: RunId,
    },
    /// Lets a run of this client stand still: nothing new is offered, what is leased is settled.
    Pause {
        /// The run.
        run: RunId,
    },
    /// Lets a run of this client that stands still go on.
    Resume {
        /// The run.
        run: RunId,
        /// What is added to its budget; may be nothing.
        added: Ohc,
    },
    /// Offers to work; replaces this worker's earlier bid.
    Bid(Bid),
    /// The same for blocks of these kinds of jobs alone.
    BidFor {
        /// The bid.
        bid: Bid,
        /// The kinds.
        classes: Classes,
    },
    /// Takes the worker's bid back.
    Withdraw,
    /// Keeps leases while there is progress.
    Heartbeat(Vec<Beat>),
    /// Claims to have worked.
    Deliver(Vec<Receipt>),
    /// Concludes about receipts.
    Judge(Vec<Verdict>),
    /// Reveals a value of the beacon and pledges the next.
    Reveal(Reveal),
    /// Seals verdicts that are said once all of the committee have sealed theirs.
    SealVerdicts(Vec<SealedVerdict>),
    /// Says what a state was in the course of a disputed segment.
    Bisect(Vec<Move>),
    /// Objects to what is settled already, with a deposit.
    Challenge {
        /// The attempt that was accepted.
        lease: LeaseId,
        /// Where it is false.
        segment: Segment,
    },
    /// Puts coins at stake: they count from the next boundary of the set on.
    Bond {
        /// How many.
        amount: Ohc,
    },
    /// Takes coins from the author's stake, from the next boundary of the set on.
    Unbond {
        /// How many.
        amount: Ohc,
    },
    /// Shows that a validator signed two things of which an honest one signs one.
    Accuse(Box<Evidence>),
    /// Answers for replicas without telling the answers.
    Seal(Vec<Seal>),
    /// Tells what was sealed, when all of a lot are.
    Open(Vec<Opening>),
    /// Bids for single blocks without telling the bids.
    Tender(Vec<Tender>),
    /// Tells such bids, when no more are taken.
    Tell(Vec<Revealed>),
    /// Pays for bytes that the author brings to the store: so many validators sign.
    Upload {
        /// How many.
        bytes: u64,
    },
}
canonical_enum!(Command {
    1 => Transfer { to, amount },
    2 => Submit(x),
    3 => Cancel { run },
    4 => Bid(x),
    5 => Withdraw,
    6 => Heartbeat(x),
    7 => Deliver(x),
    8 => Judge(x),
    9 => Pause { run },
    10 => Resume { run, added },
    11 => Reveal(x),
    12 => SealVerdicts(x),
    13 => Bisect(x),
    14 => Challenge { lease, segment },
    15 => Bond { amount },
    16 => Unbond { amount },
    17 => Accuse(x),
    20 => Seal(x),
    21 => Open(x),
    22 => Tender(x),
    23 => Tell(x),
    24 => BidFor { bid, classes },
    25 => Upload { bytes },
} tag "ohc/command/1");

/// A command and its place among its author's commands: a number counts once.
#[derive(Clone, PartialEq, Debug)]
pub struct Order {
    /// Greater than that of every earlier order of this author.
    pub nonce: u64,
    /// What is asked for.
    pub command: Command,
}
canonical_struct!(Order { nonce, command } tag "ohc/order/1");

/// An order with its author's signature.
pub type SignedOrder = Signed<Order>;

/// A pipeline to be run. The manifest travels, the plan is derived from it on every node.
#[derive(Clone, PartialEq, Debug)]
pub struct Submission {
    /// The manifest's text.
    pub manifest: String,
    /// Parameters that override its defaults, ascending by name.
    pub params: Vec<(String, String)>,
    /// What its sources were when the plan was made.
    pub pins: Vec<Pin>,
    /// Locked in escrow; what is not spent comes back.
    pub budget: Ohc,
    /// Keys of jobs whose settled results are not to be used: their artifacts are lost.
    pub fresh: Vec<Digest>,
}
canonical_struct!(Submission { manifest, params, pins, budget, fresh } tag "ohc/submission/1");

impl Submission {
    /// What the client wants, whatever it is ready to pay: two submissions of one subject are the
    /// same pipeline on the same data.
    #[must_use]
    pub fn subject(&self) -> Digest {
        Self { budget: Ohc::ZERO, fresh: Vec::new(), ..self.clone() }.digest()
    }
}

/// A worker's standing ask: for every block that it may have, until withdrawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bid {
    /// Nano-OhC per unit of work.
    pub ask: Price,
    /// Units of work that the worker takes on at a time; one block of any size always fits.
    pub capacity: Work,
    /// What it has: a block that needs more is not given to it.
    pub has: Equipment,
}
canonical_struct!(Bid { ask, capacity, has });

/// A bid for one block, under a seal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tender {
    /// The block.
    pub block: BlockId,
    /// The seal of what will be told.
    pub seal: Digest,
}
canonical_struct!(Tender { block, seal });

/// A bid for one block, told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Revealed {
    /// The block.
    pub block: BlockId,
    /// Nano-OhC per unit of work.
    pub ask: Price,
    /// What kept anybody from guessing it.
    pub salt: Digest,
}
canonical_struct!(Revealed { block, ask, salt });

struct TenderSource {
    block: BlockId,
    round: Height,
    ask: Price,
    salt: Digest,
    worker: PublicKey,
}
canonical_struct!(TenderSource { block, round, ask, salt, worker } tag "ohc/tender/1");

/// What a bidder signs to make the salt of a bid, and shows nobody.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TenderSalt {
    /// The block.
    pub block: BlockId,
    /// The slot with which its auction began.
    pub round: Height,
}
canonical_struct!(TenderSalt { block, round } tag "ohc/tender-salt/1");

impl Revealed {
    /// The seal on it, in the auction that began with slot `round`. It holds the worker's
    /// name: a seal that is copied cannot be told.
    #[must_use]
    pub fn seal(&self, round: Height, worker: PublicKey) -> Digest {
        let Self { block, ask, salt } = *self;
        TenderSource { block, round, ask, salt, worker }.digest()
    }
}

/// A sign of life for one lease.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Beat {
    /// The lease.
    pub lease: LeaseId,
    /// Steps done.
    pub step: u64,
}
canonical_struct!(Beat { lease, step });
