//! Takes leases and is never heard of again, but for bidding anew.
//! Never delivers, beats or explains.

use ohc::domain::command::Command;

pub fn sends(command: &Command) -> bool {
    matches!(command, Command::Bid(_))
}
