//! The most multiply-adds that cores do: what the speed of a training is a share of.
//! Never computes anything that is used.

use super::Engine;
use super::tile::{Rows, TILE_MAX, Tile, extent};
use std::hint::black_box;

/// Terms of every sum: so few that both panels stay in the first cache.
const DEPTH: usize = 64;

/// Computes the innermost tile of all products so many times in every thread at once, from the
/// first cache, and says how many operations those are, of which each multiply-add is two. (With
/// AVX-512 it is as fast as multiply-adds that read no memory at all.)
#[must_use]
pub fn multiply_adds(engine: Engine, times: usize) -> f64 {
    let most = extent(engine.isa);
    let (a, b) = (vec![0.5; DEPTH * most.rows], vec![0.5; DEPTH * most.columns]);
    engine.share(0..engine.threads(), |_| {
        let mut out = [0.0; TILE_MAX];
        for _ in 0..times {
            let (rows, columns) = (most.rows, most.columns);
            let (a, lie, b, depth) = (a.as_slice(), Rows::Beside(rows), b.as_slice(), DEPTH);
            let tile = Tile { a, lie, b, step: columns, depth, rows, columns, carry: false };
            tile.run(engine.isa, &mut out, columns);
            black_box(&mut out);
        }
    });
    2.0 * (DEPTH * most.rows * most.columns * times * engine.threads()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::kernel::Isa;

    #[test]
    fn operations_are_counted_for_every_thread() {
        let of = |threads| multiply_adds(Engine::with(Isa::PORTABLE, threads), 3);
        assert_eq!((of(1), of(2)), (2.0 * 64.0 * 4.0 * 16.0 * 3.0, 2.0 * of(1)));
    }
}
