//! Backing: what stands behind the memory of a job, given by whoever has it run.
//! Never opens anything itself, and decides no bit of a result: only where values lie.

use super::{Fault, Named};
use crate::base::limits::ROWS_IN_MEMORY_BYTES;
use std::fmt;

/// What a job has besides its memory. Its faults are those of the machine: [`Fault::of_machine`].
pub trait Backing {
    /// Whether an input, by its place among all, is to be read here: then its bytes are not given.
    fn holds(&self, at: usize) -> bool;

    /// The bytes of such an input, for as long as they are wanted.
    fn read(
        &self,
        at: usize,
        want: &mut dyn FnMut(&[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault>;

    /// Bytes of rows that stay in memory: where there are more, all of them go into a file. As many
    /// on every machine, but for tests.
    fn rows_in_memory(&self) -> u64 {
        ROWS_IN_MEMORY_BYTES
    }

    /// An empty file that nobody else sees.
    fn scratch(&self) -> Result<Box<dyn Scratch>, Fault>;
}

/// A file of one job, which goes with it.
pub trait Scratch: fmt::Debug + Send + Sync {
    /// Writes behind what was written before.
    fn append(&mut self, bytes: &[u8]) -> Result<(), Fault>;

    /// Reads so many bytes from one on; fewer are a fault.
    fn read(&self, from: u64, into: &mut [u8]) -> Result<(), Fault>;
}

/// What a job is computed from.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// All inputs; those that the backing holds have no bytes.
    pub named: &'a [Named],
    /// What stands behind memory, if anything does.
    pub backing: Option<&'a dyn Backing>,
}

impl<'a> From<&'a [Named]> for Inputs<'a> {
    fn from(named: &'a [Named]) -> Self {
        Self { named, backing: None }
    }
}

impl<'a, const N: usize> From<&'a [Named; N]> for Inputs<'a> {
    fn from(named: &'a [Named; N]) -> Self {
        named.as_slice().into()
    }
}

impl<'a> From<&'a Vec<Named>> for Inputs<'a> {
    fn from(named: &'a Vec<Named>) -> Self {
        named.as_slice().into()
    }
}

/// Where rows may lie: in memory up to so many bytes, beyond it in a file where there is one.
#[derive(Clone, Copy)]
pub struct Room<'a> {
    pub(super) backing: Option<&'a dyn Backing>,
    pub(super) bytes: u64,
}

impl<'a> Room<'a> {
    /// All of them in memory.
    pub const MEMORY: Room<'static> = Room { backing: None, bytes: u64::MAX };

    /// Those of a job with this behind it.
    #[must_use]
    pub fn of(backing: Option<&'a dyn Backing>) -> Self {
        Self { backing, bytes: backing.map_or(u64::MAX, Backing::rows_in_memory) }
    }
}

/// Backings for tests: files that are bytes in memory.
#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::sync::Mutex;

    /// Holds these inputs, and files that take so many bytes at the most.
    #[derive(Default)]
    pub(in crate::compute) struct Cellar {
        pub inputs: Vec<Vec<u8>>,
        pub most: usize,
        pub in_memory: u64,
        pub is_torn: bool,
        pub files: Mutex<usize>,
    }

    impl Cellar {
        pub(in crate::compute) fn of(inputs: Vec<Vec<u8>>) -> Self {
            Self { inputs, most: usize::MAX, ..Self::default() }
        }
    }

    #[derive(Debug)]
    struct File {
        bytes: Vec<u8>,
        most: usize,
        is_torn: bool,
    }

    impl Backing for Cellar {
        fn holds(&self, at: usize) -> bool {
            at < self.inputs.len()
        }

        fn read(
            &self,
            at: usize,
            want: &mut dyn FnMut(&[u8]) -> Result<(), Fault>,
        ) -> Result<(), Fault> {
            want(&self.inputs[at])
        }

        fn rows_in_memory(&self) -> u64 {
            self.in_memory
        }

        fn scratch(&self) -> Result<Box<dyn Scratch>, Fault> {
            *self.files.lock().unwrap() += 1;
            let Self { most, is_torn, .. } = *self;
            Ok(Box::new(File { bytes: Vec::new(), most, is_torn }))
        }
    }

    impl Scratch for File {
        fn append(&mut self, bytes: &[u8]) -> Result<(), Fault> {
            if self.bytes.len() + bytes.len() > self.most {
                return Err(Fault::of_machine("no space is left"));
            }
            self.bytes.extend_from_slice(bytes);
            Ok(())
        }

        fn read(&self, from: u64, into: &mut [u8]) -> Result<(), Fault> {
            let from = from as usize;
            match self.bytes.get(from..from + into.len()) {
                Some(bytes) if !self.is_torn => into.copy_from_slice(bytes),
                _ => return Err(Fault::of_machine("the file is torn")),
            }
            Ok(())
        }
    }
}
