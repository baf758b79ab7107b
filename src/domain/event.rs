//! Events: the closed list of what the fold derives from commands and slot boundaries.
//! Never stored as truth: replay gives them again, and a slot commits to their root.

mod about;
mod reject;
mod root;

pub use reject::Reject;
pub use root::{events_digest, events_root, shown_root};

use super::bisection::Step;
use super::terms::Cause;
use super::verdict::{Audit, Segment};
use crate::base::amount::{Ohc, Price, Work};
use crate::base::canon::{Digest, canonical_enum};
use crate::base::ids::{BlockId, JobId, LeaseId, RunId};
use crate::base::keys::PublicKey;
use crate::base::time::{Height, Tick};
use std::collections::BTreeMap;

/// Something that happened because the rules say so.
#[derive(Clone, PartialEq, Debug)]
pub enum Event {
    /// A command had no effect.
    Rejected {
        /// Whose.
        author: PublicKey,
        /// Its number.
        nonce: u64,
        /// Why.
        reason: Reject,
    },
    /// Balance moved.
    Transferred {
        /// The payer.
        from: PublicKey,
        /// The payee.
        to: PublicKey,
        /// How much.
        amount: Ohc,
    },
    /// A run began; its budget is in escrow.
    Submitted {
        /// The run.
        run: RunId,
        /// Who pays.
        client: PublicKey,
        /// What is wanted.
        subject: Digest,
        /// What is locked.
        budget: Ohc,
    },
    /// A worker's bid stands.
    BidPlaced {
        /// The worker.
        worker: PublicKey,
    },
    /// A worker's bid is gone: withdrawn, or lost with a lapsed lease.
    BidGone {
        /// The worker.
        worker: PublicKey,
    },
    /// The result of a job was known: nothing is run or paid.
    Cached {
        /// The run.
        run: RunId,
        /// The job.
        job: JobId,
    },
    /// A block waits for a worker.
    Offered {
        /// The block.
        block: BlockId,
        /// Which attempt this would be.
        attempt: u32,
        /// The most that is paid for it.
        reserve: Ohc,
        /// What the validators get.
        gas: Ohc,
    },
    /// Nobody took an offer: its reserve rises by 1/8.
    Repriced {
        /// The block.
        block: BlockId,
        /// The most that is paid for it now.
        reserve: Ohc,
    },
    /// A worker holds a block.
    Leased {
        /// The attempt.
        lease: LeaseId,
        /// Who.
        worker: PublicKey,
        /// What it will be paid.
        price: Ohc,
        /// What it has at risk.
        bond: Ohc,
        /// How much work it is.
        work: Work,
    },
    /// A worker was silent or late: the lease is over, the block is on offer again.
    Lapsed {
        /// The attempt.
        lease: LeaseId,
        /// Who.
        worker: PublicKey,
        /// Silent or late.
        cause: Cause,
        /// What it lost of its bond.
        fine: Ohc,
    },
    /// A lease is over because its block is not wanted any more: the bond is back.
    Released {
        /// The attempt.
        lease: LeaseId,
        /// Who.
        worker: PublicKey,
    },
    /// A receipt is committed.
    Delivered {
        /// The attempt.
        lease: LeaseId,
        /// The receipt.
        receipt: Digest,
    },
    /// What of a receipt is re-executed.
    Drawn {
        /// The attempt.
        lease: LeaseId,
        /// The draw.
        audit: Audit,
    },
    /// A validator objects: the segment is re-executed by all.
    Disputed {
        /// The attempt.
        lease: LeaseId,
        /// Who objects.
        validator: PublicKey,
        /// To what.
        segment: Segment,
    },
    /// An objection did not hold: its author pays.
    Overruled {
        /// The attempt.
        lease: LeaseId,
        /// Who objected.
        validator: PublicKey,
        /// What it lost.
        fine: Ohc,
    },
    /// A receipt was false: its bond is forfeit.
    Slashed {
        /// The attempt.
        lease: LeaseId,
        /// Who.
        worker: PublicKey,
        /// What it lost.
        bond: Ohc,
        /// Where it was false.
        segment: Segment,
    },
    /// A receipt was accepted and paid.
    Settled {
        /// The attempt.
        lease: LeaseId,
        /// Who worked.
        worker: PublicKey,
        /// What it got.
        reward: Ohc,
        /// What the validators got.
        gas: Ohc,
    },
    /// A job fails for every honest worker.
    Failed {
        /// The run.
        run: RunId,
        /// The job.
        job: JobId,
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: String,
    },
    /// A block is not tried again.
    GivenUp {
        /// The block.
        block: BlockId,
        /// Why.
        why: GaveUp,
    },
    /// A job is not run, and nothing is paid for it.
    Skipped {
        /// The run.
        run: RunId,
        /// The job.
        job: JobId,
        /// Why.
        why: Skip,
    },
    /// A run that stood still goes on.
    Resumed {
        /// The run.
        run: RunId,
        /// What was added to its escrow.
        added: Ohc,
    },
    /// A run stands still until its client does something.
    Paused {
        /// The run.
        run: RunId,
        /// Why.
        reason: Pause,
    },
    /// A validator was not there when it was its turn: it is not counted on until it speaks again.
    Absent {
        /// Who.
        validator: PublicKey,
        /// What it lost.
        fine: Ohc,
    },
    /// Others re-execute in the place of validators that were not there, or too.
    Redrawn {
        /// The attempt.
        lease: LeaseId,
        /// Who re-executes now.
        committee: Vec<PublicKey>,
    },
    /// A validator agreed to what it had not re-executed.
    Lazy {
        /// The attempt.
        lease: LeaseId,
        /// Who.
        validator: PublicKey,
        /// Who found out by a challenge, and has half of what it lost.
        challenger: Option<PublicKey>,
        /// What it lost.
        fine: Ohc,
    },
    /// Worker and objector part at one step: the validators execute that one again.
    Narrowed {
        /// The attempt.
        lease: LeaseId,
        /// The step, and what each says.
        step: Step,
    },
    /// Somebody objects to what is settled: the segment is re-executed by all.
    Challenged {
        /// The attempt.
        lease: LeaseId,
        /// Who.
        by: PublicKey,
        /// To what.
        segment: Segment,
        /// What it loses if it is wrong.
        deposit: Ohc,
    },
    /// A challenge did not hold: its deposit is lost.
    Dismissed {
        /// The attempt.
        lease: LeaseId,
        /// Whose it was.
        by: PublicKey,
        /// What it lost.
        deposit: Ohc,
    },
    /// A challenge held: the result is not used again.
    Revoked {
        /// The attempt.
        lease: LeaseId,
        /// Whose result it was.
        worker: PublicKey,
        /// What it lost.
        fine: Ohc,
    },
    /// Nobody can say whether a receipt is true, and its worker cannot help it: it is not paid, and
    /// keeps its bond.
    Voided {
        /// The attempt.
        lease: LeaseId,
        /// Whose.
        worker: PublicKey,
        /// What is lost.
        artifact: Digest,
    },
    /// A run is over; what its escrow still held went back.
    Ended {
        /// The run.
        run: RunId,
        /// How.
        ending: Ending,
        /// What went back.
        refund: Ohc,
    },
    /// A receipt came after the deadline of its lease, within the grace: it is worth less.
    Late {
        /// The attempt.
        lease: LeaseId,
        /// Ticks after the deadline.
        ticks: u64,
        /// Ticks after which it would have been worth nothing.
        grace: u64,
        /// What it will be paid now.
        price: Ohc,
    },
    /// A replica is answered under a seal.
    Sealed {
        /// The attempt.
        lease: LeaseId,
        /// The seal.
        seal: Digest,
    },
    /// All replicas of a lot are answered: what is sealed is to be told.
    Opening {
        /// The first block of the lot.
        block: BlockId,
        /// Ticks for that.
        ticks: u64,
    },
    /// A sealed auction takes bids for a block.
    Tendered {
        /// The block.
        block: BlockId,
        /// Ticks in which it does; it takes as many to tell them.
        ticks: u64,
    },
    /// A bid for one block is there, under a seal.
    BidSealed {
        /// The block.
        block: BlockId,
        /// Whose.
        worker: PublicKey,
        /// What it has at risk until it is told.
        bond: Ohc,
    },
    /// A bid for one block is told.
    BidTold {
        /// The block.
        block: BlockId,
        /// Whose.
        worker: PublicKey,
        /// Nano-OhC per unit of work.
        ask: Price,
    },
    /// A bid that was sealed was not told: what was at risk is burned.
    BidLost {
        /// The block.
        block: BlockId,
        /// Whose.
        worker: PublicKey,
        /// What it lost.
        fine: Ohc,
    },
    /// An epoch is over: blocks are offered at another base price from here on.
    BaseMoved {
        /// Before, in nano-OhC per unit of work.
        was: Price,
        /// From now on.
        price: Price,
        /// The share of the work asked for that nobody took, in parts per million.
        unfilled_ppm: u64,
    },
    /// A command costs its author this, beside what it is about: burned.
    Fee {
        /// Whose.
        author: PublicKey,
        /// How much.
        fee: Ohc,
    },
    /// Somebody may bring so many bytes to the store; what that costs is a fee.
    Uploading {
        /// Who.
        author: PublicKey,
        /// How many, beside those that were paid for before.
        bytes: u64,
    },
    /// Commands were refused, and their author pays for the trouble.
    Charged {
        /// Whose.
        author: PublicKey,
        /// How many.
        refused: u32,
        /// What it lost: burned.
        fee: Ohc,
    },
    /// Coins wait to be stake, until validators come and go the next time.
    Bonded {
        /// Whose.
        validator: PublicKey,
        /// How many.
        amount: Ohc,
    },
    /// Coins are to leave a stake when validators come and go the next time.
    Unbonded {
        /// Whose.
        validator: PublicKey,
        /// How many.
        amount: Ohc,
    },
    /// A validator is one from here on, or another stake of it counts.
    Joined {
        /// Who.
        validator: PublicKey,
        /// What counts.
        stake: Ohc,
    },
    /// A validator is none from here on.
    Left {
        /// Who.
        validator: PublicKey,
    },
    /// Coins have left a stake: they are locked, and at risk still.
    Locked {
        /// Whose.
        validator: PublicKey,
        /// How many.
        amount: Ohc,
        /// When they are free.
        until: Tick,
    },
    /// Coins of a stake are free.
    Unlocked {
        /// Whose.
        validator: PublicKey,
        /// How many.
        amount: Ohc,
    },
    /// A validator signed two things at once: it loses of its stake, and leaves.
    Equivocated {
        /// Who.
        validator: PublicKey,
        /// About which slot.
        height: Height,
        /// Who showed it.
        by: PublicKey,
        /// What it lost: nearly all of it is burned.
        fine: Ohc,
    },
    /// The log commits to the state after this slot: whoever comes late may go on from it.
    Snapshot {
        /// The digest of the digests of its parts.
        parts: Digest,
        /// Its canonical bytes.
        bytes: u64,
    },
    /// Validators have come, gone, or count for more or less: from the next slot on these sign.
    SetChanged {
        /// Who signed so far, this slot too.
        was: BTreeMap<PublicKey, Ohc>,
        /// Who signs from here on.
        now: BTreeMap<PublicKey, Ohc>,
    },
}
canonical_enum!(Event {
    1 => Rejected { author, nonce, reason },
    2 => Transferred { from, to, amount },
    3 => Submitted { run, client, subject, budget },
    4 => BidPlaced { worker },
    5 => BidGone { worker },
    6 => Cached { run, job },
    7 => Offered { block, attempt, reserve, gas },
    8 => Repriced { block, reserve },
    9 => Leased { lease, worker, price, bond, work },
    10 => Lapsed { lease, worker, cause, fine },
    11 => Delivered { lease, receipt },
    12 => Drawn { lease, audit },
    13 => Disputed { lease, validator, segment },
    14 => Overruled { lease, validator, fine },
    15 => Slashed { lease, worker, bond, segment },
    16 => Settled { lease, worker, reward, gas },
    17 => Paused { run, reason },
    18 => Ended { run, ending, refund },
    19 => Released { lease, worker },
    20 => Failed { run, job, message, hint },
    21 => GivenUp { block, why },
    22 => Skipped { run, job, why },
    23 => Resumed { run, added },
    30 => Absent { validator, fine },
    31 => Redrawn { lease, committee },
    32 => Lazy { lease, validator, challenger, fine },
    33 => Narrowed { lease, step },
    34 => Challenged { lease, by, segment, deposit },
    35 => Dismissed { lease, by, deposit },
    36 => Revoked { lease, worker, fine },
    37 => Voided { lease, worker, artifact },
    40 => Late { lease, ticks, grace, price },
    41 => BaseMoved { was, price, unfilled_ppm },
    42 => Charged { author, refused, fee },
    59 => Fee { author, fee },
    60 => Uploading { author, bytes },
    43 => Sealed { lease, seal },
    44 => Opening { block, ticks },
    45 => Tendered { block, ticks },
    46 => BidSealed { block, worker, bond },
    47 => BidTold { block, worker, ask },
    48 => BidLost { block, worker, fine },
    50 => Bonded { validator, amount },
    51 => Unbonded { validator, amount },
    52 => Joined { validator, stake },
    53 => Left { validator },
    54 => Locked { validator, amount, until },
    55 => Unlocked { validator, amount },
    56 => Equivocated { validator, height, by, fine },
    57 => Snapshot { parts, bytes },
    58 => SetChanged { was, now },
} tag "ohc/event/1");

