//! Guests that reach for objects that are not theirs, and that use stores without end.

use std::collections::BTreeMap;

use samara_core::{Access, Arguments, Exceeded, Grant, Limits};
use samara_evil::{Loot, reads_strange_ranges};
use samara_guest::Bytes;
use samara_store::{PutOptions, StoreExt};

use super::host::{Ended, Host};
use crate::common::{arguments, unique};

/// What the other tenant keeps.
const SECRET: &str = "the other tenant's treasure";

/// A directory or a store in memory with an own part and another tenant's.
struct Place {
    root: String,
    _directory: Option<tempfile::TempDir>,
}

// === impl Place ===

impl Place {
    fn both(host: &Host) -> [Self; 2] {
        let directory = tempfile::tempdir().unwrap();
        let file = format!("file://{}/", directory.path().display());
        let memory = format!("mem://evil-places-{}/", unique());
        let places = [
            Self { root: file, _directory: Some(directory) },
            Self { root: memory, _directory: None },
        ];
        for place in &places {
            place.put(host, "own/key", "mine");
            for key in ["other/key", "own-too/key", "key"] {
                place.put(host, key, SECRET);
            }
        }
        places
    }

    fn put(&self, host: &Host, key: &str, text: &'static str) {
        let location = host.worker.locator.open(&format!("{}{key}", self.root)).unwrap();
        let put = location.store.put(&location.key, text.into(), PutOptions::default());
        host.worker.io.block_on(put).unwrap();
    }

