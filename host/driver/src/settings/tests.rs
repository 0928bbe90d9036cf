//! Settings from real files and given variables: which counts, and what is said of wrong ones.

use std::path::Path;

use expect_test::{Expect, expect};

use super::{KEYS, Reader, Settings};
use crate::Error;

/// A directory with a project, below it one to work in, and one of a user.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        let machine = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir_all(machine.path("project/deep")).unwrap();
        std::fs::create_dir_all(machine.path("user/samara")).unwrap();
        machine
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, text: &str) -> &Self {
        std::fs::write(self.path(name), text).unwrap();
        self
    }

    /// Files in their usual places.
    fn project(&self, text: &str) -> &Self {
        self.file("project/samara.toml", text)
    }

    fn user(&self, text: &str) -> &Self {
        self.file("user/samara/samara.toml", text)
    }

    fn reader(&self) -> Reader {
        Reader::new().working_directory(self.path("project/deep")).config_dir(self.path("user"))
    }

    /// What is wrong, without the directory's name.
    fn wrong(&self, reader: Reader, expected: &Expect) {
        let error = reader.read().expect_err("something is wrong");
        assert!(matches!(error, Error::Settings(_)), "{error:?}");
        expected.assert_eq(&self.steady(&error.to_string()));
    }

    fn steady(&self, text: &str) -> String {
        let text = text.replace(self.0.path().to_str().unwrap(), "");
        // Which stores and runtimes there are depends on the build.
        let runtimes = samara_runtimes::RUNTIMES.iter().map(|row| format!("{}:", row.scheme));
        let runtimes = runtimes.collect::<Vec<_>>().join(", ");
        let text = text.replace(&format!("there are: {runtimes}\n"), "there are: …\n");
        let known = samara_store::STORES.iter().map(|row| row.scheme).collect::<Vec<_>>();
        text.replace(&format!("(known: {})", known.join(", ")), "(known: …)")
    }

    /// What was set: value and place.
    fn set(&self, settings: &Settings) -> String {
        let set =
            settings.all().into_iter().filter(|setting| setting.origin != super::Origin::Default);
        let lines = set.map(|s| format!("{} = {} ({})\n", s.key.name, s.value, s.origin));
        self.steady(&lines.collect::<String>())
    }
}

