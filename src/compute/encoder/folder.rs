//! The folder of an encoder as one artifact: those of its files that are needed, as they are.
//! Never reads what a file says: it only knows which there must be, and how large.

use crate::base::limits::ARTIFACT_BYTES_MAX;
use crate::compute::Fault;

const MAGIC: &[u8] = b"ohc/encoder/1\n";
/// What is said of an encoder that has not all of its files.
const FETCH: &str = "the folder must hold what Hugging Face calls config.json, tokenizer.json and \
                     model.safetensors: `hf download NAME --local-dir models/NAME/` fetches it";

/// A file of an encoder: its name, whether it must be there, and its bytes at the most.
struct Part {
    name: &'static str,
    is_needed: bool,
    bytes_max: usize,
}

const fn part(name: &'static str, is_needed: bool, bytes_max: usize) -> Part {
    Part { name, is_needed, bytes_max }
}

/// All that is taken of a folder, in the order in which the artifact holds them.
const ALL: [Part; 6] = [
    part(CONFIG, true, 1 << 20),
    part(TOKENIZER, true, 64 << 20),
    part(MODULES, false, 1 << 20),
    part(SENTENCES, false, 1 << 20),
    part(POOLING, false, 1 << 20),
    part(WEIGHTS, true, ARTIFACT_BYTES_MAX - (80 << 20)),
];

/// The names of the files that are taken of a folder.
pub const PARTS: [&str; 6] = [CONFIG, TOKENIZER, MODULES, SENTENCES, POOLING, WEIGHTS];

/// What the network is.
pub(in crate::compute) const CONFIG: &str = "config.json";
/// How text becomes tokens.
pub(in crate::compute) const TOKENIZER: &str = "tokenizer.json";
/// The weights.
pub(in crate::compute) const WEIGHTS: &str = "model.safetensors";
/// What follows the network, by the convention of sentence-transformers.
pub(super) const MODULES: &str = "modules.json";
/// How long a text may be, by the same convention.
pub(super) const SENTENCES: &str = "sentence_bert_config.json";
/// How tokens become one vector, by the same convention.
pub(super) const POOLING: &str = "1_Pooling/config.json";

/// Whether a file of a folder is taken, by its name below the folder.
#[must_use]
pub fn is_part(name: &str) -> bool {
    ALL.iter().any(|part| part.name == name)
}

/// The files of an encoder, each with its bytes.
#[derive(Debug, Default)]
pub struct Folder<B> {
    files: Vec<(&'static str, B)>,
}

impl<B: AsRef<[u8]>> Folder<B> {
    /// A folder of which no file is there yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { files: Vec::new() }
    }

    /// Refuses a file that is too large, before it is read.
    pub fn check(name: &str, bytes: u64) -> Result<(), Fault> {
        match ALL.iter().find(|part| part.name == name) {
            Some(part) if bytes > part.bytes_max as u64 => Err(Fault::new(
                format!("{name} has {bytes} bytes, an encoder's at most {}", part.bytes_max),
                "take a smaller encoder: a worker holds the whole of it in memory",
            )),
            _ => Ok(()),
        }
    }

    /// Adds a file; one that is no part of an encoder is left out.
    pub fn add(&mut self, name: &str, bytes: B) -> Result<(), Fault> {
        Self::check(name, bytes.as_ref().len() as u64)?;
        let part = ALL.iter().find(|part| part.name == name);
        self.files.extend(part.map(|part| (part.name, bytes)));
        Ok(())
    }

    /// The bytes of a file, if it is there.
    pub(in crate::compute) fn get(&self, name: &str) -> Option<&[u8]> {
        self.files.iter().find(|(known, _)| *known == name).map(|(_, bytes)| bytes.as_ref())
    }

    /// The bytes of a file that must be there.
    pub(in crate::compute) fn need(&self, name: &str) -> Result<&[u8], Fault> {
        self.get(name).ok_or_else(|| missing(name))
    }

