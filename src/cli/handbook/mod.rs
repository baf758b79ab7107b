//! The handbook: `docs/cli.md` and `docs/manifest.md`, made of the clap tree and of the grammar.
//! Never says of a flag or a key what its own help does not say.

mod commands;
mod grammar;

pub use commands::{commands, takes};
pub use grammar::grammar;

/// What both documents begin with: they are never edited.
const MADE: &str =
    "<!-- Made from the program; `OHC_BLESS=1 cargo test --test golden` rewrites it. -->";

/// A heading's target within a document, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = |c: char| match c {
        ' ' => Some('-'),
        '-' | '_' => Some(c),
        c if c.is_alphanumeric() => Some(c.to_ascii_lowercase()),
        _ => None,
    };
    heading.chars().filter_map(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every link of a document leads to a heading of it.
    #[track_caller]
    fn check(text: &str) {
        let headings = text.lines().filter(|line| line.starts_with('#'));
        let anchors: Vec<String> =
            headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect();
        let links: Vec<&str> =
            text.split("](#").skip(1).filter_map(|rest| rest.split(')').next()).collect();
        for link in &links {
            assert!(anchors.iter().any(|anchor| anchor == link), "{link} leads nowhere");
        }
        assert!(links.len() > 5, "only {} links", links.len());
        let twice = anchors.iter().filter(|a| anchors.iter().filter(|b| a == b).count() > 1);
        assert_eq!(twice.count(), 0, "a heading stands twice");
        assert!(text.lines().all(|line| line == line.trim_end()), "blanks at the end of a line");
    }

    #[test]
    fn every_link_leads_to_a_heading() {
        check(&commands());
        check(&grammar());
    }
}
