//! A training on more rows than it may have in memory: they lie in a file, and it takes less than
//! they would. Never lowers what a node allows: the place of its bound is taken here.

use super::{alone, most};
use ohc::compute::backing::{Backing, Inputs, Scratch};
use ohc::compute::table::Table;
use ohc::compute::{Fault, Machine, Named, forget, job};
use ohc::domain::job::{
    ClassWeights, Mode, Model, Optimizer, Part, Scaling, Schedule, Spec, Task, Train,
};
use ohc::effects::artifacts::{Artifacts, ScratchFile};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

/// Chunks in files, and rows in one beyond so many bytes.
struct Disk {
    chunks: Vec<PathBuf>,
    artifacts: Artifacts,
    in_memory: u64,
}

#[derive(Debug)]
struct File(ScratchFile);

impl Scratch for File {
    fn append(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        self.0.append(bytes).map_err(|error| Fault::of_machine(error.to_string()))
    }

    fn read(&self, from: u64, into: &mut [u8]) -> Result<(), Fault> {
        self.0.read(from, into).map_err(|error| Fault::of_machine(error.to_string()))
    }
}

impl Backing for Disk {
    fn holds(&self, at: usize) -> bool {
        at < self.chunks.len()
    }

    fn read(
        &self,
        at: usize,
        want: &mut dyn FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        want(&fs::read(self.chunks.get(at).unwrap()).unwrap())
    }

    fn rows_in_memory(&self) -> u64 {
        self.in_memory
    }

    fn scratch(&self) -> Result<Box<dyn Scratch>, Fault> {
        Ok(Box::new(File(self.artifacts.scratch().unwrap())))
    }
}

fn train() -> Spec {
    Spec::Train(Train {
        task: Task::Regression,
        model: Model::Linear,
        targets: vec!["y".to_owned()],
        features: None,
        class_weights: ClassWeights::Even,
        epochs: 1,
        batch: 64,
        mode: Mode::Exact,
        accumulate: 1,
        optimizer: Optimizer::Sgd { lr: 0.01, momentum: 0.0, nesterov: false, weight_decay: 0.0 },
        schedule: Schedule::CONSTANT,
        clip: None,
        validation: Some(0.3),
        early_stopping: None,
        seed: 1,
        scaling: Scaling::Standard,
        part: Part::WHOLE,
        parallel: None,
        segments: 1,
    })
}

#[test]
fn rows_that_lie_in_a_file_take_less_memory_than_they_are() {
    const CHUNKS: usize = 24;
    const ROWS: usize = 1_000;
    const COLUMNS: usize = 200;
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let header: String = (0..COLUMNS).map(|at| format!("x{at},")).collect();
    let chunk = |at: usize| {
        let mut csv = format!("{header}y\n");
        for row in at * ROWS..(at + 1) * ROWS {
            (0..COLUMNS).for_each(|x| write!(csv, "{}.5,", (row * 7 + x * 13) % 101).unwrap());
            writeln!(csv, "{}.25", row % 17).unwrap();
        }
        let place = folder.path().join(format!("chunk-{at}"));
        fs::write(&place, Table::from_csv(csv.as_bytes()).unwrap().to_bytes()).unwrap();
        place
    };
    let artifacts = Artifacts::open(&folder.path().join("artifacts")).unwrap();
    let chunks = (0..CHUNKS).map(chunk).collect();
    let mut disk = Disk { chunks, artifacts, in_memory: 1 << 20 };
    let named = |at: usize| Named { name: format!("data[{at}]"), bytes: Vec::new() };
    let named: Vec<Named> = (0..CHUNKS).map(named).collect();
    let run = |disk: &Disk| {
        let inputs = Inputs { named: &named, backing: Some(disk) };
        let mut done = None;
        let taken = most(|| {
            let ran = job::run(&Machine::default(), &train(), inputs, &mut |_| {}, &mut forget);
            done = Some(ran.unwrap());
        });
        (done, taken)
    };
    let rows = CHUNKS * ROWS * COLUMNS * 4;
    let (away, taken_away) = run(&disk);
    disk.in_memory = u64::MAX;
    let (held, taken) = run(&disk);
    println!("{rows} bytes of rows: {taken_away} taken with a file, {taken} without");
    assert_eq!(away, held);
    assert!(taken_away < rows / 2 && taken > rows, "{taken_away} and {taken} for {rows}");
}
