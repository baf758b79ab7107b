//! GFLOP/s of exact products beside those of the `gemm` crate with AVX-512, in turns, both in this
//! one thread: `gemm-peer [TURNS]`. Prints medians, and the median of the turns' ratios. The
//! kernels and the allocator are those of ohc; results of `gemm` are new memory, as in candle.

mod kernel;

use kernel::Engine;
use kernel::matmul::{Form, Shape, matmul};
use std::hint::black_box;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIDES: [usize; 5] = [128, 256, 512, 1024, 2048];

fn theirs(n: usize, a: &[f32], b: &[f32]) -> Vec<f32> {
    let (mut out, rows) = (Vec::with_capacity(n * n), n as isize);
    // SAFETY: all three are row-major and n × n; gemm writes all of `out` and reads none of it.
    unsafe {
        let (to, a, b) = (out.as_mut_ptr(), a.as_ptr(), b.as_ptr());
        let one = gemm::Parallelism::None;
        #[rustfmt::skip]
        gemm::gemm(
            n, n, n, to, 1, rows, false, a, 1, rows, b, 1, rows, 0.0, 1.0, false, false, false, one,
        );
        out.set_len(n * n);
    }
    out
}

fn seconds(times: usize, mut run: impl FnMut()) -> f64 {
    let begin = Instant::now();
    (0..times).for_each(|_| run());
    begin.elapsed().as_secs_f64()
}

fn median(mut xs: Vec<f64>) -> f64 {
    xs.sort_by(f64::total_cmp);
    xs[xs.len() / 2]
}

fn main() -> Result<(), std::num::ParseIntError> {
    let turns: usize = std::env::args().nth(1).map_or(Ok(25), |turns| turns.parse())?;
    let engine = Engine { isa: kernel::Isa::best() };
    for n in SIDES {
        let noise = |i: usize| (i as u32).wrapping_mul(0x9e37_79b9) as f32 / 2f32.powi(31) - 1.0;
        let (a, b): (Vec<f32>, Vec<f32>) = (0..n * n).map(|i| (noise(i), noise(i + n))).unzip();
        let mut out = vec![0.0; n * n];
        let shape = Shape { m: n, n, k: n };
        let giga = 2.0 * (n * n * n) as f64 / 1e9;
        let times = (0.5 / giga).ceil() as usize;
        let mut turn = || {
            let ours = seconds(times, || matmul(engine, Form::Nn, shape, &a, &b, &mut out));
            (ours, seconds(times, || drop(black_box(theirs(n, &a, &b)))))
        };
        turn();
        let all: Vec<(f64, f64)> = (0..turns.max(1)).map(|_| turn()).collect();
        let giga = giga * times as f64;
        let exact = giga / median(all.iter().map(|turn| turn.0).collect());
        let gemm = giga / median(all.iter().map(|turn| turn.1).collect());
        let ratio = median(all.iter().map(|turn| turn.1 / turn.0).collect());
        println!("{n}³: exact {exact:.0}, gemm {gemm:.0}, {ratio:.3}");
    }
    Ok(())
}
