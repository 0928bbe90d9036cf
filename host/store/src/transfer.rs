//! Copies between stores: in bounded memory, large objects by several ranges at once.

use std::iter;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::future::{BoxFuture, Shared};
#[cfg(any(feature = "opendal", feature = "s3", feature = "swift"))]
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use tokio::task::JoinSet;

#[cfg(any(feature = "opendal", feature = "s3", feature = "swift"))]
use crate::adapters::comes_on;
use crate::checksum::{Held, Making};
use crate::error::shown;
use crate::{
    Attributes, Checksum, Error, GetOptions, Location, Metadata, Object, PutOptions, Result, Sums,
    Writer,
};

/// What one request asks for. An object of up to twice as much is read by one.
const RANGE_BYTES: u64 = 8 << 20;

/// Ranges of one object on their way at once. With a writer's own buffers this bounds what a copy
/// holds: 64 MiB and theirs.
const RANGES_AT_ONCE: usize = 8;

/// What is divided among the copies of this process, 256 MiB: one that begins beside others has its
/// part of it, and two at least. Those that began before keep what they have, to their end.
const RANGES_IN_ALL: usize = 32;

/// Copies in ranges that are under way.
static COPIES: AtomicUsize = AtomicUsize::new(0);

/// One of them.
struct UnderWay;

