//! Perplexity, executed: how hard the texts of a table are to foretell for a frozen model.
//! Never compares two models: a token of one is not a token of another.

use super::evaluate::{json, number, object};
use super::kernel::Engine;
use super::llama::{Llama, Windows};
use super::table::{Cells, Table};
use super::{Done, Fault, Named, exact, quote};
use crate::base::limits::CHUNK_BYTES_MAX;
use crate::domain::job::Perplexity;

/// The loss in nats, L = −(1/n) Σ ln p(token | those before it in its window) over the n tokens
/// that are foretold, and the perplexity e^L, of all texts of a column. A null is no text; where
/// rows are joined, it is an empty line.
pub fn run(spec: &Perplexity, table: &Table, model: &Llama<'_>) -> Result<Done, Fault> {
    let name = &spec.column;
    let Cells::Text(texts) = table.column(name)? else {
        let is = table.column(name)?.kind().word();
        let message = format!("column {} is {is}: only text is foretold", quote(name));
        return Err(Fault::new(message, "cast it to string first"));
    };
    let windows = Windows { length: spec.length as usize, stride: spec.stride as usize };
    if windows.stride == 0 || windows.stride >= windows.length {
        let message = format!("windows of {} tokens, {} apart", spec.length, spec.stride);
        return Err(Fault::new(message, "take a stride from 1 to below the length"));
    }
    let engine = Engine::default();
    let sum = if spec.joined {
        let mut whole = String::new();
        for text in texts {
            whole.push_str(text.unwrap_or_default());
            whole.push('\n');
            if whole.len() > CHUNK_BYTES_MAX {
                break;
            }
        }
        model.surprise(engine, windows, [whole.as_str()].into_iter())?
    } else {
        model.surprise(engine, windows, texts.iter().flatten())?
    };
    if sum.tokens == 0 {
        return Err(Fault::new(
            format!("no text of {} has a token to foretell", quote(name)),
            "give it longer texts",
        ));
    }
    let loss = sum.nats / sum.tokens as f64;
    let perplexity = exact::exp(loss);
    let report = object(&[
        ("version", "1".into()),
        ("kind", json("Perplexity")),
        ("model", json(&model.digest().to_string())),
        ("length", spec.length.to_string()),
        ("stride", spec.stride.to_string()),
        ("texts", sum.texts.to_string()),
        ("windows", sum.windows.to_string()),
        ("tokens", sum.tokens.to_string()),
        ("loss", number(loss)),
        ("perplexity", number(perplexity)),
    ]);
    let metrics = [
        ("perplexity", perplexity),
        ("loss", loss),
        ("tokens", sum.tokens as f64),
        ("texts", sum.texts as f64),
    ];
    Ok(Done {
        outputs: vec![Named { name: "report".into(), bytes: (report + "\n").into_bytes() }],
        metrics: metrics.map(|(name, value)| (name.to_owned(), value)).to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::llama::example;

    const ROWS: &str = "id,text\n1,ab b abb\n2,\n3,C bbb ab\n";

    fn spec(joined: bool) -> Perplexity {
        Perplexity { column: "text".into(), joined, length: 8, stride: 4 }
    }

    fn metrics(spec: &Perplexity, csv: &str) -> Vec<f64> {
        let packed = example::packed(&example::tensors());
        let model = Llama::from_bytes(&packed).unwrap();
        let table = Table::from_csv(csv.as_bytes()).unwrap();
        let done = run(spec, &table, &model).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&done.outputs[0].bytes).unwrap();
        for (name, value) in &done.metrics {
            assert_eq!(report[name].as_f64(), Some(*value), "{report}");
        }
        done.metrics.iter().map(|(_, value)| *value).collect()
    }

    #[test]
    fn the_perplexity_is_e_to_the_mean_loss_of_a_token() {
        let apart = metrics(&spec(false), ROWS);
        assert!((apart[0].ln() - apart[1]).abs() < 1e-12, "{apart:?}");
        assert_eq!(apart[3], 2.0);
        // Weighted by its tokens, each text says the same alone.
        let (one, other) =
            (metrics(&spec(false), "text\nab b abb\n"), metrics(&spec(false), "text\nC bbb ab\n"));
        assert_eq!(apart[2], one[2] + other[2]);
        let mean = (one[1] * one[2] + other[1] * other[2]) / apart[2];
        assert!((mean - apart[1]).abs() < 1e-12, "{mean} {apart:?}");
    }

    #[test]
    fn joined_rows_are_the_lines_of_one_text() {
        let joined = metrics(&spec(true), ROWS);
        assert_eq!(joined[3], 1.0);
        let whole = metrics(&spec(false), "text\n\"ab b abb\n\nC bbb ab\n\"\n");
        assert_eq!(joined, whole);
        assert_ne!(joined[1], metrics(&spec(false), ROWS)[1]);
    }

    #[test]
    fn what_cannot_be_foretold_is_told() {
        let packed = example::packed(&example::tensors());
        let model = Llama::from_bytes(&packed).unwrap();
        let message = |spec: &Perplexity, csv: &str| {
            run(spec, &Table::from_csv(csv.as_bytes()).unwrap(), &model).unwrap_err().message
        };
        let id = Perplexity { column: "id".into(), ..spec(true) };
        assert_eq!(message(&id, ROWS), "column \"id\" is integer: only text is foretold");
        assert!(message(&Perplexity { column: "txt".into(), ..spec(true) }, ROWS).contains("txt"));
        let wide = Perplexity { stride: 8, ..spec(true) };
        assert_eq!(message(&wide, ROWS), "windows of 8 tokens, 8 apart");
        let empty = message(&spec(false), "id,text\n1,\n2,\n");
        assert_eq!(empty, "no text of \"text\" has a token to foretell");
        let long = Perplexity { length: 25, ..spec(true) };
        assert!(message(&long, ROWS).contains("more than the model's 24"));
    }
}
