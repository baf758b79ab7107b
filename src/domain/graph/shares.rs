//! Shares: an embedding becomes a job for each chunk of its table, and for each share of the rows
//! of a long one.
//! Never cuts what must be one: a table that is published, or whose metrics a condition reads.

use super::{Build, Edge, Job, MadeJob, fault};
use crate::domain::cost::{self, Shape};
use crate::domain::job::{Embed, Part, Spec};
use crate::domain::manifest::{Diagnostic, InputRef, Stage};

/// The input whose rows are embedded.
const TABLE: &str = "table";

impl Build<'_> {
    /// The jobs of one embedding, of which `whole` is what it would be in one piece.
    pub(super) fn shares(
        &mut self,
        stage: &Stage,
        embed: &Embed,
        whole: Job,
        shapes: &[Shape],
    ) -> Result<Vec<MadeJob>, Diagnostic> {
        let (tables, others): (Vec<Edge>, Vec<Edge>) =
            whole.inputs.iter().cloned().partition(|edge| edge.port() == TABLE);
        let chunks = self.chunk_shapes(stage, &whole.label);
        let encoder = shapes.get(1).copied().unwrap_or_default();
        if self.undivided.contains(stage.name.as_str()) || chunks.len() != tables.len() {
            return Ok(vec![self.parts(stage, whole, shapes)?]);
        }
        let counts = chunks.iter().map(|chunk| cost::shares(embed, *chunk, encoder));
        let counts: Vec<u32> = counts.collect();
        let total = counts.iter().fold(0u32, |sum, count| sum.saturating_add(*count));
        self.count(stage, (total as usize).saturating_mul(others.len() + 1))?;
        let mut made = Vec::new();
        for ((table, shape), count) in tables.into_iter().zip(chunks).zip(counts) {
            for index in 0..count {
                let mut job = whole.clone();
                let table = Edge { name: TABLE.to_owned(), ..table.clone() };
                job.inputs = [&[table], others.as_slice()].concat();
                job.spec = Spec::Embed(Embed { part: Part::of(index, count), ..embed.clone() });
                if total > 1 {
                    job.label.push_str(&format!("#{}/{total}", made.len() + 1));
                }
                made.push(self.sized(stage, job, &[shape, encoder], None)?);
            }
        }
        let nothing = || fault(stage.place, "the stage has nothing to embed", None);
        if made.is_empty() { Err(nothing()) } else { Ok(made) }
    }

    /// Of what shape each chunk of the table is; none where its rows come from elsewhere.
    fn chunk_shapes(&self, stage: &Stage, label: &str) -> Vec<Shape> {
        let table = stage.inputs.iter().find(|(port, ..)| port == TABLE);
        let Some((_, InputRef::Output { stage: other, output }, _)) = table else {
            return Vec::new();
        };
        let made = self.made.get(other.as_str()).and_then(|made| made.of(label));
        let jobs = made.map(|made| made.jobs.as_slice()).unwrap_or_default();
        let shapes = jobs.iter().filter_map(|job| self.edge(job, String::new(), output));
        shapes.map(|(_, shape)| shape).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::base::canon::Digest;
    use crate::domain::graph::{Dag, From, Job, expand};
    use crate::domain::job::{Chunk, Column, ColumnKind, Part, Pin, Spec};
    use crate::domain::manifest::compile;
    use std::collections::BTreeMap;

    /// A source of so many rows in each chunk, embedded by an encoder of 4 MB.
    fn embedded(split: &str, rows: &[u64], more: &str) -> Dag {
        let text = format!(
            "apiVersion: ohc/v1alpha1\nkind: Pipeline\nmetadata: {{ name: t }}\nspec:\n  \
             sources:\n    s: {{ url: s.csv, format: csv }}\n    m: {{ url: m/, format: \
             huggingface }}\n  stages:\n    rows: {{ uses: ingest, inputs: {{ rows: sources.s \
             }}, {split} }}\n    embed: {{ uses: embed, inputs: {{ encoder: sources.m, table: \
             rows.table }}, with: {{ column: x }} }}\n    take: {{ uses: transform, inputs: {{ \
             table: embed.table }}, with: {{ steps: [{{ drop: [y] }}] }} }}\n{more}"
        );
        let (manifest, faults) = compile(&text, &BTreeMap::new());
        assert!(manifest.is_some(), "{faults:?}");
        let pin = |source: &str, columns: &[&str], rows: &[u64], bytes: u64| {
            let chunk = |(at, rows): (usize, &u64)| Chunk {
                digest: Digest::of(&[at as u8]),
                bytes: rows * bytes,
                rows: *rows,
                first_line: 2,
                groups: None,
            };
            let chunks: Vec<Chunk> = rows.iter().enumerate().map(chunk).collect();
            let column = |name: &&str| Column { name: (*name).to_owned(), kind: ColumnKind::Text };
            let (digest, rows) = (Digest::of(source.as_bytes()), rows.iter().sum());
            let columns = columns.iter().map(column).collect();
            let bytes = chunks.iter().map(|chunk| chunk.bytes).sum::<u64>().max(bytes);
            Pin { source: source.to_owned(), digest, bytes, rows, columns, chunks }
        };
        let network = pin("m", &["0", "1", "2", "3"], &[0], 4_000_000);
        let pins = [("s".to_owned(), pin("s", &["x", "y"], rows, 80)), ("m".to_owned(), network)];
        expand(&manifest.unwrap(), &BTreeMap::from(pins)).unwrap()
    }

    fn jobs<'a>(dag: &'a Dag, stage: &str) -> Vec<&'a Job> {
        dag.jobs.iter().filter(|job| job.stage == stage).collect()
    }

    fn part(job: &Job) -> Part {
        let Spec::Embed(embed) = &job.spec else { panic!("no embedding") };
        embed.part
    }

    const SPLIT: &str = "split: { by: rows, target: 300 }";

    #[test]
    fn each_chunk_is_embedded_by_itself_and_a_long_one_in_shares_of_its_rows() {
        let dag = embedded(SPLIT, &[300, 300, 20_000], "");
        let (rows, shares) = (jobs(&dag, "rows"), jobs(&dag, "embed"));
        assert_eq!(rows.len(), 3);
        let count = shares.len() as u32 - 2;
        assert!(count > 1, "{count}");
        let of = |job: &Job| match &job.inputs[0].from {
            From::Job { id, .. } => (job.inputs[0].name.clone(), id.index(), part(job)),
            From::Source { .. } => panic!("no table"),
        };
        let table = || "table".to_owned();
        assert_eq!(of(shares[0]), (table(), 0, Part::WHOLE));
        assert_eq!(of(shares[1]), (table(), 1, Part::WHOLE));
        for (index, share) in (0..).zip(&shares[2..]) {
            assert_eq!(of(share), (table(), 2, Part::of(index, count)));
            assert_eq!(share.inputs[1].name, "encoder");
            let fair = crate::domain::cost::PART_UNITS;
            assert!(share.size.work().units() <= fair * 5 / 4, "{}", share.size.work().units());
        }
        assert_eq!(shares[3].to_string(), format!("embed#4/{}", shares.len()));
        // Who takes the table takes all shares in their order.
        let taken = &jobs(&dag, "take")[0].inputs;
        let names: Vec<_> = (1..=shares.len()).map(|at| format!("table[{at}]")).collect();
        assert_eq!(taken.iter().map(|edge| edge.name.clone()).collect::<Vec<_>>(), names);
    }

    #[test]
    fn what_is_published_or_asked_for_is_not_cut() {
        let published = "  outputs: { t: { from: embed.table, to: out/ } }\n";
        let asked = "    more: { uses: noop, when: \"${{ metrics.embed.rows > 1 }}\", inputs: { t: \
                     take.table } }\n";
        for more in [published, asked] {
            let dag = embedded(SPLIT, &[300, 300, 20_000], more);
            let [one] = jobs(&dag, "embed")[..] else { panic!("one embedding") };
            assert_eq!((part(one), one.inputs.len()), (Part::WHOLE, 4));
        }
        // A short table is one share, and has the name of its stage.
        let dag = embedded("with: {}", &[100], "");
        assert_eq!(jobs(&dag, "embed")[0].to_string(), "embed");
    }
}
