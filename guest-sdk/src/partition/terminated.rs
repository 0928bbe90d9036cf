//! Records that end with given bytes, or have a given size.

use std::iter::FusedIterator;
use std::rc::Rc;

use memchr::memmem::Finder;

use super::lines::Record;
use super::{Error, Partition, to_u64};

/// The iterator that [`Partition::records_ended_by`] returns.
#[derive(Debug)]
pub struct TerminatedRecords {
    records: Slices,
    finder: Finder<'static>,
    /// Bytes after the record's start in which its end is not.
    searched: usize,
}

/// The iterator that [`Partition::fixed_records`] returns.
#[derive(Debug)]
pub struct FixedRecords {
    records: Slices,
    bytes: usize,
}

/// The iterator that [`Partition::fixed_arrays`] returns.
#[derive(Debug)]
pub struct FixedArrays<const N: usize>(FixedRecords);

/// What both share: a block whose records are slices of it.
#[derive(Debug)]
struct Slices {
    partition: Partition,
    block: Rc<Vec<u8>>,
    /// Where in the block the next record begins.
    start: usize,
    /// Bytes of the partition before the block.
    before: u64,
    ended: bool,
}

impl Partition {
    /// Reads records that end with `terminator`, which is left out; the last one may lack it.
    ///
    /// ```
    /// # use samara_guest::Partition;
    /// let paragraphs = Partition::from("to be\nor not\n\nthat is").records_ended_by("\n\n");
    /// let paragraphs: Vec<Vec<u8>> = paragraphs.map(|it| Ok(it?.into())).collect::<Result<_, samara_guest::Error>>()?;
    /// assert_eq!(paragraphs, [&b"to be\nor not"[..], b"that is"]);
    /// # Ok::<(), samara_guest::Error>(())
    /// ```
    pub fn records_ended_by(self, terminator: impl AsRef<[u8]>) -> TerminatedRecords {
        let finder = Finder::new(terminator.as_ref()).into_owned();
        TerminatedRecords { records: Slices::new(self), finder, searched: 0 }
    }

    /// Reads records of `bytes` bytes each.
    ///
    /// Bytes that are too few for a record at the end are an error.
    ///
    /// ```
    /// # use samara_guest::Partition;
    /// let pixels = Partition::from(&b"\xff\0\0\0\xff\0"[..]).fixed_records(3);
    /// assert_eq!(pixels.filter(|pixel| pixel.as_ref().is_ok_and(|rgb| rgb[0] == 0xff)).count(), 1);
    /// ```
    pub fn fixed_records(self, bytes: usize) -> FixedRecords {
        FixedRecords { records: Slices::new(self), bytes }
    }

    /// Reads records of `N` bytes each, as arrays.
    ///
    /// ```
    /// # use samara_guest::Partition;
    /// let mut sum = 0;
    /// for bytes in Partition::from(&[1, 0, 2, 0][..]).fixed_arrays() {
    ///     sum += u16::from_le_bytes(bytes?);
    /// }
    /// assert_eq!(sum, 3);
    /// # Ok::<(), samara_guest::Error>(())
    /// ```
    pub fn fixed_arrays<const N: usize>(self) -> FixedArrays<N> {
        FixedArrays(self.fixed_records(N))
    }
}

// === impl Slices ===

impl Slices {
    fn new(partition: Partition) -> Self {
        let before = partition.position();
        Self { partition, block: Rc::default(), start: 0, before, ended: false }
    }

    /// What is there of the next record, and maybe of more.
    fn rest(&self) -> &[u8] {
        &self.block[self.start..]
    }

    /// Adds bytes to the rest; false at the end.
    fn grow(&mut self) -> Result<bool, Error> {
        let Some(piece) = self.partition.next_piece()? else { return Ok(false) };
        let block = match self.rest() {
            [] => piece,
            rest => [rest, &piece].concat(),
        };
        self.before += to_u64(self.start);
        (self.block, self.start) = (Rc::new(block), 0);
        Ok(true)
    }

    /// Takes the next record of so many bytes, and passes its end.
    fn take(&mut self, length: usize, end: usize) -> Record {
        let start = self.start;
        self.start += length + end;
        Record::new(Rc::clone(&self.block), start..start + length)
    }

    /// Ends the iteration.
    fn fail<T>(&mut self, error: Error) -> Option<Result<T, Error>> {
        self.ended = true;
        Some(Err(error))
    }
}

