//! Tables for terminals.

/// Lines of columns as wide as their widest cell, two spaces apart; the last column is not padded.
pub(super) fn render(indent: &str, rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widest = |column: usize| {
        let cells = rows.iter().filter(|row| column + 1 < row.len());
        cells.map(|row| row[column].chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(widest).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = indent.to_owned();
        for (cell, width) in row.iter().zip(&widths) {
            let padding = (width + 2).saturating_sub(cell.chars().count());
            line += cell;
            line.extend(std::iter::repeat_n(' ', padding));
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// Joins words with commas into lines of at most `width` characters, where the words themselves allow it.
pub(super) fn wrap(words: &[String], width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let comma = if index + 1 < words.len() { "," } else { "" };
        match lines.last_mut() {
            Some(line) if line.chars().count() + word.chars().count() + 2 <= width => {
                *line += &format!(" {word}{comma}");
            }
            _ => lines.push(format!("{word}{comma}")),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let row = |cells: &[&str]| cells.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>();
        let text = render(
            "  ",
            &[
                row(&["FROM", "PORTS", "BY"]),
                row(&["é", "TCP 80", ""]),
                row(&["only"]),
            ],
        );
        assert_eq!(text, "  FROM  PORTS   BY\n  é     TCP 80\n  only\n");
    }

    #[test]
    fn words_are_wrapped_at_commas() {
        let words = ["aaa", "bb", "cccccccccc", "d"].map(str::to_owned);
        assert_eq!(wrap(&words, 8), ["aaa, bb,", "cccccccccc,", "d"]);
    }
}