impl UnderWay {
    /// Begins one; how many ranges it may have on their way.
    fn begin() -> (Self, usize) {
        let copies = COPIES.fetch_add(1, Ordering::Relaxed) + 1;
        (Self, (RANGES_IN_ALL / copies).clamp(2, RANGES_AT_ONCE))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        COPIES.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Copies an object within a store or between two, and says how many bytes passed as they do. What
/// a store copies within itself is said at the end.
///
/// All bytes are of one version of the object. What was written when the copy fails is removed. What
/// is said about the object goes with it, unless `options` say something; as far as the other store
/// keeps such things.
///
/// # Errors
///
/// `NotFound` for `from`; `Precondition` where it is replaced meanwhile; for `to` as
/// [`Store::put`](crate::Store::put).
pub async fn copy(
    from: Location,
    to: Location,
    options: PutOptions,
    mut passed: impl FnMut(u64) + Send,
) -> Result<Metadata> {
    let passed = |bytes| {
        passed(bytes);
        true
    };
    copy_while(from, to, options, passed).await
}

/// Copies as [`copy`] does, until `passed` says that it is to be given up.
///
/// # Errors
///
/// As for `copy`; `Generic` where it was given up.
pub async fn copy_while(
    from: Location,
    to: Location,
    options: PutOptions,
    mut passed: impl FnMut(u64) -> bool + Send,
) -> Result<Metadata> {
    if Arc::ptr_eq(&from.store, &to.store) {
        let metadata = from.store.copy(&from.key, &to.key, options).await?;
        passed(metadata.size);
        return Ok(metadata);
    }
    let there = to.store.copy_from(&*from.store, &from.key, &to.key, options.clone());
    if let Some(metadata) = there.await? {
        passed(metadata.size);
        return Ok(metadata);
    }
    let object = from.store.get(&from.key, GetOptions::default().range(0..RANGE_BYTES)).await?;
    let options = described(&from, object.attributes.clone(), &to, options).await?;
    let metadata = object.metadata.clone();
    if metadata.size <= object.range.end {
        let bytes = object.bytes().await?;
        let size = bytes.len() as u64;
        let written = to.store.put(&to.key, bytes, options).await?;
        passed(size);
        return Ok(written);
    }
    let mut writer = to.store.writer(&to.key, options).await?;
    if object.ignores_ranges {
        drop(object);
        let ended = in_one_stream(&from, &metadata, &mut *writer, passed).await;
        return finished(writer, ended).await;
    }
    let ended = in_ranges(&from, object, &mut *writer, passed).await;
    finished(writer, ended).await
}

/// Copies by several requests at once, of which this is the first. What came is held against the
/// checksum of the whole, where the store has one.
async fn in_ranges(
    from: &Location,
    first: Object,
    writer: &mut dyn Writer,
    mut passed: impl FnMut(u64) -> bool + Send,
) -> Result<()> {
    let (metadata, sums) = (first.metadata.clone(), writer.wanted());
    let said = checksum(from.clone(), metadata.clone()).boxed().shared();
    let (_until_the_end, ranges_at_once) = UnderWay::begin();
    // While the first comes, so do others.
    let first = by_itself(came(first, said.clone())).boxed();
    let (of, etag) = (from.clone(), metadata.etag.clone());
    let rest = ranges(RANGE_BYTES..metadata.size).map(move |range| {
        let (of, if_match) = (of.clone(), Some(etag.clone()));
        let options = GetOptions { range: Some(range), if_match, sums: sums.clone() };
        by_itself(asked(of, options, said.clone())).boxed()
    });
    let reads = stream::iter(iter::once(first).chain(rest)).buffered(ranges_at_once);
    let mut reads = reads.boxed();
    let (mut at, mut held) = (0, None);
    while let Some(Came { pieces, checksum }) = reads.try_next().await? {
        let began = at;
        for (piece, sums) in pieces {
            let size = piece.len() as u64;
            at += size;
            match sums {
                Some(sums) => writer.write_summed(piece, sums).await?,
                None => writer.write(piece).await?,
            }
            if !passed(size) {
                return Err(Error::generic(shown(from.url()), GIVEN_UP));
            }
        }
        if let Some((said, found)) = checksum {
            held.get_or_insert_with(|| Held::to(said)).add(found, at - began);
        }
    }
    all_came(from, at, &metadata)?;
    match held.and_then(|held| held.differs()) {
        Some(how) => Err(Error::checksum(shown(from.url()), how)),
        None => Ok(()),
    }
}

/// What the store says of the whole; nothing where it does not, or may not.
async fn checksum(from: Location, version: Metadata) -> Option<Checksum> {
    from.store.checksum(&from.key, &version).await.unwrap_or_else(|error| {
        tracing::debug!(error = error.in_full(), "ranges are held against no checksum");
        None
    })
}

const GIVEN_UP: &str = "the copy was given up";

fn all_came(from: &Location, at: u64, metadata: &Metadata) -> Result<()> {
    if at == metadata.size {
        return Ok(());
    }
    let reason = format!("{at} of {} bytes came", metadata.size);
    Err(Error::unavailable(shown(from.url()), reason))
}

/// Copies from a server that sends all of an object whatever is asked for: by one request.
async fn in_one_stream(
    from: &Location,
    metadata: &Metadata,
    writer: &mut dyn Writer,
    mut passed: impl FnMut(u64) -> bool + Send,
) -> Result<()> {
    let whole = GetOptions::default().if_match(&metadata.etag);
    let mut body = from.store.get(&from.key, whole).await?.body;
    let mut at = 0;
    while let Some(part) = body.try_next().await? {
        let size = part.len() as u64;
        at += size;
        writer.write(part).await?;
        if !passed(size) {
            return Err(Error::generic(shown(from.url()), GIVEN_UP));
        }
    }
    all_came(from, at, metadata)
}

/// How a copy of an object is to be written: with what was said about the object, where `options`
/// say nothing and the other store keeps such things. `said` is what is known of that.
///
/// # Errors
///
/// Like [`Store::attributes`](crate::Store::attributes).
pub async fn described(
    from: &Location,
    said: Option<Attributes>,
    to: &Location,
    options: PutOptions,
) -> Result<PutOptions> {
    if options.attributes != Attributes::default() || !to.store.keeps_attributes() {
        return Ok(options);
    }
    let attributes = match said {
        Some(attributes) => attributes,
        None => from.store.attributes(&from.key).await?,
    };
    Ok(PutOptions { attributes: portable(attributes), ..options })
}

/// What other stores keep too. Others would refuse the object for the rest.
fn portable(attributes: Attributes) -> Attributes {
    let is_value = |said: &String| said.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let is_letter = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    let Attributes { content_type, user } = attributes;
    let is_name = |name: &String| !name.is_empty() && name.bytes().all(is_letter);
    let user = user.into_iter().filter(|(name, said)| is_name(name) && is_value(said));
    Attributes { content_type: content_type.filter(is_value), user: user.collect() }
}

/// A range that came.
struct Came {
    /// With their checksums where they are known.
    pieces: Vec<(Bytes, Option<Sums>)>,
    /// That of the object as its store says it, and that of this range.
    checksum: Option<(Checksum, Checksum)>,
}

/// What is said of the object: asked for once, while ranges are on their way.
type Said = Shared<BoxFuture<'static, Option<Checksum>>>;

/// Reads a range.
async fn asked(from: Location, options: GetOptions, said: Said) -> Result<Came> {
    came(from.store.get(&from.key, options).await?, said).await
}

/// All of a body, in the pieces that come: one large one would be another copy, in new memory. One
/// that comes as a whole has its checksums with it, where some are wanted.
async fn came(object: Object, said: Said) -> Result<Came> {
    let (mut sums, mut body) = (object.sums, object.body);
    let said = said.await;
    let mut making = said.map(|said| said.crc().making());
    let mut pieces = Vec::new();
    while let Some(piece) = body.try_next().await? {
        // While it is in the processor's caches.
        if let Some(making) = &mut making {
            making.add(&piece);
        }
        let sums = sums.take().filter(|sums| sums.length == piece.len());
        pieces.push((piece, sums));
    }
    Ok(Came { pieces, checksum: said.zip(making.map(Making::checksum)) })
}

/// Writes all of a body, or nothing.
#[cfg(any(feature = "opendal", feature = "s3", feature = "swift"))]
pub(crate) async fn poured(
    mut body: BoxStream<'static, Result<Bytes>>,
    mut writer: Box<dyn Writer>,
) -> Result<Metadata> {
    let ended = async {
        while let Some(part) = body.try_next().await? {
            writer.write(part).await?;
            comes_on();
        }
        Ok(())
    }
    .await;
    finished(writer, ended).await
}

/// Ends a writer as what it was for has ended. What was sent of an object that fails is gone when
/// this returns: the process may end then.
pub(crate) async fn finished(writer: Box<dyn Writer>, ended: Result<()>) -> Result<Metadata> {
    let Err(error) = ended else { return writer.finish().await };
    if let Err(left) = writer.abort().await {
        tracing::warn!("giving up an upload: {}", left.in_full());
    }
    Err(error)
}

/// Runs on while what came before is written, where there is a runtime to do so; ends when it is
/// dropped.
async fn by_itself<T: Send + 'static>(
    read: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    if tokio::runtime::Handle::try_current().is_err() {
        return read.await;
    }
    let mut task = JoinSet::new();
    task.spawn(read);
    match task.join_next().await.expect("it was spawned") {
        Ok(read) => read,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(Error::unavailable("a copy", error)),
        },
    }
}

