//! Backends: one folder each, and one row each in the table of their room.

use crate::Offence;

/// A room of backends.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// The directory with a folder for each.
    pub dir: &'static str,
    /// The constant that is the table, in `lib.rs`.
    pub table: &'static str,
    /// Folders that are no backends.
    pub others: &'static [&'static str],
}

/// The rooms whose folders are checked.
pub const ROOMS: &[Room] = &[
    Room { dir: "runtimes/src", table: "RUNTIMES", others: &["deploy", "mail", "push"] },
    Room { dir: "host/store/src", table: "STORES", others: &["adapters", "conformance", "dal"] },
];

/// Checks that each folder, taken from the paths of all files, has its row.
#[must_use]
pub fn check(room: Room, paths: &[&str], lib: &str) -> Vec<Offence> {
    let file = format!("{}/lib.rs", room.dir);
    let Some(table) = table(lib, room.table) else {
        return vec![Offence::new(file, format!("has no table `const {}`", room.table))];
    };
    let missing = folders(room, paths).into_iter().filter(|name| !has_row(table, name));
    missing
        .map(|name| Offence::new(&file, format!("{} has no row `{name}::`", room.table)))
        .collect()
}

/// The text of the constant, up to the end of the statement.
fn table<'a>(lib: &'a str, name: &str) -> Option<&'a str> {
    let from = lib.find(&format!("const {name}:"))?;
    let len = lib[from..].find("];")?;
    Some(&lib[from..from + len])
}

/// The names of the folders that are backends, each once.
fn folders<'a>(room: Room, paths: &[&'a str]) -> Vec<&'a str> {
    let inside = paths.iter().filter_map(|path| path.strip_prefix(room.dir)?.strip_prefix('/'));
    let mut names: Vec<&str> =
        inside.filter_map(|path| path.split_once('/').map(|(folder, _)| folder)).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| !room.others.contains(name));
    names
}

/// Whether the table names something in the folder's module.
fn has_row(table: &str, name: &str) -> bool {
    let path = format!("{name}::");
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    table.match_indices(&path).any(|(at, _)| !table[..at].ends_with(is_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOM: Room = Room { dir: "r/src", table: "ALL", others: &["helpers"] };

    #[test]
    fn planted_offences_are_caught() {
        let lib = "\
mod lambda;
mod local;
// const NONE: lambda::open
pub const ALL: &[Row] = &[
    Row { scheme: \"local\", open: local::open },
];
fn later() { lambda::open() }
";
        let paths =
            ["r/src/lib.rs", "r/src/local/mod.rs", "r/src/local/config.rs", "r/src/helpers/mod.rs"];
        assert_eq!(check(ROOM, &paths, lib), []);
        let more = [&paths[..], &["r/src/lambda/mod.rs", "r/src/cal/mod.rs", "q/x/y.rs"]].concat();
        let expected = ["cal", "lambda"]
            .map(|name| Offence::new("r/src/lib.rs", format!("ALL has no row `{name}::`")));
        assert_eq!(check(ROOM, &more, lib), expected);
        assert_eq!(check(ROOM, &paths, "mod local;").len(), 1);
    }
}
