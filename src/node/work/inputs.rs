//! The inputs of a job: most are fetched before it begins, the tables of a training as it reads
//! them. Never lets what breaks of the store or the disk be told as a fault of the job.

use crate::base::canon::Digest;
use crate::base::limits::{INPUTS_BYTES_MAX, TABLES_BYTES_MAX};
use crate::compute::backing::{self, Backing, Scratch};
use crate::compute::{Ended, Fault, Named, memory};
use crate::domain::job::Spec;
use crate::domain::state::{Task, TaskInput};
use crate::effects::artifacts::{ArtifactError, Artifacts, ScratchFile};
use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Ports of a training whose tables are read one after the other.
const READ_LATER: [&str; 2] = ["data", "validation"];

/// How an artifact is fetched.
type Fetch<'a, E> = Box<dyn Fn(Digest) -> Result<Vec<u8>, E> + 'a>;

/// What a file of a job met.
type Trouble = Arc<Mutex<Option<ArtifactError>>>;

fn locked(trouble: &Trouble) -> MutexGuard<'_, Option<ArtifactError>> {
    // Nothing panics while it is held.
    trouble.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that may be read, and those that were.
struct Allowance {
    most: u64,
    read: Cell<u64>,
}

impl Allowance {
    /// What is too much together is a fault of the job, whoever runs it.
    fn take(&self, bytes: usize) -> Result<(), Fault> {
        self.read.set(self.read.get().saturating_add(bytes as u64));
        if self.read.get() <= self.most {
            return Ok(());
        }
        Err(Fault::new(
            format!("what it reads has more than {} bytes together", self.most),
            "give it fewer or smaller inputs",
        ))
    }
}

/// The inputs of a job, and what stands behind its memory.
pub(super) struct Fetched<'a, E> {
    named: Vec<Named>,
    /// Those that are read later, each with its bytes as soon as these are known.
    later: Vec<Option<(Digest, Cell<Option<usize>>)>>,
    /// What the later ones may have.
    tables: Allowance,
    fetch: Fetch<'a, E>,
    artifacts: &'a Artifacts,
    broke: RefCell<Option<E>>,
    trouble: Trouble,
}

impl<'a, E: From<ArtifactError>> Fetched<'a, E> {
    /// Fetches the inputs of a task. Nothing is fetched beyond what they may have together: what a
    /// plan says about the length of a source may be a lie.
    pub(super) fn new(
        artifacts: &'a Artifacts,
        task: &Task,
        fetch: Fetch<'a, E>,
        earlier: impl FnMut(usize, usize) -> Result<Vec<u8>, E>,
    ) -> Result<Self, Ended<E>> {
        Self::within(artifacts, task, (INPUTS_BYTES_MAX, TABLES_BYTES_MAX), fetch, earlier)
    }

    fn within(
        artifacts: &'a Artifacts,
        task: &Task,
        (most, most_later): (u64, u64),
        fetch: Fetch<'a, E>,
        mut earlier: impl FnMut(usize, usize) -> Result<Vec<u8>, E>,
    ) -> Result<Self, Ended<E>> {
        let allowance = |most| Allowance { most, read: Cell::new(0) };
        let now = allowance(most);
        let (mut named, mut later) = (Vec::new(), Vec::new());
        for (name, from) in &task.inputs {
            let (bytes, at) = match from {
                TaskInput::Artifact(digest) if is_later(&task.spec, name) => {
                    (Vec::new(), Some((*digest, Cell::new(None))))
                }
                TaskInput::Artifact(digest) => (fetch(*digest).map_err(Ended::Unkept)?, None),
                TaskInput::Earlier { task, output } => {
                    (earlier(*task, *output).map_err(Ended::Unkept)?, None)
                }
            };
            now.take(bytes.len())?;
            named.push(Named { name: name.clone(), bytes });
            later.push(at);
        }
        let tables = allowance(most_later);
        let (broke, trouble) = (RefCell::default(), Trouble::default());
        Ok(Self { named, later, tables, fetch, artifacts, broke, trouble })
    }

    /// What a job is given.
    pub(super) fn inputs(&self) -> backing::Inputs<'_> {
        backing::Inputs { named: &self.named, backing: Some(self) }
    }

    /// Bytes that are in memory when the job begins.
    pub(super) fn bytes(&self) -> u64 {
        self.named.iter().map(|named| named.bytes.len() as u64).sum()
    }

    /// Bytes of those that no job of the same block gave.
    pub(super) fn fetched(&self, task: &Task) -> u64 {
        let each = task.inputs.iter().zip(&self.named).zip(&self.later);
        let sizes = each.map(|(((_, from), input), later)| match (from, later) {
            (_, Some((_, bytes))) => bytes.get().unwrap_or(0) as u64,
            (TaskInput::Artifact(_), None) => input.bytes.len() as u64,
            (TaskInput::Earlier { .. }, None) => 0,
        });
        sizes.sum()
    }

    /// What a job gave; where something broke on the way, that instead.
    pub(super) fn unbroken<T>(&self, given: T) -> Result<T, E> {
        if let Some(error) = self.broke.take() {
            return Err(error);
        }
        match locked(&self.trouble).take() {
            Some(error) => Err(error.into()),
            None => Ok(given),
        }
    }

    /// The same of a job that ended.
    pub(super) fn ended<T>(&self, ended: Result<T, Ended<E>>) -> Result<T, Ended<E>> {
        self.unbroken(ended).unwrap_or_else(|error| Err(Ended::Unkept(error)))
    }
}

