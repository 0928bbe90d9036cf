//! Where partitions are cut: over any bytes, cuts and kinds of records, each record comes once, as a
//! plain splitter finds it. And partitions that nobody's plan has: they are refused, or read what is
//! there.

use std::time::Duration;

use bytes::Bytes;
use samara_core::{CsvOptions, Error, Partition, Records, Terminator};
use samara_engine::inside::read_partition;
use samara_store::{Location, Locator, PutOptions};
use tokio::runtime::Runtime;

use crate::Target;
use crate::engine::{Draw, Seen};

/// See the module.
pub const TARGET: Target = Target {
    name: "records",
    seeds,
    words: &[
        "\n", "\r\n", "\r", "\n\n", "\"", "\"\"", ",", ";", "\",\"", "\"\n\"", "\u{feff}", "a",
        "ab", "aba",
    ],
    bytes_max: 2 << 10,
    time_max: Duration::from_secs(10),
    start: || {
        let mut shop = Shop::new();
        Box::new(move |input| shop.check(input))
    },
};

/// Bytes of terminators that an input chooses from.
const TERMINATORS: &[&[u8]] =
    &[b"\0", b";", b"\r\n", b"\n\n", b"aba", b"abab", b"aaaa", b"\n-\n", b"\r", b"ab", b"\n\n\n"];

/// Where objects are, and what waits for them.
struct Shop {
    io: Runtime,
    at: Location,
}

/// What an input says.
#[derive(Debug)]
struct Asked<'a> {
    records: Records,
    /// Bytes at a time.
    max: usize,
    cuts: Vec<u64>,
    bytes: &'a [u8],
}

fn seeds() -> Vec<Vec<u8>> {
    let texts: &[&[u8]] = &[
        b"one\ntwo\r\nthree\n\nfour",
        b"a\n\nb\n\n\n\nc\nd",
        b"abaabababaabab",
        b"a,b\n1,\"x\ny\"\n\"\"\"\n\",2\r\n",
        b"\xef\xbb\xbf\"h\n1\",h2\n1,2\n3,\"4\n\"\n",
        b"a\n\"quoted, \"\"twice\"\"\n\"\nb;c\n",
        b"5\" pipe,\"x\ny\"\nz\n",
        b"123456789abcdef",
    ];
    let kinds = 0..7_u8;
    let of =
        |kind: u8| texts.iter().map(move |text| [&[kind * 37, kind, 9, 3, 3, 7], *text].concat());
    kinds.flat_map(of).collect()
}

// === impl Shop ===

impl Shop {
    fn new() -> Self {
        let io = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let at = Locator::default().open("mem://fuzz-records/object").expect("a store in memory");
        Self { io: io.expect("a thread"), at }
    }

    fn check(&mut self, input: &[u8]) -> Seen {
        let mut draw = Draw::new(input);
        let kind = draw.below(9);
        match kind {
            8 => self.strange(draw),
            _ => self.cut(&asked(kind, draw)).and(kind),
        }
    }

    fn put(&self, bytes: &[u8]) -> String {
        let body = Bytes::copy_from_slice(bytes);
        let put = self.at.store.put(&self.at.key, body, PutOptions::default());
        self.io.block_on(put).expect("it is put").etag
    }

    fn read(&self, partition: Partition, max: usize) -> Result<Vec<u8>, Error> {
        let chunks =
            self.io.block_on(read_partition(partition, self.at.clone(), max, self.io.handle()))?;
        for chunk in &chunks {
            assert!(
                chunk.len() <= max,
                "a chunk of {} bytes, and {max} were asked for",
                chunk.len()
            );
        }
        Ok(chunks.concat())
    }

    /// A plan as drivers make it.
    fn cut(&self, asked: &Asked<'_>) -> Seen {
        let Asked { records, max, cuts, bytes } = asked;
        let etag = self.put(bytes);
        let size = bytes.len() as u64;
        let starts = std::iter::once(0).chain(cuts.iter().copied());
        let ends = cuts.iter().copied().chain([size]);
        let parts: Result<Vec<Vec<u8>>, Error> = starts
            .zip(ends)
            .map(|(offset, end)| {
                let partition = Partition {
                    object: self.at.url(),
                    offset,
                    length: end - offset,
                    object_size: size,
                    etag: etag.clone(),
                    records: *records,
                };
                self.read(partition, *max)
            })
            .collect();
        match (parts, records) {
            (Ok(parts), Records::Csv(options)) => {
                same_rows(asked, &parts, *options);
                Seen::of((parts.len().min(4), options.header))
            }
            (Ok(parts), _) => {
                assert_eq!(parts, expected(asked), "{asked:?}");
                Seen::of(parts.iter().filter(|part| !part.is_empty()).count().min(6))
            }
            // CSV that nobody may cut, a size that does not fit: said, and nothing is wrong.
            (Err(error), _) => {
                let is_allowed = match records {
                    Records::Csv(_) => true,
                    Records::Fixed(each) => !size.is_multiple_of(*each),
                    _ => false,
                };
                assert!(is_allowed, "{error}: {asked:?}");
                Seen::text(&error.message)
            }
        }
    }

