//! Faults of a manifest as people, programs and GitHub read them.
//! Never decides what is a fault.

use crate::domain::manifest::{Diagnostic, Place};
use annotate_snippets::{
    AnnotationKind, Level, Origin, Renderer, Snippet, normalize_untrusted_str,
};
use serde_json::{Value, json};
use std::ops::Range;

/// Each fault with its place, the line that it is in, and its hint; then how many there are.
pub(crate) fn text(path: &str, source: &str, faults: &[Diagnostic], colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for fault in faults {
        // Names in a message are from the manifest: nothing of it may move the cursor.
        let level = if fault.is_error() { Level::ERROR } else { Level::WARNING };
        let title = level.primary_title(normalize_untrusted_str(&fault.message));
        let mut group = match span(source, fault.place) {
            Some(span) => {
                // Only the lines that it marks: the renderer reads all that it is given, each time.
                let (lines, span) = lines_of(source, span);
                let snippet = Snippet::source(lines).line_start(line_of(fault.place)).path(path);
                title.element(snippet.annotation(AnnotationKind::Primary.span(span)))
            }
            None => title.element(Origin::path(path)),
        };
        if let Some(hint) = &fault.hint {
            let hint = normalize_untrusted_str(hint);
            group = group.element(Level::HELP.with_name("hint").message(hint));
        }
        text.push_str(&renderer.render(&[group]));
        text.push_str("\n\n");
    }
    text.push_str(&format!("{path}: {}\n", count(faults)));
    text
}

/// `2 faults, 1 warning`; either is left away where there is none.
fn count(faults: &[Diagnostic]) -> String {
    let errors = faults.iter().filter(|fault| fault.is_error()).count();
    let counts = [(errors, "fault"), (faults.len() - errors, "warning")];
    let counts = counts.iter().filter(|(count, _)| *count > 0);
    let words = counts.map(|(count, noun)| match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// The bytes that a place marks, if it is known; whatever it says, within the text.
fn span(source: &str, place: Place) -> Option<Range<usize>> {
    if place.line == 0 {
        return None;
    }
    let floor =
        |at: usize| (0..=at.min(source.len())).rev().find(|at| source.is_char_boundary(*at));
    let from = floor(place.offset)?;
    let to = floor(place.offset.saturating_add(place.length))?;
    Some(from..to.max(from))
}

/// The whole lines that some bytes are in, and where the bytes are in them.
fn lines_of(source: &str, span: Range<usize>) -> (&str, Range<usize>) {
    let before = source.get(..span.start).unwrap_or_default();
    let from = before.rfind('\n').map_or(0, |at| at + 1);
    let after = source.get(span.end..).unwrap_or_default();
    let to = span.end + after.find('\n').unwrap_or(after.len());
    (source.get(from..to).unwrap_or_default(), span.start - from..span.end - from)
}

fn line_of(place: Place) -> usize {
    usize::try_from(place.line).unwrap_or(1).max(1)
}

/// Each fault as an object.
pub(crate) fn json(path: &str, faults: &[Diagnostic]) -> Vec<Value> {
    let fault = |fault: &Diagnostic| {
        json!({
            "file": path,
            "line": fault.place.line,
            "column": fault.place.column,
            "severity": severity(fault),
            "message": fault.message,
            "hint": fault.hint,
        })
    };
    faults.iter().map(fault).collect()
}

/// Each fault as a workflow command, one per line:
/// <https://docs.github.com/actions/reference/workflow-commands-for-github-actions>.
pub(crate) fn github(path: &str, faults: &[Diagnostic]) -> String {
    let line = |fault: &Diagnostic| {
        let hint = fault.hint.iter().map(|hint| format!("\nhint: {hint}"));
        let message = format!("{}{}", fault.message, hint.collect::<String>());
        let (line, column) = (fault.place.line.max(1), fault.place.column.max(1));
        let file = escaped(path).replace(':', "%3A").replace(',', "%2C");
        let level = severity(fault);
        format!("::{level} file={file},line={line},col={column}::{}\n", escaped(&message))
    };
    faults.iter().map(line).collect()
}

/// The word for it in JSON and in workflow commands.
fn severity(fault: &Diagnostic) -> &'static str {
    if fault.is_error() { "error" } else { "warning" }
}

fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::manifest::Severity;

    fn fault(offset: usize, length: usize, line: u32, column: u32) -> Diagnostic {
        let place = Place { offset, length, line, column };
        Diagnostic::new(place, "unknown key `epoch`", Some("did you mean `epochs`?".to_owned()))
    }

    const SOURCE: &str = "with:\n  epoch: 3\n";

    #[test]
    fn a_fault_shows_its_place_its_line_and_its_hint() {
        let shown = text("a/b.yaml", SOURCE, &[fault(8, 5, 2, 3)], false);
        for part in [
            "error: unknown key `epoch`",
            "--> a/b.yaml:2:3",
            "2 |   epoch: 3",
            "|   ^^^^^",
            "hint: did you mean `epochs`?",
            "a/b.yaml: 1 fault",
        ] {
            assert!(shown.contains(part), "{part:?} is not in:\n{shown}");
        }
        assert!(!shown.contains('\x1b'), "plain text has no escapes");
    }

    #[test]
    fn a_fault_without_or_beyond_its_place_is_still_shown() {
        for place in [(0, 0, 0, 0), (900, 9, 99, 1), (17, 0, 3, 1)] {
            let shown = text("m.yaml", SOURCE, &[fault(place.0, place.1, place.2, place.3)], false);
            assert!(shown.contains("unknown key"), "{shown}");
            assert!(shown.contains("m.yaml"), "{shown}");
        }
        let shown = text("m.yaml", "é", &[fault(1, 1, 1, 1)], true);
        assert!(shown.contains("unknown key"), "a place inside a character: {shown}");
    }

    #[test]
    fn a_warning_is_called_one() {
        let warning = Diagnostic { severity: Severity::Warning, ..fault(8, 5, 2, 3) };
        let shown = text("m.yaml", SOURCE, &[fault(8, 5, 2, 3), warning.clone()], false);
        assert!(shown.contains("warning: unknown key"), "{shown}");
        assert!(shown.contains("m.yaml: 1 fault, 1 warning"), "{shown}");
        assert!(github("m.yaml", &[warning]).starts_with("::warning file=m.yaml"));
    }

    #[test]
    fn github_gets_one_line_per_fault() {
        let shown = github("a,b.yaml", &[fault(8, 5, 2, 3)]);
        let expect = "::error file=a%2Cb.yaml,line=2,col=3::unknown key `epoch`%0Ahint: did you \
            mean `epochs`?\n";
        assert_eq!(shown, expect);
    }

    #[test]
    fn nothing_of_a_manifest_moves_the_cursor() {
        let mut bad = fault(0, 0, 0, 0);
        bad.message = "unknown key `\x1b[2J`".into();
        assert!(!text("m.yaml", SOURCE, &[bad], false).contains('\x1b'));
    }
}
