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
    expect![[r#"
        runtime              local:3                                             [DIR]/samara.toml:5:11 [profile.big]
        store                mem://***@b/                                        --store
        slots                7                                                   SAMARA_SLOTS
        memory               2GiB                                                [DIR]/samara.toml:4:10 [profile.big]
        time                 90s                                                 [DIR]/samara.toml:1:8
        output               64MiB                                               default
        log                  1MiB                                                default
        host-call            64MiB                                               default
        cpu                  15m                                                 default
        storage-operations   1000000                                             default
        storage-bytes        1TiB                                                default
        http-requests        10000                                               default
        http-bytes           1TiB                                                default
        buffers              256MiB                                              default
        retries.attempts     4                                                   default
        retries.backoff      100ms                                               default
        retries.backoff-max  30s                                                 default
        retries.jitter       0.5                                                 default
        retries.budget       1                                                   default
        retries.user-errors  false                                               default
        retries.traps        false                                               default
        retries.time-limits  false                                               default
        retries.memory-max   none: it is not                                     default
        backups.enabled      true                                                default
        backups.tasks-min    10                                                  default
        backups.done-min     0.5                                                 default
        backups.slower       3                                                   default
        backups.time-min     1s                                                  default
        on-failure           continue                                            default
        job-time             none                                                default
        grants               [{ url = "file://[DIR]/in", access = "read" }]  [DIR]/samara.toml:2:10
        http                 none                                                default
        variables            none                                                default
        secrets              none                                                default
        secrets-dir          none                                                default
        precise-clock        false                                               default
        stores               what the environment says                           default
        token                none                                                default
        door-key             none                                                default
        tls-ca               none                                                default
        tls-cert             none                                                default
        tls-key              none                                                default
        host-program         the one beside this program, or in PATH             default
        progress             where standard error is a terminal                  default
        cache-dir            samara/compiled in the user's cache directory       default

        profile: big (--profile); there are: big
        files: [DIR]/samara.toml
    "#]].assert_eq(&place.steady(&shown.ok()));
    let json = place.samara(&["config", "show", "--json", "--runtime", "local:2"]).ok();
    expect![[r#"
        {"files":["[DIR]/samara.toml"],"ignored":[],"profile":null,"profiles":["big"],"settings":[{"origin":{"kind":"flag","name":"--runtime"},"set":true,"setting":"runtime","value":"local:2"},{"origin":{"kind":"default"},"set":false,"setting":"store","value":"memory of the process"},{"origin":{"kind":"default"},"set":false,"setting":"slots","value":"what the runtime allows; one per core for local:"},{"origin":{"kind":"default"},"set":false,"setting":"memory","value":"1GiB"},{"origin":{"column":8,"kind":"file","line":1,"path":"[DIR]/samara.toml","profile":null},"set":true,"setting":"time","value":"90s"},{"origin":{"kind":"default"},"set":false,"setting":"output","value":"64MiB"},{"origin":{"kind":"default"},"set":false,"setting":"log","value":"1MiB"},{"origin":{"kind":"default"},"set":false,"setting":"host-call","value":"64MiB"},{"origin":{"kind":"default"},"set":false,"setting":"cpu","value":"15m"},{"origin":{"kind":"default"},"set":false,"setting":"storage-operations","value":"1000000"},{"origin":{"kind":"default"},"set":false,"setting":"storage-bytes","value":"1TiB"},{"origin":{"kind":"default"},"set":false,"setting":"http-requests","value":"10000"},{"origin":{"kind":"default"},"set":false,"setting":"http-bytes","value":"1TiB"},{"origin":{"kind":"default"},"set":false,"setting":"buffers","value":"256MiB"},{"origin":{"kind":"default"},"set":false,"setting":"retries.attempts","value":"4"},{"origin":{"kind":"default"},"set":false,"setting":"retries.backoff","value":"100ms"},{"origin":{"kind":"default"},"set":false,"setting":"retries.backoff-max","value":"30s"},{"origin":{"kind":"default"},"set":false,"setting":"retries.jitter","value":"0.5"},{"origin":{"kind":"default"},"set":false,"setting":"retries.budget","value":"1"},{"origin":{"kind":"default"},"set":false,"setting":"retries.user-errors","value":"false"},{"origin":{"kind":"default"},"set":false,"setting":"retries.traps","value":"false"},{"origin":{"kind":"default"},"set":false,"setting":"retries.time-limits","value":"false"},{"origin":{"kind":"default"},"set":false,"setting":"retries.memory-max","value":"none: it is not"},{"origin":{"kind":"default"},"set":false,"setting":"backups.enabled","value":"true"},{"origin":{"kind":"default"},"set":false,"setting":"backups.tasks-min","value":"10"},{"origin":{"kind":"default"},"set":false,"setting":"backups.done-min","value":"0.5"},{"origin":{"kind":"default"},"set":false,"setting":"backups.slower","value":"3"},{"origin":{"kind":"default"},"set":false,"setting":"backups.time-min","value":"1s"},{"origin":{"kind":"default"},"set":false,"setting":"on-failure","value":"continue"},{"origin":{"kind":"default"},"set":false,"setting":"job-time","value":"none"},{"origin":{"column":10,"kind":"file","line":2,"path":"[DIR]/samara.toml","profile":null},"set":true,"setting":"grants","value":"[{ url = \"file://[DIR]/in\", access = \"read\" }]"},{"origin":{"kind":"default"},"set":false,"setting":"http","value":"none"},{"origin":{"kind":"default"},"set":false,"setting":"variables","value":"none"},{"origin":{"kind":"default"},"set":false,"setting":"secrets","value":"none"},{"origin":{"kind":"default"},"set":false,"setting":"secrets-dir","value":"none"},{"origin":{"kind":"default"},"set":false,"setting":"precise-clock","value":"false"},{"origin":{"kind":"default"},"set":false,"setting":"stores","value":"what the environment says"},{"origin":{"kind":"default"},"set":false,"setting":"token","value":"none"},{"origin":{"kind":"default"},"set":false,"setting":"door-key","value":"none"},{"origin":{"kind":"default"},"set":false,"setting":"tls-ca","value":"none"},{"origin":{"kind":"default"},"set":false,"setting":"tls-cert","value":"none"},{"origin":{"kind":"default"},"set":false,"setting":"tls-key","value":"none"},{"origin":{"kind":"default"},"set":false,"setting":"host-program","value":"the one beside this program, or in PATH"},{"origin":{"kind":"default"},"set":false,"setting":"progress","value":"where standard error is a terminal"},{"origin":{"kind":"default"},"set":false,"setting":"cache-dir","value":"samara/compiled in the user's cache directory"}]}
    "#]].assert_eq(&place.steady(&json));
}

#[test]
fn settings_are_those_of_a_run_and_flags_are_stronger() {
    let place = Place::new();
    place.file("samara.toml", "store = 'out'\n[profile.small]\nruntime = 'local:1'\n");
    let run = ["run", hello(), "primes", "--input", "10", "--dry-run"];
    let planned = |more: &[&str]| place.samara(&[&run[..], more].concat()).ok();
    let slots =
        |text: &str| text.split_once("on ").unwrap().1.split_once(": ").unwrap().0.to_owned();
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
    let wrong = expect![[r#"
        error: 3 settings are wrong:
          [DIR]/samara.toml:1:10: memory: it begins with no number; write 8MiB
          [DIR]/samara.toml:2:1: slot: nothing is called so; did you mean `slots`?
          SAMARA_TIME: time: it begins with no number; write 30s
    "#]];
    let run = ["run", hello(), "primes", "--input", "10"];
    for arguments in [&run[..], &["hello"], &["config", "show"]] {
        let mut command = place.command(arguments);
        let ended: crate::Ended = command.env("SAMARA_TIME", "soon").output().unwrap().into();
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
        wrong.assert_eq(&place.steady(&ended.stderr));
    }
}