    /// Numbers that no plan has: whoever can send batches can send these.
    fn strange(&self, mut draw: Draw<'_>) -> Seen {
        let kind = draw.below(8);
        let records = records(kind, &mut draw);
        let (offset, length, object_size) = (draw.number(), draw.number(), draw.number());
        let max = 1 + draw.below(4096);
        let bytes = draw.rest();
        let etag = self.put(bytes);
        let object_size =
            if object_size.is_multiple_of(3) { bytes.len() as u64 } else { object_size };
        let partition =
            Partition { object: self.at.url(), offset, length, object_size, etag, records };
        match self.read(partition, max) {
            Ok(read) => {
                // A header comes before what is the partition's own.
                assert!(read.len() <= 2 * bytes.len(), "{} of {}", read.len(), bytes.len());
                Seen::of((9, read.is_empty()))
            }
            Err(error) => Seen::text(&error.message).and(9),
        }
    }
}

fn records(kind: usize, draw: &mut Draw<'_>) -> Records {
    match kind {
        0 => Records::Lines,
        1 => Records::JsonLines,
        2 => Records::Bytes,
        3 => Records::Fixed(match draw.below(4) {
            0 => draw.number(),
            _ => 1 + draw.below(9) as u64,
        }),
        4 | 5 => Records::Terminated(Terminator::new(draw.one(TERMINATORS)).expect("some bytes")),
        _ => {
            let options = CsvOptions::new().header(draw.flag());
            Records::Csv(match draw.below(3) {
                0 => options.delimiter(b';').quote(b'\''),
                _ => options,
            })
        }
    }
}

fn asked<'a>(kind: usize, mut draw: Draw<'a>) -> Asked<'a> {
    let records = match records(kind, &mut draw) {
        // No object has such records, which is another matter.
        Records::Fixed(0) => Records::Fixed(1),
        records => records,
    };
    let max = draw.one(&[1, 2, 3, 7, 64, 1 << 20]);
    let every = draw.below(256);
    let step = 1 + draw.below(40);
    let bytes = draw.rest();
    // Cuts that follow from two numbers: at many places, or at few.
    let is_cut = |at: &u64| (at * 7 + every as u64).is_multiple_of(step as u64);
    let cuts = (1..bytes.len() as u64).filter(is_cut).take(64).collect();
    Asked { records, max, cuts, bytes }
}

/// What each partition should be: the records that begin in it, whole.
fn expected(asked: &Asked<'_>) -> Vec<Vec<u8>> {
    let Asked { bytes, cuts, .. } = asked;
    let starts = starts(asked);
    let place = |cut: u64| {
        let at = usize::try_from(cut).unwrap_or(usize::MAX);
        starts.iter().copied().find(|start| *start >= at).unwrap_or(bytes.len())
    };
    let cuts: Vec<usize> = cuts.iter().map(|cut| place(*cut)).collect();
    let from = std::iter::once(0).chain(cuts.iter().copied());
    let to = cuts.iter().copied().chain([bytes.len()]);
    from.zip(to).map(|(from, to)| bytes[from..to].to_vec()).collect()
}

/// Where records begin, found from the object's first byte on.
fn starts(asked: &Asked<'_>) -> Vec<usize> {
    let bytes = asked.bytes;
    match asked.records {
        Records::Bytes => (0..bytes.len()).collect(),
        Records::Fixed(each) => {
            let each = usize::try_from(each).unwrap_or(usize::MAX);
            (0..bytes.len()).step_by(each).collect()
        }
        Records::Terminated(terminator) => behind(bytes, terminator.as_bytes()),
        _ => behind(bytes, b"\n"),
    }
}

/// The beginning, and each place behind an end, from the left and none overlapping.
fn behind(bytes: &[u8], end: &[u8]) -> Vec<usize> {
    let (mut starts, mut at) = (vec![0], 0);
    while at + end.len() <= bytes.len() {
        if bytes[at..].starts_with(end) {
            at += end.len();
            starts.push(at);
        } else {
            at += 1;
        }
    }
    starts
}

/// The rows of all partitions are those of the whole, read by the `csv` crate.
fn same_rows(asked: &Asked<'_>, parts: &[Vec<u8>], options: CsvOptions) {
    let rows = |bytes: &[u8]| -> Vec<csv::ByteRecord> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(options.header)
            .flexible(true)
            .delimiter(options.delimiter)
            .quote(options.quote)
            .from_reader(bytes);
        reader.byte_records().map(|row| row.expect("bytes in memory")).collect()
    };
    let mut of_parts = Vec::new();
    for (at, part) in parts.iter().enumerate() {
        // What looks like a mark is data here, and the `csv` crate takes one off.
        let is_data = at > 0 && !options.header && part.starts_with(b"\xef\xbb\xbf");
        of_parts.extend(match is_data {
            true => rows(&[b"\xef\xbb\xbf", &part[..]].concat()),
            false => rows(part),
        });
    }
    assert_eq!(of_parts, rows(asked.bytes), "{asked:?}");
}
