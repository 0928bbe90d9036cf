//! What is generated of the command line: completions and manual pages.

use std::process::{Command, Stdio};

use crate::Place;
use crate::help::commands;

#[test]
fn completions_know_every_command() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = place.samara(&["completions", shell]).ok();
        for command in commands() {
            let last = command.last().unwrap();
            assert!(script.contains(last.as_str()), "{shell} lacks {last}");
        }
        place.file(shell, script);
    }
    // A script that bash cannot read would break every new shell.
    let read = Command::new("bash").arg("-n").arg(place.path("bash")).stdin(Stdio::null()).status();
    assert!(read.expect("bash starts").success());
    assert_eq!(place.samara(&["completions", "csh"]).code, Some(2));
}

#[test]
fn every_command_has_a_manual_page() {
    let place = Place::new();
    place.samara(&["man", "man1", "-q"]).ok();
    for command in commands() {
        let name = format!("man1/samara-{}.1", command.join("-"));
        let page = std::fs::read_to_string(place.path(&name)).expect(&name);
        assert!(page.contains(".SH SYNOPSIS"), "{page}");
    }
    assert!(place.path("man1/samara.1").is_file());
}
