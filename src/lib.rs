//! ohc: a job market whose minutes are a hash chain. It never takes a worker's word: what was paid
//! for can be computed again, bit for bit, by anybody who has the log and the artifacts.
//!
//! A YAML manifest becomes a DAG of jobs, cut into priced blocks; workers bid for blocks, train,
//! and sign receipts; validators compute a drawn part again and settle. *Ground state*: the log of
//! slots of signed commands. *Derived*: everything else; [`domain::state::State`] is the fold.
//!
//! ```text
//! cli ──► node ─┬─► role ────► domain ──► base
//!               ├─► compute ─► domain ──► base      role, compute and effects never see each
//!               └─► effects ─► domain ──► base      other; node alone joins them
//! ```
//!
//! The life of one block; each arrow is one function in one file:
//!
//! ```text
//! text ─manifest→ Manifest ─graph→ Dag of jobs ─plan→ Plan of blocks ─forecast→ Quote
//!                                                  signed commands │ slot │ the fold derives
//! client:      Submit(manifest, pins) ────────────────────────────►│      │► Offered; in escrow
//! workers:     Bid, standing ─────────────────────────────────────►│      │
//! nobody:      slot boundary                                       │      │► auction: Leased
//! worker:      Heartbeat; fetch, compute, Deliver(receipt) ───────►│      │► Delivered
//! nobody:      slot boundary, a seed newer than the receipt        │      │► audit Drawn
//! validators:  compute the drawn segments again; Judge(verdict) ──►│      │► perhaps Disputed
//! nobody:      slot boundary                                       │      │► Settled or Slashed
//! ```
//!
//! Entry points: the market `domain/auction.rs`; the money `domain/ledger.rs`, then
//! `domain/settle.rs`; the fold `domain/state/mod.rs`; the work `compute/job.rs`; a running node
//! `node/embedded.rs`. `ARCHITECTURE.md` is the map, `docs/rules.md` what must always hold.
//!
//! Without default features only `base`, `domain` and `role` are built, and they are pure: no IO,
//! no clock, no float arithmetic. `train` adds `compute`; `node` adds everything that has hands.

pub mod base;
#[cfg(feature = "node")]
pub mod cli;
#[cfg(feature = "train")]
pub mod compute;
pub mod domain;
#[cfg(feature = "node")]
pub mod effects;
#[cfg(feature = "node")]
pub mod node;
pub mod role;
