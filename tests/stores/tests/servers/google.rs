//! What is Google's alone, against the fake: generations, pages, tokens.

use std::sync::Arc;
use std::time::Duration;

use futures::future;
use futures::{StreamExt, TryStreamExt, stream};
use rsa::pkcs8::{EncodePrivateKey, LineEnding};
use rsa::rand_core::OsRng;
use rsa::{RsaPrivateKey, RsaPublicKey};
use samara_store::{
    Conditions, Error, ListOptions, Location, Locator, PutMode, PutOptions, Settings, Store,
    StoreExt, Verb,
};
use samara_stores::Server;

use crate::stranger::stranger;
use crate::{Check, secrets};

/// Every check, by name.
pub(crate) const CHECKS: &[(&str, Check)] = &[
    ("gs_conditions_are_kept", |server| Box::pin(generations(server))),
    ("gs_listings_go_on_at_the_next_page", |server| Box::pin(further_pages(server))),
    ("gs_buckets_are_made_and_removed", |server| Box::pin(gs_buckets(server))),
    ("gs_signed_urls_do_what_they_are_for", |server| Box::pin(gs_signed_urls(server))),
    ("gs_urls_are_not_signed_without_a_key", |server| Box::pin(gs_unsigned(server))),
    ("gs_a_wrong_token_is_refused_and_not_shown", |server| Box::pin(wrong_token(server))),
];

/// Writers of a race.
const RACERS: usize = 16;

fn store(server: &Server, settings: Settings) -> Location {
    let locator = Locator::default().with_settings(server.settings().and(settings));
    locator.open(server.url()).expect("the store")
}

/// The suite lets a store off that finds that its server keeps no conditions; this one keeps them.
async fn generations(server: &Server) {
    let store = store(server, Settings::default()).store;
    let kept = store.conditions().await.expect("conditions");
    let Conditions { if_absent, if_absent_in_parts, if_match, .. } = kept;
    assert!(if_absent && if_absent_in_parts && if_match, "{kept:?}");
    for round in 0..8 {
        let key = format!("generations/race-{round}");
        let racers =
            (0..RACERS).map(|n| store.put(&key, vec![0; n].into(), PutOptions::if_absent()));
        let results = future::join_all(racers).await;
        let won: Vec<_> = results.iter().flatten().collect();
        assert_eq!(won.len(), 1, "{results:?}");
        assert_eq!(store.head(&key).await.expect("head"), *won[0]);
        let is_refused =
            |result: &Result<_, Error>| matches!(result, Err(Error::AlreadyExists { .. }));
        assert_eq!(results.iter().filter(|result| is_refused(result)).count(), RACERS - 1);
    }
    stale(&*store).await;
}

/// A version that was replaced is not replaced again, in one piece or in several.
async fn stale(store: &dyn Store) {
    let key = "generations/stale";
    let first = store.put(key, "1".into(), PutOptions::default()).await.expect("first");
    assert!(first.etag.bytes().all(|byte| byte.is_ascii_digit()), "a generation: {}", first.etag);
    let second = store.put(key, "2".into(), PutOptions::if_match(&first.etag)).await;
    let second = second.expect("the version that is there");
    for etag in [first.etag.as_str(), "1", "0", "no number"] {
        let refused = store.put(key, "3".into(), PutOptions::if_match(etag)).await;
        assert!(matches!(refused, Err(Error::Precondition { .. })), "{etag}: {refused:?}");
    }
    let mode = PutMode::IfMatch(second.etag.clone());
    let options = PutOptions { mode, ..PutOptions::default() };
    let mut late = store.writer(key, options.clone()).await.expect("writer");
    let mut early = store.writer(key, options).await.expect("writer");
    for writer in [&mut late, &mut early] {
        writer.write(vec![7; 9 << 20].into()).await.expect("the version is still there");
    }
    early.finish().await.expect("it is the version");
    let refused = late.finish().await;
    assert!(matches!(refused, Err(Error::Precondition { .. })), "{refused:?}");
    assert_eq!(store.head(key).await.expect("head").size, 9 << 20);
}

