//! The storage interface, function by function. What the host refuses is returned as a value.

use std::io::{self, BufRead, Read, Seek, SeekFrom, Write};

use samara_guest::storage::{self, Metadata, PutOptions, Reader, Writer};
use samara_guest::{Bytes, Result, function};

use crate::Attempt;

/// Reads an object.
#[function]
pub fn get_object(url: String) -> Attempt<Bytes> {
    storage::get(&url).map(Bytes::from).into()
}

/// Reads a range of an object.
#[function]
pub fn get_object_range(url: String, offset: u64, length: u64) -> Attempt<Bytes> {
    storage::get_range(&url, offset, length).map(Bytes::from).into()
}

/// Reads a range of one version of an object.
#[function]
pub fn get_version_range(url: String, etag: String, offset: u64, length: u64) -> Attempt<Bytes> {
    storage::get_range_of(&url, &etag, offset, length).map(Bytes::from).into()
}

/// Writes an object, and returns its size.
#[function]
pub fn put_object(url: String, bytes: Bytes) -> Attempt<u64> {
    storage::put(&url, &bytes).map(size).into()
}

/// Writes an object unless there is one, and returns its size.
#[function]
pub fn put_object_if_absent(url: String, bytes: Bytes) -> Attempt<u64> {
    storage::put_if_absent(&url, &bytes).map(size).into()
}

/// Replaces one version of an object, and returns its etag.
#[function]
pub fn put_object_if_match(url: String, etag: String, bytes: Bytes) -> Attempt<String> {
    storage::put_if_match(&url, &etag, &bytes).map(|it| it.etag).into()
}

/// Replaces one version of an object through a writer, and returns its size.
#[function]
pub fn write_version(url: String, etag: String, bytes: Bytes) -> Result<Attempt<u64>> {
    let mut writer = match Writer::create_with(&url, &PutOptions::if_match(etag)) {
        Ok(writer) => writer,
        refused => return Ok(refused.map(|_| 0).into()),
    };
    writer.write_all(&bytes)?;
    Ok(writer.finish().map(size).into())
}

/// Writes an object with a media type and one attribute, and returns its size.
#[function]
pub fn put_described(url: String, media: String, name: String, value: String) -> Attempt<u64> {
    let options = PutOptions::default().content_type(media).attribute(name, value);
    storage::put_with(&url, b"described", &options).map(size).into()
}

/// What is said about an object: its media type, and the value of an attribute.
#[function]
pub fn read_described(url: String, name: String) -> Attempt<(Option<String>, Option<String>)> {
    let said = storage::attributes(&url);
    said.map(|said| (said.content_type, said.user.get(&name).cloned())).into()
}

/// Removes an object.
#[function]
pub fn delete_object(url: String) -> Attempt<()> {
    storage::delete(&url).into()
}

/// Reads an object's size and etag.
#[function]
pub fn head_object(url: String) -> Attempt<(u64, String)> {
    storage::head(&url).map(|it| (it.size, it.etag)).into()
}

/// Copies an object, and returns its size.
#[function]
pub fn copy_object(source: String, target: String) -> Attempt<u64> {
    storage::copy(&source, &target).map(size).into()
}

/// Lists objects with their sizes, in pages of at most `page` entries.
#[function]
pub fn list_objects(prefix: String, page: u32) -> Attempt<Vec<(String, u64)>> {
    let entries = storage::list(&prefix).page_size(page);
    entries
        .map(|entry| entry.map(|it| (it.url, it.metadata.size)))
        .collect::<storage::Result<_>>()
        .into()
}

/// Returns the number of entries of each page of a listing.
#[function]
pub fn page_lengths(prefix: String, page: u32) -> Attempt<Vec<usize>> {
    let pages = storage::list(&prefix).page_size(page).pages();
    pages.map(|page| page.map(|it| it.entries.len())).collect::<storage::Result<_>>().into()
}

/// Writes `pieces` times `piece` through a writer, and returns the object's size.
///
/// Without `finish` the writer is dropped, and the object's size is returned as it was before.
#[function]
pub fn write_pieces(url: String, piece: Bytes, pieces: u64, finish: bool) -> Result<Attempt<u64>> {
    let mut writer = Writer::create(&url)?;
    for _ in 0..pieces {
        writer.write_all(&piece)?;
    }
    if finish {
        return Ok(writer.finish().map(size).into());
    }
    writer.flush()?;
    drop(writer);
    Ok(storage::head(&url).map(size).into())
}

/// Writes so many objects at once, each `bytes` long, and finishes them in the end.
#[function]
pub fn writes_many_at_once(url: String, writers: u64, bytes: Bytes) -> Result<u64> {
    let mut open = Vec::new();
    for number in 0..writers {
        let mut writer = Writer::create(&format!("{url}/{number}"))?;
        writer.write_all(&bytes)?;
        writer.flush()?;
        open.push(writer);
    }
    let mut finished = 0;
    for writer in open {
        writer.finish()?;
        finished += 1;
    }
    Ok(finished)
}

