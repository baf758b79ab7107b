//! One dense layer: y = act(x·W + b), forward and backward.
//! Never computes a gradient that nobody asks for: that of the input data has no reader.

use super::elementary::tanh;
use super::gelu::{gelu, gelu_and_slope};
use super::isa::{Body, on};
use super::matmul::{Form, Shape, matmul};
use super::{Engine, Isa, reduce, spare};
use crate::domain::job::Activation;

/// A layer's arithmetic: `inputs → outputs`, and what bends its result (`None` for the last).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dense {
    /// How it runs.
    pub engine: Engine,
    /// Width of a row of the input.
    pub inputs: usize,
    /// Width of a row of the output.
    pub outputs: usize,
    /// What bends the result.
    pub activation: Option<Activation>,
}

/// Where the gradients of a layer go.
pub struct Gradients<'a> {
    /// By the weights: `inputs × outputs`.
    pub weights: &'a mut [f32],
    /// By the bias: `outputs`.
    pub bias: &'a mut [f32],
    /// By the input, where somebody asks for it: `rows × inputs`.
    pub input: Option<&'a mut [f32]>,
}

struct Bend<'a> {
    values: &'a mut [f32],
    bias: &'a [f32],
    activation: Option<Activation>,
}

impl Body for Bend<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        for row in self.values.chunks_exact_mut(self.bias.len().max(1)) {
            // Loops, not `for_each`: a closure of some length is compiled by itself, without the
            // instruction set.
            for (y, b) in row.iter_mut().zip(self.bias) {
                *y += b;
            }
            match self.activation {
                None => {}
                Some(Activation::Relu) => {
                    for y in row {
                        // A NaN must stay one, so that it is found: not `max`, which hides it.
                        *y = if *y < 0.0 { 0.0 } else { *y };
                    }
                }
                Some(Activation::Tanh) => {
                    for y in row {
                        *y = tanh(*y);
                    }
                }
                Some(Activation::Gelu) => {
                    for y in row {
                        *y = gelu(*y);
                    }
                }
            }
        }
    }
}

/// GELU of sums with their bias; its slopes take their place.
struct Kept<'a> {
    sums: &'a mut [f32],
    bias: &'a [f32],
    y: &'a mut [f32],
}

impl Body for Kept<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let width = self.bias.len().max(1);
        for (sums, y) in self.sums.chunks_exact_mut(width).zip(self.y.chunks_exact_mut(width)) {
            for ((z, y), b) in sums.iter_mut().zip(y).zip(self.bias) {
                (*y, *z) = gelu_and_slope(*z + b);
            }
        }
    }
}

struct Unbend<'a> {
    by_outcome: &'a [f32],
    /// What came out; for GELU its slope, which does not follow from that.
    outcome: &'a [f32],
    activation: Activation,
    out: &'a mut [f32],
}

impl Body for Unbend<'_> {
    type Out = ();

    #[inline(always)]
    fn run(self) {
        let items = self.out.iter_mut().zip(self.by_outcome).zip(self.outcome);
        match self.activation {
            Activation::Relu => {
                for ((out, &g), &y) in items {
                    *out = if y > 0.0 { g } else { 0.0 };
                }
            }
            Activation::Tanh => {
                for ((out, g), &y) in items {
                    *out = g * (-y).mul_add(y, 1.0);
                }
            }
            Activation::Gelu => {
                for ((out, g), slope) in items {
                    *out = g * slope;
                }
            }
        }
    }
}

/// act(z + b) of rows of z, in place.
pub(super) fn bend(isa: Isa, values: &mut [f32], bias: &[f32], activation: Option<Activation>) {
    on(isa, Bend { values, bias, activation });
}

/// The gradient by what is bent, from that by the outcome.
pub(super) fn unbend(
    isa: Isa,
    by_outcome: &[f32],
    outcome: &[f32],
    activation: Option<Activation>,
    out: &mut [f32],
) {
    match activation {
        Some(activation) => on(isa, Unbend { by_outcome, outcome, activation, out }),
        None => out.copy_from_slice(by_outcome),
    }
}

impl Dense {
    /// act(x·W + b) of `rows` rows.
    ///
    /// # Panics
    /// If a slice does not fit the layer.
    #[must_use]
    pub fn forward(&self, rows: usize, x: &[f32], weights: &[f32], bias: &[f32]) -> Vec<f32> {
        assert_eq!(bias.len(), self.outputs, "a bias per output");
        let (mut y, isa) = (self.products(rows, x, weights), self.engine.isa);
        let parts = y.chunks_mut(self.part(rows));
        self.engine.share(parts, |values| bend(isa, values, bias, self.activation));
        y
    }

    /// x·W.
    fn products(&self, rows: usize, x: &[f32], weights: &[f32]) -> Vec<f32> {
        let mut y = spare::take(rows * self.outputs);
        let shape = Shape { m: rows, n: self.outputs, k: self.inputs };
        matmul(self.engine, Form::Nn, shape, x, weights, &mut y);
        y
    }

