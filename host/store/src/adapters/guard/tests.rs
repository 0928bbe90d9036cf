//! Tests of the guard, around a store that loses requests and takes its time.

use std::sync::Mutex;

use super::*;
use crate::{MemStore, Policy};

/// What becomes of a write.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It does not arrive.
    Reset,
    /// It is done, and its answer lost.
    Lost,
}

/// A store that loses the next writes, and takes its time to copy.
#[derive(Debug, Default)]
struct Odd {
    store: MemStore,
    fates: Mutex<Vec<Fate>>,
    copying: Duration,
}

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

#[async_trait]
impl Store for Odd {
    async fn get(&self, key: &str, options: GetOptions) -> Result<Object> {
        self.store.get(key, options).await
    }

    async fn head(&self, key: &str) -> Result<Metadata> {
        self.store.head(key).await
    }

    async fn attributes(&self, key: &str) -> Result<Attributes> {
        self.store.attributes(key).await
    }

    async fn put(&self, key: &str, body: Bytes, options: PutOptions) -> Result<Metadata> {
        let fate = self.fates.lock().unwrap().pop();
        if let Some(Fate::Reset) = fate {
            return Err(Error::unavailable(self.to_string(), "reset"));
        }
        let written = self.store.put(key, body, options).await;
        match fate {
            Some(_) => Err(Error::unavailable(self.to_string(), "reset")),
            None => written,
        }
    }

    async fn writer(&self, key: &str, options: PutOptions) -> Result<Box<dyn Writer>> {
        self.store.writer(key, options).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.store.delete(key).await
    }

    async fn list(&self, prefix: &str, options: ListOptions) -> Result<Page> {
        self.store.list(prefix, options).await
    }

    async fn copy(&self, from: &str, to: &str, options: PutOptions) -> Result<Metadata> {
        tokio::time::sleep(self.copying).await;
        self.store.copy(from, to, options).await
    }
}

fn paused<F: Future>(test: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(test)
}

/// One time for all of them would be too short for some number of them.
#[test]
fn many_keys_are_removed_some_at_a_time() {
    let patience = Patience::new(Policy::REMOTE);
    let guard = Guard::new(Arc::new(MemStore::default()), Arc::clone(&patience));
    let keys: Vec<String> = (0..2_500).map(|n| n.to_string()).collect();
    paused(async {
        for key in &keys[1_999..2_001] {
            guard.put(key, "1".into(), PutOptions::default()).await.unwrap();
        }
        guard.delete_many(&keys).await.unwrap();
        assert_eq!(guard.list("", ListOptions::default()).await.unwrap(), Page::default());
    });
    assert_eq!(patience.counts().by_operation()[&Operation::Delete], 3);
}

/// Of those who put the same bytes one succeeds, whatever was lost.
#[test]
fn the_same_bytes_of_another_are_not_ours() {
    paused(async {
        let odd = Arc::new(Odd::default());
        let store = Arc::clone(&odd) as Arc<dyn Store>;
        let guard = Guard::new(store, Patience::new(Policy::REMOTE));
        let put = async |fates: &[Fate]| {
            *odd.fates.lock().unwrap() = fates.to_vec();
            guard.put("lock", "1".into(), PutOptions::if_absent()).await
        };
        for fates in [&[Fate::Lost][..], &[Fate::Reset], &[Fate::Lost, Fate::Reset]] {
            // By those who say nothing of themselves, and by those who do.
            odd.store.put("lock", "1".into(), PutOptions::default()).await.unwrap();
            let second = put(fates).await;
            assert!(matches!(second, Err(Error::AlreadyExists { .. })), "{second:?}");
            odd.delete("lock").await.unwrap();
            put(fates).await.expect("it is ours");
            let second = put(fates).await;
            assert!(matches!(second, Err(Error::AlreadyExists { .. })), "{second:?}");
            odd.delete("lock").await.unwrap();
        }
    });
}

/// Of a store that copies from no other, and has no checksums, nothing is asked.
#[test]
fn what_a_store_does_not_do_counts_as_no_request() {
    let patience = Patience::new(Policy::REMOTE);
    let guard = Guard::new(Arc::new(MemStore::default()), Arc::clone(&patience));
    let other = MemStore::default();
    paused(async {
        let copied = guard.copy_from(&other, "a", "b", PutOptions::default()).await;
        assert_eq!(copied.unwrap(), None);
        let version = Metadata { size: 1, etag: "1".to_owned(), modified_ms: None };
        assert_eq!(guard.checksum("a", &version).await.unwrap(), None);
    });
    assert_eq!(patience.counts().total(), 0);
}

/// What a store copies by itself may take as long as its size needs.
#[test]
fn copies_have_time_for_what_they_copy() {
    paused(async {
        let odd = Odd { copying: Duration::from_secs(11 * 60), ..Odd::default() };
        let guard = Guard::new(Arc::new(odd), Patience::new(Policy::REMOTE));
        let put = async |key: &str, size: usize| {
            guard.put(key, vec![0; size].into(), PutOptions::default()).await.unwrap();
        };
        put("large", 100 << 20).await;
        put("small", 1).await;
        guard.copy("large", "copy", PutOptions::default()).await.expect("100 seconds more");
        let small = guard.copy("small", "copy", PutOptions::default()).await.unwrap_err();
        assert!(small.in_full().contains("did not come on"), "{}", small.in_full());
    });
}
