//! The look-up of tokens in a table as an operation of candle's graph.
//! Never reads beyond the table: a token that is not in it is an error.

use super::{Gradient, Stock, floats, lend};
use crate::compute::kernel::Engine;
use crate::compute::kernel::embedding::{add_gradient, look_up};
use candle_core::{CpuStorage, CustomOp3, DType, Error, Layout, Result, Shape, Tensor};

/// Rows of a table, and of places added to them, with arguments (tokens, table, places): of
/// `rows × length` tokens `rows·length × width`. Without places, that argument has no rows.
pub(in crate::compute) struct EmbeddingOp {
    /// How it runs.
    pub engine: Engine,
    /// Where the gradient by the table goes; added to what is there if the table is `shared`.
    pub table: Gradient,
    /// Where the gradient by the places goes, where there are some.
    pub places: Option<Gradient>,
    /// Whether another operation has the table too, whose gradient comes first.
    pub shared: bool,
}

impl CustomOp3 for EmbeddingOp {
    fn name(&self) -> &'static str {
        "exact-embedding"
    }

    fn cpu_fwd(
        &self,
        tokens: &CpuStorage,
        tokens_layout: &Layout,
        table: &CpuStorage,
        table_layout: &Layout,
        places: &CpuStorage,
        places_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, length) = tokens_layout.shape().dims2()?;
        let (size, width) = table_layout.shape().dims2()?;
        let tokens = floats(tokens, tokens_layout)?;
        if !tokens.iter().all(|token| *token >= 0.0 && (*token as usize) < size) {
            return Err(Error::msg("a token is not in the table"));
        }
        let places = match self.places {
            Some(_) if places_layout.shape().dims2()? != (length, width) => {
                return Err(Error::msg("one place per token of a row"));
            }
            Some(_) => floats(places, places_layout)?,
            None => &[],
        };
        let table = floats(table, table_layout)?;
        let y = look_up(self.engine.isa, tokens, table, places, width);
        Ok((CpuStorage::F32(y), Shape::from((rows * length, width))))
    }

    fn bwd(
        &self,
        tokens: &Tensor,
        table: &Tensor,
        _places: &Tensor,
        _y: &Tensor,
        by_output: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let width = table.dim(1)?;
        let mut by_table = self.table.lock();
        if by_table.filled != self.shared {
            return Err(Error::msg("the gradients of a table come in another order"));
        }
        if !self.shared {
            by_table.values.fill(0.0);
        }
        let mut by_places = self.places.as_ref().map(Gradient::fill).transpose()?;
        if let Some(slot) = &mut by_places {
            slot.values.fill(0.0);
        }
        let mut none = [];
        let places = by_places.as_mut().map_or(none.as_mut_slice(), |slot| &mut slot.values);
        let isa = self.engine.isa;
        lend(tokens, |tokens| {
            lend(by_output, |by_output| {
                add_gradient(isa, tokens, by_output, width, (&mut by_table.values, places));
                Ok(())
            })
        })?;
        by_table.filled = true;
        Ok((None, None, None))
    }
}

impl Stock<3> for EmbeddingOp {
    fn stock(&self, [tokens, table, places]: [&Tensor; 3]) -> Result<Tensor> {
        let ((rows, length), width) = (tokens.dims2()?, table.dim(1)?);
        let ids = tokens.flatten_all()?.to_dtype(DType::U32)?;
        let y = table.index_select(&ids, 0)?;
        if self.places.is_none() {
            return Ok(y);
        }
        let y = y.reshape((rows, length, width))?.broadcast_add(places)?;
        y.reshape((rows * length, width))
    }
}
