//! A project that `new` makes, built and run as its README says.

use std::path::Path;
use std::process::Command;

use expect_test::expect;

use crate::Place;

/// The versions that this checkout was tested with, so that nothing has to be fetched.
const LOCK: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.lock");

/// The directory of build outputs that these tests were built in: what the project shares with
/// this checkout is there already.
fn target_dir() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("tmp is in the target directory")
}

/// Runs a program of a project, and gives what it printed.
fn cargo(project: &Path, arguments: &[&str]) -> String {
    let ran = Command::new(env!("CARGO"))
        .args(arguments)
        .env("CARGO_TARGET_DIR", target_dir())
        .current_dir(project)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    said.into_owned()
}

/// Makes a project, and runs the tests of its functions.
fn tested(place: &Place, name: &str, template: &str) -> std::path::PathBuf {
    place.samara(&["new", name, "--template", template, "-q"]).ok();
    let project = place.path(name);
    std::fs::copy(LOCK, project.join("Cargo.lock")).unwrap();
    let said = cargo(&project, &["test", "--offline", "-p", &format!("{name}-function")]);
    assert!(said.contains("2 passed"), "{said}");
    project
}

/// Runs the tests of a project's functions in the sandbox: by the project's own cargo
/// configuration, which calls `samara runner`.
fn sandboxed(project: &Path, name: &str) {
    let samara = Path::new(env!("CARGO_BIN_EXE_samara")).parent().expect("in a directory");
    #[allow(
        clippy::disallowed_methods,
        reason = "where cargo is to look for `samara`, and the rest"
    )]
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = [samara.to_owned()].into_iter().chain(std::env::split_paths(&path));
    let ran = Command::new(env!("CARGO"))
        .args(["test", "--offline", "--target", "wasm32-wasip2", "-p", &format!("{name}-function")])
        .env("CARGO_TARGET_DIR", target_dir())
        .env("PATH", std::env::join_paths(path).unwrap())
        .current_dir(project)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    assert!(said.contains("2 passed; 0 failed; 0 ignored"), "{said}");
    assert!(said.contains("each in a sandbox of its own"), "{said}");
}

/// The command in a project.
fn samara(place: &Place, project: &Path, arguments: &[&str]) -> String {
    let mut command = place.command(arguments);
    command.env("CARGO_TARGET_DIR", target_dir()).current_dir(project);
    let ended: crate::Ended = command.output().unwrap().into();
    ended.ok()
}

#[test]
fn a_new_project_is_tested_built_and_run() {
    let place = Place::new();
    let made = place.samara(&["new", "made"]).ok();
    expect![[r#"
        made made in made; next:

          cd made
          cargo test -p made-function
          cargo run
          samara run . count --over README.md --reduce add
    "#]]
    .assert_eq(&made);
    let project = tested(&place, "tpl-words", "word-count");
    sandboxed(&project, "tpl-words");
    let samara = |arguments: &[&str]| samara(&place, &project, arguments);
    let built = samara(&["build", "--out", "app.wasm"]);
    expect![[r#"
        component  app.wasm
        id         b3:[ID]
        size       [SIZE] ([SIZE])
        world      samara:function@0.2.1
        functions  2

          count(text: Partition) -> Result<Counts>  [pure]
              Counts the words of one partition. Words are what white space separates.

          add(a: Counts, b: Counts) -> Counts  [reduce, pure]
              Adds the counts of two neighbours.
    "#]]
    .assert_eq(&place.steady(&built));
    let counted = samara(&["run", "app.wasm", "count", "--over", "function/src/lib.rs"]);
    assert!(counted.contains("\"fn\":"), "{counted}");
    let over = ["run", ".", "count", "--over", "README.md"];
    let combined = samara(&[&over[..], &["--chunk", "64", "--reduce", "add"]].concat());
    assert_eq!(combined, samara(&over), "whatever the cut");
}

#[test]
fn a_project_of_computing_is_tested_and_run() {
    let place = Place::new();
    let project = tested(&place, "tpl-pi", "monte-carlo");
    let arguments = "run . throw --input [1,100000] --input [2,100000] --reduce add";
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let inside: f64 = samara(&place, &project, &arguments).trim().parse().unwrap();
    assert!((inside / 50_000.0 - std::f64::consts::PI).abs() < 0.05, "{inside}");
}

#[test]
fn a_project_of_csv_files_is_tested_and_run() {
    let place = Place::new();
    let project = tested(&place, "tpl-orders", "etl-csv");
    let out = format!("\"file://{}/out\"", project.display());
    let clean = ["run", ".", "clean", "--over", "data/*.csv", "--input", &out];
    let cleaned = samara(
        &place,
        &project,
        &[&clean[..], &["--grant-write", "out", "--reduce", "add"]].concat(),
    );
    assert_eq!(cleaned, "{\"rows\":4,\"dropped\":1,\"cents\":11830}\n");
    let written = std::fs::read_to_string(project.join("out/orders-2.csv")).unwrap();
    assert_eq!(written, "id,customer,cents\n4,\"Liskov, Barbara\",10001\n5,Ada,99\n");
}

#[test]
fn templates_are_listed_and_unknown_ones_refused() {
    let place = Place::new();
    expect![[r#"
        word-count    text, cut into partitions, counted and combined
        monte-carlo   many tasks of pure computing, each with a seed of its own
        etl-csv       CSV files, cleaned and written to a place that was granted
    "#]]
    .assert_eq(&place.samara(&["new", "--list"]).ok());
    let ended = place.samara(&["new", "x", "--template", "none"]);
    assert_eq!(ended.code, Some(2));
    expect![[r#"
        error: no template is called `none`; there are: word-count, monte-carlo, etl-csv
    "#]]
    .assert_eq(&ended.stderr);
    let json = place.samara(&["new", "x", "--json"]).ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["template"], "word-count");
}
