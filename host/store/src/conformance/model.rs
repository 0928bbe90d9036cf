//! Random operations against a plain map: the store must agree on every result.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{Area, is_already_exists, is_not_found, pattern};
use crate::{ListOptions, PutMode, PutOptions, Result, Store, StoreExt};

/// The names that the operations are about. None is a directory of another.
const NAMES: &[&str] = &[
    "a",
    "a.b",
    "a-/x",
    "b/1",
    "b/2",
    "b/3/x",
    "b/3/y/z",
    "b.",
    "b0",
    "c c",
    "c%20c",
    "ü",
    "ü0/ü",
    "日/本",
    "d/e/f/g/h",
    "d/e/f/g.h",
];

/// What listings start with, beside names.
const PREFIXES: &[&str] = &["", "a", "b", "b/", "b/3", "b/3/", "c", "d/e", "x/", "日/"];

/// The store, and what it should hold.
struct Model<'a> {
    area: Area<'a>,
    names: Vec<&'static str>,
    objects: BTreeMap<&'static str, Bytes>,
    random: Random,
}

/// An object that an operation should leave.
struct Writing {
    name: &'static str,
    body: Bytes,
    options: PutOptions,
}

/// SplitMix64.
struct Random(u64);

/// Applies `steps` random operations, chosen by `seed`, to keys below `prefix`, which it clears
/// before and after.
///
/// # Panics
///
/// Where a result is not what a plain map gives. The message has the seed and the step.
pub async fn model(store: &dyn Store, prefix: &str, seed: u64, steps: usize) {
    steps_of(Area::new(store, prefix).await, seed, steps).await;
}

async fn steps_of(area: Area<'_>, seed: u64, steps: usize) {
    area.clear().await;
    let (names, random) = (area.possible(NAMES), Random(seed));
    let mut model = Model { area, names, objects: BTreeMap::new(), random };
    for step in 0..steps {
        let place = format!("seed {seed}, step {step}");
        match model.random.below(10) {
            0..3 => model.put(&place).await,
            3 => model.writer(&place).await,
            4..6 => model.read(&place).await,
            6 => model.delete(&place).await,
            7 => model.copy(&place).await,
            _ => model.list(&place).await,
        }
    }
    area.clear().await;
}

pub(super) async fn random_steps(area: Area<'_>) {
    for seed in 0..2 {
        steps_of(area, seed, 400).await;
    }
}

// === impl Model ===

impl Model<'_> {
    async fn put(&mut self, place: &str) {
        let writing = self.writing();
        let Writing { name, body, options } = &writing;
        let result = self.area.try_put(name, body.clone(), options.clone()).await;
        self.written(place, writing, result);
    }

    async fn writer(&mut self, place: &str) {
        let writing = self.writing();
        let mut writer = self.area.writer(writing.name, writing.options.clone()).await;
        let (first, second) = writing.body.split_at(self.random.below(writing.body.len() + 1));
        writer.write(Bytes::copy_from_slice(first)).await.expect(place);
        if self.random.below(4) == 0 {
            return; // dropped: nothing may change
        }
        writer.write(Bytes::copy_from_slice(second)).await.expect(place);
        let result = writer.finish().await;
        self.written(place, writing, result);
    }

    async fn read(&mut self, place: &str) {
        let name = self.name();
        let start = self.random.below(5_000) as u64;
        let range = start..start + self.random.below(5_000) as u64;
        let read = self.area.store.read_range(&self.area.key(name), range.clone(), None).await;
        match (self.objects.get(name), read) {
            (Some(body), Ok(bytes)) => {
                let within =
                    |at: u64| usize::try_from(at).map_or(body.len(), |at| at.min(body.len()));
                let expected = &body[within(range.start)..within(range.end)];
                assert!(bytes == expected, "{place}: {range:?} of {name}");
                let size = self.area.head(name).await.expect(place).size;
                assert_eq!(size, body.len() as u64, "{place}: size of {name}");
            }
            (None, Err(error)) => assert!(is_not_found(&error), "{place}: {error}"),
            (expected, read) => panic!("{place}: {read:?} for {name}, expected {expected:?}"),
        }
    }

    async fn delete(&mut self, place: &str) {
        let name = self.name();
        self.area.store.delete(&self.area.key(name)).await.expect(place);
        self.objects.remove(name);
    }

    async fn copy(&mut self, place: &str) {
        let (from, to, options) = (self.name(), self.name(), self.options());
        let result =
            self.area.store.copy(&self.area.key(from), &self.area.key(to), options.clone()).await;
        match self.objects.get(from).cloned() {
            Some(body) => self.written(place, Writing { name: to, body, options }, result),
            None => assert!(is_not_found(&result.expect_err(place)), "{place}"),
        }
    }

    async fn list(&mut self, place: &str) {
        let prefix = match self.random.below(3) {
            0 => self.name(),
            _ => PREFIXES[self.random.below(PREFIXES.len())],
        };
        let after = (self.random.below(2) == 0).then(|| self.name());
        let (limit, slashes) = (1 + self.random.below(6), self.random.below(4));
        let mut options = ListOptions::default().limit(limit).slashes(slashes);
        options.after = after.map(str::to_owned);
        let page = self.area.list(prefix, options).await;

        let mut expected = self.objects.iter().filter(|(name, _)| {
            let rest = name.strip_prefix(prefix);
            rest.is_some_and(|rest| rest.matches('/').count() <= slashes)
                && after.is_none_or(|after| **name > after)
        });
        let context = format!("{place}: {prefix:?} after {after:?}, {limit}, {slashes} slashes");
        for entry in &page.entries {
            let (name, body) = expected.next().expect(&context);
            assert_eq!(entry.key, *name, "{context}");
            assert_eq!(entry.metadata.size, body.len() as u64, "{context}");
        }
        assert!(page.entries.len() <= limit, "{context}");
        let last = page.entries.last().map(|entry| entry.key.clone());
        let next = expected.next().and(last);
        assert!(next.is_none() || page.next.is_some(), "{context}: the listing ends early");
    }

    /// Checks the result of writing, and remembers what was written.
    fn written<T>(&mut self, place: &str, writing: Writing, result: Result<T>) {
        let Writing { name, body, options } = writing;
        let refused = options.mode == PutMode::IfAbsent && self.objects.contains_key(name);
        match result {
            Ok(_) => {
                assert!(!refused, "{place}: {name} was overwritten");
                self.objects.insert(name, body);
            }
            Err(error) => assert!(refused && is_already_exists(&error), "{place}: {error:?}"),
        }
    }

    fn name(&mut self) -> &'static str {
        self.names[self.random.below(self.names.len())]
    }

    fn writing(&mut self) -> Writing {
        let length = self.random.below(5_000);
        let body = pattern(length, self.random.below(251));
        Writing { name: self.name(), body, options: self.options() }
    }

    fn options(&mut self) -> PutOptions {
        let once = self.random.below(3) == 0 && self.area.keeps.if_absent;
        if once { PutOptions::if_absent() } else { PutOptions::default() }
    }
}

// === impl Random ===

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        usize::try_from(z % end.max(1) as u64).expect("below a usize")
    }
}