    /// The bytes of the artifact: for each file its name, its length and its bytes.
    pub fn pack(&self) -> Result<Vec<u8>, Fault> {
        let all = self.files.iter().fold(MAGIC.len(), |sum, (name, bytes)| {
            sum + name.len() + size_of::<u64>() + 1 + bytes.as_ref().len()
        });
        let mut packed = Vec::with_capacity(all);
        packed.extend_from_slice(MAGIC);
        for part in &ALL {
            let bytes =
                if part.is_needed { Some(self.need(part.name)?) } else { self.get(part.name) };
            if let Some(bytes) = bytes {
                packed.extend_from_slice(part.name.as_bytes());
                packed.push(0);
                packed.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
                packed.extend_from_slice(bytes);
            }
        }
        Ok(packed)
    }
}

impl<'a> Folder<&'a [u8]> {
    /// The bytes of a file that must be there, which stay where the artifact is.
    pub(in crate::compute) fn lent(&self, name: &str) -> Result<&'a [u8], Fault> {
        let found = self.files.iter().find(|(known, _)| *known == name);
        found.map(|(_, bytes)| *bytes).ok_or_else(|| missing(name))
    }

    /// The files of an artifact.
    pub fn unpack(packed: &'a [u8]) -> Result<Self, Fault> {
        let Some(mut rest) = packed.strip_prefix(MAGIC) else {
            let hint = "connect this input to a source of `format: huggingface`";
            return Err(Fault::new("these bytes are no encoder", hint));
        };
        let damaged = || {
            Fault::new(
                "the bytes of an encoder are damaged",
                "fetch the artifact again; if its digest holds, its maker wrote a wrong one",
            )
        };
        let mut folder = Self::new();
        for part in &ALL {
            let named =
                rest.strip_prefix(part.name.as_bytes()).and_then(|it| it.strip_prefix(&[0]));
            let Some(named) = named else { continue };
            let (len, after) = named.split_first_chunk().ok_or_else(damaged)?;
            let len = usize::try_from(u64::from_le_bytes(*len)).map_err(|_| damaged())?;
            let (bytes, after) = after.split_at_checked(len).ok_or_else(damaged)?;
            folder.add(part.name, bytes)?;
            rest = after;
        }
        if rest.is_empty() { Ok(folder) } else { Err(damaged()) }
    }
}

fn missing(name: &str) -> Fault {
    Fault::new(format!("the encoder has no {name}"), FETCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> Folder<Vec<u8>> {
        let mut folder = Folder::new();
        for name in [WEIGHTS, CONFIG, "README.md", TOKENIZER, POOLING] {
            folder.add(name, name.as_bytes().to_vec()).unwrap();
        }
        folder
    }

    #[test]
    fn what_is_packed_is_unpacked_and_the_rest_is_left_out() {
        let packed = folder().pack().unwrap();
        let read = Folder::unpack(&packed).unwrap();
        for name in [WEIGHTS, CONFIG, TOKENIZER, POOLING] {
            assert_eq!(read.need(name).unwrap(), name.as_bytes());
        }
        assert_eq!((read.get("README.md"), read.get(MODULES)), (None, None));
    }

    #[test]
    fn a_file_that_is_missing_is_named() {
        let mut folder = Folder::new();
        folder.add(CONFIG, b"{}".to_vec()).unwrap();
        folder.add(WEIGHTS, b"".to_vec()).unwrap();
        let fault = folder.pack().unwrap_err();
        assert_eq!(fault.message, "the encoder has no tokenizer.json");
        assert!(fault.hint.contains("hf download"));
    }

    #[test]
    fn a_file_that_is_too_large_is_refused_before_it_is_read() {
        assert!(Folder::<Vec<u8>>::check(CONFIG, 1 << 20).is_ok());
        let fault = Folder::<Vec<u8>>::check(CONFIG, (1 << 20) + 1).unwrap_err();
        assert!(fault.message.contains("config.json has 1048577 bytes"), "{fault}");
        assert!(Folder::<Vec<u8>>::check(WEIGHTS, 1 << 30).is_err());
    }

    #[test]
    fn damaged_bytes_are_refused() {
        let packed = folder().pack().unwrap();
        for cut in [MAGIC.len() + 3, packed.len() - 1] {
            let fault = Folder::unpack(&packed[..cut]).unwrap_err();
            assert_eq!(fault.message, "the bytes of an encoder are damaged");
        }
        assert!(Folder::unpack(&[&packed[..], b"x"].concat()).is_err());
        assert!(Folder::unpack(b"ohc/recipe/1\n").unwrap_err().hint.contains("huggingface"));
    }
}
