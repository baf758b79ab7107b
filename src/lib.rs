//! ohc: a job market whose minutes are a hash chain.

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
