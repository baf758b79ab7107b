//! Tables: rows of text in aligned columns, no wider than the screen if that can be.
//! Knows nothing of what stands in them.

use super::Paint;

/// Where the text of a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
    /// Long text: broken into lines where the screen is too narrow. The last column only.
    Wrap,
}

/// The least that a broken column gets, however narrow the screen is.
const WRAP_MIN: usize = 20;

/// Lines of a header and rows, at most `width` wide where a column can be broken; no line ends in
/// spaces.
pub(crate) fn table(
    columns: &[(&str, Align)],
    rows: &[Vec<String>],
    paint: Paint,
    width: Option<usize>,
) -> String {
    let header: Vec<String> = columns.iter().map(|(name, _)| name.to_uppercase()).collect();
    let mut widths: Vec<usize> = header.iter().map(|name| name.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    // Where the last column begins: what is broken goes on there.
    let before: usize = widths.iter().rev().skip(1).map(|width| width + 2).sum();
    let room = width.map(|width| width.saturating_sub(before).max(WRAP_MIN));
    let line = |cells: &[String]| {
        let mut line = String::new();
        for ((cell, width), (_, align)) in cells.iter().zip(&widths).zip(columns) {
            let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
            match (align, room) {
                (Align::Left, _) | (Align::Wrap, None) => {
                    line.extend([cell, padding.as_str(), "  "]);
                }
                (Align::Right, _) => line.extend([padding.as_str(), cell, "  "]),
                (Align::Wrap, Some(room)) => {
                    line.push_str(&wrap(cell, room).join(&format!("\n{}", " ".repeat(before))));
                }
            }
        }
        line.trim_end().to_owned()
    };
    let mut text = paint.dim(&line(&header));
    text.push('\n');
    for row in rows {
        text.push_str(&line(row));
        text.push('\n');
    }
    text
}

/// Breaks a text between its words into lines of at most `room` characters; a longer word is cut.
pub(crate) fn wrap(text: &str, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split(' ') {
        let mut letters: Vec<char> = word.chars().collect();
        if used > 0 && used + 1 + letters.len() > room {
            lines.push(std::mem::take(&mut line));
            used = 0;
        } else if used > 0 {
            line.push(' ');
            used += 1;
        }
        while letters.len() > room.max(1) {
            let rest = letters.split_off(room.max(1));
            lines.push(letters.into_iter().collect());
            letters = rest;
        }
        used += letters.len();
        line.extend(letters);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(|cell| (*cell).to_owned()).collect()).collect()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = rows(&[&["train", "4"], &["é", "10"]]);
        let columns = [("stage", Align::Left), ("n", Align::Right)];
        let text = table(&columns, &rows, Paint(false), None);
        assert_eq!(text, "STAGE   N\ntrain   4\né      10\n");
    }

    #[test]
    fn long_text_goes_on_below_itself() {
        let rows = rows(&[&["a", "fails: the loss is not a number at step 12"], &["b", "new"]]);
        let columns = [("job", Align::Left), ("why", Align::Wrap)];
        let text = table(&columns, &rows, Paint(false), Some(30));
        let expect = "JOB  WHY\na    fails: the loss is not a\n     number at step 12\nb    new\n";
        assert_eq!(text, expect);
        let whole = table(&columns, &rows, Paint(false), None);
        assert!(whole.contains("a    fails: the loss is not a number at step 12\n"), "{whole}");
    }

    proptest! {
        #[test]
        fn no_letter_is_lost_and_no_line_is_too_long(text in "[a-zé ]{0,60}", room in 1usize..20) {
            let lines = wrap(&text, room);
            prop_assert!(lines.iter().all(|line| line.chars().count() <= room));
            let letters = |text: &str| text.chars().filter(|c| *c != ' ').collect::<String>();
            prop_assert_eq!(letters(&lines.concat()), letters(&text));
        }
    }
}
