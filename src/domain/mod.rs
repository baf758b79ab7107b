//! L1, rules: pure, synchronous, total. No clock, dice, IO or float arithmetic.
#![deny(clippy::float_arithmetic)]

pub mod auction;
pub mod beacon;
pub mod bisection;
pub mod classes;
pub mod command;
pub mod cost;
pub mod event;
pub mod forecast;
pub mod genesis;
pub mod graph;
pub mod job;
pub mod lease;
pub mod ledger;
pub mod manifest;
pub mod milestone;
pub mod plan;
pub mod poh;
pub mod price;
pub mod receipt;
pub mod revision;
pub mod settle;
pub mod slot;
pub mod state;
pub mod terms;
pub mod verdict;
pub mod vote;
