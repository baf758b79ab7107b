//! Networks as sources: a folder of Hugging Face or a file of llama.cpp becomes one artifact, once
//! it is known to run. Never reads a file that no network needs, and nothing that is too large.

use super::{ArtifactError, Intake, Trouble, joined};
use crate::base::canon::Digest;
use crate::base::limits::ARTIFACT_BYTES_MAX;
use crate::compute::encoder::{Encoder, Folder, is_part};
use crate::compute::llama::{self, Llama};
use crate::domain::job::{Chunk, Column, ColumnKind, Format, Pin};
use crate::effects::sources::{Object, Source, SourceError};
use crate::effects::{Peril, pass};

/// The files of a network at an address; none where rows are read.
pub(super) async fn objects(from: &Source, format: Format) -> Result<Vec<Object>, SourceError> {
    let mut objects = from.objects().await?;
    if format == Format::HuggingFace {
        objects.retain(|object| is_part(&object.name));
    }
    Ok(objects)
}

/// Refuses a file that is too large for a network in this format.
fn check(format: Format, name: &str, bytes: u64) -> Result<(), Trouble> {
    if format == Format::HuggingFace {
        Ok(Folder::<Vec<u8>>::check(name, bytes)?)
    } else if bytes > ARTIFACT_BYTES_MAX as u64 {
        let what = format!("{name} has {bytes} bytes, a model at most {ARTIFACT_BYTES_MAX}");
        let hint = "take a smaller one, or one with fewer bits for each weight";
        Err(Trouble::Wrong(what, Some(hint.into())))
    } else {
        Ok(())
    }
}

impl Intake<'_> {
    /// Reads and keeps a network, and tries it: what no worker could run is no source.
    pub(super) async fn read_network(
        &mut self,
        format: Format,
        from: &Source,
        objects: &[Object],
    ) -> Result<Pin, Trouble> {
        for object in objects {
            check(format, &object.name, object.bytes)?;
        }
        let (mut files, mut digests, mut bytes) = (Vec::new(), Vec::new(), 0u64);
        for object in objects {
            let mut file = Vec::with_capacity(usize::try_from(object.bytes).unwrap_or_default());
            let mut flow = from.read(object).await?;
            while let Some(piece) = flow.next().await? {
                check(format, &object.name, (file.len() + piece.len()) as u64)?;
                file.extend_from_slice(&piece);
            }
            digests.push(flow.end()?);
            bytes = bytes.saturating_add(object.bytes);
            files.push((object.name.as_str(), file));
        }
        let packed = packed(format, files)?;
        let columns = columns(&packed)?;
        let chunk = Chunk {
            digest: Digest::of(&packed),
            bytes: packed.len() as u64,
            rows: 0,
            first_line: 1,
            groups: None,
        };
        self.keep(&packed).await?;
        Ok(Pin {
            source: String::new(),
            digest: joined(&digests),
            bytes,
            rows: 0,
            columns,
            chunks: vec![chunk],
        })
    }

    async fn keep(&mut self, packed: &[u8]) -> Result<(), Trouble> {
        if let Some(artifacts) = self.artifacts()? {
            artifacts.put(packed).await.map_err(|error: ArtifactError| Trouble::from(error))?;
            pass(Peril::SourceCut);
        }
        Ok(())
    }
}

/// The artifact of the files.
fn packed(format: Format, files: Vec<(&str, Vec<u8>)>) -> Result<Vec<u8>, Trouble> {
    if format == Format::HuggingFace {
        let mut folder = Folder::new();
        for (name, file) in files {
            folder.add(name, file)?;
        }
        return Ok(folder.pack()?);
    }
    let count = files.len();
    let mut files = files.into_iter().map(|(_, file)| file);
    match (files.next(), count) {
        (Some(file), 1) => Ok(file),
        _ => {
            let what = format!("a model of `format: gguf` is one file, and these are {count}");
            Err(Trouble::Wrong(what, Some("name the file itself".into())))
        }
    }
}

/// The columns that a network gives to a text: a language model has none.
fn columns(packed: &[u8]) -> Result<Vec<Column>, Trouble> {
    if llama::is_meant(packed) {
        Llama::from_bytes(packed)?;
        return Ok(Vec::new());
    }
    let column = |place: usize| Column { name: place.to_string(), kind: ColumnKind::Real };
    Ok((0..Encoder::from_bytes(packed)?.width()).map(column).collect())
}
