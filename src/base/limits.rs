//! Every bound of the system, in one file, with the assertions that tie them together.
//! Anything from outside is measured against one of these before it is allocated.

/// The version of the rules: of all that decides what follows from a genesis and its slots. Whoever
/// changes what the fold of any log gives raises it (`tests/sim/rules.rs` sees to that), and who
/// opens an older log is told so.
pub const RULES: u32 = 4;

/// The canonical manifest of a submission, in bytes.
pub const MANIFEST_BYTES_MAX: usize = 256 * 1024;
/// How deep a manifest may nest.
pub const MANIFEST_DEPTH_MAX: usize = 64;
/// YAML nodes of one manifest.
pub const MANIFEST_NODES_MAX: usize = 50_000;
/// Aliases of one manifest.
pub const MANIFEST_ALIASES_MAX: usize = 1_000;
/// Instances of one stage unless `run.limits.instances` raises it.
pub const INSTANCES_PER_STAGE_DEFAULT: usize = 256;
/// Jobs of one run, whatever a manifest asks for.
pub const JOBS_PER_RUN_MAX: usize = 200_000;
/// Jobs of the runs that begin in one slot, from which on no other begins in it: every node makes
/// their plans before it has the next slot.
pub const JOBS_PER_SLOT_MAX: usize = 100_000;
/// Jobs of a plan that cost as much as a command.
pub const JOBS_PER_FEE: u64 = 10;
/// A manifest that is wrong counts as so many jobs of its slot: nobody knows how far its plan got.
pub const JOBS_PER_FAULT: usize = 10_000;
/// Shards of one training.
pub const SHARDS_MAX: usize = 64;
/// Jobs sold together in one block.
pub const JOBS_PER_BLOCK_MAX: usize = 64;
/// Sources of one manifest.
pub const SOURCES_MAX: usize = 256;
/// Files of one source.
pub const SOURCE_FILES_MAX: usize = 2_048;
/// Names that are looked at to find the files of one source.
pub const SOURCE_NAMES_MAX: usize = 1_000_000;
/// Columns of one table.
pub const COLUMNS_MAX: usize = 16_384;

/// One message on the bus, and so one signed command, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 512 * 1024;
/// One proposal among several validators, and so one slot of a network, in bytes.
pub const PROPOSAL_BYTES_MAX: usize = 896 * 1024;
/// One frame on the bus, in bytes: less than the mebibyte that a NATS server takes as it comes.
pub const WIRE_BYTES_MAX: usize = 992 * 1024;
/// What waits of one subject in one process, in bytes.
pub const WIRE_ROOM_BYTES: usize = 16 * 1024 * 1024;
/// A question on the bus, in bytes.
pub const QUESTION_BYTES_MAX: usize = 256;
/// Senders whose messages are counted one by one.
pub const SENDERS_MAX: usize = 4_096;
/// Commands in one slot.
pub const COMMANDS_PER_SLOT_MAX: usize = 1_024;
/// Canonical bytes of the commands of one slot.
pub const SLOT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Ticks that one slot may count: a proposer cannot leap into the future.
pub const TICKS_PER_SLOT_MAX: u64 = 100;
/// Commands that wait for a slot at one validator.
pub const MEMPOOL_MAX: usize = 65_536;
/// Those of one author.
pub const MEMPOOL_PER_AUTHOR_MAX: usize = 1_024;
/// Canonical bytes of all of them.
pub const MEMPOOL_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Receipts of one `Deliver`, verdicts of one `Verdicts`, beats of one `Heartbeat`.
pub const BATCH_MAX: usize = 256;
/// Leases that one worker may hold.
pub const LEASES_PER_WORKER_MAX: usize = 256;
/// Outputs of one job.
pub const OUTPUTS_PER_JOB_MAX: usize = 64;
/// Segments of one job.
pub const SEGMENTS_PER_JOB_MAX: usize = 64;
/// Metrics that one job reports.
pub const METRICS_PER_JOB_MAX: usize = 64;
/// Text of one fault or metric name, in bytes.
pub const TEXT_BYTES_MAX: usize = 1_024;
/// Workers that compute the same block where a stage asks for several.
pub const REPLICAS_MAX: u32 = 8;
/// Bids in the sealed auction of one block.
pub const TENDERS_MAX: usize = 256;
/// Attempts at one block.
pub const ATTEMPTS_MAX: u32 = 16;
/// Times that an unsold block is repriced by 1/8 before its run pauses.
pub const REPRICES_MAX: u32 = 5;

/// Bids that stand at the same time.
pub const BIDS_MAX: usize = 4_096;
/// Runs of one client that are not over.
pub const RUNS_OPEN_MAX: usize = 256;
/// Values that a submission gives to parameters.
pub const PARAMS_MAX: usize = 256;
/// What comes first into an account, in nano-OhC: nobody fills the ledger with names for nothing.
pub const ACCOUNT_NANO_MIN: u64 = 1_000_000;

