//! L1, rules: pure, synchronous, total. No clock, dice, IO or float arithmetic.
#![deny(clippy::float_arithmetic)]

pub mod cost;
pub mod job;
pub mod poh;
