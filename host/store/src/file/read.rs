//! Reading files: ranges by pread(2), in one go or in pieces.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};

use super::{Place, Version, blocking, buffers};
use crate::{Attributes, Error, GetOptions, Object, Result, Sums, Wanted};

/// Ranges up to this length are read together with opening the file, into one allocation: a
/// second round to the blocking threads costs as much as reading some 100 KiB.
const ONE_PIECE_MAX: u64 = 8 << 20;

/// Length of the pieces of longer ranges.
const PIECE: u64 = 1 << 20;

/// A long range that is being read.
struct Reading {
    place: Place,
    file: File,
    version: Version,
    left: Range<u64>,
}

/// Opens a file, and reads the range if it is short.
pub(super) fn get(place: Place, options: &GetOptions) -> Result<Object> {
    let (file, version) = place.open()?;
    let metadata = version.metadata();
    if options.if_match.as_ref().is_some_and(|etag| *etag != metadata.etag) {
        return Err(place.precondition("the object is another version"));
    }
    let range = options.range_within(metadata.size);
    let mut reading = Reading { place, file, version, left: range.clone() };
    let (body, sums) = if range.end - range.start <= ONE_PIECE_MAX {
        let (bytes, sums) = reading.read(ONE_PIECE_MAX, options.sums.as_ref())?;
        (stream::iter((!bytes.is_empty()).then_some(Ok(bytes))).boxed(), sums)
    } else {
        (reading.into_body(), None)
    };
    let attributes = Some(Attributes::default());
    Ok(Object { sums, attributes, ..Object::new(metadata, range, body) })
}

// === impl Place ===

impl Place {
    /// Opens the file for reading.
    pub(super) fn open(&self) -> Result<(File, Version)> {
        self.version()?;
        let file = File::open(&self.path).map_err(|error| self.error(error))?;
        let metadata = file.metadata().map_err(|error| self.error(error))?;
        Ok((file, Version::of(&metadata)))
    }

    /// Fails where the open file is not as it was.
    pub(super) fn check_unchanged(&self, file: &File, version: Version) -> Result<()> {
        let metadata = file.metadata().map_err(|error| self.error(error))?;
        if Version::of(&metadata) == version { Ok(()) } else { Err(self.changed()) }
    }

    fn changed(&self) -> Error {
        self.precondition("the object changed while it was read")
    }

    fn precondition(&self, reason: &'static str) -> Error {
        Error::Precondition { location: self.url.clone(), reason }
    }
}

// === impl Reading ===

impl Reading {
    /// Reads the next piece, and makes checksums of it where some are wanted.
    fn read(&mut self, length_max: u64, wanted: Option<&Wanted>) -> Result<(Bytes, Option<Sums>)> {
        let length = (self.left.end - self.left.start).min(length_max);
        let length_here = usize::try_from(length).unwrap_or(usize::MAX);
        let (file, start) = (&self.file, self.left.start);
        let mut sums = None;
        let fill = |buffer: &mut [u8]| match wanted {
            None => file.read_exact_at(buffer, start),
            Some(wanted) => {
                let fill = |piece: &mut [u8], at| file.read_exact_at(piece, start + at as u64);
                sums = Some(wanted.fill(buffer, fill)?);
                Ok(())
            }
        };
        let bytes = buffers::filled(length_here, fill).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.place.changed(),
            _ => self.place.error(error),
        })?;
        self.place.check_unchanged(&self.file, self.version)?;
        self.left.start += length;
        Ok((bytes, sums))
    }

    fn into_body(self) -> BoxStream<'static, Result<Bytes>> {
        stream::try_unfold(self, |mut reading| async move {
            if reading.left.is_empty() {
                return Ok(None);
            }
            let read = move || reading.read(PIECE, None).map(|(bytes, _)| Some((bytes, reading)));
            blocking(read).boxed().await
        })
        .boxed()
    }
}
