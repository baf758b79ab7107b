//! L3, wiring: joins roles to hands and to work. Decides nothing that a role or the fold decides,
//! and writes no prose: what people read is made of events and notices in `cli`.

pub mod apply;
pub mod attach;
pub mod bench;
pub mod boot;
pub mod client;
pub mod dev;
pub mod doctor;
pub mod draft;
pub mod embedded;
pub mod follow;
mod gate;
pub mod gc;
pub mod generate;
pub mod handouts;
pub mod history;
pub mod home;
pub mod inbox;
pub mod link;
pub mod lock;
pub mod network;
pub mod notice;
mod pins;
pub mod pipeline;
pub mod predict;
mod presign;
pub mod publish;
pub mod record;
pub mod saved;
pub mod serve;
pub mod snapshot;
pub mod sources;
pub mod story;
mod threads;
pub mod upload;
pub mod validator;
pub mod verify;
pub mod view;
pub mod wallet;
pub mod wire;
pub mod words;
pub mod work;
pub mod worker;

pub use crate::compute::Progress;
pub use crate::effects::clock::{Clock, wall_ms};
pub use crate::effects::{journal, tensorboard};