async fn further_pages(server: &Server) {
    const OBJECTS: usize = 2_100;
    let store = store(server, Settings::default()).store;
    let names: Vec<_> = (0..OBJECTS).map(|n| format!("further/{n:04}/x")).collect();
    let puts = stream::iter(names.clone()).map(|name| {
        let store = &store;
        async move { store.put(&name, "".into(), PutOptions::default()).await }
    });
    puts.buffer_unordered(RACERS).try_collect::<Vec<_>>().await.expect("put");
    let (mut found, mut lengths) = (Vec::new(), Vec::new());
    let mut options = ListOptions::default();
    loop {
        let page = store.list("further/", options.clone()).await.expect("page");
        lengths.push(page.entries.len());
        found.extend(page.entries.into_iter().map(|entry| entry.key));
        let Some(next) = page.next else { break };
        options = options.after(next);
    }
    assert_eq!(lengths, [1_000, 1_000, 100]);
    assert!(found == names, "other names");
    // One request has at most 1,000 of these too.
    let options = ListOptions::default().limit(OBJECTS);
    let page = store.list_directory("further/", options).await.expect("directories");
    assert_eq!((page.directories.len(), page.next), (OBJECTS, None));
    store.delete_many(&names).await.expect("removed, a hundred at once");
    let left = store.list("further/", ListOptions::default()).await.expect("list");
    assert!(left.entries.is_empty(), "{} were left", left.entries.len());
}

async fn wrong_token(server: &Server) {
    let place = server.url().trim_end_matches('/');
    let secret = "hush-hush-hush-hush";
    let store = store(server, Settings::default().with(place, "token", secret)).store;
    let error = store.put("a", "1".into(), PutOptions::default()).await.expect_err("refused");
    assert!(matches!(error, Error::PermissionDenied { .. }), "{error:?}");
    let said = format!("{} {error:?} {store:?} {store}", error.in_full());
    assert!(said.contains("gs://samara/a") && said.contains("Invalid Credentials"), "{said}");
    for secret in [secret, &server.said["TOKEN"]] {
        assert!(!said.contains(secret), "{said}");
    }
}

/// The store of a bucket, with the settings of the one that is there and further ones.
fn bucket(server: &Server, place: &str, further: &[(&str, &str)]) -> Arc<dyn Store> {
    let settings = Settings::default().with(place, "endpoint", server.endpoint()).with(
        place,
        "token",
        &server.said["TOKEN"],
    );
    let settings = further
        .iter()
        .fold(settings, |settings, (name, value)| settings.with(place, *name, *value));
    Locator::default().with_settings(settings).open(place).expect("open").store
}

async fn gs_buckets(server: &Server) {
    let project = [("project", "samara"), ("location", "EU")];
    let store = bucket(server, "gs://samara-made", &project);
    let put = store.put("a", "1".into(), PutOptions::default()).await.expect_err("no bucket");
    assert!(put.to_string().contains("`samara storage mb` makes one"), "{put}");
    store.create().await.expect("made");
    store.create().await.expect("it is ours");
    store.put("a", "1".into(), PutOptions::default()).await.expect("put");
    let full = store.remove().await;
    assert!(matches!(full, Err(Error::Precondition { .. })), "{full:?}");
    store.delete("a").await.expect("delete");
    store.remove().await.expect("removed");
    let gone = store.remove().await;
    assert!(matches!(gone, Err(Error::NotFound { .. })), "{gone:?}");
    let taken = bucket(server, "gs://taken-by-others", &project).create().await;
    assert!(matches!(taken, Err(Error::AlreadyExists { .. })), "{taken:?}");
    let nowhere = bucket(server, "gs://samara-made", &[]).create().await.expect_err("no project");
    assert!(nowhere.to_string().contains("GOOGLE_CLOUD_PROJECT"), "{nowhere}");
    let stranger = [("token", "hush-hush-hush-hush"), ("project", "samara")];
    let refused =
        bucket(server, "gs://samara-made", &stranger).create().await.expect_err("refused");
    assert!(matches!(refused, Error::PermissionDenied { .. }), "{refused:?}");
    assert!(!refused.in_full().contains("hush-hush"), "{}", refused.in_full());
}

