//! The command against moto: what a person sees.

use expect_test::{Expect, expect};

use crate::Check;
use crate::machine::{Ended, Machine, samara};

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("the_command_says_what_it_does", says),
    ("who_has_no_credentials_is_told_the_way_out", no_credentials),
];

/// What was said, with what differs from run to run replaced.
fn steady(machine: &Machine, ended: &Ended) -> String {
    let text = format!("{}--\n{}exit {}\n", ended.stdout, ended.stderr, ended.code.unwrap());
    let text = text.replace(&machine.endpoint, "ENDPOINT").replace(machine.region, "REGION");
    let mut steady = String::new();
    for line in text.lines() {
        let mut words = line.split_inclusive(' ').map(|word| {
            let bare = word.trim_end();
            match bare.find("b3:").or_else(|| bare.find("h-")) {
                Some(at) => {
                    let digits = bare[at..].trim_start_matches("b3:").trim_start_matches("h-");
                    let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
                    word.replace(&digits[..end], "…")
                }
                None => word.to_owned(),
            }
        });
        let line: String = words.by_ref().collect();
        let line = match line.split_once("changed     ") {
            Some(_) => "changed     …".to_owned(),
            None => line,
        };
        steady += &(line + "\n");
    }
    steady
}

fn check(machine: &Machine, arguments: &[&str], expected: &Expect) {
    expected.assert_eq(&steady(machine, &machine.samara(arguments)));
}

