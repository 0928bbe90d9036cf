//! Jobs over stores that are not all one, or that keep no conditions.

use futures::TryStreamExt;
use samara::{Builder, Objects};
use samara_conformance::Settings;
use samara_guest::Bytes;
use samara_programs as programs;
use samara_stores::{Server, Spec, secrets};

use crate::far::{Check, count, text};

/// Every check, by name.
pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("a_jobs_input_lies_in_several_stores_and_its_outputs_in_another", several),
    ("objects_and_outputs_need_no_conditions_of_swifts_s3", |settings, _| {
        unconditional(settings, "swift-s3");
    }),
    ("objects_and_outputs_need_no_conditions_of_ceph", |settings, _| {
        unconditional(settings, "ceph");
    }),
    ("objects_and_outputs_need_no_conditions_of_garage", |settings, _| {
        unconditional(settings, "garage");
    }),
];

/// A server beside the one that the others have; none where it is not installed.
#[allow(clippy::print_stdout, reason = "a word to the reader")]
fn beside(name: &str) -> Option<Server> {
    let spec = Spec::of(name);
    if !spec.is_installed() {
        println!("skipped: {name}: try {} install", spec.script().display());
        assert!(!crate::is_all(), "{name} is not installed");
        return None;
    }
    let server = spec.start().expect(name);
    secrets::guard(&server);
    Some(server)
}

/// The executor's settings, with a server's.
fn knowing(builder: Builder, server: &Server) -> Builder {
    server
        .settings()
        .values()
        .fold(builder, |builder, (place, name, value)| builder.store_setting(place, name, value))
}

fn several(settings: &Settings, server: &Server) {
    let others: Vec<Server> =
        ["google", "redis", "azurite"].into_iter().filter_map(beside).collect();
    let builder = others.iter().fold(settings.builder.clone(), knowing);
    let jobs = format!("{}several/jobs", others[0].url());
    let executor = builder.store(&jobs).build().expect("executor");
    let pieces = [text(1), text(2)];
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("text").to_str().expect("UTF-8").to_owned();
    let mut objects = Objects::at(&file);
    let mut together = pieces[0].to_vec();
    samara::block_on(async {
        let storage = executor.storage();
        storage.put(&file, pieces[0].clone()).await.expect("file");
        for server in others.iter().chain([server]) {
            let url = format!("{}several/input", server.url());
            storage.put(&url, pieces[1].clone()).await.expect("object");
            objects = objects.clone().and(url);
            together.extend_from_slice(&pieces[1]);
        }
        let all = format!("{file}-all");
        storage.put(&all, together).await.expect("file");
    });
    let expected = count(&executor, &settings.programs, Objects::at(format!("{file}-all")));
    let counted = count(&executor, &settings.programs, objects.chunk_bytes(700_000));
    assert!(counted == expected, "other words");
    samara::block_on(async {
        let output = executor.call(&settings.programs, programs::ends::output_of, 300_000_usize);
        assert_eq!(output.await.expect("a large output").len(), 300_000);
        let storage = executor.storage();
        let there: Vec<_> = storage.list(&jobs).expect("list").try_collect().await.expect("list");
        assert!(there.iter().any(|found| found.url.contains("/outputs/")), "{there:?}");
    });
}

fn unconditional(settings: &Settings, name: &str) {
    const PIECE: usize = 1 << 20;
    let Some(server) = beside(name) else { return };
    let place = server.url().trim_end_matches('/');
    // It is found out, and not said.
    let builder = knowing(settings.builder.clone(), &server);
    let builder = builder.store_setting(place, "conditional_writes", "probe");
    let store = format!("{}jobs", server.url());
    let executor = builder.store(store).build().expect("executor");
    let (programs, piece) = (&settings.programs, Bytes::from(vec![b'x'; PIECE]));
    samara::block_on(async {
        // Of more than goes up in one piece.
        let made = ("made".to_owned(), piece.clone(), 12, false);
        let object = executor.call(programs, programs::objects::makes_object, made);
        let object = object.await.expect("an object in parts");
        assert_eq!(object.size, 12 << 20);
        let end = (object, (12 << 20) - 3, 10);
        let read = executor.call(programs, programs::objects::reads_object_at, end).await;
        assert_eq!(read.expect("its end").to_vec(), b"xxx");
        let put = (piece.clone(), true);
        let object = executor.call(programs, programs::objects::puts_object, put);
        let object = object.await.expect("an object in one piece");
        let read = executor.call(programs, programs::objects::reads_object, object).await;
        assert!(read.expect("all of it") == piece);
        let output = executor.call(programs, programs::ends::output_of, 300_000_usize);
        assert_eq!(output.await.expect("a large output").len(), 300_000);
    });
    assert!(
        samara_stores::uploads::verdict([&server], &mut std::io::stdout()).expect("verdict"),
        "{name} has uploads left"
    );
}