    fn read(&self, host: &Host, key: &str) -> String {
        let location = host.worker.locator.open(&format!("{}{key}", self.root)).unwrap();
        let bytes = host.worker.io.block_on(location.store.read(&location.key)).unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    fn own(&self) -> String {
        format!("{}own/", self.root)
    }

    /// Other names for the other tenant's object.
    fn spellings(&self) -> Vec<String> {
        let (root, own) = (&self.root, self.own());
        let (scheme, rest) = root.split_once("://").unwrap();
        let climbs = [
            "../other/key",
            "../own-too/key",
            "..//other/key",
            "./../other/key",
            "x/../../other/key",
            "/../other/key",
            "//../../other/key",
            "%2e%2e/other/key",
            "%2E%2E/other/key",
            "..%2fother%2fkey",
            "%2e%2e%2fother%2fkey",
            "..%252fother/key",
            "..%c0%afother/key",
            "..\\other\\key",
            "..\\/other/key",
            "../other/key\0",
            "\0/../../other/key",
            ".. /other/key",
            "../other/key.",
            ".../other/key",
            "..;/other/key",
            "..?/../../other/key",
            "key?/../../other/key",
            "key#/../../other/key",
            "\u{2024}\u{2024}/other/key",
            "\u{ff0e}\u{ff0e}/other/key",
            "\u{2025}/other/key",
            "..\u{2215}other\u{2215}key",
            "..\u{ff0f}other/key",
            ".\u{200b}./other/key",
            "..\u{338}/other/key",
            "\n../other/key",
            "../other/key\r\n",
            "../own/../other/key",
        ];
        let mut all: Vec<String> = climbs.iter().map(|climb| format!("{own}{climb}")).collect();
        all.extend([
            format!("{root}other/key"),
            format!("{root}own-too/key"),
            format!("{root}key"),
            format!("{root}OWN/../other/key"),
            format!("{root}./other/key"),
            format!("{root}own/.."),
            format!("{root}own%2f..%2fother/key"),
            format!("{}://{rest}other/key", scheme.to_uppercase()),
            format!("{scheme}:/{rest}other/key"),
            format!("{scheme}:{rest}other/key"),
            format!("{scheme}:///{rest}other/key"),
            format!("{scheme}://localhost{rest}other/key"),
            format!("{scheme}://LOCALHOST/{rest}other/key"),
            format!("{scheme}://user@{rest}other/key"),
            format!("{scheme}://{rest}other/key?x"),
            format!("{scheme}://{rest}other/key#x"),
            format!(" {root}other/key"),
            format!("{rest}other/key"),
            format!("/{}other/key", rest.trim_start_matches('/')),
            "other/key".to_owned(),
            "../other/key".to_owned(),
            "key".to_owned(),
            String::new(),
        ]);
        all
    }
}

/// Runs a function that may read and write below one prefix.
#[track_caller]
fn granted(host: &Host, prefix: &str, function: &str, arguments: Arguments) -> Ended {
    granted_within(host, prefix, function, arguments, |_| ())
}

#[track_caller]
fn granted_within(
    host: &Host,
    prefix: &str,
    function: &str,
    arguments: Arguments,
    change: impl FnOnce(&mut Limits),
) -> Ended {
    let mut batch = host.batch(function, arguments);
    batch.grants.objects = vec![Grant { prefix: prefix.to_owned(), access: Access::ReadWrite }];
    change(&mut batch.limits);
    host.run(batch)
}

pub(super) fn climbs_out(host: &Host) {
    for place in Place::both(host) {
        let (own, spellings) = (place.own(), place.spellings());
        assert!(spellings.len() > 50);
        let copy = format!("{own}copy");
        let reads = arguments((&spellings, &copy));
        let loot: Vec<Loot> = granted(host, &own, "reads_by_every_way", reads).value();
        for (at, loot) in loot.iter().enumerate() {
            let text = format!("{loot:?}");
            // To be refused is not enough: the reason must not tell either.
            assert!(!text.contains("treasure"), "{}: {text}", spellings[at / 4]);
            assert!(matches!(loot, Loot::Nothing(_)), "{}: {text}", spellings[at / 4]);
        }
        let parents: Vec<String> = spellings
            .iter()
            .filter_map(|url| url.strip_suffix("key").map(str::to_owned))
            .chain([place.root.clone(), own.trim_end_matches('/').to_owned(), String::new()])
            .collect();
        let loot: Vec<Loot> = granted(host, &own, "lists_each", arguments((&parents,))).value();
        for (prefix, loot) in parents.iter().zip(&loot) {
            let text = format!("{loot:?}");
            let nothing = matches!(loot, Loot::Nothing(_)) || text == "Got(\"[]\")";
            assert!(nothing, "{prefix}: {text}");
        }
        let writes = arguments((&spellings, format!("{own}key")));
        let ended = granted(host, &own, "writes_by_every_way", writes);
        let _some_are_own_objects_of_a_strange_name: Vec<Loot> = ended.value();
        for key in ["other/key", "own-too/key", "key"] {
            assert_eq!(place.read(host, key), SECRET, "{key} is as it was");
        }
        assert_eq!(place.read(host, "own/key"), "mine");
    }
}

pub(super) fn follows_links(host: &Host) {
    let [place, _] = Place::both(host);
    let own = place.own();
    let other = format!("{}other/key", place.root.trim_start_matches("file://"));
    let made = arguments((&other, format!("{own}link")));
    let loot: Vec<Loot> = granted(host, &own, "makes_a_link", made).value();
    assert!(loot.iter().all(|loot| matches!(loot, Loot::Nothing(_))), "{loot:?}");
    // A link that somebody else has put there is followed, and replaced when it is written to: who
    // can make one decides what is in the store, and a guest cannot.
    let link = format!("{}own/link", place.root.trim_start_matches("file://"));
    std::os::unix::fs::symlink(&other, link).unwrap();
    let linked = [format!("{own}link")];
    let reads = arguments((&linked, format!("{own}copy")));
    let loot: Vec<Loot> = granted(host, &own, "reads_by_every_way", reads).value();
    assert!(format!("{:?}", loot[0]).contains(SECRET), "{loot:?}");
    let writes = arguments((&linked, format!("{own}key")));
    let _written: Vec<Loot> = granted(host, &own, "writes_by_every_way", writes).value();
    assert_eq!(place.read(host, "other/key"), SECRET, "what it led to is as it was");
    let ended = granted(host, &own, "reads_temporary_files", arguments((&own,)));
    let loot: Vec<Loot> = ended.value();
    assert!(loot.iter().all(|loot| matches!(loot, Loot::Nothing(_))), "{loot:?}");
}

pub(super) fn names_hugely(host: &Host) {
    for place in Place::both(host) {
        let own = place.own();
        for bytes in [300_u64, 5000, 1_000_000] {
            let ended = granted(host, &own, "uses_long_names", arguments((&own, bytes)));
            let loot: Vec<Loot> = ended.value();
            // A listing of what is not there is an empty one.
            let empty = Loot::Got("()".to_owned());
            let nothing = |loot: &Loot| matches!(loot, Loot::Nothing(_)) || *loot == empty;
            assert!(loot.iter().all(nothing), "{loot:?}");
        }
        let ended = granted(host, &own, "uses_long_names", arguments((&own, 5_000_000_u64)));
        assert!(!ended.report.outcome.is_success(), "more than a call may pass: {ended:?}");
    }
}

pub(super) fn floods_stores(host: &Host) {
    let own = format!("mem://evil-flood-{}/", unique());
    let url = arguments((format!("{own}a"),));
    let ended = granted_within(host, &own, "looks_for_ever", url.clone(), |it| {
        it.storage_operations = 1000;
    });
    ended.exceeded(Exceeded::StorageOperations { limit: 1000 });
    assert!(ended.report.stats.host_calls <= 1001);
    let ended =
        granted_within(host, &own, "writes_for_ever", url, |it| it.storage_bytes = 10 << 20);
    ended.exceeded(Exceeded::StorageBytes { limit: 10 << 20 });
    assert!(ended.report.stats.storage_written <= 10 << 20);
}

pub(super) fn lists_a_million(host: &Host) {
    use std::time::Duration;
    let own = format!("mem://evil-million-{}/", unique());
    let location = host.worker.locator.open(&own).unwrap();
    let keys = || (0..1_000_000_u32).map(|n| format!("some/what/longer/name/{n:09}"));
    host.worker.io.block_on(async {
        for key in keys() {
            let put = location.store.put(&key, bytes::Bytes::new(), PutOptions::default());
            put.await.unwrap();
        }
    });
    let all = arguments((&own,));
    let ended = granted_within(host, &own, "collects_names", all.clone(), |it| {
        (it.memory_bytes, it.time) = (16 << 20, Duration::from_secs(60));
    });
    ended.exceeded(Exceeded::Memory { limit: 16 << 20 });
    let limit = Duration::from_millis(500);
    let ended = granted_within(host, &own, "begins_listings", all, |it| it.time = limit);
    ended.out_of_time(limit);
    // They would count as what another guest took.
    host.worker.io.block_on(async {
        for key in keys() {
            location.store.delete(&key).await.unwrap();
        }
    });
}

pub(super) fn reads_strange_ranges(host: &Host) {
    for place in Place::both(host) {
        let whole = "0123456789";
        place.put(host, "own/ten", whole);
        let (own, url) = (place.own(), format!("{}ten", place.own()));
        let ended = granted(host, &own, "reads_at_all_edges", arguments((url,)));
        let read: Vec<(u64, u64, Option<Bytes>)> = ended.value();
        let edges = reads_strange_ranges::EDGES;
        assert_eq!(read.len(), edges.len() * edges.len());
        let mut refused = BTreeMap::<u64, u32>::new();
        for (offset, length, bytes) in read {
            let at = |n: u64| usize::try_from(n.min(10)).unwrap();
            let wanted = &whole[at(offset)..at(offset.saturating_add(length))];
            match bytes {
                Some(bytes) => assert_eq!(&*bytes, wanted.as_bytes(), "{offset} {length}"),
                None => *refused.entry(length).or_default() += 1,
            }
        }
        // What is longer than one call may pass is refused, and nothing else is.
        let limit = super::host::limits().host_call_bytes;
        assert!(refused.keys().all(|length| *length > limit), "{refused:?}");
    }
}
