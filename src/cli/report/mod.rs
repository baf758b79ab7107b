//! Reports: the only place where values become words, colours, tables and JSON.
//! Decides nothing: what is reported has happened.

pub(crate) mod bill;
pub(crate) mod card;
pub(crate) mod diagnostics;
pub(crate) mod escape;
pub(crate) mod journal;
pub(crate) mod json;
pub(crate) mod live;
pub(crate) mod prose;
pub(crate) mod quotation;
pub(crate) mod sheet;
pub(crate) mod size;
pub(crate) mod sources;
pub(crate) mod table;
pub(crate) mod time;
mod yaml;

use super::args::{Color, Format};
use super::exit::Stop;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::fmt::Display;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

/// The standard output, and what may be done on it.
pub(crate) struct Screen {
    out: BufWriter<Stdout>,
    is_terminal: bool,
    /// How text is made to stand out there.
    pub(crate) paint: Paint,
    /// How text is made to stand out on the standard error.
    pub(crate) paint_errors: Paint,
    /// Whether a person watches both streams, so that lines may be redrawn.
    pub(crate) is_live: bool,
    /// How long a line may be; lines for pipes are not broken.
    pub(crate) width: Option<usize>,
}

impl Screen {
    pub(crate) fn new(color: Color) -> Self {
        let (out, err) = (io::stdout().is_terminal(), io::stderr().is_terminal());
        let obeys = obeys(std::env::var_os("TERM").as_deref());
        let allowed = |is_terminal: bool| match color {
            Color::Always => true,
            Color::Never => false,
            // https://no-color.org: present and not empty, whatever it says.
            Color::Auto => {
                let no_color = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
                is_terminal && obeys && !no_color
            }
        };
        Self {
            out: BufWriter::new(io::stdout()),
            is_terminal: out,
            paint: Paint(allowed(out)),
            paint_errors: Paint(allowed(err)),
            is_live: out && err && obeys,
            width: if out { width() } else { None },
        }
    }

    /// Writes one line.
    pub(crate) fn line(&mut self, text: impl Display) -> io::Result<()> {
        let text = self.shown(&text);
        writeln!(self.out, "{text}")
    }

    /// Writes text that ends its own lines.
    pub(crate) fn text(&mut self, text: impl Display) -> io::Result<()> {
        let text = self.shown(&text);
        write!(self.out, "{text}")
    }

    /// Writes what was asked for byte by byte; a terminal is not steered by it either.
    pub(crate) fn bytes(&mut self, text: &str) -> io::Result<()> {
        match self.is_terminal {
            true => self.text(text),
            false => self.out.write_all(text.as_bytes()),
        }
    }

    fn shown(&self, text: &impl Display) -> String {
        escape::harmless(&text.to_string(), self.paint.0)
    }

    /// Lets the reader see what was written so far.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// The last object of the standard output, for programs, of a command that failed.
    pub(crate) fn answer(&mut self, stop: &Stop, format: Format) {
        if let (true, Some(error)) = (format.is_data(), error_json(stop)) {
            let object = json::object("Error", json!({"status": "failed", "error": error}));
            // What it says is said to people too, where the standard output takes nothing.
            let _ = self.data(&object, format);
        }
        let _ = self.flush();
    }

    /// Says why a command did not get to its end: on the standard error, and to programs also as
    /// the last object of the standard output.
    pub(crate) fn complain(&mut self, stop: &Stop, format: Format) -> io::Result<()> {
        self.answer(stop, format);
        let mut err = io::stderr().lock();
        match stop {
            Stop::Pipe | Stop::Said(_) => Ok(()),
            Stop::Manifest { path, text, faults, .. } => {
                let report = diagnostics::text(path, text, faults, self.paint_errors.0);
                write!(err, "{report}")
            }
            Stop::Error { message, hint, .. } => {
                let shown = |text: &str| escape::harmless(text, false);
                writeln!(err, "{} {}", self.paint_errors.red("error:"), shown(message))?;
                match hint {
                    Some(hint) => writeln!(err, "  hint: {}", shown(hint)),
                    None => Ok(()),
                }
            }
        }
    }
}

/// Whether a terminal of that kind moves and colours as it is told; one without a kind may not.
fn obeys(term: Option<&OsStr>) -> bool {
    term.is_some_and(|term| !term.is_empty() && term != "dumb")
}

/// The width of the terminal, unless `COLUMNS` names another.
fn width() -> Option<usize> {
    let asked = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let is = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
    asked.or_else(is).filter(|width| *width > 0)
}

/// What went wrong, for programs; nothing if it was said already.
pub(crate) fn error_json(stop: &Stop) -> Option<Value> {
    match stop {
        Stop::Pipe | Stop::Said(_) => None,
        Stop::Manifest { path, faults, .. } => {
            let first = faults.first();
            Some(json!({
                "message": first.map_or("the manifest is wrong", |fault| &fault.message),
                "hint": first.and_then(|fault| fault.hint.as_deref()),
                "faults": diagnostics::json(path, faults),
            }))
        }
        Stop::Error { message, hint, .. } => Some(json!({"message": message, "hint": hint})),
    }
}

/// Makes text stand out, or leaves it as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint(pub(crate) bool);

impl Paint {
    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r13_texts_of_others_steer_no_terminal_and_colours_stay_ours() {
        let metric = "\x1b]52;c;aGk=\x07accuracy";
        let (never, always) = (Screen::new(Color::Never), Screen::new(Color::Always));
        for screen in [&never, &always] {
            assert_eq!(screen.shown(&metric), "\u{fffd}]52;c;aGk=\u{fffd}accuracy");
        }
        assert_eq!(always.shown(&Paint(true).red("lost")), "\x1b[1;31mlost\x1b[0m");
        assert_eq!(never.shown(&Paint(false).red("lost")), "lost");
    }
}
