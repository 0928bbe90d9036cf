//! A place in a store that is emptied at the end.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use samara_store::{Error, Location, PutOptions, Result, StoreExt};

/// Objects that are removed side by side: a store far away takes some ten milliseconds for each.
const REMOVED_AT_ONCE: usize = 16;

/// A place in a store, and the threads to reach it with.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    location: Location,
    io: Arc<tokio::runtime::Runtime>,
}

// === impl Place ===

impl Place {
    pub(crate) fn new(location: Location, io: Arc<tokio::runtime::Runtime>) -> Self {
        Self { location, io }
    }

    /// The place `name` below this one.
    pub(crate) fn join(&self, name: &str) -> Self {
        Self { location: self.location.join(name), io: Arc::clone(&self.io) }
    }

    pub(crate) fn url(&self) -> String {
        self.location.url()
    }

    /// Writes the object of this name.
    pub(crate) fn put(&self, bytes: Bytes) -> Result<()> {
        let Location { store, key } = &self.location;
        self.io.block_on(store.put(key, bytes, PutOptions::default())).map(drop)
    }

    /// Reads the object of this name, if it is there.
    pub(crate) fn read(&self) -> Result<Option<Bytes>> {
        match self.io.block_on(self.location.store.read(&self.location.key)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The keys of all objects below this place, from here on: without this place's own name.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        let prefix = self.prefix();
        let entries = self.location.store.list_all(&prefix);
        let names = entries.map_ok(|entry| entry.key[prefix.len()..].to_owned());
        self.io.block_on(names.try_collect())
    }

    /// Removes all objects below this place.
    pub(crate) fn clear(&self) -> Result<()> {
        let (prefix, store) = (self.prefix(), &self.location.store);
        self.io.block_on(async {
            let keys: Vec<String> =
                store.list_all(&prefix).map_ok(|entry| entry.key).try_collect().await?;
            let removed = futures::stream::iter(&keys).map(|key| store.delete(key));
            removed.buffer_unordered(REMOVED_AT_ONCE).try_collect::<()>().await
        })?;
        self.remove_directories();
        Ok(())
    }

    fn prefix(&self) -> String {
        format!("{}/", self.location.key.trim_end_matches('/'))
    }

    /// Where objects are files, removing them leaves their directories, which are no objects and
    /// which no other store has. Ones that are not empty, because somebody else writes there, stay.
    fn remove_directories(&self) {
        if let Some(path) = self.url().strip_prefix("file://") {
            remove_empty(path.as_ref());
        }
    }
}

fn remove_empty(directory: &std::path::Path) {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let is_directory = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|it| it.is_dir());
    let (directories, files): (Vec<_>, Vec<_>) = entries.partition(is_directory);
    directories.iter().for_each(|entry| remove_empty(&entry.path()));
    for file in files.iter().filter(|file| is_of_a_dead_process(&file.file_name())) {
        drop(std::fs::remove_file(file.path()));
    }
    drop(std::fs::remove_dir(directory));
}

/// Whether a file is what a process was writing when it was killed, as some cases have it. No object
/// has such a name: `.PROCESS-RANDOM.samara-tmp`. What a living process leaves behind is a defect.
fn is_of_a_dead_process(name: &std::ffi::OsStr) -> bool {
    let process = || {
        let name = name.to_str()?.strip_prefix('.')?.strip_suffix(".samara-tmp")?;
        u32::from_str_radix(name.split_once('-')?.0, 16).ok()
    };
    process().is_some_and(|id| !std::path::Path::new("/proc").join(id.to_string()).exists())
}
