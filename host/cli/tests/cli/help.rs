//! Help texts: what a person reads first.

use expect_test::expect_file;

use crate::Place;

#[test]
fn help_texts_are_as_they_were() {
    let help = |arguments: &[&str]| Place::new().samara(arguments).ok();
    expect_file!["help/samara.txt"].assert_eq(&help(&["--help"]));
    expect_file!["help/hello.txt"].assert_eq(&help(&["hello", "--help"]));
    expect_file!["help/new.txt"].assert_eq(&help(&["new", "--help"]));
    expect_file!["help/build.txt"].assert_eq(&help(&["build", "--help"]));
    expect_file!["help/inspect.txt"].assert_eq(&help(&["inspect", "--help"]));
    expect_file!["help/run.txt"].assert_eq(&help(&["run", "--help"]));
    expect_file!["help/test.txt"].assert_eq(&help(&["test", "--help"]));
}

#[test]
fn the_version_is_the_packages() {
    let version = Place::new().samara(&["--version"]).ok();
    assert_eq!(version, format!("samara {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn without_a_command_there_is_help_and_a_usage_error() {
    let ended = Place::new().samara(&[]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("Usage: samara"), "{ended:?}");
}

#[test]
fn the_guide_knows_every_flag() {
    let guide = include_str!("../../../../docs/cli.md");
    for command in ["hello", "new", "build", "inspect", "run", "test"] {
        let help = Place::new().samara(&[command, "--help"]).ok();
        let words = help.split_whitespace().map(|word| word.trim_end_matches([',', '.', ':']));
        for flag in
            words.filter(|word| word.len() > 2 && word.starts_with("--") && *word != "--help")
        {
            assert!(guide.contains(flag), "docs/cli.md lacks {flag} of `samara {command}`");
        }
    }
}