/// A new key of a service account, which the server knows from now on, as Google writes it to a
/// file; and its public part.
pub(crate) fn account(
    server: &Server,
    name: &str,
    directory: &tempfile::TempDir,
) -> (String, RsaPublicKey) {
    let key = RsaPrivateKey::new(&mut OsRng, 2_048).expect("a key");
    let public = RsaPublicKey::from(&key);
    server.google().expect("the fake").trust(name, public.clone());
    let number = secrets::kept();
    let file = directory.path().join(format!("account-{number}.json"));
    let pem = key.to_pkcs8_pem(LineEnding::LF).expect("PEM");
    // Any line of it gives it away.
    pem.lines().filter(|line| !line.starts_with('-')).for_each(secrets::keep);
    let pem = pem.replace('\n', "\\n");
    let text = format!(
        "{{\"type\": \"service_account\", \"client_email\": \"{name}\", \"private_key\": \"{pem}\"}}"
    );
    std::fs::write(&file, text).expect("write");
    (file.to_str().expect("UTF-8").to_owned(), public)
}

async fn gs_signed_urls(server: &Server) {
    let directory = tempfile::tempdir().expect("directory");
    let owner = store(server, Settings::default()).store;
    let place = server.url().trim_end_matches('/');
    let settings = Settings::default().with(place, "endpoint", server.endpoint());
    let settings =
        settings.with(place, "credentials_file", account(server, "signer@samara", &directory).0);
    let locator = Locator::default().with_settings(settings);
    let signer = locator.open(server.url()).expect("the store").store;
    let hour = Duration::from_hours(1);
    for key in ["signed/a.txt", "signed/a b+ü%41&c=d?.txt"] {
        let put = signer.presign(key, Verb::Put, hour).await.expect("put");
        assert_eq!(stranger("PUT", &put, "by a stranger").await.0, 200);
        let get = signer.presign(key, Verb::Get, hour).await.expect("get");
        let (status, body) = stranger("GET", &get, "").await;
        assert_eq!((status, body.as_str()), (200, "by a stranger"));
        assert_eq!(owner.read(key).await.expect("read"), "by a stranger");
        // Each is for one purpose and one object, and for those who have the signature.
        assert_eq!(stranger("PUT", &get, "other").await.0, 403);
        assert_eq!(stranger("GET", &get.replace("/signed/", "/other/"), "").await.0, 403);
        assert_eq!(stranger("GET", &get.replace("Expires=3600", "Expires=7200"), "").await.0, 403);
        let (unsigned, _) = get.split_once("&X-Goog-Signature=").expect("a signature");
        assert_eq!(stranger("GET", unsigned, "").await.0, 403);
        let delete = signer.presign(key, Verb::Delete, hour).await.expect("delete");
        assert_eq!(stranger("DELETE", &delete, "").await.0, 204);
        assert!(!owner.exists(key).await.expect("head"));
    }
    owner.put("signed/late", "1".into(), PutOptions::default()).await.expect("put");
    let second = Duration::from_secs(1);
    // It counts from the whole second before: that it holds for a while is seen above.
    let short = signer.presign("signed/late", Verb::Get, second).await.expect("get");
    tokio::time::sleep(second * 5 / 2).await;
    assert_eq!(stranger("GET", &short, "").await.0, 400, "it holds no longer");
    let long = signer.presign("signed/late", Verb::Get, Duration::from_hours(24 * 8)).await;
    assert!(long.is_err(), "a week is the most");
}

/// A token signs nothing, and no credentials do not either: the error says what does.
async fn gs_unsigned(server: &Server) {
    let hour = Duration::from_hours(1);
    for further in [&[][..], &[("anonymous", "true")]] {
        let store = bucket(server, "gs://samara", further);
        let refused = store.presign("a", Verb::Get, hour).await.expect_err("no key");
        assert!(matches!(refused, Error::Unsupported { .. }), "{refused:?}");
        assert!(refused.to_string().contains("needs a service account's key"), "{refused}");
    }
}
