//! `ohc verify`: whether a published file is what its card says, and whether the log knows it.
//! Never writes.

use super::Context;
use super::args::{Format, Verify};
use super::exit::{Exit, Stop};
use super::home;
use super::report::json;
use crate::node::published::{self, Card, Found, VerifyError};
use serde_json::{Value, json};

pub(super) fn verify(args: &Verify, context: &mut Context) -> Result<Exit, Stop> {
    let (card, file) = published::output(&args.output_of).map_err(|error| stop(&error))?;
    let place = home::beside(context, &file)?;
    let opened = place.is_begun().then(|| home::open(&place)).transpose()?;
    let found = opened.as_ref().map(|(view, _)| card.find(&view.state));
    let worker = |found: &Found| match (found, &opened) {
        (Found::Settled(known), Some((_, names))) => names.of(&known.worker),
        _ => String::new(),
    };
    let worker = found.as_ref().map(worker).unwrap_or_default();
    let shown = file.display().to_string();
    let exit = match &found {
        Some(Found::Unknown | Found::Measures) => Exit::Unverified,
        _ => Exit::Done,
    };
    match args.output.format {
        Format::Json | Format::Yaml => {
            let object = object(&card, &shown, found.as_ref(), &worker);
            context.screen.data(&object, args.output.format)?;
        }
        Format::Name => context.screen.line(&shown)?,
        Format::Table | Format::Wide => {
            context.screen.line(format!("{shown}  {}  as its card says", card.digest.short()))?;
            let line = told(&card, found.as_ref(), &worker);
            let line = match exit {
                Exit::Done => line,
                _ => format!("{} {line}", context.screen.paint.red("wrong:")),
            };
            context.screen.line(line)?;
        }
    }
    Ok(exit)
}

/// What the log says, for people.
fn told(card: &Card, found: Option<&Found>, worker: &str) -> String {
    let network = card.network.short();
    let hint = "hint: the files may be of another home, or the card was written by hand";
    match found {
        Some(Found::Settled(known)) => {
            format!("settled as {} by {worker}, in the log of network {network}", known.lease)
        }
        Some(Found::Unknown) => {
            format!("the log of network {network} has settled no such result\n  {hint}")
        }
        Some(Found::Measures) => {
            format!("its card has other metrics than the log of network {network}\n  {hint}")
        }
        Some(Found::Elsewhere) | None => format!(
            "no log here is of its network {network}: whether it was settled is not known\n  hint: \
             name that log with --home or --network"
        ),
    }
}

fn object(card: &Card, file: &str, found: Option<&Found>, worker: &str) -> Value {
    let (log, lease) = match found {
        None | Some(Found::Elsewhere) => ("absent", None),
        Some(Found::Unknown) => ("unknown", None),
        Some(Found::Measures) => ("otherMetrics", None),
        Some(Found::Settled(known)) => ("settled", Some(known.lease.to_string())),
    };
    json::object(
        "OutputVerdict",
        json!({
            "ok": !matches!(log, "unknown" | "otherMetrics"), "file": file,
            "digest": card.digest.to_string(), "artifact": card.artifact.to_string(),
            "network": card.network.to_string(), "log": log, "lease": lease,
            "worker": lease.is_some().then_some(worker),
        }),
    )
}

fn stop(error: &VerifyError) -> Stop {
    let exit = match error {
        VerifyError::Altered(_) | VerifyError::NoFile { .. } => Exit::Unverified,
        VerifyError::NoCard { .. } => Exit::Failed,
    };
    Stop::because(exit, error)
}
