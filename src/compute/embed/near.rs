//! How near the vectors of a fast embedding are to the exact ones: what a validator accepts.
//! Never a text with another: each vector is near by itself.
//!
//! A text has the vector h by the exact kernels, and c as it is claimed. They are near if
//! |c − h| <= TOLERANCE · |h|: then their lengths differ by no more than that, and the cosine
//! between them is at least 1 − TOLERANCE² / 2. Numbers that are claimed fit into an f32, as those
//! of an encoder do. All else of the table follows: it is the exact one with the claimed vectors in
//! their places.

use crate::compute::recipe::{Embedding, table_of};
use crate::compute::table::{Cells, Table};
use crate::compute::{Ends, Far, Fault, quote};
use crate::domain::job::Tolerance;
use arrow_array::{Array, Float64Array};

/// The table that an embedding gives whose vectors are the claimed ones, if each of them is near
/// the exact one.
pub(in crate::compute) fn accept(ends: Ends<'_>) -> Result<Table, Far> {
    let (exact, claimed) = (Table::from_bytes(ends.exact)?, Table::from_bytes(ends.claimed)?);
    let vectors = Vectors::of(&exact, &claimed)?;
    let off = vectors.distance();
    if off <= Tolerance::Vector.share() { Ok(vectors.put(&exact)?) } else { Err(Far::Off(off)) }
}

/// Pairs of columns with the same number of every text, exact and claimed.
struct Vectors<'a> {
    embedding: &'a Embedding,
    pairs: Vec<[&'a Float64Array; 2]>,
}

impl<'a> Vectors<'a> {
    fn of(exact: &'a Table, claimed: &'a Table) -> Result<Self, Fault> {
        let Some(embedding) = exact.recipe().embedding() else {
            return Err(Fault::new("no text of the table was embedded", "embed one"));
        };
        let pair = |name: String| match (exact.column(&name)?, claimed.column(&name)?) {
            (Cells::Real(exact), Cells::Real(claimed)) if same_nulls(exact, claimed) => {
                Ok([exact, claimed])
            }
            _ => Err(Fault::new(
                format!("column {} is no number of the same texts", quote(&name)),
                "a text has a vector, and a null none",
            )),
        };
        let pairs = embedding.names().map(pair).collect::<Result<Vec<_>, Fault>>()?;
        Ok(Self { embedding, pairs })
    }

    /// How far a vector is off, as a share of its length: the most of all texts.
    fn distance(&self) -> f64 {
        let rows = self.pairs.first().map_or(0, |[exact, _]| exact.len());
        let of = |row| {
            let (mut off, mut length) = (0.0, 0.0);
            for [exact, claimed] in &self.pairs {
                let (h, c) = (exact.value(row), claimed.value(row));
                off += (c - h) * (c - h);
                length += h * h;
            }
            let share = if off == 0.0 { 0.0 } else { (off / length).sqrt() };
            if share.is_nan() { f64::INFINITY } else { share }
        };
        let is_text = |row: &usize| self.pairs.iter().all(|[exact, _]| exact.is_valid(*row));
        (0..rows).filter(is_text).map(of).fold(0.0, f64::max)
    }

    /// The exact table with the claimed vectors, each number as an encoder gives it.
    fn put(self, exact: &Table) -> Result<Table, Fault> {
        let names: Vec<String> = self.embedding.names().collect();
        let mut columns = exact.arrays();
        for (name, [_, claimed]) in names.iter().zip(self.pairs) {
            let cells = claimed.iter().map(|x| x.map(|x| f64::from(x as f32)));
            if let Some((_, array)) = columns.iter_mut().find(|(each, _)| each == name) {
                *array = std::sync::Arc::new(cells.collect::<Float64Array>());
            }
        }
        Ok(table_of(columns)?.with_recipe(exact.recipe().clone()))
    }
}