fn is_later(spec: &Spec, input: &str) -> bool {
    let is_of = |port: &str| match input.strip_prefix(port) {
        Some(rest) => rest.is_empty() || rest.starts_with('['),
        None => false,
    };
    matches!(spec, Spec::Train(_)) && READ_LATER.into_iter().any(is_of)
}

impl<E: From<ArtifactError>> Backing for Fetched<'_, E> {
    fn holds(&self, at: usize) -> bool {
        self.later.get(at).is_some_and(Option::is_some)
    }

    fn read(
        &self,
        at: usize,
        want: &mut dyn FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let Some(Some((digest, bytes))) = self.later.get(at) else {
            return Err(Fault::of_machine("there is no such input"));
        };
        let fetch = || (self.fetch)(*digest);
        let read = memory::lend(fetch, |read| {
            // However often it is read.
            if bytes.replace(Some(read.len())).is_none() {
                self.tables.take(read.len())?;
            }
            want(read)
        });
        read.unwrap_or_else(|error| {
            self.broke.replace(Some(error));
            Err(Fault::of_machine("an input is not to be had"))
        })
    }

    fn scratch(&self) -> Result<Box<dyn Scratch>, Fault> {
        let trouble = self.trouble.clone();
        let file = told(&trouble, self.artifacts.scratch())?;
        Ok(Box::new(Rows { file, trouble }))
    }
}

/// The rows of a training, on the disk.
#[derive(Debug)]
struct Rows {
    file: ScratchFile,
    trouble: Trouble,
}

impl Scratch for Rows {
    fn append(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        told(&self.trouble, self.file.append(bytes))
    }

    fn read(&self, from: u64, into: &mut [u8]) -> Result<(), Fault> {
        told(&self.trouble, self.file.read(from, into))
    }
}

