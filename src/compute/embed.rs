//! Embeddings, executed: a text column of a table becomes the columns of its vectors.
//! Never looks from one row at another: a null text has null cells, and what stands beside a text
//! changes no bit of it, unless it is computed fast.

mod near;

pub(super) use near::accept;

use super::encoder::Encoder;
use super::machine::Machine;
use super::memory;
use super::recipe::{Applied, Embedding, Recipe, table_of};
use super::table::{Cells, Table};
use super::{Fault, quote};
use crate::base::limits::{ARTIFACT_BYTES_MAX, COLUMNS_MAX};
use crate::domain::job::Embed;
use arrow_array::{Array, ArrayRef, Float64Array, StringArray};
use std::sync::Arc;

/// The table with the vectors of a column in its place. Its recipe says by which encoder.
pub fn run(
    machine: &Machine,
    spec: &Embed,
    table: &Table,
    encoder: &Encoder,
) -> Result<Table, Fault> {
    let settings = encoder.settings(spec)?;
    let embedding = Embedding {
        column: spec.column.clone(),
        encoder: encoder.digest(),
        width: u32::try_from(encoder.width()).unwrap_or(u32::MAX),
        length: u32::try_from(settings.length).unwrap_or(u32::MAX),
        pooling: settings.pooling,
        normalize: settings.normalize,
    };
    let embedded = apply(machine, &embedding, &share(spec, table)?, encoder)?;
    let mut recipe = table.recipe().clone();
    recipe.push(Applied::Embed(embedding))?;
    Ok(embedded.with_recipe(recipe))
}

/// The rows that a job is to embed.
fn share(spec: &Embed, table: &Table) -> Result<Table, Fault> {
    let (from, to) = spec.part.share(table.rows() as u64);
    if !spec.part.is_sound() || from == to {
        let message = format!(
            "the table has {} rows, and was taken for so many that they are embedded in {} shares",
            table.rows(),
            spec.part.count
        );
        return Err(Fault::new(message, "embed the texts before rows are left out"));
    }
    Ok(table.slice(from as usize, (to - from) as usize))
}

/// Brings a table to where a recipe ends, for these columns alone: texts are embedded on the way.
pub(super) fn bring(
    recipe: &Recipe,
    table: &Table,
    wanted: &[String],
    encoder: &Encoder,
) -> Result<Table, Fault> {
    let Some(rest) = recipe.rest_toward(table, wanted)? else { return recipe.bring(table) };
    let brought = rest.apply_by(table, &|embedding, table| {
        let is_same = embedding.encoder == encoder.digest();
        if !is_same || embedding.width as usize != encoder.width() {
            let (other, own) = (encoder.digest().short(), embedding.encoder.short());
            return Err(Fault::new(
                format!("this is encoder {other}, the rows of the training were embedded by {own}"),
                "give the same folder: each of its files as it was",
            ));
        }
        apply(&Machine::default(), embedding, table, encoder)
    });
    Ok(brought?.with_recipe(recipe.clone()))
}

/// Raw rows with texts, brought to where several recipes end.
pub(super) struct Raw<'a> {
    table: &'a Table,
    encoder: &'a Encoder,
    /// What was wanted last, and the rows of it.
    brought: Option<(Recipe, Vec<String>, Table)>,
}

impl<'a> Raw<'a> {
    pub(super) const fn new(table: &'a Table, encoder: &'a Encoder) -> Self {
        Self { table, encoder, brought: None }
    }

    /// As [`bring`] does; texts that were just embedded for the same columns are not embedded
    /// again.
    pub(super) fn bring(&mut self, recipe: &Recipe, wanted: Vec<String>) -> Result<&Table, Fault> {
        let is_here =
            matches!(&self.brought, Some((to, columns, _)) if to == recipe && *columns == wanted);
        let rows = match self.brought.take() {
            Some((.., rows)) if is_here => rows,
            _ => bring(recipe, self.table, &wanted, self.encoder)?,
        };
        Ok(&self.brought.insert((recipe.clone(), wanted, rows)).2)
    }
}

