//! The simulator: the real roles and the real fold on a virtual clock, network and disk, watched
//! by a checker that shares no code with them. Never reads a clock, a file or a socket.
//!
//! `SEED=n` replays one world of the swarm, `SEEDS=n` runs more of them.
#![expect(unreachable_pub, reason = "the modules of a test binary see each other")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "all of this is a test: a panic is its report"
)]

mod adversary;
mod attacks;
mod bytes;
mod checker;
mod controls;
mod council;
mod dice;
mod disk;
mod failures;
mod fees;
mod fold;
mod ground;
mod halving;
mod hindsight;
mod labour;
mod late;
mod lost;
mod market;
mod numbers;
mod pipelines;
mod prices;
mod promises;
mod replicas;
mod roles;
mod rules;
mod scenarios;
mod seats;
mod small_world;
mod snapshots;
mod stakes;
mod swarm;
mod tenders;
mod terms;
mod verdicts;
mod world;
