//! SwiGLU (Shazeer 2020, arXiv 2002.05202): one half of a layer lets the other through.
//! Never keeps the gate: the product takes its place.

use super::Isa;
use super::elementary::sigmoid;
use super::isa::{Body, on};

struct Gated<'a> {
    gate: &'a mut [f32],
    up: &'a [f32],
}

impl Body for Gated<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        for (x, up) in self.gate.iter_mut().zip(self.up) {
            *x = *x * sigmoid(*x) * up;
        }
    }
}

/// gate · σ(gate) · up in the place of the gate.
///
/// # Panics
/// If there are not as many of both.
pub fn swiglu(isa: Isa, gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "a gate for each number");
    on(isa, Gated { gate, up });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::kernel::golden;
    use crate::compute::kernel::philox::Philox;

    fn noise(stream: u32) -> Vec<f32> {
        let mut out = vec![0.0; 8_191];
        Philox::new(1, 2, stream).fill(-20.0, 20.0, &mut out);
        out
    }

    #[test]
    fn what_comes_through_is_what_the_gate_lets_in_any_path() {
        let (gate, up) = (noise(1), noise(2));
        let mut expect = gate.clone();
        swiglu(Isa::PORTABLE, &mut expect, &up);
        for ((y, x), up) in expect.iter().zip(&gate).zip(&up) {
            let (x, up) = (f64::from(*x), f64::from(*up));
            let truth = x / (1.0 + (-x).exp()) * up;
            assert!((f64::from(*y) - truth).abs() <= 1e-6 * truth.abs(), "{x} {up}: {y} {truth}");
        }
        for isa in Isa::all() {
            let mut gated = gate.clone();
            swiglu(isa, &mut gated, &up);
            assert!(gated.iter().zip(&expect).all(|(a, b)| a.to_bits() == b.to_bits()), "{isa:?}");
        }
        golden::check(&expect, "swiglu");
    }
}
