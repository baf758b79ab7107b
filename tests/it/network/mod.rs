//! Networks: real processes and a real nats-server on this machine. Where there is no nats-server
//! (`OHC_NATS_SERVER`, or on the PATH) these tests say so and prove nothing.

mod bus;
mod checkpoints;
mod credentials;
mod depot;
mod dev;
mod flood;
mod follow;
mod guard;
mod halves;
mod history;
mod homes;
mod lab;
mod language;
mod lone;
mod market;
pub(crate) mod nats;
mod newcomers;
mod one_key;
mod outages;
mod partition;
mod replay;
mod snapshots;
mod storm;
mod token;
mod words;
