//! GFLOP/s of exact products beside those of the `gemm` crate with AVX-512, in turns, both in this
//! one thread: `gemm-peer squares|models|few [TURNS]`. Prints medians, and of the turns' ratios the
//! median. The kernels are those of ohc; both read the same matrices and write over the same
//! output.

mod kernel;

use kernel::Engine;
use kernel::matmul::{Form, Shape, matmul};
use std::time::Instant;

/// What is multiplied: a name, and the rows of A, its columns and those of the product.
type Named = (String, Form, [usize; 3]);

fn squares() -> Vec<Named> {
    let square = |n: usize| (format!("{n}³"), Form::Nn, [n; 3]);
    [128, 256, 512, 1024, 2048].into_iter().map(square).collect()
}

/// A layer in training: what comes out, and the gradients by its input and by its weights.
fn layer(name: &str, rows: usize, inputs: usize, outputs: usize) -> [Named; 3] {
    let name = |of: &str| format!("{name} {inputs}→{outputs} {of}");
    [
        (name("forward"), Form::Nn, [rows, inputs, outputs]),
        (name("input"), Form::Nt, [rows, outputs, inputs]),
        (name("weights"), Form::Tn, [inputs, rows, outputs]),
    ]
}

/// The products of the models of `ohc bench train`.
fn models() -> Vec<Named> {
    let mlp = [(784, 512), (512, 256), (256, 10)].map(|(from, to)| layer("mlp", 128, from, to));
    let gpt = [(128, 384), (128, 128), (128, 512), (512, 128), (128, 65)];
    let gpt = gpt.map(|(from, to)| layer("gpt", 768, from, to));
    // Nobody asks for the gradient by the data.
    mlp.into_iter().chain(gpt).flatten().filter(|named| named.0 != "mlp 784→512 input").collect()
}

/// What text is written with, and single rows are predicted.
fn few() -> Vec<Named> {
    let mut all = Vec::new();
    for form in [Form::Nn, Form::Nt] {
        for (k, n) in [(128, 512), (512, 512), (1024, 1024), (4096, 1024)] {
            let of = |rows| (format!("{rows} row × {k}×{n} {form:?}"), form, [rows, k, n]);
            all.extend([1, 2, 4, 8].map(of));
        }
    }
    all
}

fn theirs(form: Form, Shape { m, n, k }: Shape, a: &[f32], b: &[f32], out: &mut [f32]) {
    assert!(a.len() >= m * k && b.len() >= k * n && out.len() >= m * n, "matrices fit the shape");
    let lie = |is_turned: bool, rows: usize, columns: usize| {
        if is_turned { (rows as isize, 1) } else { (1, columns as isize) }
    };
    let (a_column, a_row) = lie(form == Form::Tn, m, k);
    let (b_column, b_row) = lie(form == Form::Nt, k, n);
    // SAFETY: all three have as many elements as the shape says, at these distances.
    unsafe {
        let (out, a, b) = (out.as_mut_ptr(), a.as_ptr(), b.as_ptr());
        let one = gemm::Parallelism::None;
        #[rustfmt::skip]
        gemm::gemm(
            m, n, k, out, 1, n as isize, false, a, a_column, a_row, b, b_column, b_row,
            0.0, 1.0, false, false, false, one,
        );
    }
}

fn median(mut xs: Vec<f64>) -> f64 {
    xs.sort_by(f64::total_cmp);
    xs[xs.len() / 2]
}

/// Seconds of a turn of either, if it can be repeated.
const TURN: f64 = 0.01;
/// Numbers of a line of the cache, and lines of a page: in each turn the matrices lie elsewhere.
const LINE: usize = 16;
const PLACES: usize = 64;

fn main() -> Result<(), std::num::ParseIntError> {
    let mut args = std::env::args().skip(1);
    let all = match args.next().as_deref() {
        None | Some("squares") => squares(),
        Some("models") => models(),
        Some("few") => few(),
        Some(other) => panic!("{other} is none of squares, models, few"),
    };
    let turns: usize = args.next().map_or(Ok(25), |turns| turns.parse())?;
    let engine = Engine { isa: kernel::Isa::best() };
    for (name, form, [m, k, n]) in all {
        let shape = Shape { m, n, k };
        let noise = |i: usize| (i as u32).wrapping_mul(0x9e37_79b9) as f32 / 2f32.powi(31) - 1.0;
        let lines = |len: usize| (0..len + LINE * (PLACES + 1)).map(noise).collect::<Vec<f32>>();
        let (a, b, mut out) = (lines(m * k), lines(k * n), lines(m * n));
        let first = |all: &[f32]| all.as_ptr().align_offset(4 * LINE);
        let first = [first(&a), first(&b), first(&out)];
        let mut place = 0;
        let mut run = |place: usize, times: usize, is_ours: bool| {
            let from = |step: usize| place * step % PLACES * LINE;
            let (a, b) = (&a[first[0] + from(7)..][..m * k], &b[first[1] + from(11)..][..k * n]);
            let out = &mut out[first[2] + from(13)..][..m * n];
            let begin = Instant::now();
            for _ in 0..times {
                match is_ours {
                    true => matmul(engine, form, shape, a, b, out),
                    false => theirs(form, shape, a, b, out),
                }
            }
            begin.elapsed().as_secs_f64()
        };
        let once = (0..5).map(|_| run(0, 1, true)).fold(TURN, f64::min);
        let times = (TURN / once).ceil() as usize;
        let mut turn = || {
            place += 1;
            (run(place, times, true), run(place, times, false))
        };
        turn();
        let all: Vec<(f64, f64)> = (0..turns.max(1)).map(|_| turn()).collect();
        let giga = 2.0 * (m * n * k * times) as f64 / 1e9;
        let exact = giga / median(all.iter().map(|turn| turn.0).collect());
        let gemm = giga / median(all.iter().map(|turn| turn.1).collect());
        let ratio = median(all.iter().map(|turn| turn.1 / turn.0).collect());
        println!("{name}: exact {exact:.0}, gemm {gemm:.0}, {ratio:.3}");
    }
    Ok(())
}
