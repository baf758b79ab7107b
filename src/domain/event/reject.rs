//! Why commands are refused: the closed list. Never says what becomes of who sent one.

use crate::base::canon::canonical_enum;

/// Why a command had no effect.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Reject {
    /// Its number is not above the author's last one: a replay.
    #[error("its number was used before")]
    Replayed,
    /// A list is longer, or a text larger, than its bound; or it says nothing.
    #[error("it exceeds a bound, or says nothing")]
    Unbounded,
    /// The author cannot pay.
    #[error("the author cannot pay")]
    Short,
    /// The manifest does not compile, or its pins do not fit it.
    #[error("the manifest does not compile")]
    BadManifest,
    /// There is no such run, or it is over.
    #[error("there is no such run, or it is over")]
    NoRun,
    /// It is not the author's to decide.
    #[error("it is not the author's to decide")]
    NotYours,
    /// There is no such lease, or it is over.
    #[error("there is no such lease, or it is over")]
    NoLease,
    /// The receipt does not have the form that its block asks for.
    #[error("the receipt does not fit its block")]
    BadReceipt,
    /// There is no such receipt, or it is judged.
    #[error("there is no such receipt, or it is judged")]
    NoReceipt,
    /// This validator has spoken about this receipt.
    #[error("this validator has spoken about it")]
    Spoken,
    /// The run is paused or ending: it cannot be paused.
    #[error("the run does not go on")]
    NotRunning,
    /// The run is not paused: it cannot be resumed.
    #[error("the run is not paused")]
    NotPaused,
    /// It is not this validator's turn to reveal, or not what it had pledged.
    #[error("it is not what was pledged, or not the time to reveal it")]
    OutOfTurn,
    /// The verdict is not the one that was sealed, or others have not sealed theirs.
    #[error("the verdict is not sealed, or others have not sealed theirs")]
    Unsealed,
    /// Nobody asks this author for a state now.
    #[error("nobody asks this author for a state now")]
    NoDispute,
    /// What is missing may still come.
    #[error("what is missing may still come")]
    Early,
    /// The result is settled for too long, or challenged already.
    #[error("there is nothing to challenge, or no longer")]
    NoChallenge,
    /// The grace of the lease is over.
    #[error("the grace of its lease is over")]
    TooLate,
    /// All open escrows together would be more than a third of what validators have at stake.
    #[error("open escrows would be more than a third of what validators have at stake")]
    Uncovered,
    /// Its lease lapsed: the author has paid for that already.
    #[error("its lease lapsed")]
    Lapsed,
    /// Replicas are answered under a seal, other blocks openly.
    #[error("replicas are answered under a seal, other blocks openly")]
    WrongForm,
    /// It is not what was sealed.
    #[error("it is not what was sealed")]
    BrokenSeal,
    /// What is sealed is not told before all of its lot are sealed.
    #[error("it is too early to tell what is sealed")]
    TooEarly,
    /// There is no auction that takes or hears bids for this block now.
    #[error("no auction takes or hears bids for this block now")]
    NoAuction,
    /// Only who has a standing bid takes part in an auction.
    #[error("only who has a standing bid takes part in an auction")]
    NoBid,
    /// It is nothing, or too little for an account to begin with.
    #[error("it is nothing, or too little for an account to begin with")]
    Dust,
    /// So many runs of the author are open, or so many bids stand, that one more is too many.
    #[error("there are too many open already")]
    TooMany,
    /// The validators of this network never change.
    #[error("the validators of this network do not change")]
    FixedSet,
    /// A stake is more than the floor, or nothing.
    #[error("a stake is more than 39900 OhC, or nothing")]
    BelowFloor,
    /// There are as many validators as there may be.
    #[error("there are as many validators as there may be")]
    SetFull,
    /// Without this validator the network would have none.
    #[error("a network is not left without validators")]
    LastValidator,
    /// The author signed two things at once: its key is never a validator's again.
    #[error("the author signed two things at once, and is no validator any more")]
    Jailed,
    /// It does not show that anybody signed two things of one kind in one voting round.
    #[error("it does not show that anybody signed two things at once")]
    NoEvidence,
    /// Nobody is held any more to what was signed so long ago.
    #[error("nobody is held any more to what was signed so long ago")]
    TooOld,
    /// This validator was punished for this height.
    #[error("this validator was punished for this height")]
    Punished,
    /// The accused has nothing at stake.
    #[error("the accused has nothing at stake")]
    NoStake,
    /// The runs that began in this slot have as many jobs as a slot takes.
    #[error("other runs of this slot have many jobs: it may be sent again")]
    Crowded,
}
canonical_enum!(Reject {
    1 => Replayed,
    2 => Unbounded,
    3 => Short,
    4 => BadManifest,
    5 => NoRun,
    6 => NotYours,
    7 => NoLease,
    8 => BadReceipt,
    9 => NoReceipt,
    10 => Spoken,
    11 => NotRunning,
    12 => NotPaused,
    20 => OutOfTurn,
    21 => Unsealed,
    22 => NoDispute,
    23 => Early,
    24 => NoChallenge,
    30 => TooLate,
    31 => Uncovered,
    32 => Lapsed,
    33 => WrongForm,
    34 => BrokenSeal,
    35 => TooEarly,
    36 => NoAuction,
    37 => NoBid,
    38 => Dust,
    39 => TooMany,
    40 => FixedSet,
    41 => BelowFloor,
    42 => SetFull,
    43 => LastValidator,
    44 => Jailed,
    45 => NoEvidence,
    46 => TooOld,
    47 => Punished,
    48 => NoStake,
    49 => Crowded,
});
