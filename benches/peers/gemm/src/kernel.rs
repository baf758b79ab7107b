//! What the files of ohc's kernels need, with one thread.
#![allow(dead_code, reason = "threads and attention are not measured")]

#[path = "../../../../src/compute/kernel/isa.rs"]
pub mod isa;
#[path = "../../../../src/compute/kernel/matmul.rs"]
pub mod matmul;
#[path = "../../../../src/compute/kernel/pack.rs"]
mod pack;
#[path = "../../../../src/compute/kernel/tile.rs"]
mod tile;

pub use isa::Isa;

#[derive(Clone, Copy)]
pub struct Engine {
    pub isa: Isa,
}

impl Engine {
    pub fn threads(self) -> usize {
        1
    }

    pub fn share<T: Send>(self, parts: impl Iterator<Item = T>, run: impl Fn(T) + Sync) {
        parts.for_each(run);
    }
}
