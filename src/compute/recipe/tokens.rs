//! Text, applied a tokenizer to: as one stream, or as rows of a fixed length.
//! Never learns a vocabulary, and never holds more tokens than a table may have.

use super::Tokenized;
use super::apply::{Columns, table_of};
use crate::base::limits;
use crate::compute::table::{Cells, Table};
use crate::compute::{Fault, quote};
use arrow_array::{Array, Int64Array, StringArray};
use std::sync::Arc;

/// Tokens of one table, at the most: each takes eight bytes of it.
const TOKENS_MAX: usize = limits::ARTIFACT_BYTES_MAX / size_of::<i64>();

/// The cells of a column that is to be text.
pub(in crate::compute) fn texts<'a>(
    name: &str,
    cells: Cells<'a>,
) -> Result<&'a StringArray, Fault> {
    match cells {
        Cells::Text(texts) => Ok(texts),
        cells => {
            let (name, is) = (quote(name), cells.kind().word());
            let message = format!("column {name} is {is}: only text is tokenised");
            Err(Fault::new(message, "cast it to string first"))
        }
    }
}

/// All texts one after the other, each with the separator behind it.
pub(super) fn stream(
    tokenized: &Tokenized,
    separator: &str,
    table: &Table,
) -> Result<Table, Fault> {
    let texts = texts(&tokenized.column, table.column(&tokenized.column)?)?;
    let mut encoder = tokenized.tokenizer.encoder();
    let (mut whole, mut tokens) = (String::new(), Vec::new());
    let mut cells: Vec<i64> = Vec::new();
    for text in texts {
        whole.clear();
        whole.push_str(text.unwrap_or_default());
        whole.push_str(separator);
        tokens.clear();
        encoder.encode(&whole, &mut tokens);
        if cells.len() + tokens.len() > TOKENS_MAX {
            let message = format!("the stream has more than {TOKENS_MAX} tokens");
            return Err(Fault::new(message, "divide the source, or take `kind: bpe`"));
        }
        cells.extend(tokens.iter().map(|token| i64::from(*token)));
    }
    table_of(vec![(Tokenized::TOKEN.to_owned(), Arc::new(Int64Array::from(cells)))])
}

