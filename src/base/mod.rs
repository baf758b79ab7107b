//! L0, words: values that every layer uses. Depends on nothing else in the project.
#![deny(clippy::float_arithmetic)]

pub mod amount;
pub mod canon;
pub mod ids;
pub mod keys;
pub mod limits;
pub mod time;
