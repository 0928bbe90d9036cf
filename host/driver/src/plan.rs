//! A job's objects, found and cut, before any of them is read.

use std::fmt;

use bytes::Bytes;
use samara_core::{Partition, Records, Task};
use samara_store::Locator;

use crate::objects::{Found, PARTITIONS_MAX};
use crate::{Error, Objects, OnFailure};

/// What a job on objects would do: its objects and its partitions, which are made as they are asked
/// for and so take no room.
///
/// ```
/// # fn main() -> Result<(), samara::Error> {
/// # let dir = std::env::temp_dir().join(format!("samara-plan-{}", std::process::id()));
/// # std::fs::create_dir_all(&dir).unwrap();
/// # std::fs::write(dir.join("a.txt"), "some\nlines\n").unwrap();
/// use samara::{Executor, Objects};
///
/// let executor = Executor::new()?;
/// let objects = Objects::at(dir.join("*.txt").display().to_string()).chunk_bytes(4);
/// let plan = samara::block_on(executor.plan(&objects))?;
/// assert_eq!((plan.object_count(), plan.len()), (1, 3));
/// println!("{plan}");
/// # std::fs::remove_dir_all(&dir).unwrap();
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Partitions {
    parts: Vec<Part>,
    len: usize,
}

/// Objects that are cut alike, and what every task on them gets.
#[derive(Debug)]
struct Part {
    objects: Objects,
    found: Vec<Found>,
    /// Number of each object's first partition within the job.
    firsts: Vec<usize>,
    first: usize,
    arguments: Bytes,
}

// === impl Partitions ===

impl Partitions {
    pub(crate) async fn find(
        sources: Vec<(Objects, Bytes)>,
        locator: &Locator,
    ) -> Result<Self, Error> {
        let mut plan = Self::default();
        for (objects, arguments) in sources {
            let found = objects.find(locator).await?;
            plan.add(objects, found, arguments)?;
        }
        Ok(plan)
    }

    fn add(&mut self, objects: Objects, found: Vec<Found>, arguments: Bytes) -> Result<(), Error> {
        let first = self.len;
        let mut firsts = Vec::with_capacity(found.len());
        for object in &found {
            firsts.push(self.len);
            let len = (self.len as u64).saturating_add(object.partitions);
            if len > PARTITIONS_MAX {
                return Err(Error::Invalid(format!(
                    "{}: cutting its {} bytes makes more than {PARTITIONS_MAX} partitions; \
                     choose larger ones",
                    object.object.url, object.object.metadata.size
                )));
            }
            self.len = usize::try_from(len).unwrap_or(usize::MAX);
        }
        self.parts.push(Part { objects, found, firsts, first, arguments });
        Ok(())
    }

    /// Number of partitions.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none, because no object was found and that was allowed.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of objects.
    pub fn object_count(&self) -> usize {
        self.parts.iter().map(|part| part.found.len()).sum()
    }

    /// Sum of the objects' sizes in bytes.
    pub fn byte_count(&self) -> u64 {
        self.found().map(|(_, found)| found.object.metadata.size).sum()
    }

    /// The objects in the job's order: URL, size in bytes and number of partitions.
    pub fn objects(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        self.found().map(|(_, found)| {
            (found.object.url.as_str(), found.object.metadata.size, found.partitions)
        })
    }

    /// One partition; none past the end.
    pub fn get(&self, index: usize) -> Option<Partition> {
        self.locate(index).map(|(part, found, at)| part.objects.partition(found, at))
    }

    /// All partitions in the job's order.
    pub fn iter(&self) -> impl Iterator<Item = Partition> {
        (0..self.len).filter_map(|index| self.get(index))
    }

    /// Whether failures may be passed over. Rows of CSV that is cut are as sure as the partition
    /// before them: it finds where they begin, and says so by failing where that is wrong.
    pub(crate) fn check(&self, on_failure: OnFailure) -> Result<(), Error> {
        let OnFailure::Tolerate(tolerated) = on_failure else { return Ok(()) };
        let is_cut = |part: &Part, found: &Found| {
            let records = || part.objects.partition(found, 0).records;
            found.partitions > 1 && matches!(records(), Records::Csv(_))
        };
        match self.found().find(|(part, found)| tolerated > 0.0 && is_cut(part, found)) {
            None => Ok(()),
            Some((_, found)) => Err(Error::Invalid(format!(
                "{} is CSV and cut, so each partition is checked by the one before it, and behind \
                 a failure that is tolerated rows could be lost or read twice unseen: leave the \
                 objects whole, read them as lines if no field holds a line's end, or let \
                 failures stop the job or be results (on-failure `stop` or `continue`)",
                found.object.url
            ))),
        }
    }

