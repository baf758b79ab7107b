//! What it takes to have a frozen language model foretell texts.
//! Never knows a text or a model: both are taken from their bytes.

use super::{BYTES_PER_TOKEN, Shape};
use crate::domain::job::Perplexity;

/// Operations of the model over all windows: two for each weight and token. The pin says how many
/// bytes it has, and most are kept with two for each weight.
pub(super) fn estimate(spec: &Perplexity, table: Shape, model: Shape) -> u64 {
    let tokens = (table.bytes / BYTES_PER_TOKEN).saturating_add(table.rows);
    // Each token is seen in so many windows, whatever else they see again.
    let times = u64::from(spec.length).div_ceil(u64::from(spec.stride.max(1)));
    model.bytes.saturating_mul(tokens).saturating_mul(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_of_overlapping_windows_cost_as_often_as_they_are_seen() {
        let spec = Perplexity { column: "text".into(), joined: true, length: 512, stride: 512 };
        let table = Shape { rows: 100, columns: 1, bytes: 3_000, ..Shape::NONE };
        let model = Shape { bytes: 2_000_000, ..Shape::NONE };
        assert_eq!(estimate(&spec, table, model), 2_000_000 * 1_100);
        let half = Perplexity { stride: 256, ..spec };
        assert_eq!(estimate(&half, table, model), 2 * 2_000_000 * 1_100);
        let odd = Perplexity { stride: 300, ..half };
        assert_eq!(estimate(&odd, table, model), 2 * 2_000_000 * 1_100);
    }
}
