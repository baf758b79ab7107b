//! Sweeps: what elementary functions give for the bit patterns of f32, all of them or some, and the
//! digests that must come of it. Never depends on how many threads do it, or on which instructions.

use super::Isa;
use super::elementary::{exp_slice, ln_slice, sigmoid_slice, tanh_slice};
use super::gelu::{gelu_gradient, gelu_slice};
use crate::base::canon::Digest;
use std::sync::atomic::{AtomicU32, Ordering};

/// Inputs that are done at a time.
const BLOCK: u32 = 1 << 20;
/// So many of them are all bit patterns.
const BLOCKS: u32 = 1 << 12;
/// In a sample, every so manieth bit pattern is taken, round and round.
const STRIDE: u32 = 4099;

/// A function that has an own implementation, and what must come of it.
#[derive(Debug, Clone, Copy)]
pub struct Function {
    /// What it is called.
    pub name: &'static str,
    slice: fn(Isa, &mut [f32]),
    all: &'static str,
    some: &'static str,
}

/// All of them.
pub const FUNCTIONS: [Function; 6] = [
    Function { name: "exp", slice: exp_slice, all: "a0bdf31a6088", some: "3de3ea36c699" },
    Function { name: "ln", slice: ln_slice, all: "02cca0ba5371", some: "79450b878402" },
    Function { name: "tanh", slice: tanh_slice, all: "a9cec4149e06", some: "363bdbfd5383" },
    Function { name: "sigmoid", slice: sigmoid_slice, all: "c8d03ef76d5c", some: "fa3d2f6c1639" },
    Function { name: "gelu", slice: gelu_slice, all: "7e32d8f47b6c", some: "9b60f1f62684" },
    Function { name: "gelu slope", slice: slope_slice, all: "1d8fd1cc1946", some: "7826227fce9d" },
];

fn slope_slice(isa: Isa, xs: &mut [f32]) {
    let inputs = xs.to_vec();
    xs.fill(1.0);
    gelu_gradient(isa, xs, &inputs);
}

/// Which bit patterns are swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inputs {
    /// All 2^32: minutes of a core.
    All,
    /// 2^20 of them from everywhere.
    Some,
}

impl Inputs {
    /// How many there are.
    #[must_use]
    pub const fn count(self) -> u64 {
        match self {
            Self::All => BLOCK as u64 * BLOCKS as u64,
            Self::Some => BLOCK as u64,
        }
    }
}

impl Function {
    /// Whether these inputs give what they must.
    #[must_use]
    pub fn is_exact(&self, isa: Isa, inputs: Inputs, threads: usize) -> bool {
        let golden = match inputs {
            Inputs::All => self.all,
            Inputs::Some => self.some,
        };
        self.sweep(isa, inputs, threads).short() == golden
    }

    /// The digest of the digests of all blocks, in the order of their inputs.
    fn sweep(&self, isa: Isa, inputs: Inputs, threads: usize) -> Digest {
        let (blocks, stride) = match inputs {
            Inputs::All => (BLOCKS, 1),
            Inputs::Some => (1, STRIDE),
        };
        let next = AtomicU32::new(0);
        let work = || {
            let mut done = Vec::new();
            loop {
                let block = next.fetch_add(1, Ordering::Relaxed);
                if block >= blocks {
                    return done;
                }
                done.push((block, self.block(isa, block, stride)));
            }
        };
        let mut done: Vec<(u32, Digest)> = std::thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut done = work();
            for other in others {
                // A thread of ours does not panic; where one did, so do we.
                done.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            done
        });
        done.sort_by_key(|(block, _)| *block);
        let digests: Vec<u8> = done.iter().flat_map(|(_, digest)| *digest.as_bytes()).collect();
        Digest::of(&digests)
    }

    fn block(&self, isa: Isa, block: u32, stride: u32) -> Digest {
        let first = block * BLOCK;
        let input = |place: u32| f32::from_bits((first + place).wrapping_mul(stride));
        let mut values: Vec<f32> = (0..BLOCK).map(input).collect();
        (self.slice)(isa, &mut values);
        let bytes: Vec<[u8; 4]> = values.iter().map(|value| value.to_le_bytes()).collect();
        Digest::of(bytes.as_flattened())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_of_all_inputs_gives_the_same_on_every_path() {
        for function in FUNCTIONS {
            for isa in Isa::all() {
                let found = function.sweep(isa, Inputs::Some, 2).short();
                assert_eq!(found, function.some, "{} on {isa:?}", function.name);
            }
        }
    }

    #[test]
    fn one_wrong_bit_is_seen() {
        let wrong = |isa: Isa, xs: &mut [f32]| {
            exp_slice(isa, xs);
            for x in xs.iter_mut().filter(|x| x.to_bits() == 1.0f32.to_bits()).take(1) {
                *x = f32::from_bits(x.to_bits() + 1);
            }
        };
        let [exp, ..] = FUNCTIONS;
        let function = Function { slice: wrong, ..exp };
        assert!(exp.is_exact(Isa::best(), Inputs::Some, 1));
        assert!(!function.is_exact(Isa::best(), Inputs::Some, 1));
    }
}
