//! The library against moto: what is made, what stays, and whose it is.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{FunctionCode, Runtime};
use samara::blocking::Wait as _;
use samara::deploy::{Place, Verb, Wanted};
use samara_core::{Clock as _, SystemClock};

use crate::Check;
use crate::machine::{Machine, apply, changes, wanted};

/// Two programs of every system, in place of two versions of the host.
const ONE: &str = "/bin/true";
const OTHER: &str = "/bin/false";

/// Makes a deployment wrong.
type Change = fn(&mut Wanted);

pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("a_deployment_is_made_once", made_once),
    ("everything_that_is_made_is_tagged", tagged),
    ("a_dry_run_makes_nothing", dry),
    ("another_host_is_another_content_beside_the_first", another_host),
    ("an_update_keeps_what_is_not_said_and_makes_nothing_new", updated),
    ("settings_are_those_that_were_asked_for", settings),
    ("what_somebody_changed_is_put_right", drift),
    ("removal_leaves_nothing_and_may_be_repeated", removed),
    ("what_is_somebody_elses_is_not_touched", foreign),
    ("a_role_that_is_named_is_used_and_none_is_made", named_role),
    ("a_deployment_that_broke_off_goes_on", broken_off),
    ("a_role_that_lambda_does_not_know_yet_is_waited_for", new_role),
    ("code_may_pass_through_a_bucket", bucket),
    ("what_hosts_said_is_read", said),
    ("places_list_their_deployments", listed),
    ("a_place_without_region_or_answer_names_the_way_out", unreachable),
];

fn made_once(machine: &Machine) {
    let place = machine.place("words");
    let plan = apply(&place, &wanted(ONE));
    let verbs: Vec<Verb> = plan.steps.iter().map(|step| step.verb).collect();
    assert!(verbs.iter().all(|verb| *verb == Verb::Create), "{:?}", plan.steps);
    assert_eq!(plan.url, machine.url("words"));
    let content = format!("h-{}", &plan.host["b3:".len()..][..12]);
    assert!(plan.exact_url.starts_with(&format!("lambda://words:{content}?")), "{plan:?}");
    let again = apply(&place, &wanted(ONE));
    assert_eq!(changes(&again), [""; 0]);
    assert_eq!(versions(machine), ["$LATEST", "1"]);
    let status = place.status().wait().unwrap().expect("a deployment");
    assert_eq!((status.name.as_str(), status.host == plan.host), ("words", true));
    assert_eq!((status.memory_bytes >> 20, status.time_seconds), (1_769, 900));
    assert_eq!(status.contents.len(), 1);
    assert!(status.contents[0].is_live && status.contents[0].url == plan.exact_url);
}

/// The numbers of the versions of `words`.
fn versions(machine: &Machine) -> Vec<String> {
    machine.look(async |config| {
        let client = aws_sdk_lambda::Client::new(config);
        let listed = client.list_versions_by_function().function_name("words").send().await;
        let listed = listed.unwrap();
        listed.versions().iter().map(|one| one.version().unwrap().to_owned()).collect()
    })
}

