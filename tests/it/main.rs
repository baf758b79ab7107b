//! End to end: the program and the embedded network, on real files in temporary folders.

mod cli;
mod dishonest;
mod pipeline;
mod recovery;
mod site;
