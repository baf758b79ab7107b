//! The head of a language model that is the table of its tokens, as an operation of candle's graph.
//! Never waits for the table's other gradient: it comes first, as backward begins at the end.

use super::{Gradient, Stock, floats, lend};
use crate::compute::kernel::matmul::{Form, Shape as Product, matmul};
use crate::compute::kernel::{Engine, spare};
use candle_core::{CpuStorage, CustomOp2, Error, Layout, Result, Shape, Tensor};

/// x·Tᵀ with arguments (x, T): how well each row fits each token.
pub(in crate::compute) struct HeadOp {
    /// How it runs.
    pub engine: Engine,
    /// Where the gradient by the table goes.
    pub table: Gradient,
}

impl CustomOp2 for HeadOp {
    fn name(&self) -> &'static str {
        "exact-head"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        table: &CpuStorage,
        table_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((rows, k), (tokens, width)) =
            (x_layout.shape().dims2()?, table_layout.shape().dims2()?);
        if k != width {
            return Err(Error::msg("the rows are not as wide as the table"));
        }
        let mut y = spare::take(rows * tokens);
        let shape = Product { m: rows, n: tokens, k };
        let (x, table) = (floats(x, x_layout)?, floats(table, table_layout)?);
        matmul(self.engine, Form::Nt, shape, x, table, &mut y);
        Ok((CpuStorage::F32(y), Shape::from((rows, tokens))))
    }

    fn bwd(
        &self,
        x: &Tensor,
        table: &Tensor,
        _y: &Tensor,
        by_output: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let ((rows, width), tokens) = (x.dims2()?, table.dim(0)?);
        let mut by_table = self.table.fill()?;
        let mut by_input = spare::take(rows * width);
        lend(by_output, |by_output| {
            lend(x, |x| {
                let shape = Product { m: tokens, n: width, k: rows };
                matmul(self.engine, Form::Tn, shape, by_output, x, &mut by_table.values);
                Ok(())
            })?;
            lend(table, |table| {
                let shape = Product { m: rows, n: width, k: tokens };
                matmul(self.engine, Form::Nn, shape, by_output, table, &mut by_input);
                Ok(())
            })
        })?;
        Ok((Some(Tensor::from_vec(by_input, x.shape(), x.device())?), None))
    }
}

impl Stock<2> for HeadOp {
    fn stock(&self, [x, table]: [&Tensor; 2]) -> Result<Tensor> {
        x.matmul(&table.t()?)
    }
}
