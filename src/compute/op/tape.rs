//! What a network did forward, one operation after the other, to be gone through backward.
//! Never makes zeros to add a gradient to, as candle's graph does for each tensor: where there is
//! but one gradient it is handed on as it is.
//!
//! For candle the whole network is one operation, of which the loss is taken.

use super::{Kept, Stock, lend};
use crate::compute::kernel::Engine;
use crate::compute::kernel::reduce::sums;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Error, Layout, Result};
use candle_core::{Shape, Tensor};

/// The operations of one pass, in their order.
pub(in crate::compute) struct Tape {
    engine: Engine,
    /// None where nobody will learn from it, or candle itself keeps what is to be learned from.
    steps: Option<Vec<Step>>,
    /// Whether the operations are candle's own.
    is_stock: bool,
}

enum Step {
    One(Box<dyn CustomOp1 + Send + Sync>, [Tensor; 2]),
    Two(Box<dyn CustomOp2 + Send + Sync>, [Tensor; 3]),
    Three(Box<dyn CustomOp3 + Send + Sync>, [Tensor; 4]),
    /// What follows is done to a copy, up to the matching `Join`.
    Branch,
    /// The copy is added to what it was a copy of.
    Join,
}

impl Tape {
    /// Before the first operation; `learns` says whether anything is kept of them.
    pub(in crate::compute) fn new(engine: Engine, learns: bool) -> Self {
        Self { engine, steps: learns.then(Vec::new), is_stock: false }
    }

    /// Before the first of candle's own operations.
    pub(in crate::compute) fn stock(engine: Engine) -> Self {
        Self { is_stock: true, ..Self::new(engine, false) }
    }

    /// Whether no operation was done: what the next one takes is data, and has no gradient.
    pub(in crate::compute) fn is_empty(&self) -> bool {
        self.steps.as_ref().is_none_or(Vec::is_empty)
    }

    fn record(&mut self, step: impl FnOnce() -> Step) {
        if let Some(steps) = &mut self.steps {
            steps.push(step());
        }
    }

    /// An operation on `x` alone.
    pub(in crate::compute) fn one<C>(&mut self, x: &Tensor, op: C) -> Result<Tensor>
    where
        C: CustomOp1 + Stock<1> + Send + Sync + 'static,
    {
        if self.is_stock {
            return op.stock([x]);
        }
        let y = x.apply_op1_no_bwd(&op)?;
        self.record(|| Step::One(Box::new(op), [x.clone(), y.clone()]));
        Ok(y)
    }

    /// An operation on `x` with a parameter.
    pub(in crate::compute) fn two<C>(&mut self, x: &Tensor, w: &Tensor, op: C) -> Result<Tensor>
    where
        C: CustomOp2 + Stock<2> + Send + Sync + 'static,
    {
        if self.is_stock {
            return op.stock([x, w]);
        }
        let y = x.apply_op2_no_bwd(w, &op)?;
        self.record(|| Step::Two(Box::new(op), [x.clone(), w.clone(), y.clone()]));
        Ok(y)
    }

    /// An operation on `x` with two parameters.
    pub(in crate::compute) fn three<C>(
        &mut self,
        x: &Tensor,
        (w, b): (&Tensor, &Tensor),
        op: C,
    ) -> Result<Tensor>
    where
        C: CustomOp3 + Stock<3> + Send + Sync + 'static,
    {
        if self.is_stock {
            return op.stock([x, w, b]);
        }
        let y = x.apply_op3_no_bwd(w, b, &op)?;
        self.record(|| Step::Three(Box::new(op), [x.clone(), w.clone(), b.clone(), y.clone()]));
        Ok(y)
    }

    /// What is done from here to [`Tape::join`] is done beside what is there.
    pub(in crate::compute) fn branch(&mut self) {
        self.record(|| Step::Branch);
    }

    /// The sum of what was there at [`Tape::branch`] and of what became of it.
    pub(in crate::compute) fn join(&mut self, trunk: &Tensor, branch: &Tensor) -> Result<Tensor> {
        if self.is_stock {
            return trunk + branch;
        }
        self.record(|| Step::Join);
        add(self.engine, trunk, branch)
    }

    /// The result as a tensor that candle tracks, where the tape is to be learned from. `anchor` is
    /// a variable of the network.
    pub(in crate::compute) fn end(self, y: Tensor, anchor: &Tensor) -> Result<Tensor> {
        if self.steps.is_none() {
            return Ok(y);
        }
        let (values, shape) = (lend(&y, |y| Ok(y.to_vec()))?, y.shape().clone());
        let (result, tape) = (Kept::default(), Kept::default());
        result.set(Some(values));
        tape.set(Some(self));
        anchor.apply_op1(Replay { result, shape, tape })
    }

    /// Finds all gradients, from that by the result.
    fn backward(self, by_result: Tensor) -> Result<()> {
        let (mut gradient, mut trunks) = (by_result, Vec::new());
        for step in self.steps.into_iter().flatten().rev() {
            let before = match step {
                Step::One(op, [x, y]) => op.bwd(&x, &y, &gradient)?,
                Step::Two(op, [x, w, y]) => op.bwd(&x, &w, &y, &gradient)?.0,
                Step::Three(op, [x, w, b, y]) => op.bwd(&x, &w, &b, &y, &gradient)?.0,
                Step::Join => {
                    trunks.push(gradient.clone());
                    Some(gradient)
                }
                Step::Branch => {
                    let trunk = trunks.pop().ok_or_else(|| Error::msg("a branch has no end"))?;
                    Some(add(self.engine, &trunk, &gradient)?)
                }
            };
            // What data went into has no gradient by it, and is first.
            let Some(before) = before else { break };
            gradient = before;
        }
        Ok(())
    }
}

fn add(engine: Engine, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if a.shape() != b.shape() {
        return Err(Error::msg("only what is of one shape is added"));
    }
    let sum = lend(a, |a| lend(b, |b| Ok(sums(engine, a, b))))?;
    Tensor::from_vec(sum, a.shape(), a.device())
}

/// A tape as one operation of candle's graph.
struct Replay {
    result: Kept<Vec<f32>>,
    shape: Shape,
    tape: Kept<Tape>,
}

impl CustomOp1 for Replay {
    fn name(&self) -> &'static str {
        "exact-network"
    }

    fn cpu_fwd(&self, _anchor: &CpuStorage, _layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let result = self.result.take().ok_or_else(|| Error::msg("a network gives once"))?;
        Ok((CpuStorage::F32(result), self.shape.clone()))
    }

    fn bwd(&self, _anchor: &Tensor, _y: &Tensor, by_y: &Tensor) -> Result<Option<Tensor>> {
        let tape = self.tape.take().ok_or_else(|| Error::msg("a network learns once"))?;
        tape.backward(by_y.clone()).map(|()| None)
    }
}
