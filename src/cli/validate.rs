//! `ohc validate`: every fault of every manifest, and of files that are none. Opens no source and
//! no home.

use super::Context;
use super::args::{Findings, Format, Validate};
use super::documents::{self, Document};
use super::exit::{Exit, Stop};
use super::report::{diagnostics, json};
use crate::domain::manifest::{Diagnostic, Place, Severity};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

pub(super) fn validate(args: &Validate, context: &mut Context) -> Result<Exit, Stop> {
    let params = documents::params(&args.params)?;
    let mut files = Vec::new();
    let mut exit = Exit::Done;
    for (name, text, faults) in found(args.files.all(), &params)? {
        let is_sound = !faults.iter().any(Diagnostic::is_error);
        if !is_sound {
            exit = Exit::Failed;
        }
        let screen = &mut context.screen;
        match args.format {
            Findings::Text if faults.is_empty() => screen.line(format!("{name}: sound"))?,
            Findings::Text => {
                let colour = screen.paint.0;
                screen.text(diagnostics::text(&name, &text, &faults, colour))?;
            }
            Findings::Github => screen.text(diagnostics::github(&name, &faults))?,
            Findings::Json => files.push(json!({
                "file": name, "ok": is_sound, "faults": diagnostics::json(&name, &faults),
            })),
        }
    }
    if args.format == Findings::Json {
        let ok = exit == Exit::Done;
        let object = json::object("Findings", json!({"ok": ok, "files": files}));
        context.screen.data(&object, Format::Json)?;
    }
    Ok(exit)
}

/// A file, its text, and all that is wrong with it.
type Found = (String, String, Vec<Diagnostic>);

/// What is wrong with each document that paths stand for; a file that is none has one fault.
fn found(
    paths: impl Iterator<Item = impl AsRef<Path>>,
    params: &BTreeMap<String, String>,
) -> Result<Vec<Found>, Stop> {
    let mut all = Vec::new();
    for path in paths {
        let path = path.as_ref();
        match documents::each(path) {
            Ok(found) => all.extend(found),
            Err(stop) => all.push(Err((path.to_owned(), stop))),
        }
    }
    // What is never applied together may well have one name, such as two variants of a pipeline.
    let documents: Vec<&Document> = all.iter().flatten().collect();
    let mut faults = documents::faults(&documents, params, Severity::Warning).into_iter();
    let mut each = Vec::new();
    for found in &all {
        match found {
            Ok(document) => {
                let faults = document.placed(faults.next().unwrap_or_default().all());
                let name = document.path.display().to_string();
                each.push((name, document.whole().to_owned(), faults));
            }
            Err((path, Stop::Error { message, hint, .. })) => {
                let fault = Diagnostic::new(Place::default(), message, hint.clone());
                each.push((path.display().to_string(), String::new(), vec![fault]));
            }
            Err(_) => {}
        }
    }
    // Whatever else keeps a file from being read is the end.
    match all.into_iter().find_map(|found| match found {
        Err((_, Stop::Error { .. })) | Ok(_) => None,
        Err((_, stop)) => Some(stop),
    }) {
        Some(stop) => Err(stop),
        None => Ok(each),
    }
}
