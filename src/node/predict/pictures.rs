//! Predictions of pictures: each PNG file is a row, and its name stands beside what is said of it.
//! Never scales a picture: all are as large as those of the training.

use super::{Batch, CHUNK_BYTES, PredictError, Teller, Told, advised};
use crate::base::limits::SOURCE_FILES_MAX;
use crate::compute::encoder::Encoder;
use crate::compute::predictor::Predictor;
use crate::compute::table::Surveyor;
use crate::compute::{Fault, quote};
use crate::domain::job::{ChunkTarget, Column, Format, Images, Label, Predict, Reading};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The column of what a file is called.
const FILE: &str = "file";
/// What the reader of images calls it.
const LABEL: &str = "label";
/// Bytes of one file that are read: one more than the reader takes.
const BYTES_MAX: u64 = (4 << 20) + 1;

/// Gives what the model says of a PNG file, or of all that lie below a folder, in the order of
/// their names.
pub fn run(
    spec: &Predict,
    (model, encoder): (&Predictor, Option<&Encoder>),
    path: &Path,
    give: &mut dyn FnMut(&Batch) -> io::Result<()>,
) -> Result<Told, PredictError> {
    let name = path.display().to_string();
    let bad = |fault| PredictError::BadRows { rows: name.clone(), line: None, fault };
    let needs = model.recipe().needs(model.features()).map_err(bad)?;
    let reading = reading(&needs).map_err(bad)?;
    let named = |name: &String| if name == FILE { LABEL.to_owned() } else { name.clone() };
    let keep = match &spec.keep {
        None => vec![LABEL.to_owned()],
        Some(keep) => keep.iter().map(named).collect(),
    };
    let spec = Predict { keep: Some(keep), ..spec.clone() };
    let mut teller = Teller::new(&name, &spec, (model, encoder), &reading)?;
    let mut surveyor = Surveyor::new(&reading, Some(ChunkTarget::Bytes(CHUNK_BYTES)));
    let mut give = |batches: Vec<Batch>| {
        batches.iter().try_for_each(|Batch(table)| give(&Batch(table.renamed(LABEL, FILE))))
    };
    for (number, file) in files(path)?.into_iter().enumerate() {
        let rows = file.display().to_string();
        let bad = |fault| PredictError::BadRows { rows: rows.clone(), line: None, fault };
        let mut bytes = Vec::new();
        let read = File::open(&file).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut bytes));
        read.map_err(|source| PredictError::NoRows { rows: rows.clone(), source })?;
        let called = file.file_name().unwrap_or_default().to_string_lossy();
        // As if it lay in a folder of its own name: that is what it is labelled by.
        surveyor.begin(&format!("{called}/")).map_err(bad)?;
        let of_file = |fault: Fault| bad(Fault { message: said(&fault.message, &called), ..fault });
        let mut cuts = surveyor.feed(&bytes).map_err(of_file)?;
        cuts.extend(surveyor.end().map_err(advised).map_err(of_file)?);
        if number == 0 {
            fits(&surveyor.columns(), &needs).map_err(bad)?;
        }
        for cut in cuts {
            give(teller.tell(&surveyor.columns(), cut)?)?;
        }
    }
    for cut in surveyor.last().map_err(bad)? {
        give(teller.tell(&surveyor.columns(), cut)?)?;
    }
    Ok(teller.told)
}

/// What is wrong with a file, without the name by which it was read.
fn said(message: &str, called: &str) -> String {
    message.strip_prefix(&format!("{called}/: ")).unwrap_or(message).to_owned()
}

/// How pictures are read for a model that needs these columns: grey, or in colours.
fn reading(needs: &[Column]) -> Result<Reading, Fault> {
    let is_pixel = |name: &str| {
        let at = name.strip_prefix('y').and_then(|rest| rest.split_once('x'));
        at.is_some_and(|(y, rest)| {
            let (x, channel) = rest.split_once('c').unwrap_or((rest, "0"));
            [y, x, channel].iter().all(|part| part.parse::<u32>().is_ok())
        })
    };
    if let Some(other) = needs.iter().find(|column| !is_pixel(&column.name)) {
        let message = format!("the model reads the column {}, not pictures", quote(&other.name));
        return Err(Fault::new(message, "give it rows with its columns, such as a .csv"));
    }
    let channels = if needs.iter().any(|column| column.name.contains('c')) { 3 } else { 1 };
    let look = Images { label: Label::Folder, channels: Some(channels) };
    Ok(Reading { format: Format::Png(look), nulls: Vec::new(), ..Reading::csv() })
}

/// Whether pictures with these columns are as large as those of the training.
fn fits(known: &[Column], needs: &[Column]) -> Result<(), Fault> {
    let pixels = known.len().saturating_sub(1);
    let has = |name: &str| known.iter().any(|column| column.name == name);
    match needs.last() {
        Some(last) if !needs.iter().all(|column| has(&column.name)) => Err(Fault::new(
            format!(
                "the picture has {pixels} values, but the model reads {} up to {}",
                needs.len(),
                last.name
            ),
            "scale it to the size of the pictures of the training",
        )),
        _ => Ok(()),
    }
}

/// The file, or the PNG files below the folder, in the order of their names.
fn files(path: &Path) -> Result<Vec<PathBuf>, PredictError> {
    let unread = |at: &Path| {
        let rows = at.display().to_string();
        move |source| PredictError::NoRows { rows, source }
    };
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let (mut found, mut folders) = (Vec::new(), vec![path.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(unread(&folder))? {
            let entry = entry.map_err(unread(&folder))?;
            let file = entry.path();
            let is_png = file.extension().is_some_and(|end| end.eq_ignore_ascii_case("png"));
            // A link to a folder is not followed: it may lead back.
            if entry.file_type().map_err(unread(&file))?.is_dir() {
                folders.push(file);
            } else if is_png {
                found.push(file);
            }
        }
        if found.len().max(folders.len()) > SOURCE_FILES_MAX {
            let fault = Fault::new(
                format!("more than {SOURCE_FILES_MAX} files lie below it"),
                "give it a folder that is closer to the pictures",
            );
            return Err(PredictError::BadRows {
                rows: path.display().to_string(),
                line: None,
                fault,
            });
        }
    }
    if found.is_empty() {
        let hint = "rows are a file, such as a .csv, or a folder of PNG files";
        let fault = Fault::new("no PNG file lies below this folder", hint);
        return Err(PredictError::BadRows { rows: path.display().to_string(), line: None, fault });
    }
    found.sort();
    Ok(found)
}
