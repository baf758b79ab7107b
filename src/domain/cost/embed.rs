//! What it takes to embed texts, and the shape of the table that is made.
//! Never knows a text: how many tokens they have is taken from the bytes of the table.

use super::{Shape, Way};
use crate::domain::job::Embed;
#[cfg(test)]
use crate::domain::job::{Mode, Part};

/// Bytes of text to a token: English words are a little longer, and each has a space.
const BYTES_PER_TOKEN: u64 = 4;
/// Tokens that a tokenizer adds to each text.
const TOKENS_ADDED: u64 = 2;
/// Tokens of a text at the most where neither the stage says it nor anybody knows the encoder.
const LENGTH_ASSUMED: u64 = 512;

/// Operations of the encoder over all texts, and the shape of the result. The encoder's pin says
/// how many bytes it has, four for each weight, and how many columns it gives.
pub(super) fn estimate(spec: &Embed, table: Shape, encoder: Shape) -> (u64, Shape) {
    let (from, to) = spec.part.share(table.rows);
    let rows = to.saturating_sub(from);
    let bytes = (table.bytes / table.rows.max(1)).saturating_mul(rows);
    let table = Shape { rows, bytes, ..table };
    let flop = flop(spec.length, table, Some(&encoder));
    let columns = table.columns.saturating_add(encoder.columns).saturating_sub(1);
    let made = table.rows.saturating_mul(encoder.columns).saturating_mul(8);
    let bytes = table.bytes.saturating_add(made);
    // The vectors as they grow, and the cells that they become.
    let own = (bytes / table.rows.max(1)).saturating_add(encoder.columns.saturating_mul(24));
    let Way { row, row_most, .. } = table.way;
    let way = Way { row: row.max(own), row_most: row_most.max(own), ..table.way };
    (flop, Shape { columns, bytes, tokens: 0, way, ..table })
}

/// Operations of an encoder over all texts of a table, if there is one: of each so many tokens at
/// the most.
pub(super) fn flop(length: Option<u32>, table: Shape, encoder: Option<&Shape>) -> u64 {
    let length = length.map_or(LENGTH_ASSUMED, u64::from);
    let bytes = table.bytes / table.rows.max(1);
    let tokens = (bytes / BYTES_PER_TOKEN).saturating_add(TOKENS_ADDED).min(length);
    // Two for each weight, as if each took part in each token: those of the vocabulary do not.
    let of_token = encoder.map_or(0, |encoder| encoder.bytes / 2);
    of_token.saturating_mul(tokens).saturating_mul(table.rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_cost_and_columns_follow_from_the_encoder() {
        let spec = Embed {
            column: "text".into(),
            length: None,
            pooling: None,
            normalize: None,
            part: Part::WHOLE,
            mode: Mode::Exact,
        };
        let table = Shape { rows: 1_000, columns: 2, bytes: 80_000, ..Shape::NONE };
        let encoder = Shape { columns: 384, bytes: 90_000_000, ..Shape::NONE };
        let (flop, made) = estimate(&spec, table, encoder);
        assert_eq!(flop, 45_000_000 * 22 * 1_000);
        assert_eq!((made.rows, made.columns, made.bytes), (1_000, 385, 80_000 + 384 * 8_000));
        let short = Embed { length: Some(10), ..spec };
        assert_eq!(estimate(&short, table, encoder).0, 45_000_000 * 10 * 1_000);
    }
}
