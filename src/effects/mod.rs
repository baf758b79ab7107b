//! L2, hands: one file per outside thing. Never makes a decision.

pub mod artifacts;
pub mod clock;
pub mod disk;
pub mod journal;
pub mod keyring;
pub mod machine;
pub mod perils;
pub mod socket;
pub mod sources;
pub mod store;
pub mod tensorboard;

pub use perils::{Peril, pass};