fn same_nulls(exact: &Float64Array, claimed: &Float64Array) -> bool {
    exact.len() == claimed.len()
        && (0..exact.len()).all(|row| exact.is_valid(row) == claimed.is_valid(row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compute::encoder::{Encoder, example};
    use crate::compute::job::{accept, run};
    use crate::compute::{Machine, Metrics, Named, embed, forget};
    use crate::domain::job::{Embed, Mode, Part, Spec};
    use arrow_array::{ArrayRef, StringArray};
    use candle_core::Device;
    use std::sync::Arc;

    const ROWS: &str = "id,text,label\n1,good films,a\n2,,b\n3,bad plot,a\n4,the film,b\n";
    const TOLERANCE: f64 = Tolerance::Vector.share();

    fn spec() -> Embed {
        Embed {
            column: "text".into(),
            length: None,
            pooling: None,
            normalize: None,
            part: Part::WHOLE,
            mode: Mode::Fast,
        }
    }

    fn table(csv: &str, machine: &Machine) -> Table {
        let encoder = Encoder::from_bytes(&example::folder().pack().unwrap()).unwrap();
        let raw = Table::from_csv(csv.as_bytes()).unwrap();
        embed::run(machine, &spec(), &raw, &encoder).unwrap()
    }

    fn exact() -> Table {
        table(ROWS, &Machine::default())
    }

    type Accepted = Result<Option<(Vec<Named>, Metrics)>, Far>;

    fn look(claimed: &[u8]) -> Accepted {
        let exact = exact().to_bytes();
        accept(&Spec::Embed(spec()), &[], 0, Ends { begin: &[], exact: &exact, claimed })
    }

    /// What is said to be honest, where a table with this column instead is claimed.
    fn with(name: &str, array: ArrayRef) -> (Table, Accepted) {
        let table = exact();
        let mut columns = table.arrays();
        columns.iter_mut().find(|(each, _)| each == name).unwrap().1 = array;
        let claimed = table_of(columns).unwrap().with_recipe(table.recipe().clone());
        let looked = look(&claimed.to_bytes());
        (claimed, looked)
    }

    fn cells(name: &str) -> Vec<Option<f64>> {
        let table = exact();
        let Cells::Real(cells) = table.column(name).unwrap() else { unreachable!() };
        cells.iter().collect()
    }

    /// Moves the vector of a text by so much of its length along its first number.
    fn moved(row: usize, share: f64) -> (Table, Accepted) {
        let number = |at: usize| cells(&format!("text@{at}"))[row].unwrap();
        let length = (0..example::WIDTH).map(|at| number(at).powi(2)).sum::<f64>().sqrt();
        let mut numbers = cells("text@0");
        numbers[row] = numbers[row].map(|x| f64::from((x + share * length) as f32));
        with("text@0", Arc::new(Float64Array::from(numbers)))
    }

    fn is_claimed(claimed: &Table, looked: &Accepted) -> bool {
        let Ok(Some((outputs, _))) = looked else { return false };
        outputs[0].bytes == claimed.to_bytes()
    }

    #[test]
    fn what_candles_operations_give_is_near_and_all_of_it_follows() {
        let device = crate::compute::device::gpu().unwrap_or(Device::Cpu);
        let machine = Machine::Fast(device);
        let inputs = [
            Named { name: "encoder".into(), bytes: example::folder().pack().unwrap() },
            Named {
                name: "table".into(),
                bytes: Table::from_csv(ROWS.as_bytes()).unwrap().to_bytes(),
            },
        ];
        let fast = Spec::Embed(spec());
        let done = run(&machine, &fast, &inputs, &mut |_| {}, &mut forget).unwrap();
        assert_ne!(done.outputs[0].bytes, exact().to_bytes(), "by the same kernels");
        let accepted = look(&done.outputs[0].bytes).unwrap().unwrap();
        assert_eq!(accepted, (done.outputs, done.metrics));
        // The exact vectors are near too.
        let exact = exact();
        assert!(is_claimed(&exact, &look(&exact.to_bytes())));
    }

    #[test]
    fn who_moves_a_vector_by_more_than_the_tolerance_of_its_length_is_found_out() {
        for row in [0, 2, 3] {
            let (claimed, looked) = moved(row, 0.99 * TOLERANCE);
            assert!(is_claimed(&claimed, &looked), "{looked:?}");
            for share in [1.01 * TOLERANCE, -1.01 * TOLERANCE, 0.5] {
                let Far::Off(off) = moved(row, share).1.unwrap_err() else { unreachable!() };
                assert!((off - share.abs()).abs() < 1e-4, "{share}: {off}");
            }
        }
    }

    #[test]
    fn a_text_has_a_vector_and_a_null_has_none() {
        let (mut without, mut added) = (cells("text@1"), cells("text@1"));
        without[0] = None;
        added[1] = Some(0.0);
        for numbers in [without, added] {
            let (_, looked) = with("text@1", Arc::new(Float64Array::from(numbers)));
            assert!(matches!(looked, Err(Far::Not(_))), "{looked:?}");
        }
    }

    #[test]
    fn all_but_the_vectors_is_as_the_exact_table_has_it() {
        // What an f32 does not hold, or another label: near, and yet not what follows.
        let mut finer = cells("text@2");
        finer[0] = finer[0].map(|x| f64::from_bits(x.to_bits() ^ 1));
        let labels = StringArray::from(vec!["a", "b", "b", "b"]);
        for (name, array) in [
            ("text@2", Arc::new(Float64Array::from(finer)) as ArrayRef),
            ("label", Arc::new(labels)),
        ] {
            let (claimed, looked) = with(name, array);
            assert!(looked.is_ok() && !is_claimed(&claimed, &looked), "{name}");
        }
        // Other rows, another recipe, other columns, other bytes.
        let exact = exact();
        assert!(matches!(look(&exact.take(&[0, 1, 2]).to_bytes()), Err(Far::Not(_))));
        let raw = Table::from_csv(b"a\n1\n").unwrap();
        let bare = exact.clone().with_recipe(raw.recipe().clone());
        assert!(!is_claimed(&bare, &look(&bare.to_bytes())));
        assert!(matches!(look(&raw.to_bytes()), Err(Far::Not(_))));
        assert!(matches!(look(b"no table"), Err(Far::Not(_))));
    }
}