    /// Numbers of an output that one thread looks at: whole rows.
    fn part(&self, rows: usize) -> usize {
        self.engine.rows_each(rows, self.outputs) * self.outputs.max(1)
    }

    /// [`Dense::forward`] of a step that learns: its result, and where the slope does not follow
    /// from that (GELU) the slope.
    ///
    /// # Panics
    /// If a slice does not fit the layer.
    #[must_use]
    pub fn forward_kept(
        &self,
        rows: usize,
        x: &[f32],
        weights: &[f32],
        bias: &[f32],
    ) -> (Vec<f32>, Option<Vec<f32>>) {
        if self.activation != Some(Activation::Gelu) {
            return (self.forward(rows, x, weights, bias), None);
        }
        assert_eq!(bias.len(), self.outputs, "a bias per output");
        let mut sums = self.products(rows, x, weights);
        let (mut y, part) = (spare::take(sums.len()), self.part(rows));
        self.engine.share(sums.chunks_mut(part).zip(y.chunks_mut(part)), |(sums, y)| {
            on(self.engine.isa, Kept { sums, bias, y });
        });
        (y, Some(sums))
    }

    /// The gradients, from the output `y` of [`Dense::forward`] (for GELU from its slope) and the
    /// gradient by the output.
    ///
    /// # Panics
    /// If a slice does not fit the layer.
    pub fn backward(
        &self,
        rows: usize,
        (x, weights, y): (&[f32], &[f32], &[f32]),
        by_output: &[f32],
        into: Gradients<'_>,
    ) {
        let Self { engine, inputs, outputs, .. } = *self;
        let mut bent = Vec::new();
        let inner = match self.activation {
            None => by_output,
            Some(_) => {
                bent = spare::take(by_output.len());
                let part = self.part(rows);
                let given = by_output.chunks(part).zip(y.chunks(part)).zip(bent.chunks_mut(part));
                engine.share(given, |((by_output, y), bent)| {
                    unbend(engine.isa, by_output, y, self.activation, bent);
                });
                &bent
            }
        };
        assert_eq!(into.bias.len(), outputs, "a bias per output");
        reduce::column_sums(engine, inner, into.bias);
        let shape = Shape { m: inputs, n: outputs, k: rows };
        matmul(engine, Form::Tn, shape, x, inner, into.weights);
        if let Some(input) = into.input {
            let shape = Shape { m: rows, n: inputs, k: outputs };
            matmul(engine, Form::Nt, shape, inner, weights, input);
        }
        spare::leave(bent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::kernel::philox::Philox;

    fn noise(stream: u32, len: usize) -> Vec<f32> {
        let mut out = vec![0.0; len];
        Philox::new(1, 2, stream).fill(-1.0, 1.0, &mut out);
        out
    }

    /// Σ y over all outputs, whose gradient by y is all ones.
    #[track_caller]
    fn check(activation: Option<Activation>) {
        let dense = Dense { engine: Engine::default(), inputs: 5, outputs: 3, activation };
        let (x, w, b) = (noise(1, 4 * 5), noise(2, 15), noise(3, 3));
        let (y, kept) = dense.forward_kept(4, &x, &w, &b);
        assert_eq!(y, dense.forward(4, &x, &w, &b));
        let y = kept.unwrap_or(y);
        let (mut dw, mut db, mut dx) = (vec![0.0; 15], vec![0.0; 3], vec![0.0; 20]);
        let into = Gradients { weights: &mut dw, bias: &mut db, input: Some(&mut dx) };
        dense.backward(4, (&x, &w, &y), &[1.0; 12], into);
        let total =
            |x: &[f32], w: &[f32], b: &[f32]| -> f32 { dense.forward(4, x, w, b).iter().sum() };
        let slope = |xs: &[f32], at: usize, f: &dyn Fn(&[f32]) -> f32| {
            let (mut up, mut down) = (xs.to_vec(), xs.to_vec());
            up[at] += 1e-2;
            down[at] -= 1e-2;
            (f(&up) - f(&down)) / 2e-2
        };
        for (at, &d) in dw.iter().enumerate() {
            assert!((d - slope(&w, at, &|w| total(&x, w, &b))).abs() < 0.02, "weight {at}");
        }
        for (at, &d) in db.iter().enumerate() {
            assert!((d - slope(&b, at, &|b| total(&x, &w, b))).abs() < 0.02, "bias {at}");
        }
        for (at, &d) in dx.iter().enumerate() {
            assert!((d - slope(&x, at, &|x| total(x, &w, &b))).abs() < 0.02, "input {at}");
        }
    }

    #[test]
    fn gradients_are_the_slopes_of_the_layer() {
        check(None);
        check(Some(Activation::Tanh));
        check(Some(Activation::Relu));
        check(Some(Activation::Gelu));
    }

    #[test]
    fn a_nan_is_not_hidden_by_relu() {
        let dense = Dense {
            engine: Engine::default(),
            inputs: 1,
            outputs: 1,
            activation: Some(Activation::Relu),
        };
        assert!(dense.forward(1, &[f32::NAN], &[1.0], &[0.0])[0].is_nan());
    }
}