/// Validators of one network.
pub const VALIDATORS_MAX: usize = 20;
/// A validator's stake must be more than this many whole OhC.
pub const STAKE_FLOOR_OHC: u64 = 39_900;
/// All stakes together are at least so many times what is locked for runs.
pub const STAKE_PER_ESCROW: u64 = 3;

/// One line of a run's journal, in bytes.
pub const JOURNAL_LINE_BYTES_MAX: usize = 64 * 1024;
/// What a worker says of the jobs of a run at a time: words, and bytes of the message.
pub const WORDS_MAX: usize = 512;
/// See [`WORDS_MAX`].
pub const WORDS_BYTES_MAX: usize = 40 * 1024;
/// What of it waits for one who listens, in bytes.
pub const WORDS_ROOM_BYTES: usize = 1024 * 1024;

/// The journal of one run, in bytes: beyond half of it no more steps are written.
pub const JOURNAL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Bytes of one chunk of a source where its stage does not say: so few that a machine which
/// surveys, reads two chunks and checks a third stays below half a gibibyte.
pub const CHUNK_BYTES_DEFAULT: u64 = 8 << 20;
/// Bytes with which a chunk ends, whatever its target.
pub const CHUNK_BYTES_MAX: usize = 256 << 20;
/// Bytes of one row of a source that is made of lines.
pub const ROW_BYTES_MAX: usize = 16 << 20;
/// Chunks of one source: they travel with its pin.
pub const CHUNKS_PER_SOURCE_MAX: usize = 2_048;
/// Rows that cannot be read of which a report names the line.
pub const OFFENDERS_MAX: usize = 10;

/// What another process of this machine asks a running one in one frame, in bytes.
pub const ASK_BYTES_MAX: usize = 4 * 1024;
/// What it is answered in one frame, in bytes: a batch of slots, or one slot of any size.
pub const ANSWER_BYTES_MAX: usize = 3 * SLOT_BYTES_MAX;
/// Processes that are attached to a running one.
pub const ATTACHED_MAX: usize = 32;

/// The snapshot of a home, in bytes: of some millions of settled blocks.
pub const SNAPSHOT_BYTES_MAX: u64 = 2 << 30;
/// One part of a snapshot, in bytes: each but the last has as many.
pub const SNAPSHOT_PART_BYTES: usize = 512 * 1024;
/// A slot as whoever has no log needs it, in bytes.
pub const MILESTONE_BYTES_MAX: usize = 4 * 1024;

/// One artifact held in memory, in bytes.
pub const ARTIFACT_BYTES_MAX: usize = 1 << 30;
/// What one job reads, in bytes, each input as often as it is named.
pub const INPUTS_BYTES_MAX: u64 = 8 << 30;
/// What a training reads, in bytes, of tables that it takes one after the other.
pub const TABLES_BYTES_MAX: u64 = 128 << 30;
/// Rows that a training keeps in memory, in bytes: more than these lie in a file, all of them.
pub const ROWS_IN_MEMORY_BYTES: u64 = 256 << 20;
/// Rows of one training, in bytes, wherever they lie.
pub const ROWS_BYTES_MAX: u64 = 64 << 30;

const _: () = assert!(MANIFEST_BYTES_MAX * 2 <= MESSAGE_BYTES_MAX);
const _: () = assert!(MESSAGE_BYTES_MAX <= SLOT_BYTES_MAX);
const _: () = assert!(MESSAGE_BYTES_MAX <= PROPOSAL_BYTES_MAX);
const _: () = assert!(PROPOSAL_BYTES_MAX + 64 * 1024 <= WIRE_BYTES_MAX);
const _: () = assert!(WIRE_BYTES_MAX < 1024 * 1024 && PROPOSAL_BYTES_MAX <= SLOT_BYTES_MAX);
const _: () = assert!(VALIDATORS_MAX as u64 * STAKE_FLOOR_OHC < super::amount::SUPPLY.nano());
const _: () = assert!(COMMANDS_PER_SLOT_MAX <= MEMPOOL_MAX);
const _: () = assert!(SLOT_BYTES_MAX <= MEMPOOL_BYTES_MAX);
const _: () = assert!(SNAPSHOT_PART_BYTES + 64 * 1024 <= WIRE_BYTES_MAX);
// Its head, and of each validator a signature and what counted of its stake before and after.
const _: () = assert!(256 + VALIDATORS_MAX * (32 + 64 + 2 * (32 + 8)) <= MILESTONE_BYTES_MAX);
// The digests of all parts of a snapshot go with its milestone.
const _: () = assert!(
    MILESTONE_BYTES_MAX + 32 * (SNAPSHOT_BYTES_MAX as usize / SNAPSHOT_PART_BYTES) + 64 * 1024
        <= WIRE_BYTES_MAX
);
const _: () = assert!(CHUNK_BYTES_MAX + ROW_BYTES_MAX < ARTIFACT_BYTES_MAX);
const _: () = assert!(CHUNK_BYTES_DEFAULT < CHUNK_BYTES_MAX as u64);
