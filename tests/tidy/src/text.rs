//! Rules for single files.

use crate::Offence;

/// Lines of one Rust file, its inline tests not counted. A longer one has more than one subject.
pub const LINES_MAX: usize = 800;

/// Notes to oneself; parted here so that this file does not catch itself.
const MARKERS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];

/// Kinds of files in which people write.
const TEXT: &[&str] = &["rs", "toml", "md", "wit", "sh", "yml", "yaml"];

/// Scripts that have no ending to be told by.
const SCRIPTS: &[&str] = &[".ci/run"];

/// Whether the rules apply to a file.
#[must_use]
pub fn is_text(path: &str) -> bool {
    SCRIPTS.contains(&path) || TEXT.contains(&extension(path))
}

/// Checks one file.
#[must_use]
pub fn check(path: &str, text: &str) -> Vec<Offence> {
    let mut offences = check_lines(path, text);
    if extension(path) == "rs" {
        offences.extend(check_rust(path, text));
    }
    offences
}

fn check_rust(path: &str, text: &str) -> Vec<Offence> {
    let mut offences = Vec::new();
    // A shebang can only be the first line.
    let first = text.lines().find(|line| !line.starts_with("#!/"));
    if !first.is_some_and(|line| line.starts_with("//!")) {
        let what = "begin with `//!`: what the file is for, and what not";
        offences.push(Offence::at(path, 1, what));
    }
    let lines = lines_without_tests(text);
    if lines > LINES_MAX {
        let what = format!("{lines} lines, {LINES_MAX} are the limit: divide it");
        offences.push(Offence::new(path, what));
    }
    offences
}

fn check_lines(path: &str, text: &str) -> Vec<Offence> {
    // Prose may speak about markers.
    let markers = if extension(path) == "md" { &[] } else { MARKERS };
    let mut offences = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if line.ends_with([' ', '\t']) {
            offences.push(Offence::at(path, index + 1, "white space at the end"));
        }
        for marker in markers.iter().filter(|marker| has_word(line, marker)) {
            offences.push(Offence::at(path, index + 1, format!("{marker}: do it, or file it")));
        }
    }
    offences
}

/// Lines up to the inline tests, which by house rule stand last.
fn lines_without_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().collect();
    let tests = lines.windows(2).position(|two| two[0] == "#[cfg(test)]" && two[1].ends_with('{'));
    tests.unwrap_or(lines.len())
}

/// Whether a word stands in a line on its own.
fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|other| other == word)
}

fn extension(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.rsplit_once('.').map_or("", |(_, extension)| extension)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The offences as `line: what`.
    fn places(path: &str, text: &str) -> Vec<String> {
        check(path, text).into_iter().map(|offence| offence.place).collect()
    }

    #[test]
    fn planted_offences_are_caught() {
        let marker = format!("//! Doc.\n// {}: later\n", MARKERS[0]);
        let cases: &[(&str, &str, &[&str])] = &[
            ("a.rs", "//! Doc.\nfn f() {}\n", &[]),
            ("a.rs", "fn f() {}\n", &["a.rs:1"]),
            ("a.rs", "\n//! Late.\n", &["a.rs:1"]),
            ("a.rs", "", &["a.rs:1"]),
            ("a.rs", "#!/usr/bin/env -S cargo\n//! A script.\n", &[]),
            ("a.rs", "//! Doc.\n#![no_std]\n", &[]),
            ("a.rs", "#![no_std]\n//! Doc.\n", &["a.rs:1"]),
            ("a.rs", "//! Doc. \nfn f() {}\t\n", &["a.rs:1", "a.rs:2"]),
            ("a.rs", &marker, &["a.rs:2"]),
            ("docs/a.md", &marker, &[]),
            ("Cargo.toml", "a = 1 \n", &["Cargo.toml:1"]),
            (".ci/run", "set -e \n", &[".ci/run:1"]),
        ];
        for (path, text, expected) in cases {
            assert!(is_text(path));
            assert_eq!(places(path, text), *expected, "{path} {text:?}");
        }
        assert!(!is_text("tests/ui/fail/a.stderr"));
    }

    #[test]
    fn long_files_are_caught_but_tests_do_not_count() {
        let code = format!("//! Doc.\n{}", "fn f() {}\n".repeat(LINES_MAX - 1));
        assert_eq!(places("a.rs", &code), <[&str; 0]>::default());
        let tests = format!("{code}#[cfg(test)]\nmod tests {{\n{}", "fn f() {}\n".repeat(900));
        assert_eq!(places("a.rs", &tests), <[&str; 0]>::default());
        let long = format!("{code}fn f() {{}}\n");
        assert_eq!(places("a.rs", &long), ["a.rs"]);
        // A file of tests is declared in another file, and is to be divided like any other.
        let declared = format!("{code}#[cfg(test)]\nmod tests;\n");
        assert_eq!(places("a.rs", &declared), ["a.rs"]);
    }
}
