//! Help texts: what a person reads first.

use std::path::Path;

use expect_test::expect_file;

use crate::Place;

/// Every command, with the words of its name: found by asking, so that none is forgotten.
pub(super) fn commands() -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut open = vec![Vec::new()];
    while let Some(words) = open.pop() {
        for name in subcommands(&help(&words)) {
            let mut words: Vec<String> = words.clone();
            words.push(name);
            open.push(words.clone());
            found.push(words);
        }
    }
    found.sort_unstable();
    found
}

fn help(words: &[String]) -> String {
    let mut arguments: Vec<&str> = words.iter().map(String::as_str).collect();
    arguments.push("--help");
    Place::new().samara(&arguments).ok()
}

/// The first words of the indented lines below `Commands:`.
fn subcommands(help: &str) -> Vec<String> {
    let Some((_, list)) = help.split_once("\nCommands:\n") else { return Vec::new() };
    let lines = list.lines().take_while(|line| !line.is_empty());
    let lines = lines.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    let names = lines.filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

#[test]
fn help_texts_are_as_they_were() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli/help");
    expect_file![golden.join("samara.txt")].assert_eq(&help(&[]));
    for command in commands() {
        let file = golden.join(format!("{}.txt", command.join("-")));
        expect_file![file].assert_eq(&help(&command));
    }
}

#[test]
fn every_help_says_the_exit_codes() {
    for command in commands().iter().filter(|command| subcommands(&help(command)).is_empty()) {
        // These two fail as any program does that cannot write.
        if !["completions", "man"].contains(&command[0].as_str()) {
            assert!(help(command).contains("Exit codes:"), "samara {}", command.join(" "));
        }
    }
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
fn the_guide_knows_every_command_and_flag() {
    let guide = include_str!("../../../../docs/cli.md");
    for command in commands() {
        let name = command.join(" ");
        assert!(guide.contains(&format!("`samara {name}")), "docs/cli.md lacks samara {name}");
        let help = help(&command);
        let words = help.split_whitespace().map(|word| word.trim_end_matches([',', '.', ':', ';']));
        for flag in
            words.filter(|word| word.len() > 2 && word.starts_with("--") && *word != "--help")
        {
            assert!(guide.contains(flag), "docs/cli.md lacks {flag} of `samara {name}`");
        }
    }
}