/// Remembers what the disk says, which the job cannot know.
fn told<T>(trouble: &Trouble, done: Result<T, ArtifactError>) -> Result<T, Fault> {
    done.map_err(|error| {
        let fault = Fault::of_machine(error.to_string());
        locked(trouble).get_or_insert(error);
        fault
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::JobId;
    use crate::compute::{self, Machine, forget, job};
    use crate::domain::job::Task as Kind;
    use crate::domain::job::{
        ClassWeights, Mode, Model, Noop, Optimizer, Part, Scaling, Schedule, Train,
    };
    use std::fs;
    use tokio::runtime::{Builder, Runtime};

    fn task(spec: Spec, inputs: Vec<(String, TaskInput)>) -> Task {
        Task { job: JobId(0), address: "a".into(), spec, inputs, memory: None }
    }

    fn train() -> Spec {
        let optimizer = Optimizer::Lion { lr: 0.1, beta1: 0.9, beta2: 0.99, weight_decay: 0.0 };
        Spec::Train(Train {
            task: Kind::Regression,
            model: Model::Linear,
            targets: vec!["y".to_owned()],
            features: None,
            class_weights: ClassWeights::Even,
            epochs: 1,
            batch: 2,
            mode: Mode::Exact,
            accumulate: 1,
            optimizer,
            schedule: Schedule::CONSTANT,
            clip: None,
            validation: None,
            early_stopping: None,
            seed: 0,
            scaling: Scaling::Standard,
            part: Part::WHOLE,
            parallel: None,
            segments: 1,
        })
    }

    struct Site {
        folder: tempfile::TempDir,
        artifacts: Artifacts,
        runtime: Runtime,
    }

    impl Site {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let artifacts = Artifacts::open(folder.path()).unwrap();
            Self { folder, artifacts, runtime: Builder::new_current_thread().build().unwrap() }
        }

        /// A training on these chunks of a table.
        fn chunks(&self, chunks: &[&str]) -> Task {
            let put = |(at, csv): (usize, &&str)| {
                let table = compute::table::Table::from_csv(csv.as_bytes()).unwrap();
                let digest = self.runtime.block_on(self.artifacts.put(&table.to_bytes())).unwrap();
                (format!("data[{at}/{}]", chunks.len()), TaskInput::Artifact(digest))
            };
            task(train(), chunks.iter().enumerate().map(put).collect())
        }

        fn fetched(&self, task: &Task, most: u64) -> Fetched<'_, ArtifactError> {
            let fetch = Box::new(|digest| self.runtime.block_on(self.artifacts.get(digest)));
            let earlier = |_, _| Ok(Vec::new());
            let made = Fetched::within(&self.artifacts, task, (1_000, most), fetch, earlier);
            made.unwrap_or_else(|_| panic!("nothing is fetched before the job begins"))
        }

        fn run(
            &self,
            task: &Task,
            most: u64,
        ) -> (Result<compute::Done, Ended<ArtifactError>>, u64) {
            let fetched = self.fetched(task, most);
            let (machine, inputs) = (Machine::default(), fetched.inputs());
            let done = job::run(&machine, &task.spec, inputs, &mut |_| {}, &mut forget);
            let done = done.map_err(|ended| Ended::Failed(ended.fault()));
            (fetched.ended(done), fetched.fetched(task))
        }
    }

    #[test]
    fn chunks_are_fetched_as_a_training_reads_them_and_counted_once() {
        let site = Site::new();
        let task = site.chunks(&["x,y\n1,2\n2,4\n", "x,y\n3,6\n"]);
        let (done, bytes) = site.run(&task, 1_000);
        let done = done.unwrap();
        let (one, _) = site.run(&site.chunks(&["x,y\n1,2\n2,4\n3,6\n"]), 1_000);
        assert_eq!(done.outputs, one.unwrap().outputs);
        assert!((60..300).contains(&bytes), "{bytes}");
        assert!(site.run(&task, bytes).0.is_ok());
        let Err(Ended::Failed(fault)) = site.run(&task, bytes - 1).0 else { unreachable!() };
        let expect = format!("what it reads has more than {} bytes together", bytes - 1);
        assert_eq!(fault.message, expect);
        // Not the inputs of another job.
        assert!(!is_later(&Spec::Noop(Noop { tag: 1 }), "data") && is_later(&train(), "data"));
        assert!(!is_later(&train(), "datas") && !is_later(&train(), "state"));
    }

    #[test]
    fn what_is_damaged_missing_or_full_is_no_fault_of_the_job() {
        let site = Site::new();
        let task = site.chunks(&["x,y\n1,2\n2,4\n", "x,y\n3,6\n"]);
        let TaskInput::Artifact(digest) = task.inputs[1].1 else { unreachable!() };
        let hex = digest.to_string();
        let place = site.folder.path().join(&hex[..2]).join(&hex[2..]);
        let mut bytes = fs::read(&place).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&place, bytes).unwrap();
        let (done, _) = site.run(&task, 1_000);
        assert!(matches!(done, Err(Ended::Unkept(ArtifactError::Damaged { .. }))), "{done:?}");
        let (done, _) = site.run(&task, 1_000);
        assert!(matches!(done, Err(Ended::Unkept(ArtifactError::Missing { .. }))), "{done:?}");
    }

    #[test]
    fn what_a_file_of_rows_meets_is_told_instead_of_the_fault() {
        let site = Site::new();
        let fetched = site.fetched(&site.chunks(&["x,y\n1,2\n"]), 1_000);
        let mut file = fetched.scratch().unwrap();
        file.append(b"rows").unwrap();
        let mut bytes = [0; 8];
        let fault = file.read(0, &mut bytes).unwrap_err();
        assert_eq!(fault.cause, compute::Cause::Machine);
        let ended = fetched.ended(Err::<(), _>(Ended::Failed(fault)));
        assert!(matches!(ended, Err(Ended::Unkept(ArtifactError::Io { doing: "read", .. }))));
        // A fault of the job stays one, and so does what it gives.
        assert!(matches!(fetched.ended(Ok::<_, Ended<ArtifactError>>(7)), Ok(7)));
        let own = Fault::new("own", "hint");
        let ended = fetched.ended(Err::<(), _>(Ended::<ArtifactError>::Failed(own.clone())));
        assert!(matches!(ended, Err(Ended::Failed(fault)) if fault == own));
        // A folder that is gone.
        fs::remove_dir_all(site.folder.path()).unwrap();
        let fault = fetched.scratch().unwrap_err();
        assert!(matches!(fetched.unbroken(fault), Err(ArtifactError::Io { doing: "create", .. })));
    }

    #[test]
    fn r13_what_a_job_reads_is_bounded_while_it_is_fetched() {
        let site = Site::new();
        let artifact = |n: u8| ("rows".to_owned(), TaskInput::Artifact(Digest([n; 32])));
        let of = |inputs: &[_]| task(Spec::Noop(Noop { tag: 0 }), inputs.to_vec());
        // The same two artifacts, over and over.
        let inputs: Vec<_> = (0..2_048).map(|n| artifact(n as u8 % 2)).collect();
        let fetched = Cell::new(0);
        let gather = |task: &Task| {
            let fetch = Box::new(|_| {
                fetched.set(fetched.get() + 1);
                Ok::<_, ArtifactError>(vec![0; 100])
            });
            let earlier = |_, _| Ok(Vec::new());
            let made = Fetched::within(&site.artifacts, task, (1_000, 0), fetch, earlier);
            made.map(|made| made.named.len())
        };
        let all = gather(&of(&inputs));
        assert!(matches!(all, Err(Ended::Failed(fault)) if fault.message.contains("1000 bytes")));
        assert_eq!(fetched.get(), 11, "nothing is fetched beyond the bound");
        assert!(matches!(gather(&of(&inputs[..10])), Ok(10)));
    }
}
