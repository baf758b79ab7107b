//! Trainings whose rows lie in a file: the same bytes as of rows in memory, and what breaks there.
//! Never has a real file: that is `node`.

use super::families::{by_batches, corners, images};
use super::tasks::{labels, regression, stopping, table};
use super::*;
use crate::compute::Cause;
use crate::compute::backing::Room;
use crate::compute::backing::tests::Cellar;
use crate::compute::port::Tables;
use crate::domain::job::{Norm, Positions, Shard, Step, Transform};
use std::borrow::Cow;
use std::fmt::Write as _;

/// Chunks of a table.
struct Chunks(Vec<Table>);

impl Chunks {
    fn of(table: &Table, rows: usize) -> Self {
        let from = (0..table.rows()).step_by(rows);
        Self(from.map(|from| table.slice(from, rows.min(table.rows() - from))).collect())
    }
}

impl Tables for Chunks {
    fn each(&self, take: &mut dyn FnMut(&Table) -> Result<(), Fault>) -> Result<(), Fault> {
        self.0.iter().try_for_each(take)
    }

    fn whole(&self) -> Result<Cow<'_, Table>, Fault> {
        Table::concat(&self.0).map(Cow::Owned)
    }
}

/// The same learned from a table in memory, and from its chunks by way of a file.
#[track_caller]
fn check(spec: &Train, table: &Table, validation: Option<&Table>, state: Option<&[u8]>) -> Trained {
    let given = validation.map(|table| table as &dyn Tables);
    let held = Lesson::new(spec, table, given).unwrap();
    let cellar = Cellar { in_memory: 99, ..Cellar::of(Vec::new()) };
    let given = validation.map(|table| Chunks::of(table, 5));
    let given = given.as_ref().map(|chunks| chunks as &dyn Tables);
    let room = Room::of(Some(&cellar));
    let away = Lesson::within(room, spec, &Chunks::of(table, 17), given).unwrap();
    let files = *cellar.files.lock().unwrap();
    assert_eq!(files, if validation.is_some() { 2 } else { 1 });
    let expect = run(spec, &held, state, &mut |_| ()).unwrap();
    assert_eq!(run(spec, &away, state, &mut |_| ()).unwrap(), expect);
    let last = u32::try_from(expect.checkpoints.len()).unwrap() - 2;
    let begin = Some(expect.checkpoints[last as usize].as_slice());
    let again = |lesson| replay(spec, lesson, state, last, begin, 3);
    assert_eq!(again(&away), again(&held));
    expect
}

/// A table of images.
fn pictures() -> Table {
    let rows = corners();
    let Truth::Classes { classes, of } = &rows.truth else { unreachable!() };
    let mut csv = format!("{},species\n", rows.features.join(","));
    for (row, class) in rows.values.all().unwrap().chunks(36).zip(of) {
        row.iter().for_each(|x| write!(csv, "{x},").unwrap());
        writeln!(csv, "{}", classes[*class as usize]).unwrap();
    }
    cells(&csv)
}

#[test]
fn r10_rows_in_a_file_teach_the_same_bytes() {
    let (rows, held_out) = (table(1.0), table(0.5).head(31));
    check(&regression(), &rows, None, None);
    check(&labels(), &rows, None, None);
    check(&Train { validation: Some(0.3), ..regression() }, &rows, None, None);
    check(&labels(), &rows, Some(&held_out), None);
    // So long that it stops.
    let stopped = check(&stopping(), &rows, None, None);
    assert!(stopped.metrics.iter().any(|(name, epochs)| name == "epochs" && *epochs < 60.0));
    let pictures = pictures();
    check(&images(2, 0.2), &pictures, None, None);
    check(&Train { validation: Some(0.2), ..by_batches(2) }, &pictures, None, None);
    check(&Train { accumulate: 3, ..images(2, 0.0) }, &pictures, Some(&pictures), None);
}

#[test]
fn r10_a_shard_learns_the_same_of_rows_in_a_file() {
    let rows = table(1.0);
    let of = |parallel| Train { parallel: Some(parallel), segments: 3, ..going_on() };
    let start = begun(&of(Parallel::Start), &rows);
    for index in 0..2 {
        let shard = Shard { index, count: 2, round: 0, steps: 11, steps_in_all: 0 };
        check(&of(Parallel::Shard(shard)), &rows, None, Some(&start));
    }
}

/// A perceptron that does not stop early.
fn going_on() -> Train {
    Train { early_stopping: None, epochs: 0, ..stopping() }
}

fn begun(spec: &Train, rows: &Table) -> Vec<u8> {
    let lesson = Lesson::new(spec, rows, None).unwrap();
    run(spec, &lesson, None, &mut |_| ()).unwrap().outputs[0].bytes.clone()
}

#[test]
fn r10_texts_and_streams_in_a_file_teach_the_same_bytes() {
    let (steps, spec) = texts::text_spec();
    let rows = crate::compute::transform::run(&steps, texts::reviews(), None, None).unwrap();
    // Rows to validate on are raw, and go the way of the others as a whole.
    check(&Train { epochs: 2, ..spec.clone() }, &rows, Some(&texts::reviews()), None);
    check(&Train { epochs: 2, validation: Some(0.2), ..spec }, &rows, None, None);
    let (spec, rows) = texts::song(Positions::Rotary, false, Norm::Rms, 0.1);
    check(&Train { epochs: 1, validation: Some(0.2), ..spec }, &rows, None, None);
}

#[test]
fn a_fault_names_the_row_among_all_chunks() {
    let rows = |from: usize, bad: &str| {
        let csv = (from..from + 4).map(|row| format!("{row},{}\n", row % 2)).collect::<String>();
        cells(&format!("x,y\n{csv}{bad}"))
    };
    let spec = spec_of(Task::Classification, &["y"]);
    let fault = |bad: &str| {
        let chunks = Chunks(vec![rows(0, ""), rows(4, bad)]);
        Lesson::new(&spec, &chunks, None).unwrap_err().message
    };
    assert_eq!(fault(",1\n"), "feature \"x\" is empty in row 9");
    assert_eq!(fault("1,\n"), "column \"y\" has no label in row 9");
    let steps = Transform { steps: vec![Step::Drop(vec!["x".to_owned()])] };
    let other = crate::compute::transform::run(&steps, rows(0, ""), None, None).unwrap();
    assert!(Table::concat(&[rows(0, ""), other]).is_err());
}

#[test]
fn a_disk_that_is_full_or_torn_is_the_machines_fault() {
    let (spec, rows) = (regression(), table(0.0));
    let lesson = |cellar: &Cellar| Lesson::within(Room::of(Some(cellar)), &spec, &rows, None);
    let full = Cellar { most: 500, ..Cellar::of(Vec::new()) };
    assert_eq!(lesson(&full).unwrap_err().cause, Cause::Machine);
    let torn = Cellar { is_torn: true, ..Cellar::of(Vec::new()) };
    // Its features are scaled before anything is learned from them.
    assert_eq!(lesson(&torn).unwrap_err().cause, Cause::Machine);
    let plain = Train { scaling: Scaling::None, ..spec.clone() };
    let lesson = Lesson::within(Room::of(Some(&torn)), &plain, &rows, None).unwrap();
    let fault = run(&plain, &lesson, None, &mut |_| ()).unwrap_err();
    assert_eq!(fault.cause, Cause::Machine);
}
