//! `ohc validate`: every fault of every manifest, and of files that are none. Opens no source and
//! no home.

use super::Context;
use super::args::{Findings, Format, Validate};
use super::documents;
use super::exit::{Exit, Stop};
use super::report::{diagnostics, json};
use crate::domain::manifest::{self, Diagnostic, Place};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

pub(super) fn validate(args: &Validate, context: &mut Context) -> Result<Exit, Stop> {
    let params = documents::params(&args.params)?;
    let mut files = Vec::new();
    let mut exit = Exit::Done;
    for path in args.files.all() {
        for (name, text, faults) in found(path, &params)? {
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

/// What is wrong with each document that a path stands for; a file that is none has one fault.
fn found(path: &Path, params: &BTreeMap<String, String>) -> Result<Vec<Found>, Stop> {
    let documents = match documents::of(path) {
        Ok(documents) => documents,
        Err(Stop::Error { message, hint, .. }) => {
            let fault = Diagnostic::new(Place::default(), &message, hint);
            return Ok(vec![(path.display().to_string(), String::new(), vec![fault])]);
        }
        Err(stop) => return Err(stop),
    };
    let compiled = documents.into_iter().map(|document| {
        let (_, faults) = manifest::compile(&document.text, params);
        let (name, faults) = (document.path.display().to_string(), document.placed(faults));
        (name, document.whole().to_owned(), faults)
    });
    Ok(compiled.collect())
}
