//! Which objects a job reads, and how they are cut.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use samara_core::{Partition, Records};
use samara_store::{Discovered, Locator};

use crate::Error;

/// Partitions of one job. Each takes some 200 bytes in the driver; more are likely a mistake in the
/// size of a cut.
pub const PARTITIONS_MAX: u64 = 10_000_000;

/// The objects that a job reads, and how they are cut into partitions.
///
/// ```
/// use samara::Objects;
///
/// let logs = Objects::at("logs/2026-*.log").chunk_bytes(8 << 20);
/// let both = Objects::at("file:///data/a.txt").and("b.txt").chunk_count(4);
/// # let _ = (logs, both);
/// ```
#[derive(Debug, Clone)]
pub struct Objects {
    sources: Vec<String>,
    cut: Cut,
    records: Records,
    allow_none: bool,
}

/// Objects and the further arguments that each task gets beside its partition.
#[derive(Debug, Clone)]
pub struct WithArguments<T> {
    pub(crate) objects: Objects,
    pub(crate) arguments: T,
}

/// An object that a job reads, and into how many partitions it is cut.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) object: Discovered,
    pub(crate) partitions: u64,
}

#[derive(Debug, Clone, Copy)]
enum Cut {
    Whole,
    Bytes(u64),
    Count(u64),
}

// === impl Objects ===

impl Objects {
    /// The objects that a URL, path, directory or pattern stands for, each as one partition.
    ///
    /// The first that exists of: the object of exactly this name; the objects that match it as a
    /// pattern (`*`, `?`, `[a-z]`, `**`, `{a,b}`); all objects below it. In the order of their
    /// names' bytes.
    pub fn at(source: impl Into<String>) -> Self {
        Self {
            sources: vec![source.into()],
            cut: Cut::Whole,
            records: Records::Lines,
            allow_none: false,
        }
    }

    /// Further objects, after the ones so far.
    #[must_use]
    pub fn and(mut self, source: impl Into<String>) -> Self {
        self.sources.push(source.into());
        self
    }

    /// Cuts each object into partitions of this many bytes, aligned to records. The last of an
    /// object is smaller; an empty object is one empty partition.
    #[must_use]
    pub fn chunk_bytes(mut self, bytes: u64) -> Self {
        self.cut = Cut::Bytes(bytes);
        self
    }

    /// Cuts each object into this many partitions of about the same size, aligned to records; an
    /// object of fewer bytes into as many as it has bytes.
    #[must_use]
    pub fn chunk_count(mut self, count: u64) -> Self {
        self.cut = Cut::Count(count);
        self
    }

    /// What the objects are sequences of. Default lines.
    #[must_use]
    pub fn records(mut self, records: Records) -> Self {
        self.records = records;
        self
    }

    /// Lets a source that stands for no object be an empty input. Else it is an error.
    #[must_use]
    pub fn allow_none(mut self) -> Self {
        self.allow_none = true;
        self
    }

    /// Gives each task further arguments: a tuple, in the order of the signature.
    #[must_use]
    pub fn with<T>(self, arguments: T) -> WithArguments<T> {
        WithArguments { objects: self, arguments }
    }

    /// Finds the objects. Reads sizes, never contents.
    pub(crate) async fn find(&self, locator: &Locator) -> Result<Vec<Found>, Error> {
        if matches!(self.cut, Cut::Bytes(0) | Cut::Count(0)) {
            return Err(Error::Invalid(
                "a partition of zero bytes, or zero partitions: give a size of at least 1"
                    .to_owned(),
            ));
        }
        let mut found = Vec::new();
        for source in &self.sources {
            let discovered = self.discover(source, locator).await?;
            found.extend(discovered.into_iter().map(|object| self.count(object)));
        }
        Ok(found)
    }

    async fn discover(&self, source: &str, locator: &Locator) -> Result<Vec<Discovered>, Error> {
        match locator.discover(source).await {
            Err(samara_store::Error::NotFound { .. }) if self.allow_none => Ok(Vec::new()),
            found => Ok(found?),
        }
    }

    fn count(&self, object: Discovered) -> Found {
        let size = object.metadata.size;
        let partitions = match self.cut {
            Cut::Whole => 1,
            Cut::Bytes(bytes) => size.div_ceil(bytes).max(1),
            Cut::Count(count) => count.min(size).max(1),
        };
        Found { object, partitions }
    }

    /// One of an object's partitions.
    pub(crate) fn partition(&self, found: &Found, index: u64) -> Partition {
        let Discovered { url, metadata } = &found.object;
        let size = metadata.size;
        let start = |index: u64| match self.cut {
            Cut::Bytes(bytes) => index.saturating_mul(bytes).min(size),
            // In 128 bits: an object's size times a count may not fit 64.
            _ => u64::try_from(u128::from(size) * u128::from(index) / u128::from(found.partitions))
                .unwrap_or(size),
        };
        Partition {
            object: url.clone(),
            offset: start(index),
            length: start(index + 1) - start(index),
            object_size: size,
            etag: metadata.etag.clone(),
            records: self.records,
        }
    }
}

impl From<&str> for Objects {
    fn from(source: &str) -> Self {
        Self::at(source)
    }
}

impl From<String> for Objects {
    fn from(source: String) -> Self {
        Self::at(source)
    }
}

impl From<&Path> for Objects {
    fn from(source: &Path) -> Self {
        Self::at(source.to_string_lossy())
    }
}

impl From<PathBuf> for Objects {
    fn from(source: PathBuf) -> Self {
        Self::from(source.as_path())
    }
}

/// The locator that a driver opens everything with.
pub(crate) fn locator(working_directory: Option<PathBuf>) -> Arc<Locator> {
    let locator = match working_directory {
        Some(directory) => Locator::new(directory),
        None => Locator::default(),
    };
    Arc::new(locator)
}

#[cfg(test)]
mod tests {
    use samara_store::Metadata;

    use super::*;

    fn cut(objects: &Objects, size: u64) -> Vec<(u64, u64)> {
        let metadata = Metadata { size, etag: String::new(), modified_ms: None };
        let found = objects.count(Discovered { url: "mem://x/y".to_owned(), metadata });
        let partitions = (0..found.partitions).map(|index| objects.partition(&found, index));
        partitions.map(|p| (p.offset, p.length)).collect()
    }

    #[test]
    fn cuts_cover_an_object_without_gap_or_overlap() {
        for size in [0, 1, 2, 7, 100, 1 << 40] {
            for objects in [
                Objects::at("x"),
                Objects::at("x").chunk_bytes(size / 3 + 1),
                Objects::at("x").chunk_count(7),
            ] {
                let cuts = cut(&objects, size);
                let end = cuts.iter().fold(0, |at, &(offset, length)| {
                    assert_eq!(at, offset);
                    assert!(length > 0 || size == 0);
                    at + length
                });
                assert_eq!(end, size);
            }
        }
    }

    #[test]
    fn an_empty_object_is_one_empty_partition() {
        assert_eq!(cut(&Objects::at("x").chunk_bytes(10), 0), [(0, 0)]);
        assert_eq!(cut(&Objects::at("x").chunk_count(10), 0), [(0, 0)]);
    }
}