fn tagged(machine: &Machine) {
    let plan = apply(&machine.place("words"), &wanted(ONE));
    let (function, role) = machine.look(async |config| {
        let lambda = aws_sdk_lambda::Client::new(config);
        let got = lambda.get_function().function_name("words").send().await.unwrap();
        let tags = got.tags().unwrap();
        let function: BTreeMap<String, String> =
            tags.iter().map(|(name, said)| (name.clone(), said.clone())).collect();
        let iam = aws_sdk_iam::Client::new(config);
        let name = format!("samara-words-{}", machine.region);
        let got = iam.get_role().role_name(name).send().await.unwrap();
        let tags = got.role().unwrap().tags().iter();
        let role: BTreeMap<String, String> =
            tags.map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect();
        (function, role)
    });
    assert_eq!(function["samara:deployment"], "words");
    assert_eq!(function["samara:host"], plan.host);
    assert_eq!(function["samara:version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(role["samara:deployment"], "words");
    // The log group is told by its removal: one without the tag would stay.
    let steps = machine.place("words").remove(false).wait().unwrap();
    let kept = steps.iter().find(|step| step.verb == Verb::Keep);
    assert_eq!((steps.len(), kept), (3, None));
}

fn dry(machine: &Machine) {
    let place = machine.place("words");
    let plan = place.plan(wanted(ONE)).wait().unwrap();
    assert!(plan.changes() && plan.documents.len() == 4, "{plan:?}");
    assert_eq!(place.status().wait().unwrap(), None);
    assert_eq!(place.remove(false).wait().unwrap(), []);
    // What was planned is what is done.
    assert_eq!(changes(&apply(&place, &wanted(ONE))), changes(&plan));
    let removal = place.plan_removal(true).wait().unwrap();
    assert!(place.status().wait().unwrap().is_some());
    assert_eq!(place.remove(true).wait().unwrap(), removal);
}

fn another_host(machine: &Machine) {
    let place = machine.place("words");
    let first = apply(&place, &wanted(ONE));
    let second = apply(&place, &wanted(OTHER));
    assert_ne!(first.host, second.host);
    assert_ne!(first.exact_url, second.exact_url);
    let status = place.status().wait().unwrap().unwrap();
    assert_eq!((status.contents.len(), status.host == second.host), (2, true));
    let live: Vec<&str> =
        status.contents.iter().filter(|one| one.is_live).map(|one| one.url.as_str()).collect();
    assert_eq!(live, [&second.exact_url]);
    // The older one is as it was, until it is pruned.
    let older = status.contents.iter().find(|one| one.url == first.exact_url).unwrap();
    assert_eq!(older.number, "1");
    let mut pruned = wanted(OTHER);
    pruned.prune = true;
    let plan = apply(&place, &pruned);
    assert_eq!(changes(&plan).len(), 1, "{plan:?}");
    assert_eq!(versions(machine), ["$LATEST", "2"]);
    assert_eq!(changes(&apply(&place, &pruned)), [""; 0]);
    // Back to the first: a content like any other.
    let back = apply(&place, &wanted(ONE));
    assert_eq!(back.exact_url, first.exact_url);
    assert_eq!(place.status().wait().unwrap().unwrap().host, first.host);
}

fn updated(machine: &Machine) {
    let place = machine.place("words");
    let mut update = wanted(OTHER);
    update.is_update = true;
    let error = place.apply(update.clone()).wait().unwrap_err().to_string();
    assert!(error.contains("`samara deploy` makes it"), "{error}");
    let mut first = wanted(ONE);
    first.memory_bytes = Some(512 << 20);
    first.variables.insert("SAMARA_HOST_LOG".to_owned(), "info".to_owned());
    first.writes.push("s3://scratch/jobs".to_owned());
    apply(&place, &first);
    let plan = apply(&place, &update);
    let role = plan.steps.iter().find(|step| step.what.starts_with("role")).unwrap();
    assert_eq!(role.verb, Verb::Keep, "{plan:?}");
    let policy = &plan.documents.iter().find(|one| one.about == "what hosts may do").unwrap().text;
    assert!(policy.contains("arn:aws:s3:::scratch/jobs/*"), "{policy}");
    let status = place.status().wait().unwrap().unwrap();
    assert_eq!((status.memory_bytes, status.host == plan.host), (512 << 20, true));
    // A deployment says everything, so what it does not say goes back to the defaults.
    let plan = apply(&place, &wanted(OTHER));
    assert!(changes(&plan).iter().any(|step| step.contains("its rights")), "{plan:?}");
    assert_eq!(place.status().wait().unwrap().unwrap().memory_bytes >> 20, 1_769);
}

fn settings(machine: &Machine) {
    let place = machine.place("words");
    let mut wanted = wanted(ONE);
    wanted.memory_bytes = Some(2 << 30);
    wanted.time = Some(Duration::from_secs(120));
    wanted.concurrency = Some(7);
    wanted.variables.insert("SAMARA_HOST_SLOTS".to_owned(), "2".to_owned());
    apply(&place, &wanted);
    let status = place.status().wait().unwrap().unwrap();
    assert_eq!((status.memory_bytes, status.time_seconds), (2 << 30, 120));
    assert_eq!(status.concurrency, Some(7));
    machine.look(async |config| {
        let client = aws_sdk_lambda::Client::new(config);
        let request = client.get_function_event_invoke_config().function_name("words");
        let calls = request.send().await.unwrap();
        assert_eq!(calls.maximum_retry_attempts(), Some(0));
        assert_eq!(calls.maximum_event_age_in_seconds(), Some(3_600));
    });
    wanted.concurrency = None;
    let plan = apply(&place, &wanted);
    assert_eq!(changes(&plan).len(), 1, "{plan:?}");
    assert_eq!(place.status().wait().unwrap().unwrap().concurrency, None);
    let wrongs: &[(Change, &str)] = &[
        (|w| w.memory_bytes = Some(64 << 20), "128MiB"),
        (|w| w.time = Some(Duration::from_secs(901)), "1s to 15m"),
        (|w| w.image = Some("x".to_owned()), "takes no image"),
        (|w| w.reads.push("gs://b".to_owned()), "s3://BUCKET/PREFIX"),
        (|w| drop(w.variables.insert("AWS_REGION".to_owned(), String::new())), "AWS_REGION"),
        (|w| w.host = Some("/etc/passwd".into()), "no program for Linux"),
        (|w| w.host = None, "--host FILE"),
    ];
    for (change, text) in wrongs {
        let mut wrong = wanted.clone();
        change(&mut wrong);
        let error = place.plan(wrong).wait().unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    }
}

fn drift(machine: &Machine) {
    let place = machine.place("words");
    apply(&place, &wanted(ONE));
    machine.look(async |config| {
        let client = aws_sdk_lambda::Client::new(config);
        let request = client.update_function_configuration().function_name("words");
        request.memory_size(128).send().await.unwrap();
        let request = client.update_function_code().function_name("words");
        request.zip_file(Blob::new(zip())).send().await.unwrap();
    });
    let plan = apply(&place, &wanted(ONE));
    assert_eq!(changes(&plan).len(), 3, "{plan:?}");
    assert_eq!(changes(&apply(&place, &wanted(ONE))), [""; 0]);
}

/// Code of somebody else.
fn zip() -> Vec<u8> {
    use std::io::Write as _;
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    writer.start_file("bootstrap", zip::write::SimpleFileOptions::default()).unwrap();
    writer.write_all(b"#!/bin/sh\n").unwrap();
    writer.finish().unwrap().into_inner()
}

fn removed(machine: &Machine) {
    let place = machine.place("words");
    apply(&place, &wanted(ONE));
    apply(&place, &wanted(OTHER));
    let steps = place.remove(false).wait().unwrap();
    assert_eq!(steps.len(), 3, "{steps:?}");
    assert_eq!(place.remove(false).wait().unwrap(), []);
    assert_eq!(place.status().wait().unwrap(), None);
    assert!(!has_role(machine));
    // The log may stay, and is nobody's reason to refuse a new deployment.
    apply(&place, &wanted(ONE));
    let steps = place.remove(true).wait().unwrap();
    assert_eq!(steps.iter().filter(|step| step.verb == Verb::Keep).count(), 1, "{steps:?}");
    let plan = apply(&place, &wanted(ONE));
    assert_eq!(plan.steps[0].verb, Verb::Keep, "{plan:?}");
}

fn has_role(machine: &Machine) -> bool {
    machine.look(async |config| {
        let name = format!("samara-words-{}", machine.region);
        aws_sdk_iam::Client::new(config).get_role().role_name(name).send().await.is_ok()
    })
}

/// Makes a role that is nobody's, and says its name for Lambda.
fn role(machine: &Machine, name: &str) -> String {
    machine.look(async |config| {
        let request = aws_sdk_iam::Client::new(config).create_role().role_name(name);
        let made = request.assume_role_policy_document("{}").send().await.unwrap();
        made.role().unwrap().arn().to_owned()
    })
}

/// Makes a function that is not ours.
fn function(machine: &Machine, role: &str) {
    machine.look(async |config| {
        let request = aws_sdk_lambda::Client::new(config).create_function();
        let code = FunctionCode::builder().zip_file(Blob::new(zip())).build();
        let request = request.function_name("words").role(role).code(code);
        request.runtime(Runtime::Providedal2023).handler("bootstrap").send().await.unwrap();
    });
}

fn foreign(machine: &Machine) {
    let place = machine.place("words");
    let arn = role(machine, &format!("theirs-{}", machine.region));
    function(machine, &arn);
    let refused = |error: samara::Error| {
        let error = error.to_string();
        assert!(error.contains("`words` is none of Samara's"), "{error}");
        assert!(error.contains("samara:deployment=words"), "{error}");
    };
    refused(place.plan(wanted(ONE)).wait().unwrap_err());
    refused(place.apply(wanted(ONE)).wait().unwrap_err());
    refused(place.remove(false).wait().unwrap_err());
    refused(place.status().wait().unwrap_err());
    assert_eq!(place.list().wait().unwrap(), []);
    assert_eq!(versions(machine), ["$LATEST"]);
    // A role with the name of ours is theirs too.
    role(machine, &format!("samara-mine-{}", machine.region));
    let mine = machine.place("mine");
    let error = mine.apply(wanted(ONE)).wait().unwrap_err().to_string();
    assert!(error.contains("the role `samara-mine-"), "{error}");
    let steps = mine.remove(false).wait().unwrap();
    assert!(steps.iter().all(|step| step.verb == Verb::Keep), "{steps:?}");
}

fn named_role(machine: &Machine) {
    let arn = role(machine, &format!("named-{}", machine.region));
    let place = machine.place("words");
    let mut named = wanted(ONE);
    named.role = Some(arn.clone());
    let plan = apply(&place, &named);
    assert!(plan.steps.iter().any(|step| step.verb == Verb::Keep && step.what.contains("named-")));
    assert!(!has_role(machine));
    // An update goes on with it.
    let mut update = wanted(OTHER);
    update.is_update = true;
    apply(&place, &update);
    assert!(!has_role(machine));
    place.remove(false).wait().unwrap();
    assert_eq!(role_names(machine).iter().filter(|name| name.starts_with("named-")).count(), 1);
}

/// AWS takes some seconds to tell Lambda of a role; here the role itself is late.
fn new_role(machine: &Machine) {
    let name = format!("late-{}", machine.region);
    let mut named = wanted(ONE);
    // The account is that of all accounts that moto plays.
    named.role = Some(format!("arn:aws:iam::123456789012:role/{name}"));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_secs(1));
            role(machine, &name);
        });
        assert!(apply(&machine.place("words"), &named).changes());
    });
}

