//! `ohc log`: shows the log, and verifies it from nothing but its genesis. Never writes to it.

use super::Context;
use super::args::{Format, LogVerb};
use super::exit::{Exit, Stop};
use super::home::{self, Place, cores};
use super::names::Names;
use super::report::{json, prose};
use crate::base::canon::Canonical;
use crate::domain::event::Event;
use crate::domain::slot::Slot;
use crate::domain::state::{FoldError, State};
use crate::node::boot::BootError;
use crate::node::verify::{self, LogVerdict};
use serde_json::{Value, json};

pub(super) fn log(verb: &LogVerb, context: &mut Context) -> Result<Exit, Stop> {
    let home = home::here(context)?;
    match verb {
        LogVerb::Show { last, output } => show(&home, *last, output.format, context),
        LogVerb::Verify { output } => verify(&home, output.format, context),
    }
}

fn show(
    home: &Place,
    last: Option<u64>,
    output: Format,
    context: &mut Context,
) -> Result<Exit, Stop> {
    let (view, names) = home::open(home)?;
    let from = last.map_or(0, |last| view.recovery.slots.saturating_sub(last));
    // Events are not stored: the log is folded again to see them.
    let wrong = |error| Stop::because(Exit::Unverified, &error);
    let mut state = view.first().map_err(wrong)?;
    for slot in view.slots(state.height()).map_err(wrong)? {
        let slot = slot.map_err(wrong)?;
        let height = slot.head.height;
        let other = |error: FoldError| BootError::Slot { height, what: error.to_string() };
        let events = state.fold(&slot).map_err(|error| wrong(other(error)))?;
        if height.0 <= from {
            continue;
        }
        match output {
            Format::Json | Format::Yaml => {
                context.screen.data(&slot_json(&slot, &events, &names), output)?;
            }
            Format::Name => context.screen.line(slot.head.height)?,
            Format::Table | Format::Wide => {
                context.screen.text(slot_text(&slot, &events, &state, &names))?
            }
        }
    }
    home::tell_base(&view, output, context)?;
    Ok(Exit::Done)
}

fn slot_json(slot: &Slot, events: &[Event], names: &Names) -> Value {
    let command = |order: &crate::domain::command::SignedOrder| {
        json!({"author": names.of(&order.author), "nonce": order.body.nonce,
            "command": json::command(&order.body.command)})
    };
    let commands: Vec<Value> = slot.commands.iter().map(command).collect();
    let events: Vec<Value> = events.iter().map(|event| json::event(event, names)).collect();
    let hashes: u64 = slot.poh.iter().map(|entry| entry.hashes).sum();
    json::object(
        "Slot",
        json!({
            "height": slot.head.height.0, "digest": slot.head.digest().to_string(),
            "parent": slot.head.parent.to_string(), "proposer": names.of(&slot.head.proposer),
            "hashes": hashes, "entries": slot.poh.len(),
            "signatures": slot.certificate.signatures.len(),
            "commands": commands, "events": events,
        }),
    )
}

fn slot_text(slot: &Slot, events: &[Event], state: &State, names: &Names) -> String {
    let hashes: u64 = slot.poh.iter().map(|entry| entry.hashes).sum();
    let mut text = format!(
        "slot {}  {}  {} hashes  {}\n",
        slot.head.height,
        slot.head.digest().short(),
        hashes,
        prose::count(slot.commands.len(), "command"),
    );
    for order in &slot.commands {
        let what = json::command(&order.body.command);
        text.push_str(&format!("  {} {} #{}\n", names.of(&order.author), what, order.body.nonce));
    }
    for event in events {
        text.push_str(&format!("    {}\n", event_text(event, state, names)));
    }
    text
}

/// The sentence for an event.
fn event_text(event: &Event, state: &State, names: &Names) -> String {
    let plan = event.run().and_then(|run| state.runs().get(&run)).map(|run| &run.plan);
    let job = |id| plan.and_then(|plan| plan.job(id)).map(ToString::to_string).unwrap_or_default();
    let stage = |block| plan.map(|plan| plan.name_of(block)).unwrap_or_default();
    prose::told(event, names, &job, &stage)
}

fn verify(home: &Place, output: Format, context: &mut Context) -> Result<Exit, Stop> {
    let verdict = verify::home(home, home.checkpoint(), cores());
    let verdict = verdict.map_err(|error| Stop::because(Exit::Failed, &error))?;
    let screen = &mut context.screen;
    match output {
        Format::Json | Format::Yaml => screen.data(&verdict_json(&verdict), output)?,
        Format::Table | Format::Wide | Format::Name => {
            let LogVerdict { base, slots, commands, hashes, first_fault } = &verdict;
            if base.0 > 0 {
                screen.line(prose::begins_after(*base))?;
            }
            // A store that cannot be opened says nothing about the slots before its fault.
            if *slots > 0 || first_fault.is_none() {
                let good = format!("{slots} slots, {commands} commands, {hashes} hashes are good");
                screen.line(good)?;
            }
            if let Some(fault) = first_fault {
                let wrong = screen.paint.red("wrong:");
                screen.line(format!("{wrong} slot {}: {}", fault.height, fault.what))?;
                screen.line("  hint: restore the home from a copy; the log is all there is")?;
            }
        }
    }
    Ok(if verdict.first_fault.is_none() { Exit::Done } else { Exit::Unverified })
}

fn verdict_json(verdict: &LogVerdict) -> Value {
    let fault = |fault: &verify::LogFault| json!({"height": fault.height.0, "what": fault.what});
    json::object(
        "LogVerdict",
        json!({
            "ok": verdict.first_fault.is_none(), "base": verdict.base.0, "slots": verdict.slots,
            "commands": verdict.commands, "hashes": verdict.hashes,
            "first_fault": verdict.first_fault.as_ref().map(fault),
        }),
    )
}