fn says(machine: &Machine) {
    let url = machine.url("words");
    let host = ["--host", "/bin/true"];
    let deploy = ["deploy", &url, host[0], host[1]];
    check(
        machine,
        &["status", &url],
        &expect![[r#"
        --
        error: nothing is deployed as lambda://words?region=REGION&endpoint=ENDPOINT; `samara deploy` does that
        exit 2
    "#]],
    );
    check(
        machine,
        &deploy,
        &expect![[r#"
            create  log group /aws/lambda/words
            create  role samara-words-REGION
            create  function words: 1769 MB, 900 s, x86_64
            create  content words:h-…
            create  function words: calls are not tried again by AWS
            runtime  lambda://words?region=REGION&endpoint=ENDPOINT
            exactly  lambda://words:h-…?region=REGION&endpoint=ENDPOINT
            --
            made 5, changed 0, removed 0
            exit 0
        "#]],
    );
    check(
        machine,
        &deploy,
        &expect![[r#"
            keep    log group /aws/lambda/words
            keep    role samara-words-REGION
            keep    function words: its code
            keep    function words: 1769 MB, 900 s, x86_64
            keep    content words:h-…
            runtime  lambda://words?region=REGION&endpoint=ENDPOINT
            exactly  lambda://words:h-…?region=REGION&endpoint=ENDPOINT
            --
            everything is as it should be
            exit 0
        "#]],
    );
    let update = ["update", &url, "--host", "/bin/false", "--memory", "512MiB", "--prune"];
    check(
        machine,
        &update,
        &expect![[r#"
            keep    log group /aws/lambda/words
            keep    role samara-words-REGION
            change  function words: its code
            change  function words: 512 MB, 900 s, x86_64
            create  content words:h-…
            create  function words: calls are not tried again by AWS
            remove  content words:h-…
            runtime  lambda://words?region=REGION&endpoint=ENDPOINT
            exactly  lambda://words:h-…?region=REGION&endpoint=ENDPOINT
            --
            made 2, changed 2, removed 1
            exit 0
        "#]],
    );
    says_what_is_there(machine, &url);
    says_it_for_programs(machine, &url);
    says_what_it_removes(machine, &url);
    says_what_it_would_do(machine, &url);
}

fn says_what_is_there(machine: &Machine, url: &str) {
    check(
        machine,
        &["status", url],
        &expect![[r#"
            deployment  words
            runtime     lambda://words?region=REGION&endpoint=ENDPOINT
            host        b3:…
                        the same as on this machine
            version     0.1.0
            state       active
            machine     x86_64
            memory      512 MiB
            timeout     900 s
            changed     …
            content     lambda://words:h-…?region=REGION&endpoint=ENDPOINT (newest)
            --
            exit 0
        "#]],
    );
    check(
        machine,
        &["logs", url, "--since", "1h"],
        &expect![[r#"
        --
        exit 0
    "#]],
    );
    check(
        machine,
        &["logs", url, "--task", "1"],
        &expect![[r#"
        --
        error: --task is for jobs, and a deployment has none
        exit 2
    "#]],
    );
}

fn says_it_for_programs(machine: &Machine, url: &str) {
    let json = |arguments: &[&str]| {
        let ended = machine.samara(&[arguments, &["--json"]].concat());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        serde_json::from_str::<serde_json::Value>(&ended.stdout).expect("one value")
    };
    let status = json(&["status", url]);
    assert_eq!((&status["name"], &status["memory_bytes"]), (&"words".into(), &(512 << 20).into()));
    assert_eq!(json(&["list", &machine.url("")])["host"], status["host"]);
    let plan = json(&["update", url, "--host", "/bin/false", "--dry-run"]);
    assert_eq!((&plan["host"], &plan["url"]), (&status["host"], &url.into()));
    assert_eq!(plan["steps"][0]["verb"], "keep");
    assert_eq!(json(&["undeploy", url, "--dry-run"])[0]["verb"], "remove");
}

fn says_what_it_removes(machine: &Machine, url: &str) {
    check(
        machine,
        &["undeploy", url, "--dry-run"],
        &expect![[r#"
            remove  function words and its 1 content
            remove  role samara-words-REGION
            remove  log group /aws/lambda/words
            --
            would remove 3; nothing was done
            exit 0
        "#]],
    );
    check(
        machine,
        &["undeploy", url],
        &expect![[r#"
            remove  function words and its 1 content
            remove  role samara-words-REGION
            remove  log group /aws/lambda/words
            --
            removed 3
            exit 0
        "#]],
    );
    check(
        machine,
        &["undeploy", url],
        &expect![[r#"
        --
        nothing is deployed as lambda://words?region=REGION&endpoint=ENDPOINT
        exit 0
    "#]],
    );
    check(
        machine,
        &["list", &machine.url("")],
        &expect![[r#"
        --
        nothing is deployed at lambda://?region=REGION&endpoint=ENDPOINT
        exit 0
    "#]],
    );
}

fn says_what_it_would_do(machine: &Machine, url: &str) {
    let dry = machine.samara(&[
        "deploy",
        url,
        "--host",
        "/bin/true",
        "--dry-run",
        "--store",
        "s3://scratch/jobs",
        "--env",
        "KEY=hidden",
    ]);
    assert_eq!(dry.code, Some(0), "{dry:?}");
    for text in ["# what hosts may do", "arn:aws:s3:::scratch/jobs/*", "\"iam:PassRole\"", "KEY"] {
        assert!(dry.stdout.contains(text), "{dry:?}");
    }
    assert!(!dry.stdout.contains("hidden") && !dry.stderr.contains("hidden"), "{dry:?}");
    let json = machine.samara(&["list", &machine.url(""), "--json"]);
    assert_eq!((json.code, json.stdout.as_str()), (Some(0), ""));
}

fn no_credentials(machine: &Machine) {
    let url = machine.url("words");
    let without = [
        ("AWS_ACCESS_KEY_ID", ""),
        ("AWS_SECRET_ACCESS_KEY", ""),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ];
    let ended = samara(&["status", &url], &without);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains("no credentials for AWS"), "{ended:?}");
    assert!(ended.stderr.contains("AWS_PROFILE"), "{ended:?}");
    let ended = samara(&["status", "lambda://words"], &without);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("lambda://words?region="), "{ended:?}");
}