fn role_names(machine: &Machine) -> Vec<String> {
    let listed = machine.look(async |config| {
        let request = aws_sdk_iam::Client::new(config).list_roles();
        request.send().await.unwrap()
    });
    let mine = listed.roles().iter().map(|role| role.role_name().to_owned());
    mine.filter(|name| name.ends_with(machine.region)).collect()
}

fn broken_off(machine: &Machine) {
    let place = machine.place("words");
    apply(&place, &wanted(ONE));
    // As if it had ended before the function was marked and its content named.
    machine.look(async |config| {
        let client = aws_sdk_lambda::Client::new(config);
        let got = client.get_function().function_name("words").send().await.unwrap();
        let arn = got.configuration().unwrap().function_arn().unwrap().to_owned();
        client.untag_resource().resource(arn).tag_keys("samara:host").send().await.unwrap();
        let aliases = client.list_aliases().function_name("words").send().await.unwrap();
        let alias = aliases.aliases()[0].name().unwrap().to_owned();
        client.delete_alias().function_name("words").name(alias).send().await.unwrap();
    });
    let plan = apply(&place, &wanted(ONE));
    assert!(plan.changes());
    let status = place.status().wait().unwrap().unwrap();
    assert_eq!((status.contents.len(), status.host == plan.host), (1, true));
    assert_eq!(changes(&apply(&place, &wanted(ONE))), [""; 0]);
    // And one of which only the role was made is removed.
    machine.look(async |config| {
        let client = aws_sdk_lambda::Client::new(config);
        client.delete_function().function_name("words").send().await.unwrap();
    });
    assert_eq!(place.remove(false).wait().unwrap().len(), 2);
}