#[test]
fn settings_are_merged_key_by_key_from_flags_to_the_users_file() {
    let machine = Machine::new();
    machine.project(
        "time = '1m'\nslots = 2\n[profile.big]\nmemory = '2GiB'\n[default]\noutput = '1MiB'\n",
    );
    machine.user(
        "time = '2m'\nslots = 3\nlog = 65536\n[profile.big]\nmemory = '3GiB'\ntime = '3m'\n\
         cache-dir = 'code'\n",
    );
    let base = machine.reader().read().unwrap();
    expect![[r#"
        slots = 2 (/project/samara.toml:2:9)
        time = 1m (/project/samara.toml:1:8)
        output = 1MiB (/project/samara.toml:6:10)
        log = 64KiB (/user/samara/samara.toml:3:7)
    "#]]
    .assert_eq(&machine.set(&base));
    let reader = machine.reader().variable("SAMARA_PROFILE", "big");
    let reader = reader.variable("SAMARA_OUTPUT", "2MiB").variable("SAMARA_LOG", "");
    let reader = reader.variable("SAMARA_SLOTS", "5").set("slots", "6", "--slots");
    let settings = reader.read().unwrap();
    expect![[r#"
        slots = 6 (--slots)
        memory = 2GiB (/project/samara.toml:4:10)
        time = 3m (/user/samara/samara.toml:6:8)
        output = 2MiB (SAMARA_OUTPUT)
        log = 64KiB (/user/samara/samara.toml:3:7)
        cache-dir = /user/samara/code (/user/samara/samara.toml:7:13)
    "#]]
    .assert_eq(&machine.set(&settings));
    let (profile, origin) = settings.profile().unwrap();
    assert_eq!((profile, origin.to_string()), ("big", "SAMARA_PROFILE".to_owned()));
}

#[test]
fn files_for_tls_are_found_from_the_file_that_names_them() {
    let machine = Machine::new();
    machine.project("tls-ca = 'ca.pem'\n");
    let reader = machine.reader().variable("SAMARA_TLS_CERT", "/keys/driver.pem");
    let reader = reader.variable("SAMARA_TLS_KEY", "/keys/driver.key");
    expect![[r#"
        tls-ca = /project/ca.pem (/project/samara.toml:1:10)
        tls-cert = /keys/driver.pem (SAMARA_TLS_CERT)
        tls-key = /keys/driver.key (SAMARA_TLS_KEY)
    "#]]
    .assert_eq(&machine.set(&reader.read().unwrap()));
    let near = machine.reader().variable("SAMARA_TLS_CERTS", "/driver.pem").read();
    assert!(near.unwrap_err().to_string().contains("SAMARA_TLS_CERT`"));
}

#[test]
fn the_profile_is_the_flags_the_variables_or_the_files() {
    let machine = Machine::new();
    machine.project("default-profile = 'a'\n[profile.a]\n[profile.b]\n[profile.c]\n");
    let chosen = |reader: Reader| {
        let settings = reader.read().unwrap();
        settings.profile().map(|(name, _)| name.to_owned())
    };
    let variable = machine.reader().variable("SAMARA_PROFILE", "b");
    assert_eq!(chosen(machine.reader()).as_deref(), Some("a"));
    assert_eq!(chosen(variable.clone()).as_deref(), Some("b"));
    assert_eq!(chosen(variable.clone().profile("c", "--profile")).as_deref(), Some("c"));
    assert_eq!(chosen(variable.profile("default", "--profile")), None);
}

#[test]
fn one_named_file_takes_the_place_of_all_others() {
    let machine = Machine::new();
    machine.project("slots = 1\n").user("slots = 2\n").file("other.toml", "time = '9s'\n");
    let named = machine.reader().variable("SAMARA_CONFIG", machine.path("other.toml"));
    expect![[r#"
        time = 9s (/other.toml:1:8)
    "#]]
    .assert_eq(&machine.set(&named.read().unwrap()));
    let missing = machine.reader().variable("SAMARA_CONFIG", "none.toml");
    machine.wrong(
        missing,
        &expect![[r#"
            a setting is wrong:
              /project/deep/none.toml: it cannot be read: No such file or directory (os error 2)"#]],
    );
}

#[test]
fn a_directory_that_everybody_may_write_has_no_say_below_it() {
    use std::os::unix::fs::PermissionsExt;
    let machine = Machine::new();
    machine.project("slots = 1\n");
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(machine.path("project"), open).unwrap();
    assert_eq!(machine.reader().read().unwrap().get("slots"), None);
    // But in it, it is the project's own.
    let there = machine.reader().working_directory(machine.path("project"));
    assert!(there.read().unwrap().get("slots").is_some());
}

#[test]
fn all_that_is_wrong_is_said_at_once_with_its_place_and_the_way_out() {
    let machine = Machine::new();
    machine.project(
        r#"memory = "512 parsec"
time = 15
slots = 0
runtme = "local:"
default-profile = 3
retry = { attempts = 4 }
grants = [{ url = "/data", acess = "read" }, { url = "mem:x", access = "write" }, "all"]

[default]
slots = 4
progress = "yes"

[profile.prod]
store = ""
runtime = "nomad://x"
memory = "5GiB"
output = 1.5
[profile.other]
runtime = "elsewhere://x"
store = "s4://bucket"
"#,
    );
    machine.user("log = \"1\"\n[profile]\nx = 1\n");
    let reader = machine
        .reader()
        .profile("prod", "--profile")
        .variable("SAMARA_SLOTS", "many")
        .variable("SAMARA_MEMROY", "1GiB")
        .variable("SAMARA_SERVICE_HOST", "10.0.0.1")
        .variable("SAMARA_STORE", "nfs://me:secret@bucket/x")
        .variable("SAMARA_GRANTS", "[{ url = \"/data\" }]")
        .set("cache", "x", "--cache")
        .set("host-call", "1y", "--host-call");
    machine.wrong(reader, &expect![[r#"
        24 settings are wrong:
          /project/samara.toml:1:10: memory: `parsec` is no unit; write 8MiB (units: B, K, KiB, kB, M, MiB, MB, G, GiB, GB, TiB, TB)
          /project/samara.toml:2:8: time: it is the number 15, and should be a time with its unit, such as "15m"
          /project/samara.toml:3:9: slots: it is the number 0, and should be a whole number of at least 1, such as 4
          /project/samara.toml:4:1: runtme: nothing is called so; did you mean `runtime`?
          /project/samara.toml:5:19: default-profile: it is the number 3, and should be a profile's name
          /project/samara.toml:6:1: retry: nothing is called so; `samara config show` lists all settings
          /project/samara.toml:7:11: grants[0]: `access` is missing; write a table such as { url = "/data/in", access = "read" }
          /project/samara.toml:7:28: grants[0].acess: nothing is called so; did you mean `access`?
          /project/samara.toml:7:54: grants[1].url: `mem:x`: after the scheme stands `://`; a path that looks like this: `./…`
          /project/samara.toml:7:72: grants[1].access: it is the text "write", and should be "read" or "read-write"
          /project/samara.toml:7:83: grants[2]: it is the text "all", and should be a table such as { url = "/data/in", access = "read" }
          /project/samara.toml:10:1: slots: it is given twice: at the top and in [default]; keep one
          /project/samara.toml:11:12: progress: it is the text "yes", and should be true or false
          /project/samara.toml:14:9: store: it is empty, and should be a URL or a path
          /project/samara.toml:15:11: runtime: no runtime of this build is called `nomad:`; there are: …
          /project/samara.toml:16:10: memory: limit memory_bytes = 5368709120 must lie between 64 KiB (one page) and 4 GiB
          /project/samara.toml:17:10: output: it is the number 1.5, and should be a size, such as "512MiB"
          /user/samara/samara.toml:3:1: profile.x: a profile is a table of settings: [profile.NAME]
          SAMARA_MEMROY: nothing is called so; did you mean `SAMARA_MEMORY`?
          SAMARA_GRANTS: grants[0]: `access` is missing; write a table such as { url = "/data/in", access = "read" }
          SAMARA_SLOTS: slots: it is the text "many", and should be a whole number of at least 1, such as 4
          SAMARA_STORE: store: `nfs://***@bucket/x`: no store for `nfs:` in this build (known: …)
          --cache: cache: nothing is called so; see samara::settings::KEYS
          --host-call: host-call: `y` is no unit; write 8MiB (units: B, K, KiB, kB, M, MiB, MB, G, GiB, GB, TiB, TB)"#]]);
}

#[test]
fn a_profile_that_no_file_has_is_named_with_those_that_are() {
    let machine = Machine::new();
    machine.wrong(
        machine.reader().profile("prod", "--profile"),
        &expect![[r#"
            a setting is wrong:
              --profile: profile: no profile is called `prod`; there is none; make one in samara.toml: [profile.prod]"#]],
    );
    machine.project("default-profile = 'prd'\n[profile.prod]\n[profile.test]\n");
    machine.wrong(
        machine.reader(),
        &expect![[r#"
        a setting is wrong:
          /project/samara.toml:1:19: profile: no profile is called `prd`; did you mean `prod`?"#]],
    );
    machine.wrong(
        machine.reader().variable("SAMARA_PROFILE", "x"),
        &expect![[r#"
        a setting is wrong:
          SAMARA_PROFILE: profile: no profile is called `x`; there are: prod, test"#]],
    );
}

#[test]
fn what_is_no_toml_is_said_with_its_place() {
    let machine = Machine::new();
    machine.project("slots = 4\nslots = 5\nmemory = 1GiB\n[profile.x\n");
    machine.wrong(machine.reader().variable("SAMARA_SLOTS", "x"), &expect![[r#"
        4 settings are wrong:
          /project/samara.toml:2:1: it is no TOML: duplicate key
          /project/samara.toml:3:10: it is no TOML: string values must be quoted, expected literal string
          /project/samara.toml:4:11: it is no TOML: unclosed table, expected `]`
          SAMARA_SLOTS: slots: it is the text "x", and should be a whole number of at least 1, such as 4"#]]);
    std::fs::write(machine.path("project/samara.toml"), [0xff]).unwrap();
    machine.wrong(
        machine.reader(),
        &expect![[r#"
        a setting is wrong:
          /project/samara.toml: it cannot be read: stream did not contain valid UTF-8"#]],
    );
}

#[test]
fn a_profile_that_is_not_chosen_may_be_for_another_build() {
    let machine = Machine::new();
    machine.project("[profile.cloud]\nruntime = 'nomad://f'\nstore = 'nfs://b/x'\n");
    machine.reader().read().unwrap();
    let error = machine.reader().profile("cloud", "--profile").read().unwrap_err().to_string();
    assert!(error.contains("samara.toml:2:11: runtime: no runtime of this build"), "{error}");
    assert!(error.contains("samara.toml:3:9: store: "), "{error}");
}

#[test]
fn relative_paths_start_at_their_file_and_others_at_the_working_directory() {
    let machine = Machine::new();
    machine.project("store = 'out'\ngrants = [{ url = '../in', access = 'read' }]\n");
    let of_file = machine.reader().read().unwrap();
    expect![[r#"
        store = file:///project/out (/project/samara.toml:1:9)
        grants = [{ url = "file:///in", access = "read" }] (/project/samara.toml:2:10)
    "#]]
    .assert_eq(&machine.set(&of_file));
    let of_variable = machine.reader().variable("SAMARA_STORE", "out").read().unwrap();
    let store = of_variable.get("store").unwrap().value;
    assert_eq!(machine.steady(&store), "file:///project/deep/out");
}

#[test]
fn passwords_are_not_shown() {
    let shown = samara_core::without_passwords;
    assert_eq!(shown("redis://me:secret@host/x@y"), "redis://***@host/x@y");
    assert_eq!(shown("`a://b:c@d`, `e://f`"), "`a://***@d`, `e://f`");
    assert_eq!(shown("file:///home/a@b"), "file:///home/a@b");
    let settings = Reader::new().variable("SAMARA_RUNTIME", "local://a:secret@x").read().unwrap();
    assert!(!format!("{settings:?}").contains("secret"), "{settings:?}");
}

/// Every example is understood, as a file and as a variable say it, and shown as it is read.
#[test]
fn examples_are_understood_in_files_and_variables() {
    for key in KEYS {
        let machine = Machine::new();
        machine.project(&format!("{} = {}\n", key.name, key.example));
        let of_file = machine.reader().read().unwrap().get(key.name).unwrap();
        let plain = key.example.trim_matches('"');
        let of_variable = machine.reader().variable(key.variable(), plain);
        let of_variable = of_variable.read().unwrap().get(key.name).unwrap();
        assert_eq!(of_file.value, of_variable.value);
        let again = machine.reader().set(key.name, of_variable.value.clone(), "again");
        assert_eq!(again.read().unwrap().get(key.name).unwrap().value, of_variable.value);
    }
}

/// Whatever is in a file: an answer, and places that exist.
#[test]
fn any_file_is_answered_with_places_in_it() {
    const WORDS: &[&str] = &[
        "memory",
        "slots",
        "grants",
        "profile",
        "default",
        ".",
        "=",
        "[",
        "]",
        "{",
        "}",
        "\n",
        " ",
        "\"",
        "'",
        "x",
        "1",
        "-",
        "#",
        ",",
        "ü",
        "\u{1F600}",
        "\r",
        "default-profile",
        "url",
        "access",
        "\"read\"",
        "[profile.a]\n",
        "slots = 4\n",
        "0x",
        "1e9",
        "true",
        "2020-01-01",
    ];
    let machine = Machine::new();
    for seed in 0..500_u64 {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040);
            usize::try_from(state >> 33).unwrap()
        };
        let count = next() % 24;
        let text: String = (0..count).map(|_| WORDS[next() % WORDS.len()]).collect();
        machine.project(&text);
        let Err(Error::Settings(problems)) = machine.reader().read() else { continue };
        for problem in problems.iter() {
            let super::Origin::File { place: Some((line, column)), .. } = &problem.origin else {
                panic!("seed {seed}: {problem}: no place, in {text:?}")
            };
            let found = text.split('\n').nth(line - 1).map(|line| line.chars().count());
            assert!(found.is_some_and(|length| *column <= length + 1), "seed {seed}: {problem}");
            assert!(!problem.message.is_empty(), "seed {seed}");
        }
    }
}

#[test]
fn an_executor_is_as_the_settings_say_and_the_program_has_the_last_word() {
    let machine = Machine::new();
    machine.project("slots = 3\nstore = 'out'\nprogress = false\n");
    let settings = machine.reader().read().unwrap();
    let executor = crate::Builder::from_settings(&settings).build().unwrap();
    assert_eq!(executor.runtime(), "local:3");
    assert_eq!(machine.steady(&executor.store()), "file:///project/out");
    let executor = crate::Builder::from_settings(&settings).slots(1).store("mem://x/").build();
    let executor = executor.unwrap();
    assert_eq!((executor.runtime().as_str(), executor.store().as_str()), ("local:1", "mem://x/"));
}

#[test]
fn policies_are_settings_and_sound_ones_only() {
    let machine = Machine::new();
    machine.project(
        "on-failure = 'tolerate 5%'\njob-time = '2h'\n[retries]\nattempts = 8\njitter = 0.25\n\
         memory-max = '4GiB'\nuser-errors = true\n[backups]\nslower = 5\ntasks-min = 100\n",
    );
    let settings = machine.reader().read().unwrap();
    let mut builder = crate::Builder::from_settings(&settings);
    let policy = builder.policy_mut().clone();
    assert_eq!(policy.on_failure, crate::OnFailure::Tolerate(0.05));
    assert_eq!(policy.time, Some(std::time::Duration::from_hours(2)));
    let retries = crate::Retries::default().attempts(8).jitter(0.25).memory_max(4 << 30);
    assert_eq!(policy.retries, retries.user_errors(true));
    assert_eq!(policy.backups, Some(crate::Backups::default().slower(5.0).tasks_min(100)));
    let none = machine.reader().variable("SAMARA_BACKUPS_ENABLED", "false").read().unwrap();
    assert_eq!(crate::Builder::from_settings(&none).policy_mut().backups, None);

    machine.project(
        "on-failure = 'never'\n[retries]\nattempts = 0\njitter = 2\nbudget = -0.5\n\
         memory-max = '8GiB'\ntraps = 'yes'\n[backups]\nslower = 0.5\ndone-min = 'half'\n",
    );
    machine.wrong(machine.reader(), &expect![[r#"
        8 settings are wrong:
          /project/samara.toml:1:14: on-failure: it is "never", and should be "continue", "stop", or "tolerate 5%"
          /project/samara.toml:3:12: retries.attempts: it is the number 0, and should be a whole number of at least 1, such as 4
          /project/samara.toml:4:10: retries.jitter: jitter = 2 must lie between 0 and 1
          /project/samara.toml:5:10: retries.budget: budget = -0.5 must be 0 or more
          /project/samara.toml:6:14: retries.memory-max: memory-max must be 4 GiB or less, which is what a component can address
          /project/samara.toml:7:9: retries.traps: it is the text "yes", and should be true or false
          /project/samara.toml:9:10: backups.slower: slower = 0.5 must be 1 or more
          /project/samara.toml:10:12: backups.done-min: it is the text "half", and should be a number, such as 0.5"#]]);
}

/// The guide's table has exactly the settings there are, with their variables and defaults.
#[test]
fn the_guide_has_every_setting_with_its_variable_and_default() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/guide/settings.md");
    let guide = std::fs::read_to_string(path).unwrap();
    let rows: Vec<&str> = guide.lines().filter(|line| line.contains("`SAMARA_")).collect();
    let rows: Vec<&str> = rows.into_iter().filter(|line| line.starts_with('|')).collect();
    let wanted: Vec<String> = KEYS
        .iter()
        .map(|key| {
            let (variable, example) = (key.variable(), key.example);
            let (name, doc, default) = (key.name, key.doc, key.default);
            format!("| `{name}` | `{variable}` | {doc} | {default} | `{example}` |")
        })
        .collect();
    assert_eq!(rows.join("\n"), wanted.join("\n"));
}