/// The table that an embedding makes. Its recipe is that of a raw table.
fn apply(
    machine: &Machine,
    embedding: &Embedding,
    table: &Table,
    encoder: &Encoder,
) -> Result<Table, Fault> {
    let name = &embedding.column;
    let Cells::Text(texts) = table.column(name)? else {
        let is = table.column(name)?.kind().word();
        let message = format!("column {} is {is}: only text is embedded", quote(name));
        return Err(Fault::new(message, "cast it to string first"));
    };
    let (rows, width) = (table.rows(), encoder.width());
    let bytes = rows.saturating_mul(width).saturating_mul(size_of::<f64>());
    if bytes > ARTIFACT_BYTES_MAX || table.columns().len() + width > COLUMNS_MAX {
        let message = format!("{} becomes {width} columns of {rows} rows", quote(name));
        return Err(Fault::new(
            message,
            "embed fewer rows in one stage, or with a narrower encoder",
        ));
    }
    // The vectors, and the cells that they become.
    memory::room(bytes + bytes / 2)?;
    let settings = embedding.settings();
    let vectors = match machine {
        Machine::Exact(engine) => encoder.encode(*engine, settings, texts.iter())?,
        Machine::Fast(device) => encoder.encode_fast(device, settings, texts.iter())?,
    };
    let mut made = Some(columns(embedding, texts, &vectors));
    let columns = table.arrays().into_iter().flat_map(|(each, array)| {
        if each == *name { made.take().unwrap_or_default() } else { vec![(each, array)] }
    });
    table_of(columns.collect())
}

