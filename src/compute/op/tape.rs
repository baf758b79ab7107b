//! What a network did forward, one operation after the other, to be gone through backward.
//! Never makes zeros to add a gradient to, as candle's graph does for each tensor: where there is
//! but one gradient it is handed on as it is. What nobody reads any more is left for the next
//! results.
//!
//! For candle the whole network is one operation, of which the loss is taken.

use super::{Kept, Stock, lend};
use crate::compute::kernel::reduce::{add_to, sums};
use crate::compute::kernel::{Engine, spare};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, CustomOp3, Error, InplaceOp1, Layout};
use candle_core::{Result, Shape, Tensor};

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
    /// The copy is added to what it was a copy of: their sum.
    Join(Tensor),
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
        if trunk.shape() != branch.shape() {
            return Err(Error::msg("only what is of one shape is added"));
        }
        let sum = lend(trunk, |a| lend(branch, |b| Ok(sums(self.engine, a, b))))?;
        let sum = Tensor::from_vec(sum, trunk.shape(), trunk.device())?;
        self.record(|| Step::Join(sum.clone()));
        Ok(sum)
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
        let (mut gradient, mut trunks) = (By::Others(by_result), Vec::new());
        for step in self.steps.into_iter().flatten().rev() {
            let by = gradient.tensor();
            // Who took the result of this step comes after it, and is done with it.
            let (before, result) = match step {
                Step::One(op, [x, y]) => (op.bwd(&x, &y, by)?, y),
                Step::Two(op, [x, w, y]) => (op.bwd(&x, &w, &y, by)?.0, y),
                Step::Three(op, [x, w, b, y]) => (op.bwd(&x, &w, &b, &y, by)?.0, y),
                Step::Join(sum) => {
                    let shared = By::Others(by.clone());
                    trunks.push(std::mem::replace(&mut gradient, shared));
                    leave(&sum)?;
                    continue;
                }
                Step::Branch => {
                    let trunk = trunks.pop().ok_or_else(|| Error::msg("a branch has no end"))?;
                    gradient = gradient.plus(self.engine, trunk)?;
                    continue;
                }
            };
            leave(&result)?;
            // What data went into has no gradient by it, and is first.
            let Some(before) = before else { break };
            std::mem::replace(&mut gradient, By::Own(before)).leave()?;
        }
        Ok(())
    }
}

/// A gradient by what a step gave.
enum By {
    /// That nobody else has.
    Own(Tensor),
    /// That others read.
    Others(Tensor),
}

impl By {
    const fn tensor(&self) -> &Tensor {
        match self {
            Self::Own(tensor) | Self::Others(tensor) => tensor,
        }
    }

    /// The sum of both.
    fn plus(self, engine: Engine, other: Self) -> Result<Self> {
        if self.tensor().shape() != other.tensor().shape() {
            return Err(Error::msg("only what is of one shape is added"));
        }
        let (into, other) = if let Self::Own(_) = self { (self, other) } else { (other, self) };
        let sum = match into {
            Self::Own(into) => {
                lend(other.tensor(), |add| into.inplace_op1(&Plus { engine, add }))?;
                into
            }
            Self::Others(a) => {
                let sum = lend(&a, |a| lend(other.tensor(), |b| Ok(sums(engine, a, b))))?;
                Tensor::from_vec(sum, a.shape(), a.device())?
            }
        };
        other.leave()?;
        Ok(Self::Own(sum))
    }

    fn leave(self) -> Result<()> {
        match self {
            Self::Own(tensor) => leave(&tensor),
            Self::Others(_) => Ok(()),
        }
    }
}

/// Adds to a tensor.
struct Plus<'a> {
    engine: Engine,
    add: &'a [f32],
}

impl InplaceOp1 for Plus<'_> {
    fn name(&self) -> &'static str {
        "exact-plus"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let into = match (storage, layout.contiguous_offsets()) {
            (CpuStorage::F32(values), Some((begin, end))) => values.get_mut(begin..end),
            _ => None,
        };
        let into = into.ok_or_else(|| Error::msg("a gradient is f32 without gaps"))?;
        add_to(self.engine, into, self.add);
        Ok(())
    }
}

/// Leaves the elements of a tensor that nobody reads any more for the next results.
fn leave(tensor: &Tensor) -> Result<()> {
    tensor.inplace_op1(&Leave)
}

struct Leave;

impl InplaceOp1 for Leave {
    fn name(&self) -> &'static str {
        "leave"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, _layout: &Layout) -> Result<()> {
        if let CpuStorage::F32(values) = storage {
            spare::leave(std::mem::take(values));
        }
        Ok(())
    }
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