/// Ranges to ask for, one after the other.
fn ranges(all: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let step = usize::try_from(RANGE_BYTES).unwrap_or(usize::MAX);
    let end = all.end;
    all.step_by(step).map(move |start| start..end.min(start + RANGE_BYTES))
}

/// Ranges that lie as near to each other are read by one request: the bytes between cost less than
/// a request.
const NEAR_BYTES: u64 = 256 << 10;

/// What one request reads of several near ranges at most.
const TOGETHER_MAX: u64 = 16 << 20;

/// Ranges that are read together, in the order of where they begin; each range's number with it.
pub(crate) fn together(ranges: &[Range<u64>]) -> Vec<(Range<u64>, Vec<usize>)> {
    let mut order: Vec<usize> = (0..ranges.len()).collect();
    order.sort_by_key(|n| (ranges[*n].start, ranges[*n].end));
    let mut found: Vec<(Range<u64>, Vec<usize>)> = Vec::new();
    for n in order {
        let range = &ranges[n];
        if let Some((all, numbers)) = found.last_mut() {
            let end = all.end.max(range.end);
            if range.start <= all.end.saturating_add(NEAR_BYTES) && end - all.start <= TOGETHER_MAX
            {
                all.end = end;
                numbers.push(n);
                continue;
            }
        }
        found.push((range.start..range.end.max(range.start), vec![n]));
    }
    found
}

