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

#[test]
fn a_new_project_is_tested_built_and_run() {
    let place = Place::new();
    let made = place.samara(&["new", "line-lengths"]).ok();
    expect![[r#"
        made line-lengths in line-lengths; next:

          cd line-lengths
          cargo test -p line-lengths-function
          cargo run
          samara run . measure --over README.md
    "#]]
    .assert_eq(&made);
    let project = place.path("line-lengths");
    std::fs::copy(LOCK, project.join("Cargo.lock")).unwrap();

    let tested = Command::new(env!("CARGO"))
        .args(["test", "--offline", "-p", "line-lengths-function"])
        .env("CARGO_TARGET_DIR", target_dir())
        .current_dir(&project)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&tested.stdout);
    assert!(tested.status.success(), "{said}{}", String::from_utf8_lossy(&tested.stderr));
    assert!(said.contains("2 passed"), "{said}");

    // By the project's own cargo configuration, which calls `samara runner`.
    let samara = std::path::Path::new(env!("CARGO_BIN_EXE_samara"));
    #[allow(clippy::disallowed_methods, reason = "what cargo is to look for `samara` in")]
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path =
        [samara.parent().unwrap().to_owned()].into_iter().chain(std::env::split_paths(&path));
    let sandboxed = Command::new(env!("CARGO"))
        .args(["test", "--offline", "-p", "line-lengths-function", "--target", "wasm32-wasip2"])
        .env("CARGO_TARGET_DIR", target_dir())
        .env("PATH", std::env::join_paths(path).unwrap())
        .current_dir(&project)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&sandboxed.stdout);
    assert!(sandboxed.status.success(), "{said}{}", String::from_utf8_lossy(&sandboxed.stderr));
    assert!(said.contains("2 passed; 0 failed; 0 ignored"), "{said}");
    assert!(said.contains("each in a sandbox of its own"), "{said}");

    let samara = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        command.env("CARGO_TARGET_DIR", target_dir()).current_dir(&project);
        let ended: crate::Ended = command.output().unwrap().into();
        ended.ok()
    };
    let built = samara(&["build", "--out", "app.wasm"]);
    expect![[r#"
        component  app.wasm
        id         b3:[ID]
        size       [SIZE] ([SIZE])
        world      samara:function@0.2.0
        functions  2

          measure(text: Partition) -> Result<Measures>  [pure]
              Measures the lines of one partition.

          combine(a: Measures, b: Measures) -> Measures  [reduce, pure]
              Combines the measures of two neighbours.
    "#]]
    .assert_eq(&place.steady(&built));
    let lines = samara(&["run", "app.wasm", "measure", "--over", "function/src/lib.rs"]);
    assert!(lines.contains("\"lines\":"), "{lines}");
    let over = ["run", ".", "measure", "--over", "README.md"];
    let combined = samara(&[&over[..], &["--chunk", "64", "--reduce", "combine"]].concat());
    assert_eq!(combined, samara(&over), "whatever the cut");
}
