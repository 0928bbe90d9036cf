//! Runs the checks on the repository.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::{Offence, arrows, comparison, promises, tables, text};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// What a program says in the root of the repository; `None` if it fails or is not there.
fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).current_dir(root()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn cargo(args: &[&str]) -> String {
    output(env!("CARGO"), args).unwrap_or_else(|| panic!("cargo {} failed", args.join(" ")))
}

/// The paths of all files: those git would track, or without git all that is not hidden or built.
fn paths() -> Vec<String> {
    let listed = output("git", &["ls-files", "-z", "-co", "--exclude-standard"]);
    let mut paths = match listed {
        // Files that were removed and not yet committed are listed too.
        Some(listed) => listed
            .split('\0')
            .filter(|path| !path.is_empty() && root().join(path).is_file())
            .map(str::to_owned)
            .collect(),
        None => walk(""),
    };
    paths.sort_unstable();
    paths
}

fn walk(dir: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(root().join(dir)).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = if dir.is_empty() { name.clone() } else { format!("{dir}/{name}") };
        let is_dir = entry.file_type().unwrap().is_dir();
        match (is_dir, name.as_str()) {
            (true, ".ci" | ".cargo") => paths.extend(walk(&path)),
            (true, "target") => {}
            (true, name) if name.starts_with('.') => {}
            (true, _) => paths.extend(walk(&path)),
            (false, _) => paths.push(path),
        }
    }
    paths
}

/// Paths and contents of the files in which people write.
fn files() -> Vec<(String, String)> {
    let read = |path: String| {
        let bytes = fs::read(root().join(&path)).unwrap();
        (path, String::from_utf8_lossy(&bytes).into_owned())
    };
    paths().into_iter().filter(|path| text::is_text(path)).map(read).collect()
}

fn content<'a>(files: &'a [(String, String)], path: &str) -> &'a str {
    files.iter().find(|(other, _)| other == path).map_or("", |(_, text)| text)
}

#[track_caller]
fn assert_none(mut offences: Vec<Offence>) {
    offences.sort_unstable();
    let list: Vec<String> = offences.iter().map(Offence::to_string).collect();
    assert!(list.is_empty(), "{} offences:\n{}", list.len(), list.join("\n"));
}

#[test]
fn crates_depend_only_as_the_arrows_say() {
    let metadata = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    assert_none(arrows::check(&arrows::packages(&metadata).unwrap()));
}

#[test]
fn crates_link_nothing_they_must_not() {
    let mut offences = Vec::new();
    for (package, args, prefixes) in arrows::NOT_LINKED {
        let base = ["tree", "--prefix", "none", "--edges", "normal", "--package", package];
        let tree = cargo(&[&base, *args].concat());
        assert!(tree.starts_with(package), "cargo tree speaks of another crate: {tree}");
        offences.extend(arrows::check_linked(package, &tree, prefixes));
    }
    assert_none(offences);
}

#[test]
fn files_keep_the_house_rules() {
    let files = files();
    assert!(files.iter().any(|(path, _)| path == "tests/tidy/src/tree.rs"), "{files:?}");
    assert_none(files.iter().flat_map(|(path, text)| text::check(path, text)).collect());
}

#[test]
fn every_promise_names_what_holds_it() {
    const SPECIFICATION: &str = "docs/SPECIFICATION.md";
    let files = files();
    assert_none(promises::check(SPECIFICATION, content(&files, SPECIFICATION), &files));
}

#[test]
fn every_promise_of_security_names_what_holds_it() {
    const SECURITY: &str = "docs/SECURITY.md";
    let files = files();
    assert_none(promises::check_unnumbered(SECURITY, content(&files, SECURITY), &files));
}

#[test]
fn every_row_of_the_comparison_names_what_holds_it() {
    const COMPARISON: &str = "docs/from-lithops.md";
    let files = files();
    assert_none(comparison::check(COMPARISON, content(&files, COMPARISON), &files));
}

#[test]
fn every_backend_has_its_row() {
    let files = files();
    let paths: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
    let check = |room: &tables::Room| {
        let lib = content(&files, &format!("{}/lib.rs", room.dir));
        tables::check(*room, &paths, lib)
    };
    assert_none(tables::ROOMS.iter().flat_map(check).collect());
}
