//! A bag of tokens as an operation of candle's graph.
//! Never computes a gradient by tokens: there is none.

use super::{Gradient, Stock, floats, lend};
use crate::compute::kernel::bag::Bag;
use candle_core::{CpuStorage, CustomOp2, DType, Error, Layout, Result, Shape, Tensor};

/// The mean vector of each row of tokens, with arguments (tokens, table of vectors).
pub(in crate::compute) struct BagOp {
    /// Its arithmetic.
    pub bag: Bag,
    /// Where the gradient by the table goes.
    pub table: Gradient,
}

impl CustomOp2 for BagOp {
    fn name(&self) -> &'static str {
        "exact-bag"
    }

    fn cpu_fwd(
        &self,
        tokens: &CpuStorage,
        tokens_layout: &Layout,
        table: &CpuStorage,
        table_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, length) = tokens_layout.shape().dims2()?;
        let (_, width) = table_layout.shape().dims2()?;
        if (length, width) != (self.bag.length, self.bag.width) {
            return Err(Error::msg("the tokens do not fit the bag"));
        }
        let y = self.bag.forward(floats(tokens, tokens_layout)?, floats(table, table_layout)?);
        Ok((CpuStorage::F32(y), Shape::from((rows, width))))
    }

    fn bwd(
        &self,
        tokens: &Tensor,
        _table: &Tensor,
        _y: &Tensor,
        by_output: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let mut by_table = self.table.fill()?;
        lend(tokens, |tokens| {
            lend(by_output, |by_output| {
                self.bag.backward(tokens, by_output, &mut by_table.values);
                Ok(())
            })
        })?;
        Ok((None, None))
    }
}

impl Stock<2> for BagOp {
    fn stock(&self, [tokens, table]: [&Tensor; 2]) -> Result<Tensor> {
        let (rows, length) = tokens.dims2()?;
        let counts = tokens.gt(0.0)?.to_dtype(DType::F32)?;
        // Tokens are counted from 1; for none, any vector is taken no times.
        let ids = (tokens - 1.0)?.relu()?.flatten_all()?.to_dtype(DType::U32)?;
        let vectors = table.index_select(&ids, 0)?.reshape((rows, length, self.bag.width))?;
        let sum = vectors.broadcast_mul(&counts.unsqueeze(2)?)?.sum(1)?;
        sum.broadcast_div(&counts.sum_keepdim(1)?.maximum(1.0)?)
    }
}
