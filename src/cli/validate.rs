//! `ohc validate`: every fault of every manifest. Opens no source and no home.

use super::Context;
use super::args::{Findings, Format, Validate};
use super::documents;
use super::exit::{Exit, Stop};
use super::report::{diagnostics, json};
use crate::domain::manifest::{self, Diagnostic};
use serde_json::json;

pub(super) fn validate(args: &Validate, context: &mut Context) -> Result<Exit, Stop> {
    let params = documents::params(&args.params)?;
    let mut files = Vec::new();
    let mut exit = Exit::Done;
    for document in documents::read(&args.files)? {
        let (_, faults) = manifest::compile(&document.text, &params);
        let (faults, text) = (document.placed(faults), document.whole());
        let is_sound = !faults.iter().any(Diagnostic::is_error);
        if !is_sound {
            exit = Exit::Failed;
        }
        let (name, screen) = (document.path.display().to_string(), &mut context.screen);
        match args.format {
            Findings::Text if faults.is_empty() => screen.line(format!("{name}: sound"))?,
            Findings::Text => {
                let colour = screen.paint.0;
                screen.text(diagnostics::text(&name, text, &faults, colour))?;
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