/// Writes an object through a writer that must not replace one.
#[function]
pub fn write_new(url: String, bytes: Bytes) -> Result<Attempt<u64>> {
    let mut writer = match Writer::create_new(&url) {
        Ok(writer) => writer,
        refused => return Ok(refused.map(|_| 0).into()),
    };
    writer.write_all(&bytes)?;
    Ok(writer.finish().map(size).into())
}

/// Reads an object through a reader: its size, and the sum of its bytes.
#[function]
pub fn read_through(url: String) -> Result<(u64, u64)> {
    let mut reader = Reader::open(&url)?;
    let (mut length, mut sum) = (0, 0);
    loop {
        let bytes = reader.fill_buf()?;
        if bytes.is_empty() {
            return Ok((length, sum));
        }
        let count = bytes.len();
        sum += bytes.iter().copied().map(u64::from).sum::<u64>();
        length += count as u64;
        reader.consume(count);
    }
}

/// Reads `length` bytes from `offset` through a reader that seeks.
#[function]
pub fn read_at(url: String, offset: u64, length: u64) -> Result<Bytes> {
    let mut reader = Reader::open(&url)?;
    reader.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    reader.take(length).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// Opens an object, replaces it, then reads: returns what the reader makes of that.
#[function]
pub fn read_replaced(url: String, replacement: Bytes) -> Result<Attempt<Bytes>> {
    let mut reader = Reader::open(&url)?;
    storage::put(&url, &replacement)?;
    let mut bytes = Vec::new();
    Ok(reader.read_to_end(&mut bytes).map(|_| bytes.into()).into())
}

/// Copies an object through the task, piece by piece.
#[function]
pub fn copy_through(source: String, target: String) -> Result<u64> {
    let mut writer = Writer::create(&target)?;
    io::copy(&mut Reader::open(&source)?, &mut writer)?;
    Ok(writer.finish()?.size)
}

/// The size in what a write returns.
fn size(Metadata { size, .. }: Metadata) -> u64 {
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused<T>(attempt: Attempt<T>) -> String {
        match attempt {
            Attempt::Did(_) => "nothing".to_owned(),
            Attempt::Refused { case, .. } => case,
        }
    }

    #[test]
    fn objects_are_written_read_and_removed() {
        let (a, b) = ("mem:///t/a".to_owned(), "mem:///t/b".to_owned());
        assert_eq!(refused(get_object(a.clone())), "NotFound");
        assert_eq!(put_object(a.clone(), vec![1, 2, 3].into()), Attempt::Did(3));
        assert_eq!(refused(put_object_if_absent(a.clone(), vec![].into())), "AlreadyExists");
        assert_eq!(copy_through(a.clone(), b.clone()).unwrap(), 3);
        assert_eq!(read_at(b.clone(), 1, 9).unwrap(), Bytes::from(vec![2, 3]));
        let listed = vec![(a.clone(), 3), (b.clone(), 3)];
        assert_eq!(list_objects("mem:///t/".to_owned(), 1), Attempt::Did(listed));
        assert_eq!(page_lengths("mem:///t/".to_owned(), 1), Attempt::Did(vec![1, 1]));
        assert_eq!(delete_object(a.clone()), Attempt::Did(()));
        assert_eq!(refused(head_object(a)), "NotFound");
    }

    #[test]
    fn versions_are_replaced_once_and_described() {
        let url = "mem:///t/version".to_owned();
        put_object(url.clone(), vec![1].into());
        let Attempt::Did((_, first)) = head_object(url.clone()) else { panic!("no object") };
        let next = put_object_if_match(url.clone(), first.clone(), vec![2].into());
        assert!(matches!(next, Attempt::Did(_)), "{next:?}");
        let stale = put_object_if_match(url.clone(), first.clone(), vec![3].into());
        assert_eq!(refused(stale), "PreconditionFailed");
        let stale = write_version(url.clone(), first, vec![3].into()).unwrap();
        assert_eq!(refused(stale), "PreconditionFailed");
        let [media, name, value] = ["text/csv", "source", "census"].map(str::to_owned);
        let put = put_described(url.clone(), media.clone(), name.clone(), value.clone());
        assert_eq!(put, Attempt::Did(9));
        assert_eq!(read_described(url, name), Attempt::Did((Some(media), Some(value))));
    }

    #[test]
    fn a_reader_notices_a_replaced_object() {
        let url = "mem:///t/replaced".to_owned();
        put_object(url.clone(), vec![1; 10].into());
        let attempt = read_replaced(url, vec![2; 10].into()).unwrap();
        assert!(matches!(attempt, Attempt::Refused { .. }), "{attempt:?}");
    }

    #[test]
    fn a_writer_that_is_not_finished_leaves_nothing() {
        let url = "mem:///t/pieces".to_owned();
        let unfinished = write_pieces(url.clone(), vec![7; 10].into(), 3, false).unwrap();
        assert_eq!(refused(unfinished), "NotFound");
        let piece = Bytes::from(vec![7; 1 << 20]);
        let finished = write_pieces(url.clone(), piece, 9, true).unwrap();
        assert_eq!(finished, Attempt::Did(9 << 20));
        assert_eq!(read_through(url.clone()).unwrap(), (9 << 20, 63 << 20));
        assert_eq!(refused(write_new(url, vec![].into()).unwrap()), "AlreadyExists");
    }
}
