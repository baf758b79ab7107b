//! Consent: asks the person at the terminal before something is done that cannot be undone.
//! Never asks a program: where nobody can answer, the command itself is the answer.

use super::exit::Stop;
use std::io::{self, BufRead, IsTerminal, Write};

/// Asks a question of yes or no; anything but yes is no.
pub(super) fn ask(question: &str) -> Result<bool, Stop> {
    let mut err = io::stderr();
    if !(io::stdin().is_terminal() && err.is_terminal()) {
        return Ok(true);
    }
    write!(err, "{question} [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
