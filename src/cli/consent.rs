//! Consent: asks the person at the terminal before something is done that cannot be undone.
//! Never asks a program, and never decides what its silence means.

use super::exit::{Exit, Stop};
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
    let answer = answer.trim();
    Ok(Some(["y", "yes"].iter().any(|yes| answer.eq_ignore_ascii_case(yes))))
}

/// What a command ends with whose question was answered with no.
pub(super) fn declined() -> Stop {
    let message = "nothing was done: the answer was not yes".to_owned();
    Stop::Error { exit: Exit::Cancelled, message, hint: None }
}
