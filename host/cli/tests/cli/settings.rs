//! Settings on the command's side: where they come from, and what is said of wrong ones.

use expect_test::expect;

use crate::{Place, hello};

#[test]
fn settings_are_shown_with_their_places() {
    let place = Place::new();
    place.file(
        "samara.toml",
        "time = '90s'\ngrants = [{ url = 'in', access = 'read' }]\n\
         [profile.big]\nmemory = '2GiB'\nruntime = 'local:3'\n",
    );
    let mut command =
        place.command(&["config", "show", "--profile", "big", "--store", "mem://a:secret@b/"]);
    let shown: crate::Ended = command.env("SAMARA_SLOTS", "7").output().unwrap().into();
    expect![[""]].assert_eq(&place.steady(&shown.ok()));
    let json = place.samara(&["config", "show", "--json", "--runtime", "local:2"]).ok();
    expect![[""]].assert_eq(&place.steady(&json));
}

#[test]
fn settings_are_those_of_a_run_and_flags_are_stronger() {
    let place = Place::new();
    place.file("samara.toml", "store = 'out'\n[profile.small]\nruntime = 'local:1'\n");
    let run = ["run", hello(), "primes", "--input", "10", "--dry-run"];
    let planned = |more: &[&str]| place.samara(&[&run[..], more].concat()).ok();
    let slots = |text: &str| text.split_once("on ").unwrap().1.split_once(": ").unwrap().0.to_owned();
    assert_eq!(slots(&planned(&["--profile", "small"])), "local:1");
    assert_eq!(slots(&planned(&["--profile", "small", "--runtime", "local:2"])), "local:2");
    assert_eq!(slots(&planned(&["--slots", "3"])), "local:3");
    place.samara(&["run", hello(), "primes", "--input", "10"]).ok();
    assert!(place.path("out/jobs").is_dir(), "the job's manifest is in the store");
}

#[test]
fn wrong_settings_end_a_command_before_it_begins() {
    let place = Place::new();
    place.file("samara.toml", "memory = 'much'\nslot = 3\n");
    for command in [&["run", hello(), "primes", "--input", "10"][..], &["hello"], &["config", "show"]]
    {
        let mut command = place.command(command);
        let ended: crate::Ended = command.env("SAMARA_TIME", "soon").output().unwrap().into();
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
        expect![[""]].assert_eq(&place.steady(&ended.stderr));
    }
}
