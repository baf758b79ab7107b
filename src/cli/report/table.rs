//! Tables: rows of text in aligned columns. Knows nothing of what stands in them.

use super::Paint;

/// Where the text of a column stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Lines of a header and rows; no line ends in spaces.
pub(crate) fn table(columns: &[(&str, Align)], rows: &[Vec<String>], paint: Paint) -> String {
    let header: Vec<String> = columns.iter().map(|(name, _)| name.to_uppercase()).collect();
    let mut widths: Vec<usize> = header.iter().map(|name| name.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &[String]| {
        let mut line = String::new();
        for ((cell, width), (_, align)) in cells.iter().zip(&widths).zip(columns) {
            let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
            match align {
                Align::Left => line.extend([cell, padding.as_str(), "  "]),
                Align::Right => line.extend([padding.as_str(), cell, "  "]),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows =
            [vec!["train".to_owned(), "4".to_owned()], vec!["é".to_owned(), "10".to_owned()]];
        let text = table(&[("stage", Align::Left), ("n", Align::Right)], &rows, Paint(false));
        assert_eq!(text, "STAGE   N\ntrain   4\né      10\n");
    }
}
