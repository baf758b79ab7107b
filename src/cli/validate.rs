//! `ohc validate`: every fault of every manifest, and of files that are none. Opens no source and
//! no home.

use super::Context;
use super::args::{Findings, Format, Validate};
use super::exit::{Exit, Stop, advice};
use super::report::{diagnostics, json};
use crate::domain::manifest::{self, Diagnostic, Place};
use crate::node::pipeline;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

pub(super) fn validate(args: &Validate, context: &mut Context) -> Result<Exit, Stop> {
    let mut files = Vec::new();
    let mut exit = Exit::Done;
    for path in &args.manifests {
        let (text, faults) = faults(path);
        let is_sound = !faults.iter().any(Diagnostic::is_error);
        if !is_sound {
            exit = Exit::Failed;
        }
        let (name, screen) = (path.display().to_string(), &mut context.screen);
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

/// The text of a manifest, and all that is wrong with it; a file that is none has one fault.
fn faults(path: &Path) -> (String, Vec<Diagnostic>) {
    match pipeline::read(path) {
        Ok(text) => {
            let (_, faults) = manifest::compile(&text, &BTreeMap::new());
            (text, faults)
        }
        Err(error) => {
            let (message, hint) = advice(&error);
            (String::new(), vec![Diagnostic::new(Place::default(), &message, hint)])
        }
    }
}