/// The columns of vectors that stand one below the other.
fn columns(embedding: &Embedding, texts: &StringArray, vectors: &[f32]) -> Vec<(String, ArrayRef)> {
    let width = embedding.width as usize;
    let column = |(at, name): (usize, String)| {
        let cells = vectors.iter().skip(at).step_by(width).enumerate();
        let cells = cells.map(|(row, x)| texts.is_valid(row).then_some(f64::from(*x)));
        (name, Arc::new(Float64Array::from_iter(cells)) as ArrayRef)
    };
    embedding.names().enumerate().map(column).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::encoder::example;
    use crate::domain::job::{Mode, Part, Pooling};

    const ROWS: &str = "id,text,label\n1,good films,a\n2,,b\n3,bad plot,a\n";

    fn encoder() -> Encoder {
        Encoder::from_bytes(&example::folder().pack().unwrap()).unwrap()
    }

    fn spec() -> Embed {
        Embed {
            column: "text".into(),
            length: None,
            pooling: None,
            normalize: None,
            part: Part::WHOLE,
            mode: Mode::Exact,
        }
    }

    fn table(csv: &str) -> Table {
        Table::from_csv(csv.as_bytes()).unwrap()
    }

    fn names() -> Vec<String> {
        (0..example::WIDTH).map(|place| format!("text@{place}")).collect()
    }

    #[test]
    fn vectors_stand_where_the_text_was_and_a_null_text_has_none() {
        let embedded = run(&Machine::default(), &spec(), &table(ROWS), &encoder()).unwrap();
        let expect = [vec!["id".to_owned()], names(), vec!["label".to_owned()]].concat();
        assert_eq!(embedded.columns(), expect);
        for name in names() {
            let Cells::Real(cells) = embedded.column(&name).unwrap() else { unreachable!() };
            assert_eq!((cells.null_count(), cells.is_null(1)), (1, true));
        }
    }

    #[test]
    fn a_row_has_the_same_vector_in_any_table() {
        let (encoder, whole) = (encoder(), table(ROWS));
        let embedded = run(&Machine::default(), &spec(), &whole, &encoder).unwrap();
        for row in 0..3 {
            let alone = run(&Machine::default(), &spec(), &whole.take(&[row]), &encoder).unwrap();
            assert_eq!(alone, embedded.take(&[row]));
        }
    }

    #[test]
    fn shares_put_one_below_the_other_are_the_whole() {
        let rows: String = (0..11).map(|at| format!("{at},film {at},a\n")).collect();
        let (encoder, table) = (encoder(), table(&format!("id,text,label\n{rows}")));
        let whole = run(&Machine::default(), &spec(), &table, &encoder).unwrap();
        for count in [1, 2, 5, 11] {
            let share_of = |at| {
                run(
                    &Machine::default(),
                    &Embed { part: Part::of(at, count), ..spec() },
                    &table,
                    &encoder,
                )
            };
            let shares: Vec<Table> = (0..count).map(|at| share_of(at).unwrap()).collect();
            assert_eq!(Table::concat(&shares).unwrap().to_bytes(), whole.to_bytes(), "{count}");
        }
        // A share without rows is none.
        assert!(
            run(&Machine::default(), &Embed { part: Part::of(0, 12), ..spec() }, &table, &encoder)
                .is_err()
        );
        assert!(
            run(&Machine::default(), &Embed { part: Part::of(3, 3), ..spec() }, &table, &encoder)
                .is_err()
        );
    }

    #[test]
    fn raw_texts_are_brought_by_the_encoder_of_the_recipe_and_by_no_other() {
        let encoder = encoder();
        let embedded = run(&Machine::default(), &spec(), &table(ROWS), &encoder).unwrap();
        let recipe = embedded.recipe();
        let raw = table("text\ngood films\nbad plot\n");
        let brought = bring(recipe, &raw, &names(), &encoder).unwrap();
        assert_eq!(
            brought.column("text@3").unwrap().texts()[0],
            embedded.column("text@3").unwrap().texts()[0]
        );
        // What is brought already stays as it is.
        let again = bring(recipe, &embedded, &names(), &encoder).unwrap();
        assert_eq!(again.columns(), names());
        let fault = recipe.bring_toward(&raw, &names()).unwrap_err();
        assert!(fault.message.contains("which is not here"), "{fault}");
        let mut other = example::folder();
        other.add("modules.json", b"[]".to_vec()).unwrap();
        let other = Encoder::from_bytes(&other.pack().unwrap()).unwrap();
        let fault = bring(recipe, &raw, &names(), &other).unwrap_err();
        assert!(fault.message.starts_with("this is encoder"), "{fault}");
    }

    #[test]
    fn a_recipe_with_an_embedding_reads_back_and_lies_are_refused() {
        use crate::base::canon::Encode;
        let embedded = run(&Machine::default(), &spec(), &table(ROWS), &encoder()).unwrap();
        let bytes = embedded.recipe().to_bytes();
        assert_eq!(&Recipe::from_bytes(&bytes).unwrap(), embedded.recipe());
        let mut recipe = table(ROWS).recipe().clone();
        let Some(Applied::Embed(honest)) = embedded.recipe().steps().first().cloned() else {
            unreachable!()
        };
        recipe.push(Applied::Embed(Embedding { width: 1 << 20, ..honest.clone() })).unwrap();
        assert!(Recipe::from_bytes(&recipe.to_bytes()).is_err());
        // More tokens than there are positions are as many as there are.
        let mut recipe = table(ROWS).recipe().clone();
        recipe.push(Applied::Embed(Embedding { length: u32::MAX, ..honest.clone() })).unwrap();
        assert!(bring(&recipe, &table(ROWS), &names(), &encoder()).is_ok());
        let mut recipe = table(ROWS).recipe().clone();
        recipe.push(Applied::Embed(Embedding { width: 3, ..honest })).unwrap();
        assert!(bring(&recipe, &table(ROWS), &names()[..3], &encoder()).is_err());
    }

    #[test]
    fn what_cannot_be_embedded_is_told() {
        let message = |spec: &Embed| {
            run(&Machine::default(), spec, &table(ROWS), &encoder()).unwrap_err().message
        };
        let wrong = Embed { column: "id".into(), ..spec() };
        assert_eq!(message(&wrong), "column \"id\" is integer: only text is embedded");
        let absent = Embed { column: "txt".into(), pooling: Some(Pooling::Cls), ..spec() };
        assert!(message(&absent).contains("txt"));
    }
}
