//! Consent: asks the person at the terminal before something is done that cannot be undone.
//! Never asks a program, and never decides what its silence means.

use super::exit::Stop;
use std::io::{self, BufRead, IsTerminal, Write};

/// Asks a question of yes or no; anything but yes is no. `None` where nobody can answer.
pub(super) fn ask(question: &str) -> Result<Option<bool>, Stop> {
    let mut err = io::stderr();
    if !(io::stdin().is_terminal() && err.is_terminal()) {
        return Ok(None);
    }
    write!(err, "{question} [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(Some(matches!(answer.trim(), "y" | "Y" | "yes")))
}
