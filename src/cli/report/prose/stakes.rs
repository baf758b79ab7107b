//! What happens to stakes and validators, in words. Never decides whether anybody wants to know.

use crate::cli::names::Names;
use crate::domain::event::Event;

/// An event about a stake, in a line; nothing of any other.
pub(super) fn told(event: &Event, names: &Names) -> String {
    match event {
        Event::Bonded { validator, amount } => {
            format!("bonded   {}  {amount} OhC wait to be stake", names.of(validator))
        }
        Event::Unbonded { validator, amount } => {
            format!("unbonded {}  {amount} OhC are to leave its stake", names.of(validator))
        }
        Event::Joined { validator, stake } => {
            format!("joined   {}  {stake} OhC of stake count", names.of(validator))
        }
        Event::Left { validator } => format!("left     {}  is no validator", names.of(validator)),
        Event::Locked { validator, amount, until } => {
            format!("locked   {}  {amount} OhC until tick {until}", names.of(validator))
        }
        Event::Unlocked { validator, amount } => {
            format!("unlocked {}  {amount} OhC are free", names.of(validator))
        }
        Event::Equivocated { validator, height, by, fine } => {
            let (who, by) = (names.of(validator), names.of(by));
            format!(
                "slashed  {who}  loses {fine} OhC: it signed two slots {height}, {by} showed it"
            )
        }
        Event::SetChanged { now, .. } => {
            let names: Vec<String> = now.keys().map(|key| names.of(key)).collect();
            format!("set      {} sign from here on", names.join(", "))
        }
        Event::Snapshot { parts, bytes } => {
            format!("snapshot {}  the log commits to the state: {bytes} bytes", parts.short())
        }
        Event::Absent { validator, fine } => {
            format!("absent   {}  loses {fine} OhC", names.of(validator))
        }
        _ => String::new(),
    }
}
