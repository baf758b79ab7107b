//! Consent: asks the person at the terminal before something is done that cannot be undone.
//! Never takes silence for an answer: where nobody can be asked, a flag says what is meant.

use super::exit::{Exit, Stop};
use std::io::{self, BufRead, IsTerminal, Write};

/// Asks a question of yes or no; anything but yes is no. `unasked` is said where nobody is there.
pub(super) fn ask(question: &str, unasked: impl FnOnce() -> Stop) -> Result<(), Stop> {
    let mut err = io::stderr();
    if !(io::stdin().is_terminal() && err.is_terminal()) {
        return Err(unasked());
    }
    write!(err, "{question} ")?;
    err.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    match answer.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => Err(Stop::Said(Exit::Cancelled)),
    }
}
