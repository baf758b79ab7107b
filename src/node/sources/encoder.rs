//! Encoders as sources: a folder of Hugging Face becomes one artifact, once it is known to run.
//! Never reads a file that no encoder needs, and nothing of a folder that is too large.

use super::{ArtifactError, Intake, Trouble, joined};
use crate::base::canon::Digest;
use crate::compute::encoder::{Encoder, Folder, is_part};
use crate::domain::job::{Chunk, Column, ColumnKind, Pin};
use crate::effects::sources::{Object, Source, SourceError};
use crate::effects::{Peril, pass};

/// The files of an encoder at the address of its folder.
pub(super) async fn objects(from: &Source) -> Result<Vec<Object>, SourceError> {
    let mut objects = from.objects().await?;
    objects.retain(|object| is_part(&object.name));
    Ok(objects)
}

impl Intake<'_> {
    /// Reads and keeps an encoder, and tries it: what no worker could run is no source.
    pub(super) async fn read_encoder(
        &mut self,
        from: &Source,
        objects: &[Object],
    ) -> Result<Pin, Trouble> {
        for object in objects {
            Folder::<Vec<u8>>::check(&object.name, object.bytes)?;
        }
        let (mut folder, mut digests, mut bytes) = (Folder::new(), Vec::new(), 0u64);
        for object in objects {
            let mut file = Vec::with_capacity(usize::try_from(object.bytes).unwrap_or_default());
            let mut flow = from.read(object).await?;
            while let Some(piece) = flow.next().await? {
                Folder::<Vec<u8>>::check(&object.name, (file.len() + piece.len()) as u64)?;
                file.extend_from_slice(&piece);
            }
            digests.push(flow.end()?);
            bytes = bytes.saturating_add(object.bytes);
            folder.add(&object.name, file)?;
        }
        let packed = folder.pack()?;
        drop(folder);
        let encoder = Encoder::from_bytes(&packed)?;
        let column = |place: usize| Column { name: place.to_string(), kind: ColumnKind::Real };
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
            columns: (0..encoder.width()).map(column).collect(),
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
