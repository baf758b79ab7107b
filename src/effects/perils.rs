//! Perils: the places where a crash would be worst, each with a name, so that a test can have the
//! process killed at every one of them. Never does anything in a release, or where nobody asked.
//!
//! `OHC_CRASH_AT=store.written:3` in the environment of a build with debug assertions: when the
//! process passes that peril for the third time it gets a SIGKILL, which nothing can catch, as if
//! the power had gone. What it has written by then is what the next process finds.

use rustix::process::{Signal, getpid, kill_process};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The variable that names a peril and, behind a colon, the passing that is the last.
pub const VARIABLE: &str = "OHC_CRASH_AT";

macro_rules! perils {
    ($($peril:ident = $name:literal, $what:literal;)*) => {
        /// A place that a test can have the process killed at. Each says what is done by then, and
        /// what is not.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Peril {
            $(#[doc = $what] $peril,)*
        }

        impl Peril {
            /// All perils.
            pub const ALL: &[Self] = &[$(Self::$peril),*];

            /// Its name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$peril => $name,)*
                }
            }
        }
    };
}

perils! {
    HomeIgnored = "home.ignored", "The home's `.gitignore` is drafted, but not in its place.";
    KeyDrafted = "key.drafted", "A key is drafted, but has no name.";
    KeyNamed = "key.named", "A key has its name; its draft is still there.";
    KeySaved = "key.saved", "A key is there alone; its folder is not synced.";

    StoreCreating = "store.creating", "The sign of an unfinished creation is there, no database.";
    StoreMade = "store.made", "The database is there, and so is the sign.";
    StoreShortened = "store.shortened", "Its journal is short; the sign is still there.";
    StoreCreated = "store.created", "The sign is gone; nothing is stored.";
    StoreTorn = "store.torn", "An unfinished write was found, and is still there.";
    StoreCut = "store.cut", "An unfinished write was cut off.";
    StoreOpened = "store.opened", "The log is open.";
    StoreWriting = "store.writing", "A slot or record is about to be written.";
    StoreWritten = "store.written", "A slot or record is durable; nobody knows.";

    GenesisMade = "boot.genesis", "The genesis is made, not recorded.";
    GenesisKept = "boot.kept", "The genesis is recorded; nothing follows it.";
    BootFolded = "boot.folded", "The log is folded.";
    SnapshotDrafted = "snapshot.drafted", "A snapshot is drafted, but not in its place.";

    ArtifactMissing = "artifact.missing", "An artifact is hashed, and not there.";
    ArtifactWritten = "artifact.written", "An artifact is written.";
    ArtifactAside = "artifact.aside", "A damaged artifact is set aside.";

    SourceCut = "source.cut", "A piece of a source is kept; nobody knows it yet.";
    PinDrafted = "pin.drafted", "A pin is drafted, but not in its place.";
    PinKept = "pin.kept", "A pin is in its place.";
    LockDrafted = "lock.drafted", "A lock of sources is drafted, but not in its place.";
    LockWritten = "lock.written", "A lock of sources is in its place.";
    PlanDrafted = "plan.drafted", "A plan is drafted, but not in its place.";

    SocketCleared = "socket.cleared", "The socket of an earlier process is gone; there is none.";
    SocketBound = "socket.bound", "The socket is there; nobody listens.";
    AnswerReady = "attach.answer", "An attached process has asked; it has no answer.";
    ErrandTaken = "attach.errand", "An errand is understood; nothing of it is done.";
    ErrandDone = "attach.done", "An errand is in the log; whoever asked does not know.";
    Asked = "attach.asked", "A process has sent an errand to the one that has the home open.";

    PlaceProbed = "apply.probed", "The folder of an output holds a probe.";
    FolderKept = "apply.folder", "The folder of the outputs is recorded; nothing is submitted.";
    ClientSends = "client.sends", "The client has signed an order; nobody has it.";
    WorkerSends = "worker.sends", "A worker has signed an order; nobody has it.";
    SlotFolded = "slot.folded", "A slot is folded, not sealed.";
    SlotSealed = "slot.sealed", "A slot is sealed, not written.";
    SlotAppended = "slot.appended", "A slot is durable; nobody is told.";
    SlotTold = "slot.told", "A slot is durable, and everybody has done what follows from it.";
    Stopping = "loop.stopping", "The run is over; the bids still stand.";
    Stopped = "loop.stopped", "The bids are taken back.";

    WorkTaken = "work.taken", "A worker's thread has an assignment.";
    WorkFetched = "work.fetched", "The inputs of a job are there.";
    WorkComputed = "work.computed", "A job is computed; nothing of it is stored.";
    WorkHalfStored = "work.half-stored", "The states of a job are stored, its outputs are not.";
    WorkStored = "work.stored", "All of a job is stored; nobody knows.";
    AuditTaken = "audit.taken", "The auditor's thread has a duty.";
    AuditReplayed = "audit.replayed", "A segment is replayed; nothing is concluded.";
    AuditDone = "audit.done", "The auditor has a verdict; nobody knows.";

    RecordOpened = "record.opened", "The journal of a run is there.";
    RecordWriting = "record.writing", "Lines of a journal are about to be written.";
    RecordWritten = "record.written", "Lines of a journal are written.";

    OutputDrafted = "output.drafted", "An output and its card are drafted, but not in their place.";
    OutputRetired = "output.retired", "The card of an earlier output is gone.";
    OutputPlaced = "output.placed", "An output is in its place; its card is not.";
    OutputCarded = "output.carded", "An output and its card are in their place.";

    SweepMade = "gc.sweep", "It is known what can be deleted; everything is there.";
    SweptArtifact = "gc.artifact", "An artifact is deleted.";
    SweptStray = "gc.stray", "What was no artifact is deleted.";
    SweptPin = "gc.pin", "A pin is deleted.";
    Paying = "wallet.paying", "A payment is sealed, not written.";
    Paid = "wallet.paid", "A payment is durable; nobody is told.";
    DiskProbed = "doctor.probed", "A probe of the disk is there.";
}

