//! Each promise of `docs/SPECIFICATION.md` names what holds it.
//!
//! A promise is a row of a table: `| S1 | what is promised | what holds it |`. The last column
//! names, each between backticks, tests (`crate::module::test`, of which the last part counts) or
//! files (`benches/task.rs`, `benches/task.rs::bench`).

use crate::Offence;

/// Checks that what the promises name exists; `files` are paths and texts of the repository.
#[must_use]
pub fn check(path: &str, specification: &str, files: &[(String, String)]) -> Vec<Offence> {
    let mut offences = Vec::new();
    let mut ids: Vec<&str> = Vec::new();
    for (index, line) in specification.lines().enumerate() {
        let Some((id, proof)) = promise(line) else { continue };
        let mut offend = |what: String| offences.push(Offence::at(path, index + 1, what));
        if ids.contains(&id) {
            offend(format!("{id} is promised twice"));
        }
        ids.push(id);
        let names = between_backticks(proof);
        if names.is_empty() {
            offend(format!("{id} names no test"));
        }
        for name in names.iter().filter(|name| !exists(name, files)) {
            offend(format!("{id} names `{name}`, which does not exist"));
        }
    }
    if ids.is_empty() {
        offences.push(Offence::new(path, "no promise found: rows begin with `| S1 |`"));
    }
    offences
}

/// The head of a table whose promises have no numbers.
const HEAD: &str = "| promise | held by |";

/// Checks the same of tables without numbers, whose columns are `promise` and `held by`.
#[must_use]
pub fn check_unnumbered(path: &str, text: &str, files: &[(String, String)]) -> Vec<Offence> {
    let (mut offences, mut is_inside, mut rows) = (Vec::new(), false, 0);
    for (index, line) in text.lines().enumerate() {
        is_inside = line == HEAD || is_inside && line.starts_with('|');
        if !is_inside || line == HEAD || line.starts_with("|-") {
            continue;
        }
        rows += 1;
        let proof = line.trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        let names = between_backticks(proof);
        if names.is_empty() {
            offences.push(Offence::at(path, index + 1, "a promise names no test"));
        }
        for name in names.iter().filter(|name| !exists(name, files)) {
            let what = format!("a promise names `{name}`, which does not exist");
            offences.push(Offence::at(path, index + 1, what));
        }
    }
    if rows == 0 {
        offences.push(Offence::new(path, format!("no promise found: tables begin with `{HEAD}`")));
    }
    offences
}

/// The number and the last column of a row that is a promise.
fn promise(line: &str) -> Option<(&str, &str)> {
    let row = line.trim().strip_prefix('|')?.strip_suffix('|')?;
    let id = row.split('|').next()?.trim();
    let number = id.strip_prefix('S')?;
    let is_number = !number.is_empty() && number.chars().all(|c| c.is_ascii_digit() || c == '.');
    let proof = row.rsplit('|').next()?;
    is_number.then_some((id, proof))
}

pub(crate) fn between_backticks(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Whether there is such a test or file.
pub(crate) fn exists(name: &str, files: &[(String, String)]) -> bool {
    let (file, function) = match name.rsplit_once("::") {
        Some((before, function)) => (before, Some(function)),
        None => (name, None),
    };
    let is_path = file.contains('/') || file.ends_with(".rs");
    match (is_path, function) {
        (true, None) => files.iter().any(|(path, _)| path == file),
        (true, Some(function)) => {
            files.iter().any(|(path, text)| path == file && defines(text, function))
        }
        (false, function) => {
            let function = function.unwrap_or(name);
            let mut rust = files.iter().filter(|(path, _)| path.ends_with(".rs"));
            rust.any(|(_, text)| defines(text, function))
        }
    }
}

/// Whether a text has `fn name`, and not only a longer name.
fn defines(text: &str, function: &str) -> bool {
    let needle = format!("fn {function}");
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    !function.is_empty()
        && text.match_indices(&needle).any(|(at, _)| {
            let after = text[at + needle.len()..].chars().next();
            !after.is_some_and(is_name)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planted_offences_are_caught() {
        let files = [
            ("tests/a.rs".to_owned(), "#[test]\nfn survives() {}\n".to_owned()),
            ("README.md".to_owned(), "fn only_prose() {}".to_owned()),
        ];
        let cases = [
            ("| S1 | it survives | `suite::a::survives` |", None),
            ("| S1 | it survives | `survives`, `tests/a.rs::survives` |", None),
            ("| S1 | it survives | `tests/a.rs` |", None),
            ("| S1 | it survives | none |", Some("S1 names no test")),
            ("| S1 | it survives | `survive` |", Some("S1 names `survive`, which does not exist")),
            ("| S1 | a | `only_prose` |", Some("S1 names `only_prose`, which does not exist")),
            ("| S1 | a | `tests/b.rs` |", Some("S1 names `tests/b.rs`, which does not exist")),
            (
                "| S1 | a | `tests/a.rs::dies` |",
                Some("S1 names `tests/a.rs::dies`, which does not exist"),
            ),
        ];
        for (row, expected) in cases {
            let text = format!("# Promises\n\n| no. | promise | test |\n|---|---|---|\n{row}\n");
            let expected: Vec<_> =
                expected.into_iter().map(|what| Offence::at("S.md", 5, what)).collect();
            assert_eq!(check("S.md", &text, &files), expected, "{row}");
        }
        let twice = "| S1 | a | `survives` |\n| S1 | b | `survives` |\n";
        assert_eq!(check("S.md", twice, &files), [Offence::at("S.md", 2, "S1 is promised twice")]);
        assert_eq!(check("S.md", "nothing\n", &files).len(), 1);
    }

    #[test]
    fn promises_without_numbers_are_checked_too() {
        let files = [("tests/a.rs".to_owned(), "fn survives() {}\n".to_owned())];
        let text = "| promise | held by |\n|---|---|\n| a | `survives` |\n| b | `dies` |\n| c | - |\n\n\
                    | what | else |\n|---|---|\n| d | `dies` |\n";
        let found = check_unnumbered("S.md", text, &files);
        let wanted = [
            Offence::at("S.md", 4, "a promise names `dies`, which does not exist"),
            Offence::at("S.md", 5, "a promise names no test"),
        ];
        assert_eq!(found, wanted);
        assert_eq!(check_unnumbered("S.md", "nothing\n", &files).len(), 1);
    }
}