impl Iterator for TerminatedRecords {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { records, finder, searched } = self;
        let terminator = finder.needle().len();
        if records.ended {
            return None;
        }
        if terminator == 0 {
            return records.fail(Error::invalid("records cannot end with no bytes"));
        }
        loop {
            if let Some(at) = finder.find(&records.rest()[*searched..]) {
                let length = *searched + at;
                *searched = 0;
                return Some(Ok(records.take(length, terminator)));
            }
            // The beginning of an end may be there.
            *searched = records.rest().len().saturating_sub(terminator - 1);
            match records.grow() {
                Ok(true) => {}
                Ok(false) => {
                    records.ended = true;
                    let length = records.rest().len();
                    return (length > 0).then(|| Ok(records.take(length, 0)));
                }
                Err(error) => return records.fail(error),
            }
        }
    }
}

impl FusedIterator for TerminatedRecords {}

impl Iterator for FixedRecords {
    type Item = Result<Record, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { records, bytes } = self;
        if records.ended {
            return None;
        }
        if *bytes == 0 {
            return records.fail(Error::invalid("records cannot have a size of 0 bytes"));
        }
        while records.rest().len() < *bytes {
            match records.grow() {
                Ok(true) => {}
                Ok(false) if records.rest().is_empty() => {
                    records.ended = true;
                    return None;
                }
                Ok(false) => {
                    let reason =
                        format!("{} bytes where {bytes} are a record", records.rest().len());
                    let at = records.before + to_u64(records.start);
                    let error = Error::malformed(at, reason, records.partition.describe());
                    return records.fail(error);
                }
                Err(error) => return records.fail(error),
            }
        }
        Some(Ok(records.take(*bytes, 0)))
    }
}

impl FusedIterator for FixedRecords {}

impl<const N: usize> Iterator for FixedArrays<N> {
    type Item = Result<[u8; N], Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let record = self.0.next()?;
        Some(record.map(|record| {
            let mut array = [0; N];
            array.copy_from_slice(&record);
            array
        }))
    }
}

impl<const N: usize> FusedIterator for FixedArrays<N> {}

#[cfg(test)]
mod tests {
    use crate::partition::tests::cuts;

    #[test]
    fn records_of_any_end_are_the_same_wherever_pieces_are_cut() {
        for (text, terminator, expected) in [
            ("", ";", &[][..]),
            ("a;b;;c", ";", &["a", "b", "", "c"]),
            ("a;", ";", &["a"]),
            ("a\r\nb\rc\nd\r\n", "\r\n", &["a", "b\rc\nd"]),
            ("a\n\n\nb\n\n", "\n\n", &["a", "\nb"]),
            ("aXaXbaX", "aX", &["", "", "b"]),
        ] {
            for partition in cuts(text.as_bytes()) {
                let records = partition.records_ended_by(terminator);
                let records: Vec<Vec<u8>> = records.map(|record| record.unwrap().into()).collect();
                let expected: Vec<&[u8]> = expected.iter().map(|text| text.as_bytes()).collect();
                assert_eq!(records, expected, "{text:?} by {terminator:?}");
            }
        }
    }

    #[test]
    fn records_of_a_fixed_size_are_the_same_wherever_pieces_are_cut() {
        for partition in cuts(b"aabbcc") {
            let records: Vec<Vec<u8>> =
                partition.fixed_records(2).map(|record| record.unwrap().into()).collect();
            assert_eq!(records, [b"aa", b"bb", b"cc"]);
        }
        for partition in cuts(b"aaabbb") {
            let records: Vec<[u8; 3]> = partition.fixed_arrays().map(Result::unwrap).collect();
            assert_eq!(records, [*b"aaa", *b"bbb"]);
        }
    }

    #[test]
    fn what_is_left_of_a_record_is_an_error() {
        for partition in cuts(b"aabbc") {
            let mut records = partition.fixed_records(2).skip(2);
            let error = records.next().unwrap().unwrap_err().to_string();
            assert!(error.contains("byte 4") && error.contains("1 bytes where 2"), "{error}");
            assert!(records.next().is_none());
        }
    }

    #[test]
    fn records_that_cannot_be_are_an_error_not_a_loop() {
        for partition in cuts(b"ab") {
            assert!(partition.records_ended_by("").next().unwrap().is_err());
        }
        for partition in cuts(b"ab") {
            let results: Vec<_> = partition.fixed_records(0).collect();
            assert!(matches!(results.as_slice(), [Err(_)]), "{results:?}");
        }
    }
}
