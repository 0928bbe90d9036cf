//! Which objects a job reads, and how they are cut.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use samara_core::{CsvOptions, Partition, Records, Terminator};
use samara_store::{Discovered, GetOptions, Locator};

use crate::Error;
use crate::environment::Environment;

/// Partitions of one job; more are likely a mistake in the size of a cut.
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
    /// What was asked for, or why it cannot be had, which is said at planning.
    records: Result<Records, samara_core::Error>,
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
            records: Ok(Records::Lines),
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
    ///
    /// Whatever the cut, each record is in exactly one partition: the one in which it begins.
    #[must_use]
    pub fn records(mut self, records: Records) -> Self {
        self.records = Ok(records);
        self
    }

    /// The objects are CSV with commas, double quotes, and a header, which every partition then
    /// begins with. Quoted fields may hold line ends.
    ///
    /// ```
    /// use samara::{CsvOptions, Objects};
    ///
    /// let table = Objects::at("orders/*.csv").csv().chunk_bytes(64 << 20);
    /// let other = CsvOptions::new().delimiter(b';').header(false);
    /// let other = Objects::at("other.csv").csv_with(other).chunk_count(8);
    /// # let _ = (table, other);
    /// ```
    #[must_use]
    pub fn csv(self) -> Self {
        self.csv_with(CsvOptions::new())
    }

    /// The objects are CSV that is written so.
    #[must_use]
    pub fn csv_with(self, options: CsvOptions) -> Self {
        self.records(Records::Csv(options))
    }

    /// The objects hold one JSON value per line.
    #[must_use]
    pub fn json_lines(self) -> Self {
        self.records(Records::JsonLines)
    }

    /// The objects' records end with these 1 to 16 bytes.
    ///
    /// ```
    /// # use samara::Objects;
    /// let paragraphs = Objects::at("book.txt").lines_ended_by("\n\n").chunk_bytes(1 << 20);
    /// # let _ = paragraphs;
    /// ```
    #[must_use]
    pub fn lines_ended_by(mut self, terminator: impl AsRef<[u8]>) -> Self {
        self.records = Terminator::new(terminator.as_ref()).map(Records::Terminated);
        self
    }

    /// The objects' records have this many bytes each. An object whose size is no multiple of it is
    /// an error.
    #[must_use]
    pub fn fixed(self, bytes: u64) -> Self {
        self.records(Records::Fixed(bytes))
    }

    /// The objects are bytes: partitions are cut where they are asked to be.
    #[must_use]
    pub fn bytes(self) -> Self {
        self.records(Records::Bytes)
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

    /// Finds the objects. Reads sizes, never contents; of one that lies behind HTTP a byte.
    pub(crate) async fn find(&self, locator: &Locator) -> Result<Vec<Found>, Error> {
        if matches!(self.cut, Cut::Bytes(0) | Cut::Count(0)) {
            return Err(Error::Invalid(
                "a partition of zero bytes, or zero partitions: give a size of at least 1"
                    .to_owned(),
            ));
        }
        self.checked_records()?;
        let mut found = Vec::new();
        for source in &self.sources {
            let discovered = self.discover(source, locator).await?;
            for object in discovered {
                found.push(self.count(object)?);
            }
        }
        if let Some(said) = lacks_ranges(locator, &found).await {
            tracing::warn!("{said}");
        }
        Ok(found)
    }

    fn checked_records(&self) -> Result<Records, Error> {
        let checked = self.records.clone().and_then(|records| records.check().map(|()| records));
        checked.map_err(|error| Error::Invalid(error.message))
    }

    async fn discover(&self, source: &str, locator: &Locator) -> Result<Vec<Discovered>, Error> {
        match locator.discover(source).await {
            Err(samara_store::Error::NotFound { .. }) if self.allow_none => Ok(Vec::new()),
            found => Ok(found?),
        }
    }

    fn count(&self, object: Discovered) -> Result<Found, Error> {
        let size = object.metadata.size;
        let records = self.checked_records()?;
        records
            .check_size(size)
            .map_err(|error| Error::Invalid(error.context(&object.url).message))?;
        let partitions = match self.cut {
            Cut::Whole => 1,
            Cut::Bytes(bytes) => size.div_ceil(bytes).max(1),
            Cut::Count(count) => count.min(size).max(1),
        };
        Ok(Found { object, partitions })
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
            records: self.records.clone().unwrap_or_default(),
        }
    }
}

