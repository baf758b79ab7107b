//! What differs between two versions of a pipeline, in words. Never finds it: `revision` does.

use super::count;
use crate::base::amount::Ohc;
use crate::base::ids::RunId;
use crate::domain::revision::{Change, Difference};

/// One thing that differs between two versions of a pipeline, with `+`, `-` or `~` before it.
pub(crate) fn difference(difference: &Difference) -> String {
    let rows = |(bytes, rows): &(u64, u64)| format!("{rows} rows, {bytes} bytes");
    match difference {
        Difference::Param(Change { name, was, is }) => {
            let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "default".into());
            format!("~ param {name}: {} -> {}", text(was), text(is))
        }
        Difference::Source(change) => changed("source", change, rows),
        Difference::Output(change) => changed("output", change, String::clone),
        Difference::Budget(Change { was, is, .. }) => {
            let amount = |amount: &Option<Ohc>| amount.map_or("none".into(), |a| a.to_string());
            format!("~ budget: {} -> {}", amount(was), amount(is))
        }
        Difference::Bounds => {
            "~ run: its deadline, or what follows a budget that is used up".into()
        }
        Difference::Stage(change, parts) => match (change.was, change.is) {
            (Some(_), Some(_)) => {
                let mut what: Vec<String> = parts.settings.iter().map(|s| (*s).into()).collect();
                what.extend(parts.added.iter().map(|job| format!("+{job}")));
                what.extend(parts.removed.iter().map(|job| format!("-{job}")));
                format!("~ stage {}: {}", change.name, what.join(", "))
            }
            _ => changed("stage", change, |jobs| count(*jobs, "job")),
        },
    }
}

fn changed<T>(what: &str, change: &Change<T>, text: impl Fn(&T) -> String) -> String {
    let Change { name, was, is } = change;
    match (was, is) {
        (Some(was), Some(is)) => {
            let (was, is) = (text(was), text(is));
            if was == is {
                return format!("~ {what} {name}: {is}, with other content");
            }
            format!("~ {what} {name}: {was} -> {is}")
        }
        (None, Some(is)) => format!("+ {what} {name}: {}", text(is)),
        (Some(was), None) => format!("- {what} {name}: {}", text(was)),
        (None, None) => format!("  {what} {name}"),
    }
}

/// What a pipeline was compared with: what was applied last, which is of a run unless the results
/// came from several.
pub(crate) fn compared(
    name: &str,
    applied: Option<Option<(RunId, &str)>>,
    differs: bool,
) -> String {
    match (applied, differs) {
        (None, _) => format!("{name} was never applied here"),
        (Some(Some((run, _))), true) => format!("{name} differs from {run}"),
        (Some(Some((run, "settled"))), false) => {
            format!("{name} is what was applied last ({run})")
        }
        (Some(Some((run, status))), false) => {
            format!("{name} is what was applied last ({run}, {status})")
        }
        (Some(None), true) => format!("{name} differs from what was applied last"),
        (Some(None), false) => format!("{name} is what was applied last"),
    }
}

/// What both versions would likely cost if nothing were known.
pub(crate) fn prices(was: Option<Ohc>, is: Ohc) -> String {
    let Some(was) = was else { return format!("likely price of all of it: {is} OhC") };
    let delta = match (is.checked_sub(was), was.checked_sub(is)) {
        (Some(Ohc::ZERO), _) => "the same".to_owned(),
        (Some(more), _) => format!("+{more}"),
        (None, less) => format!("-{}", less.unwrap_or_default()),
    };
    format!("likely price of all of it: {was} -> {is} OhC ({delta})")
}