    /// Number of partitions of each object, with the object's URL.
    pub(crate) fn groups(&self) -> Vec<(String, usize)> {
        let groups = self.found().map(|(_, found)| {
            let partitions = usize::try_from(found.partitions).unwrap_or(usize::MAX);
            (found.object.url.clone(), partitions)
        });
        groups.collect()
    }

    pub(crate) fn task(&self, index: usize) -> Option<Task> {
        let (part, found, at) = self.locate(index)?;
        Some(Task {
            index: index as u64,
            attempt: 0,
            arguments: part.arguments.clone().into(),
            partition: Some(Box::new(part.objects.partition(found, at))),
        })
    }

    fn found(&self) -> impl Iterator<Item = (&Part, &Found)> {
        self.parts.iter().flat_map(|part| part.found.iter().map(move |found| (part, found)))
    }

    /// The object of a partition, and the partition's number within it.
    fn locate(&self, index: usize) -> Option<(&Part, &Found, u64)> {
        if index >= self.len {
            return None;
        }
        let part = self.parts.partition_point(|part| part.first <= index).checked_sub(1)?;
        // Parts without objects begin where the next one does; the last of them has objects.
        let part = &self.parts[part];
        let at = part.firsts.partition_point(|first| *first <= index).checked_sub(1)?;
        Some((part, &part.found[at], (index - part.firsts[at]) as u64))
    }
}

impl fmt::Display for Partitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (url, size, partitions) in self.objects() {
            writeln!(f, "{url}  {size} bytes  {partitions} partitions")?;
        }
        let (objects, bytes) = (self.object_count(), self.byte_count());
        write!(f, "{objects} objects, {bytes} bytes, {} partitions", self.len)
    }
}

#[cfg(test)]
mod tests {
    use samara_store::{Discovered, Metadata};

    use super::*;

    fn found(url: &str, size: u64, partitions: u64) -> Found {
        let metadata = Metadata { size, etag: String::new(), modified_ms: None };
        Found { object: Discovered { url: url.to_owned(), metadata }, partitions }
    }

    #[test]
    fn every_partition_is_found_by_its_number() {
        let mut plan = Partitions::default();
        let objects = || Objects::at("x").chunk_bytes(10);
        let none = Vec::new;
        plan.add(objects(), none(), Bytes::from_static(b"0")).unwrap();
        plan.add(objects(), vec![found("a", 25, 3), found("b", 0, 1)], Bytes::from_static(b"1"))
            .unwrap();
        plan.add(objects(), none(), Bytes::from_static(b"2")).unwrap();
        plan.add(objects(), vec![found("c", 11, 2)], Bytes::from_static(b"3")).unwrap();
        let seen: Vec<(String, u64)> =
            plan.iter().map(|partition| (partition.object, partition.offset)).collect();
        let wanted = [("a", 0), ("a", 10), ("a", 20), ("b", 0), ("c", 0), ("c", 10)];
        assert_eq!(seen, wanted.map(|(object, offset)| (object.to_owned(), offset)));
        let arguments = |index: usize| plan.task(index).unwrap().arguments;
        assert_eq!(arguments(3), Bytes::from_static(b"1").into());
        assert_eq!(arguments(4), Bytes::from_static(b"3").into());
        assert!(plan.get(6).is_none());
        assert_eq!((plan.len(), plan.object_count(), plan.byte_count()), (6, 3, 36));
    }

    #[test]
    fn failures_are_not_tolerated_where_partitions_check_each_other() {
        let plan = |objects: Objects, partitions| {
            let mut plan = Partitions::default();
            let found = vec![found("mem://x/whole", 5, 1), found("mem://x/y", 25, partitions)];
            plan.add(objects, found, Bytes::new()).unwrap();
            plan
        };
        let csv = || Objects::at("x").csv().chunk_bytes(10);
        let tolerate = OnFailure::Tolerate(0.1);
        let error = plan(csv(), 3).check(tolerate).unwrap_err().to_string();
        assert!(error.contains("mem://x/y is CSV and cut"), "{error}");
        for on_failure in [OnFailure::Continue, OnFailure::Stop, OnFailure::Tolerate(0.0)] {
            assert!(plan(csv(), 3).check(on_failure).is_ok(), "{on_failure}");
        }
        assert!(plan(csv(), 1).check(tolerate).is_ok());
        assert!(plan(Objects::at("x").chunk_bytes(10), 3).check(tolerate).is_ok());
    }

    #[test]
    fn too_many_partitions_are_refused() {
        let mut plan = Partitions::default();
        let many = vec![found("mem://x/y", 1 << 40, 1 << 40)];
        let error = plan.add(Objects::at("x"), many, Bytes::new()).unwrap_err();
        assert!(error.to_string().contains("choose larger ones"), "{error}");
    }
}
