//! Chunks: an ingest becomes one job for all chunks of its source, or one for each of them.
//! Never cuts a source: its pin says what the chunks are.

use super::inputs::source_edges;
use super::{Build, Job, MadeJob, fault};
use crate::base::limits::ARTIFACT_BYTES_MAX;
use crate::domain::cost::{self, Shape};
use crate::domain::job::{Ingest, Spec};
use crate::domain::manifest::{Diagnostic, InputRef, Stage};

impl Build<'_> {
    /// The jobs of one ingest, of which `whole` is what they have in common.
    pub(super) fn chunks(
        &mut self,
        stage: &Stage,
        ingest: &Ingest,
        whole: Job,
    ) -> Result<Vec<MadeJob>, Diagnostic> {
        let nothing = || fault(stage.place, "the stage has nothing to read", None);
        let Some((port, InputRef::Source(source), _)) = stage.inputs.first() else {
            return Err(nothing());
        };
        let pin = self.pins.get(source).ok_or_else(nothing)?;
        let (count, each) = if stage.is_split { (ingest.reached(pin), 1) } else { (1, usize::MAX) };
        let mut made = Vec::with_capacity(count);
        // One after the other: all have all columns.
        for index in 1..=count {
            let spec = ingest.pinned(pin, index - 1, each).ok_or_else(nothing)?;
            let mut job = whole.clone();
            job.inputs = source_edges(port, source, spec.artifacts()).collect();
            if count > 1 {
                job.label.push_str(&format!("#{index}/{count}"));
            }
            let all = |of: fn(&crate::domain::job::Chunk) -> u64| {
                spec.chunks.iter().map(of).fold(0, u64::saturating_add)
            };
            let shape = Shape {
                rows: all(|chunk| chunk.rows),
                columns: spec.columns.len() as u64,
                bytes: all(|chunk| chunk.bytes),
                ..Shape::default()
            };
            let spec = Spec::Ingest(spec);
            let (size, shapes) = cost::estimate(&spec, &[shape]);
            let table = shapes.first().copied().unwrap_or_default();
            if table.bytes > ARTIFACT_BYTES_MAX as u64 {
                return Err(too_large(stage, table.bytes));
            }
            (job.spec, job.size) = (spec, size);
            made.push(MadeJob { id: self.push(stage, job)?, shapes });
        }
        if made.is_empty() { Err(nothing()) } else { Ok(made) }
    }
}

fn too_large(stage: &Stage, bytes: u64) -> Diagnostic {
    let message = format!(
        "the table of stage `{}` would have about {} MiB, an artifact has at most {}",
        stage.name,
        bytes >> 20,
        ARTIFACT_BYTES_MAX >> 20
    );
    let hint = "`split: { by: bytes, target: 64MiB }` makes one job for each chunk of the source; \
                `with: { columns: … }` keeps less of it";
    fault(stage.place, message, Some(hint.to_owned()))
}

#[cfg(test)]
mod tests {
    use crate::domain::graph::tests::{SPLIT, chunked, ingest};
    use crate::domain::job::{Column, ColumnKind, Pin};

    #[test]
    fn chunks_and_parts_do_not_multiply_a_long_list_without_end() {
        let name = |i: usize| format!("a column with a name of forty bytes {i:05}");
        let wide = |columns: usize, count: usize| {
            let each: Vec<(&str, u64)> = vec![("x", 10); count];
            let columns = (0..columns).map(|i| Column { name: name(i), kind: ColumnKind::Real });
            Pin { columns: columns.collect(), ..chunked(&each) }
        };
        let expect = "a run has at most 64 MiB of settings";
        let of = |pin| ingest(SPLIT, pin);
        assert!(format!("{:?}", of(wide(2_000, 2_000)).unwrap_err()).contains(expect));
        let dag = of(wide(100, 2_000)).unwrap();
        // What they take is known: it counts as more jobs.
        assert_eq!((dag.jobs.len(), dag.spec_bytes / 2_000 / 1_000), (2_001, 4));
    }
}