/// What this process was asked to die of.
struct Aim {
    peril: Peril,
    passing: u64,
    passed: AtomicU64,
}

impl Aim {
    /// What the environment says. A peril that there is none of is a mistake of the test.
    fn of_process() -> Option<Self> {
        let asked = std::env::var(VARIABLE).ok()?;
        let (name, passing) = asked.split_once(':').unwrap_or((asked.as_str(), "1"));
        let peril = Peril::ALL.iter().copied().find(|peril| peril.name() == name);
        let aim = peril.zip(passing.parse().ok());
        assert!(aim.is_some(), "{VARIABLE}: {asked} names no peril");
        aim.map(|(peril, passing)| Self { peril, passing, passed: AtomicU64::new(0) })
    }
}

/// The process passes a peril. If it was asked to, it ends here.
#[inline]
pub fn pass(peril: Peril) {
    if cfg!(debug_assertions) {
        end_at(peril);
    }
}

fn end_at(peril: Peril) {
    static AIM: OnceLock<Option<Aim>> = OnceLock::new();
    let Some(aim) = AIM.get_or_init(Aim::of_process) else { return };
    if aim.peril == peril && aim.passed.fetch_add(1, Ordering::SeqCst) + 1 == aim.passing {
        let sent = kill_process(getpid(), Signal::KILL);
        assert!(sent.is_ok(), "this process cannot end itself: {sent:?}");
        loop {
            // The signal is on its way: nothing more is done here.
            std::thread::park();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_peril_has_a_name_of_its_own() {
        let names: BTreeSet<&str> = Peril::ALL.iter().map(|peril| peril.name()).collect();
        assert_eq!(names.len(), Peril::ALL.len());
        let is_plain =
            |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b".-".contains(&b));
        assert!(names.iter().all(|name| is_plain(name)));
    }

    #[test]
    fn a_peril_that_nobody_named_is_passed() {
        Peril::ALL.iter().for_each(|peril| pass(*peril));
    }
}