fn bucket(machine: &Machine) {
    // The bucket that every moto of ours has.
    let mut wanted = wanted(ONE);
    wanted.bucket = Some("samara".to_owned());
    let plan = apply(&machine.place("words"), &wanted);
    let policy = plan.documents.last().unwrap();
    assert!(policy.text.contains("arn:aws:s3:::samara/samara-words-*"), "{}", policy.text);
    wanted.bucket = Some("no-such-bucket".to_owned());
    wanted.host = Some(OTHER.into());
    let error = machine.place("words").apply(wanted).wait().unwrap_err().to_string();
    assert!(error.contains("no-such-bucket"), "{error}");
}

fn said(machine: &Machine) {
    const LINES: u64 = 3;
    let place = machine.place("words");
    apply(&place, &wanted(ONE));
    let group = "/aws/lambda/words";
    machine.look(async |config| {
        let client = aws_sdk_cloudwatchlogs::Client::new(config);
        let request = client.create_log_stream().log_group_name(group).log_stream_name("s");
        request.send().await.unwrap();
        let now = i64::try_from(SystemClock::new().unix().as_millis()).unwrap();
        let event = |n: u64| {
            let event = aws_sdk_cloudwatchlogs::types::InputLogEvent::builder();
            let at = now - 3_600_000 * i64::try_from(LINES - 1 - n).unwrap();
            event.timestamp(at).message(format!("line {n}\n")).build().unwrap()
        };
        let request = client.put_log_events().log_group_name(group).log_stream_name("s");
        request.set_log_events(Some((0..LINES).map(event).collect())).send().await.unwrap();
    });
    let lines = |since: u64| {
        let events = place.logs(Duration::from_secs(since)).wait().unwrap();
        events.into_iter().map(|event| event.text).collect::<Vec<_>>()
    };
    assert_eq!(lines(600), ["line 2"]);
    assert_eq!(lines(86_400), ["line 0", "line 1", "line 2"]);
}

