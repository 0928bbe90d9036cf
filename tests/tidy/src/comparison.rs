//! The comparison with Lithops (`docs/from-lithops.md`) has no empty cell, and names no test that is
//! not there.
//!
//! In a table of three columns or more, the last one says what holds the row: tests and files
//! between backticks, as in the specification, or a reason in words. Two columns are plain text.

use crate::Offence;
use crate::promises::{between_backticks, exists};

/// Columns of a table whose last one names tests.
const COLUMNS_MIN: usize = 3;

/// Checks that cells are filled and that what they name exists; `files` are paths and texts of the
/// repository.
#[must_use]
pub fn check(path: &str, text: &str, files: &[(String, String)]) -> Vec<Offence> {
    let mut offences = Vec::new();
    let (mut rows, mut columns, mut is_body) = (0, 0, false);
    for (index, line) in text.lines().enumerate() {
        let Some(cells) = cells(line) else {
            (columns, is_body) = (0, false);
            continue;
        };
        let mut offend = |what: String| offences.push(Offence::at(path, index + 1, what));
        if columns == 0 {
            columns = cells.len();
        }
        if cells.len() != columns {
            offend(format!("{} cells in a table of {columns} columns", cells.len()));
        }
        if cells.iter().any(|cell| cell.is_empty()) {
            offend("a cell is empty".to_owned());
        }
        let is_rule = cells.iter().all(|cell| cell.chars().all(|c| c == '-' || c == ':'));
        if !is_rule && is_body && columns >= COLUMNS_MIN {
            rows += 1;
            let proof = cells.last().copied().unwrap_or_default();
            for name in between_backticks(proof).iter().filter(|name| !exists(name, files)) {
                offend(format!("names `{name}`, which does not exist"));
            }
        }
        is_body |= is_rule;
    }
    if rows == 0 {
        offences.push(Offence::new(path, "no row found: tables have three columns"));
    }
    offences
}

/// The cells of a table's line; none of another line.
fn cells(line: &str) -> Option<Vec<&str>> {
    let row = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    Some(row.split('|').map(str::trim).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planted_offences_are_caught() {
        let files = [("tests/a.rs".to_owned(), "fn survives() {}\n".to_owned())];
        let cases = [
            ("| `x` | y | `survives`, `tests/a.rs` |", None),
            ("| `x` | y | no counterpart: there is none |", None),
            ("| `x` | y | `survive` |", Some("names `survive`, which does not exist")),
            ("| `x` | | `survives` |", Some("a cell is empty")),
            ("| `x` | y | |", Some("a cell is empty")),
            ("| `x` | y |", Some("2 cells in a table of 3 columns")),
        ];
        for (row, expected) in cases {
            let kept = "| a | b | `survives` |";
            let text = format!("| they | `we` | `held` |\n|---|---|---|\n{kept}\n{row}\n");
            let expected: Vec<_> =
                expected.into_iter().map(|what| Offence::at("L.md", 4, what)).collect();
            assert_eq!(check("L.md", &text, &files), expected, "{row}");
        }
        assert_eq!(check("L.md", "| a | `b` |\n|---|---|\n| c | `d` |\n", &files).len(), 1);
    }
}
