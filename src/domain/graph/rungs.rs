//! Rungs: the trainings of a matrix that are compared on the way, of which only the best go on.
//! Never looks at a loss: a run does, once there is one.
//!
//! All of them are trained for the first epochs; the better ones among them go on for some more,
//! and so on until one is left, or the training is at its end. Every cell has the jobs of all
//! rungs. The first of a rung watches how all cells did on the rung before: it is skipped, and
//! with it all that follows from it, where too many of them did better.

use super::{Build, EDGES_PER_RUN_MAX, Job, MadeJob};
use crate::base::ids::JobId;
use crate::domain::cost::{self, Shape};
use crate::domain::job::{Part, Spec, Train};
use crate::domain::manifest::{Diagnostic, Halving, Stage};

/// One cell of a matrix: what it would be in one piece, and the shapes of its inputs.
pub(super) type Cell = (Job, Vec<Shape>);

/// Some epochs of a training, and how many cells are trained for them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Rung {
    from: u32,
    to: u32,
    cells: u32,
}

/// The rungs of so many cells.
fn rungs(halving: Halving, cells: u32, epochs: u32) -> Vec<Rung> {
    let mut rungs = Vec::new();
    let (mut from, mut to, mut left) = (0, halving.first, cells);
    while left > 1 && to < epochs {
        rungs.push(Rung { from, to, cells: left });
        (from, to) = (to, to.saturating_mul(halving.factor));
        left = (left / halving.factor.max(1)).max(1);
    }
    rungs.push(Rung { from, to: epochs, cells: left });
    rungs
}

/// The parts of a cell on one rung: more than one where it is long.
fn parts(train: &Train, rung: Rung, data: Shape) -> Vec<Part> {
    let count = train.epochs.max(1);
    let whole = Part { from: rung.from, to: rung.to, count };
    let parts = cost::parts(&Train { part: whole, ..train.clone() }, data).max(1);
    // As many parts as epochs, each cut again, so that a rung ends with an epoch.
    let Some(count) = count.checked_mul(parts).filter(|_| parts > 1) else { return vec![whole] };
    let begin = |index: u32| rung.from * parts + (rung.to - rung.from) * index;
    (0..parts).map(|index| Part { from: begin(index), to: begin(index + 1), count }).collect()
}

impl Build<'_> {
    /// The jobs of all cells, rung by rung. Gives those that give the models.
    pub(super) fn rungs(
        &mut self,
        stage: &Stage,
        halving: Halving,
        cells: &[Cell],
    ) -> Result<Vec<MadeJob>, Diagnostic> {
        let train = |(job, _): &Cell| match &job.spec {
            Spec::Train(train) => Some(train.clone()),
            _ => None,
        };
        let trains: Vec<Train> = cells.iter().filter_map(train).collect();
        let epochs = trains.iter().map(|train| train.epochs).max().unwrap_or(0);
        let rungs = rungs(halving, u32::try_from(cells.len()).unwrap_or(u32::MAX), epochs);
        let watched = cells.len().saturating_mul(cells.len()).saturating_mul(rungs.len() - 1);
        self.count(stage, watched.min(EDGES_PER_RUN_MAX + 1))?;
        let data = |(_, shapes): &Cell| shapes.first().copied().unwrap_or_default();
        let parts: Vec<Vec<Vec<Part>>> = trains
            .iter()
            .zip(cells)
            .map(|(train, cell)| rungs.iter().map(|rung| parts(train, *rung, data(cell))).collect())
            .collect();
        let mut last: Vec<Option<MadeJob>> = cells.iter().map(|_| None).collect();
        let mut done = vec![0; cells.len()];
        for (number, rung) in rungs.iter().enumerate() {
            let watched: Vec<JobId> = last.iter().flatten().map(|made| made.id).collect();
            for (at, (whole, shapes)) in cells.iter().enumerate() {
                let own = parts.get(at).map(Vec::as_slice).unwrap_or_default();
                let count: usize = own.iter().map(Vec::len).sum();
                let (Some(last), Some(done)) = (last.get_mut(at), done.get_mut(at)) else {
                    continue;
                };
                for (index, part) in own.get(number).into_iter().flatten().enumerate() {
                    *done += 1;
                    let label = if count > 1 { format!("#{done}/{count}") } else { String::new() };
                    let mut job = self.part(whole, *part, &label, last.as_ref());
                    if number > 0 && index == 0 {
                        (job.watches, job.contest) = (watched.clone(), Some(rung.cells));
                    }
                    *last = Some(self.sized(stage, job, shapes, last.as_ref())?);
                }
            }
        }
        Ok(last.into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check((first, factor): (u32, u32), cells: u32, epochs: u32, expect: &[(u32, u32, u32)]) {
        let got = rungs(Halving { first, factor }, cells, epochs);
        let got: Vec<_> = got.iter().map(|rung| (rung.from, rung.to, rung.cells)).collect();
        assert_eq!(got, expect);
    }

    #[test]
    fn each_rung_is_so_many_times_as_long_and_has_as_many_times_fewer_cells() {
        check((1, 3), 9, 9, &[(0, 1, 9), (1, 3, 3), (3, 9, 1)]);
        check((2, 2), 8, 100, &[(0, 2, 8), (2, 4, 4), (4, 8, 2), (8, 100, 1)]);
    }

    #[test]
    fn somebody_is_left_and_the_last_rung_ends_with_the_training() {
        check((1, 3), 4, 50, &[(0, 1, 4), (1, 50, 1)]);
        check((1, 3), 100, 5, &[(0, 1, 100), (1, 3, 33), (3, 5, 11)]);
        check((1, 3), 1, 50, &[(0, 50, 1)]);
        check((9, 3), 7, 9, &[(0, 9, 7)]);
    }
}