/// What to say where an object is cut whose server sends all of it for each partition. The first one
/// stands for others: mostly they are of one server.
async fn lacks_ranges(locator: &Locator, found: &[Found]) -> Option<String> {
    let is_http = |url: &str| url.starts_with("http:") || url.starts_with("https:");
    let cut = found.iter().find(|it| it.partitions > 1 && is_http(&it.object.url))?;
    let at = locator.open(&cut.object.url).ok()?;
    // What fails here fails again where it matters.
    let byte = at.store.get(&at.key, GetOptions::default().range(0..1)).await.ok()?;
    byte.ignores_ranges.then(|| {
        format!(
            "{} knows no ranges, so each partition reads all that lies before it too: do not cut \
             its objects, or copy them to a store first (`samara storage cp`)",
            at.store
        )
    })
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
pub(crate) fn locator(environment: &Environment, stores: samara_store::Settings) -> Arc<Locator> {
    let locator = match &environment.working_directory {
        Some(directory) => Locator::new(directory),
        None => Locator::default(),
    };
    let variables = environment.store_variables.iter().cloned();
    Arc::new(locator.with_settings(stores.with_variables(variables)))
}

#[cfg(test)]
mod tests {
    use samara_store::Metadata;

    use super::*;

    fn cut(objects: &Objects, size: u64) -> Vec<(u64, u64)> {
        let metadata = Metadata { size, etag: String::new(), modified_ms: None };
        let found = objects.count(Discovered { url: "mem://x/y".to_owned(), metadata }).unwrap();
        let partitions = (0..found.partitions).map(|index| objects.partition(&found, index));
        partitions.map(|p| (p.offset, p.length)).collect()
    }

    /// Of what is not cut nothing is asked.
    #[test]
    fn who_cuts_an_object_of_a_server_without_ranges_is_told() {
        use std::io::{Read, Write};
        if samara_store::STORES.iter().all(|row| row.scheme != "http") {
            return;
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let root = format!("http://{}/", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let mut asked = [0; 4096];
                let read = client.read(&mut asked).unwrap_or_default();
                let head = match asked[..read].windows(7).any(|it| it == b"/ranges") {
                    true => "206 Part\r\nContent-Range: bytes 0-0/9\r\nContent-Length: 1",
                    false => "200 OK\r\nContent-Length: 9",
                };
                let answer = format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n");
                let body = if head.starts_with("206") { "1" } else { "123456789" };
                drop(client.write_all(format!("{answer}{body}").as_bytes()));
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let said = |name: &str, partitions| {
            let metadata = Metadata { size: 9, etag: String::new(), modified_ms: None };
            let object = Discovered { url: format!("{root}{name}"), metadata };
            let found = [Found { object, partitions }];
            runtime.block_on(lacks_ranges(&Locator::default(), &found))
        };
        assert!(said("whole", 2).unwrap().contains(&format!("{root} knows no ranges")));
        assert_eq!((said("whole", 1), said("ranges", 2)), (None, None));
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

    #[test]
    fn records_that_cannot_be_are_errors_of_the_plan() {
        let metadata = Metadata { size: 10, etag: String::new(), modified_ms: None };
        let object = Discovered { url: "mem://x/y".to_owned(), metadata };
        for (objects, says) in [
            (Objects::at("x").fixed(0), "give a size of at least 1"),
            (Objects::at("x").fixed(4), "mem://x/y: its 10 bytes are not a whole number"),
            (Objects::at("x").lines_ended_by(""), "give a terminator of 1 to 16 bytes"),
            (Objects::at("x").lines_ended_by([b'-'; 17]), "up to 16"),
            (Objects::at("x").csv_with(CsvOptions::new().quote(b',')), "two different bytes"),
        ] {
            let error = objects.count(object.clone()).unwrap_err();
            assert!(matches!(error, Error::Invalid(_)), "{error:?}");
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