fn listed(machine: &Machine) {
    let place = Place::open(&machine.url("")).unwrap();
    assert_eq!(place.list().wait().unwrap(), []);
    for name in ["words", "pi"] {
        apply(&machine.place(name), &wanted(ONE));
    }
    let listed = place.list().wait().unwrap();
    let names: Vec<(&str, &str)> =
        listed.iter().map(|one| (one.name.as_str(), one.url.as_str())).collect();
    assert_eq!(names, [("pi", &*machine.url("pi")), ("words", &*machine.url("words"))]);
    let error = place.status().wait().unwrap_err().to_string();
    assert!(error.contains("lambda://NAME"), "{error}");
    assert_eq!(machine.place("words").logs(Duration::from_secs(60)).wait().unwrap(), []);
}

fn unreachable(machine: &Machine) {
    let error = |url: &str| {
        let place = Place::open(url).unwrap();
        place.status().wait().unwrap_err().to_string()
    };
    let text = error("lambda://words?endpoint=http://127.0.0.1:1");
    assert!(text.contains("is the region or the endpoint right?"), "{text}");
    let name = "a".repeat(60);
    let text = machine.place(&name).plan(wanted(ONE)).wait().unwrap_err().to_string();
    assert!(text.contains("characters too long"), "{text}");
}