/// So many tokens of each text, counted from 1, with 0 behind those of a shorter one.
pub(super) fn rows(tokenized: &Tokenized, length: u32, cells: Cells<'_>) -> Result<Columns, Fault> {
    let texts = texts(&tokenized.column, cells)?;
    let mut encoder = tokenized.tokenizer.encoder();
    let mut columns = vec![vec![0i64; texts.len()]; length as usize];
    let mut tokens = Vec::new();
    for (row, text) in texts.iter().enumerate() {
        tokens.clear();
        encoder.encode(text.unwrap_or_default(), &mut tokens);
        for (column, token) in columns.iter_mut().zip(&tokens) {
            let cell = column.get_mut(row);
            cell.into_iter().for_each(|cell| *cell = i64::from(*token) + 1);
        }
    }
    let named = (0..length).map(|place| tokenized.name(place)).zip(columns);
    Ok(named.map(|(name, cells)| (name, Arc::new(Int64Array::from(cells)) as _)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::canon::Encode;
    use crate::compute::recipe::{Applied, Recipe};
    use crate::compute::tokenizer::Tokenizer;
    use crate::compute::transform;
    use crate::domain::job::{Layout, Reading, Step, Tokenize, Tokens, Transform};

    const LINES: &str = "to be\n\nor not\nto be\n";

    fn lines(text: &str) -> Table {
        let reading = Reading { format: crate::domain::job::Format::Text, ..Reading::csv() };
        Table::of_source(reading, text.as_bytes()).unwrap()
    }

    fn tokenize(column: &str, by: Tokens, into: Layout) -> Transform {
        Transform { steps: vec![Step::Tokenize(Tokenize { column: column.into(), by, into })] }
    }

    fn run(spec: &Transform, table: Table) -> Result<Table, Fault> {
        transform::run(spec, table, None, None)
    }

    fn stream_of(by: Tokens) -> Transform {
        tokenize("text", by, Layout::Stream { separator: "\n".into() })
    }

    fn cells(table: &Table, column: &str) -> Vec<u32> {
        let texts = table.column(column).unwrap().texts().into_iter().flatten();
        texts.map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_stream_is_the_text_itself_whatever_a_token_is() {
        for by in [Tokens::Char, Tokens::Byte, Tokens::Pairs { vocabulary: 260 }] {
            let table = run(&stream_of(by), lines(LINES)).unwrap();
            assert_eq!(table.columns(), ["token"]);
            let tokenizer = table.recipe().tokenizer().unwrap();
            let text = tokenizer.decoder().decode(&cells(&table, "token"));
            assert_eq!(String::from_utf8(text).unwrap(), LINES);
            assert_eq!(Table::from_bytes(&table.to_bytes()).unwrap(), table);
        }
        let tokens = cells(&run(&stream_of(Tokens::Char), lines("ba\n\nab")).unwrap(), "token");
        assert_eq!(tokens, [3, 2, 1, 1, 2, 3, 1]);
    }

    #[test]
    fn held_out_text_becomes_tokens_of_the_vocabulary_of_the_training() {
        let train = run(&stream_of(Tokens::Char), lines("ba")).unwrap();
        let test = train.recipe().bring(&lines("abc")).unwrap();
        assert_eq!(cells(&test, "token"), [2, 3, 0, 1]);
        // A model asks for the token; a table of text is all that it takes.
        let wanted = ["token".to_owned()];
        let needs = train.recipe().needs(&wanted).unwrap();
        assert_eq!(needs.into_iter().map(|column| column.name).collect::<Vec<_>>(), ["text"]);
        let rows = train.recipe().bring_toward(&lines("abc"), &wanted).unwrap();
        assert_eq!(cells(&rows, "token"), [2, 3, 0, 1]);
        assert_eq!(train.recipe().bring_toward(&train, &wanted).unwrap().columns(), ["token"]);
    }

    #[test]
    fn rows_are_cut_or_filled_up_and_keep_their_other_columns() {
        let table = Table::from_csv(b"id,text,y\n1,abba,u\n2,,v\n3,b,u\n").unwrap();
        let spec = tokenize("text", Tokens::Char, Layout::Rows { length: 3 });
        let rows = run(&spec, table).unwrap();
        assert_eq!(rows.columns(), ["id", "text#0", "text#1", "text#2", "y"]);
        assert_eq!(cells(&rows, "text#0"), [2, 0, 3]);
        assert_eq!(cells(&rows, "text#1"), [3, 0, 0]);
        assert_eq!(cells(&rows, "text#2"), [3, 0, 0]);
        assert_eq!(rows.recipe().tokenizer(), Some(&Tokenizer::Chars("ab".into())));
        let wanted: Vec<String> = (0..3).map(|place| format!("text#{place}")).collect();
        let raw = Table::from_csv(b"text\nbax\n").unwrap();
        let got = rows.recipe().bring_toward(&raw, &wanted).unwrap();
        assert_eq!([cells(&got, "text#0"), cells(&got, "text#2")], [[3], [1]]);
    }

    #[test]
    fn chunks_of_bytes_are_as_the_whole() {
        let spec = stream_of(Tokens::Byte);
        assert!(spec.is_row_wise() && !stream_of(Tokens::Char).is_row_wise());
        let whole = run(&spec, lines("ab\ncd\nef\n")).unwrap();
        let parts = ["ab\n", "cd\nef\n"].map(|text| run(&spec, lines(text)).unwrap());
        assert_eq!(Table::concat(&parts).unwrap(), whole);
    }

    #[test]
    fn what_is_no_text_or_has_none_is_a_fault() {
        let numbers = || Table::from_csv(b"text\n1\n").unwrap();
        let fault = run(&stream_of(Tokens::Byte), numbers()).unwrap_err();
        assert_eq!(fault.message, "column \"text\" is integer: only text is tokenised");
        let nowhere = tokenize("txt", Tokens::Byte, Layout::Rows { length: 2 });
        let fault = run(&nowhere, lines("a")).unwrap_err();
        assert!(fault.hint.contains("\"text\""), "{fault:?}");
        let long = tokenize("text", Tokens::Byte, Layout::Rows { length: 20_000 });
        assert!(run(&long, lines("a")).is_err());
        let bare = tokenize("text", Tokens::Byte, Layout::Stream { separator: String::new() });
        assert_eq!(run(&bare, lines("\n\n")).unwrap_err().message, "no row is left");
    }

    #[test]
    fn a_recipe_with_a_vocabulary_that_cannot_be_is_refused() {
        let recipe = |tokenizer: Tokenizer, into: Layout| {
            let tokenized = Tokenized { column: "text".into(), tokenizer, into };
            let mut recipe = Recipe::raw(lines("a").schema());
            recipe.push(Applied::Tokenize(tokenized)).unwrap();
            Recipe::from_bytes(&recipe.to_bytes()).is_ok()
        };
        let rows = |length| Layout::Rows { length };
        assert!(recipe(Tokenizer::Bytes, rows(4_096)));
        assert!(!recipe(Tokenizer::Bytes, rows(4_097)) && !recipe(Tokenizer::Bytes, rows(0)));
        assert!(!recipe(Tokenizer::Pairs(vec![(256, 1)]), rows(1)));
        let separator = "x".repeat(2_000);
        assert!(!recipe(Tokenizer::Bytes, Layout::Stream { separator }));
    }
}