/// The part of `bytes`, which begin at `start`, that is `range`; less where they end earlier.
pub(crate) fn part(bytes: &Bytes, start: u64, range: &Range<u64>) -> Bytes {
    let within = |at: u64| {
        usize::try_from(at.saturating_sub(start)).map_or(bytes.len(), |at| at.min(bytes.len()))
    };
    let (from, to) = (within(range.start), within(range.end));
    bytes.slice(from..to.max(from))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::tests::block_on;
    use crate::{Locator, MemStore, Store, StoreExt};

    #[test]
    fn near_ranges_are_read_together() {
        let far = 10 << 20;
        let ranges = [far..far + 1, 5..9, 0..2, 7..8, 100_000..100_010, 20..20];
        assert_eq!(together(&ranges), [(0..100_010, vec![2, 1, 3, 5, 4]), (far..far + 1, vec![0])]);
        let large = [0..TOGETHER_MAX, TOGETHER_MAX..TOGETHER_MAX + 1];
        assert_eq!(together(&large).len(), 2);
        assert_eq!(together(&[]), []);
    }

    #[test]
    fn ranges_are_those_of_single_reads() {
        let far = |start, end| Range { start, end };
        let store = MemStore::default();
        let bytes: Bytes = (0..3_000_000_u32).map(|n| n.to_le_bytes()[1]).collect();
        let ranges = [5..10, 0..0, 2_999_990..9_000_000, 1_000_000..1_700_000, 4..9, far(9, 3)];
        block_on(async {
            store.put("a", bytes, PutOptions::default()).await.unwrap();
            let read = store.read_ranges("a", &ranges, None).await.unwrap();
            for (range, read) in ranges.iter().zip(read) {
                assert_eq!(read, store.read_range("a", range.clone(), None).await.unwrap());
            }
        });
    }

    #[test]
    fn copies_that_are_given_up_leave_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let locator = Locator::new(dir.path());
        let (from, to) = (locator.open("mem://given up/a").unwrap(), locator.open("b").unwrap());
        let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
        tokio.block_on(async {
            let size = usize::try_from(3 * RANGE_BYTES).unwrap();
            from.store.put("a", vec![7; size].into(), PutOptions::default()).await.unwrap();
            let mut left = RANGE_BYTES + 1;
            let passed = |bytes| {
                left = u64::saturating_sub(left, bytes);
                left > 0
            };
            let copied = copy_while(from, to.clone(), PutOptions::default(), passed).await;
            assert!(copied.unwrap_err().in_full().contains("the copy was given up"));
            assert!(!to.store.exists(&to.key).await.unwrap());
        });
        assert_eq!(dir.path().read_dir().unwrap().count(), 0, "what was written is removed");
    }

    #[test]
    fn what_is_said_about_an_object_goes_with_it() {
        let locator = Locator::default();
        let (from, to) =
            (locator.open("mem://said/a").unwrap(), locator.open("mem://heard/a").unwrap());
        let user = |said: &[(&str, &str)]| {
            said.iter().map(|&(name, said)| (name.to_owned(), said.to_owned())).collect()
        };
        let content_type = Some("text/csv".to_owned());
        let said = [("a-1_b", "x ~"), ("Odd", "1"), ("b.c", "1"), ("c", "ü")];
        let attributes = Attributes { content_type: content_type.clone(), user: user(&said) };
        let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for size in [10, usize::try_from(RANGE_BYTES).unwrap() + 1] {
            tokio.block_on(async {
                let options =
                    PutOptions { attributes: attributes.clone(), ..PutOptions::default() };
                from.store.put("a", vec![7; size].into(), options).await.unwrap();
                let options = PutOptions::default;
                copy(from.clone(), to.clone(), options(), |_| {}).await.unwrap();
                let heard = to.store.attributes("a").await.unwrap();
                let kept = user(&[("a-1_b", "x ~")]);
                assert_eq!(heard, Attributes { content_type: content_type.clone(), user: kept });
                let other = options().content_type("text/plain");
                copy(from.clone(), to.clone(), other.clone(), |_| {}).await.unwrap();
                assert_eq!(to.store.attributes("a").await.unwrap(), other.attributes);
            });
        }
    }

    /// Others of this process may copy meanwhile, but not so many.
    #[test]
    fn many_copies_have_fewer_ranges_each() {
        let (first, ranges) = UnderWay::begin();
        assert!((RANGES_AT_ONCE / 2..=RANGES_AT_ONCE).contains(&ranges), "{ranges}");
        let many: Vec<(UnderWay, usize)> = (0..RANGES_IN_ALL).map(|_| UnderWay::begin()).collect();
        assert_eq!(many.last().map(|(_, ranges)| *ranges), Some(2));
        drop((first, many));
        assert!(UnderWay::begin().1 >= RANGES_AT_ONCE / 2, "those that ended do not count");
    }

    #[test]
    fn copies_say_what_passes() {
        let dir = tempfile::tempdir().unwrap();
        let locator = Locator::new(dir.path());
        for size in [0, 1, RANGE_BYTES - 1, RANGE_BYTES, RANGE_BYTES + 1, 5 * RANGE_BYTES + 7] {
            let bytes: Bytes = (0..size).map(|n| (n / 3 + n % 249).to_le_bytes()[0]).collect();
            let (from, to) =
                (locator.open("mem://copies/a").unwrap(), locator.open("b/c").unwrap());
            let tokio = tokio::runtime::Builder::new_current_thread().build().unwrap();
            tokio.block_on(async {
                from.store.put("a", bytes.clone(), PutOptions::default()).await.unwrap();
                let mut passed = 0;
                let count = |bytes| passed += bytes;
                let copied = copy(from, to.clone(), PutOptions::default(), count).await.unwrap();
                assert_eq!((copied.size, passed), (size, size));
                assert!(to.store.read(&to.key).await.unwrap() == bytes);
            });
        }
    }
}