/// Why a block is not tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GaveUp {
    /// Its last attempt came to nothing for this cause, or this cause is not tried again.
    Attempts(Cause),
    /// It took longer than the deadline of its stage.
    Deadline,
    /// It costs more than what is left of the budget of its stage.
    Budget,
    /// What it is computed from is lost.
    Lost,
}
canonical_enum!(GaveUp { 1 => Attempts(x), 2 => Deadline, 3 => Budget, 4 => Lost });

/// Why a job is not run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Skip {
    /// The condition of its stage does not hold.
    Condition,
    /// This job, which it needs or was sold with, has no result.
    Needs(JobId),
    /// This job of its stage came to nothing, and the first failure ends the stage.
    FailFast(JobId),
    /// Enough others of its stage did better on the rung before.
    Beaten,
}
canonical_enum!(Skip { 1 => Condition, 2 => Needs(x), 3 => FailFast(x), 4 => Beaten });

/// Why a run stands still.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Pause {
    /// Nobody took a block at its highest price.
    NoBids,
    /// The escrow does not cover the next block.
    Budget,
    /// What is left of the budget of a stage does not cover its next block.
    StageBudget {
        /// The stage.
        stage: String,
    },
    /// Its client wants it to.
    Client,
}
canonical_enum!(Pause { 1 => NoBids, 2 => Budget, 3 => StageBudget { stage }, 4 => Client });

/// How a run is over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// Every job has a settled result, was skipped, or came to nothing in a stage whose failures
    /// let the run go on.
    Settled,
    /// A job fails for every honest worker.
    Failed {
        /// The job.
        job: JobId,
        /// What is wrong.
        message: String,
        /// What to do about it.
        hint: String,
    },
    /// A block was given up.
    Exhausted {
        /// The block.
        block: BlockId,
        /// Why.
        why: GaveUp,
    },
    /// The client stopped it.
    Cancelled,
    /// It took longer than its deadline.
    Overdue,
    /// Its escrow does not cover the next block, and it is not to wait for more.
    Unpaid,
}
canonical_enum!(Ending {
    1 => Settled,
    2 => Failed { job, message, hint },
    3 => Exhausted { block, why },
    4 => Cancelled,
    5 => Overdue,
    6 => Unpaid,
});

impl Event {
    /// Whether it shows something to whoever has no log: who the validators are, or what the state
    /// was. A slot has one such event at the most.
    #[must_use]
    pub const fn is_milestone(&self) -> bool {
        matches!(self, Self::Snapshot { .. } | Self::SetChanged { .. })
    }
}
