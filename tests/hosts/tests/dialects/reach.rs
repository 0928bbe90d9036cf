//! What a tenant's own process reaches of the network: what its tenant was granted, with the operator's
//! credentials, and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use samara::{Access, Builder, Component, Executor};
use samara_programs::{self as programs, Attempt};
use samara_stores::{Server, Spec};

use crate::http::{Answer, front_door};
use crate::tenants::Ground;

/// By name.
pub(crate) const CHECKS: &[(&str, fn())] = &[
    ("granted_objects_of_s3_are_read_and_written", s3),
    ("granted_servers_are_asked_and_no_others", servers),
    ("a_store_that_starts_a_program_is_not_to_be_had", programs_of_stores),
];

const ISOLATED: (&str, &str) = ("SAMARA_HOST_ISOLATE", "tenant");

/// A server of S3 that looks at signatures.
pub(crate) fn s3_server() -> Spec {
    Spec::of("moto-iam")
}

/// Leave for acme's tasks, in the file of tenants.
fn grant(ground: &Ground, objects: &str, servers: &str) {
    let root = ground.path("public");
    let known = format!("{{ url = \"file://{root}/\", access = \"read\" }}]\n");
    ground.edit(
        &known,
        &format!("{},\n{objects}]\nhttp = [{servers}]\n", known.trim_end_matches("]\n")),
    );
}

#[track_caller]
fn did<T>(attempt: Attempt<T>) -> T {
    match attempt {
        Attempt::Did(it) => it,
        Attempt::Refused { case, text } => panic!("{case}: {text}"),
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(attempt: Attempt<T>) -> String {
    match attempt {
        Attempt::Did(it) => panic!("{it:?}"),
        Attempt::Refused { case, text } => format!("{case}: {text}"),
    }
}

/// Settings of a server's store, as a host is told them.
fn stores(server: &Server) -> String {
    let settings = server.settings();
    let mut by_place = std::collections::BTreeMap::<&str, Vec<String>>::new();
    for (place, name, value) in settings.values() {
        by_place.entry(place).or_default().push(format!("{name} = {value:?}"));
    }
    let all = by_place.iter().map(|(place, said)| format!("{place:?} = {{ {} }}", said.join(", ")));
    format!("{{ {} }}", all.collect::<Vec<_>>().join(", "))
}

fn reaching(builder: Builder, server: &Server) -> Builder {
    let settings = server.settings();
    settings.values().fold(builder, |it, (place, name, value)| it.store_setting(place, name, value))
}

fn put(executor: &Executor, app: &Component, url: &str) -> Attempt<u64> {
    let bytes = samara_guest::Bytes::from(&b"ten bytes!"[..]);
    let put = executor.call(app, programs::store::put_object, (url.to_owned(), bytes));
    samara::block_on(put).unwrap()
}

fn get(executor: &Executor, app: &Component, url: &str) -> Attempt<Vec<u8>> {
    let get = executor.call(app, programs::store::get_object, url.to_owned());
    match samara::block_on(get).unwrap() {
        Attempt::Did(bytes) => Attempt::Did(bytes.to_vec()),
        Attempt::Refused { case, text } => Attempt::Refused { case, text },
    }
}

fn s3() {
    let server = s3_server().start().unwrap();
    let ground = Ground::new("");
    grant(
        &ground,
        "{ url = \"s3://samara/acme/\", access = \"read-write\" },\n\
         { url = \"s3://samara/public/\", access = \"read\" }",
        "",
    );
    let said = stores(&server);
    let host =
        ground.host(&[ISOLATED, ("SAMARA_HOST_STORES", &said), ("SAMARA_HOST_LOG", "debug")]);
    let builder = reaching(ground.acmes(&host), &server)
        .grant("s3://samara/acme/", Access::ReadWrite)
        .grant("s3://samara/public/", Access::Read);
    let acme = builder.clone().build().unwrap();
    samara::block_on(async {
        let seed = bytes::Bytes::from_static(b"for all");
        acme.storage().put("s3://samara/public/in", seed.clone()).await.unwrap();
        acme.storage().put("s3://samara/beta/in", seed).await.unwrap();
    });
    let app = &ground.app;
    assert_eq!(did(put(&acme, app, "s3://samara/acme/out")), 10);
    assert_eq!(did(get(&acme, app, "s3://samara/acme/out")), b"ten bytes!");
    assert_eq!(did(get(&acme, app, "s3://samara/public/in")), b"for all");
    for text in [
        refused(put(&acme, app, "s3://samara/public/in")),
        refused(get(&acme, app, "s3://samara/beta/in")),
    ] {
        assert!(text.contains("grant"), "{text}");
    }
    // A whole job lies there too: its component, its arguments, its outputs.
    assert_eq!(ground.adds(builder.store("s3://samara/acme/jobs/")).unwrap(), 42);
    let ended = host.stop();
    let (credential, audit) =
        (&server.said["ENV_AWS_SECRET_ACCESS_KEY"], ground.path("audit.jsonl"));
    assert!(!ended.stderr.contains(credential), "it is in the log");
    assert!(
        !std::fs::read_to_string(audit).unwrap().contains(credential),
        "it is in the audit log"
    );
    assert!(ended.stderr.contains("\"tenant\":\"acme\""), "it says a lot: {}", ended.stderr);
}

fn servers() {
    let server = || {
        let asked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&asked);
        let port = front_door(Box::new(move |request| {
            count.fetch_add(1, Ordering::SeqCst);
            Answer { status: 200, body: request.path.into_bytes(), ..Answer::default() }
        }));
        (asked, port)
    };
    let ((asked, granted), (others, other)) = (server(), server());
    let origin = format!("http://localhost:{granted} private");
    let ground = Ground::new("");
    grant(&ground, "", &format!("{origin:?}"));
    let host = ground.host(&[ISOLATED]);
    let acme = ground.acmes(&host).grant_http(&origin).build().unwrap();
    let ask = |port: u16| {
        let url = format!("http://localhost:{port}/in");
        samara::block_on(acme.call(&ground.app, programs::granted::asks, url)).unwrap()
    };
    // By its name, which has to be resolved.
    assert_eq!(did(ask(granted)), (200, "/in".to_owned()));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let _why = refused(ask(other));
    assert_eq!(others.load(Ordering::SeqCst), 0, "it was never asked");
    host.stop();
}

fn programs_of_stores() {
    let ground = Ground::new("");
    let url = "sftp://127.0.0.1:9/data/";
    grant(&ground, &format!("{{ url = {url:?}, access = \"read\" }}"), "");
    let host = ground.host(&[ISOLATED]);
    let acme = ground.acmes(&host).grant(url, Access::Read).build().unwrap();
    let text = refused(get(&acme, &ground.app, &format!("{url}in")));
    for named in ["sftp", "`ssh`", "--isolate tenant"] {
        assert!(text.contains(named), "{text}");
    }
    // What else it was granted is there.
    assert_eq!(ground.adds(ground.acmes(&host)).unwrap(), 42);
    let ended = host.stop();
    assert!(ended.stderr.contains("is not within reach"), "{}", ended.stderr);
}
