//! End to end: the program and the embedded network, on real files in temporary folders. Never
//! reaches beyond this machine.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic is the report")]

mod agree;
mod applying;
mod attach;
mod bounds;
mod cli;
mod crash;
mod damage;
mod deploy;
mod dishonest;
mod disputes;
mod embed;
mod fast;
mod home;
mod init;
mod inspect;
mod json;
mod kinds;
mod logs;
mod manifests;
mod manual;
mod metrics;
mod network;
mod parallel;
mod perplexity;
mod pipeline;
mod predict;
mod recovery;
mod schema;
mod site;
mod snapshot;
mod sources;
mod tables;
mod terminal;
mod validate;
mod verify;
mod wallet;
