//! Readers over real objects: whatever the cut, each record comes once.
#![allow(clippy::cast_possible_truncation, reason = "small numbers")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use csv::{ByteRecord, ReaderBuilder, WriterBuilder};
use samara_core::{CsvOptions, Terminator};
use samara_store::{
    GetOptions, ListOptions, Location, Locator, Metadata, Object, Page, PutOptions, Store, Writer,
};
use tokio::runtime::Runtime;

use super::*;

/// Where objects are, and what waits for them.
struct Shop {
    io: Runtime,
    locator: Locator,
    /// One for each test: they run at once, and share what `mem:` holds.
    url: String,
}

/// Random numbers that a seed decides.
struct Random(u64);

// === impl Shop ===

impl Shop {
    fn new() -> Self {
        static SHOPS: AtomicU32 = AtomicU32::new(0);
        let number = SHOPS.fetch_add(1, Ordering::Relaxed);
        let io = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        Self {
            io: io.unwrap(),
            locator: Locator::default(),
            url: format!("mem://readers/{number}"),
        }
    }

    /// Puts an object and reads the partitions that `cuts` make of it, by `max` bytes at a time.
    fn read(
        &self,
        bytes: &[u8],
        records: Records,
        cuts: &[u64],
        max: usize,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let readers = self.readers(bytes, records, cuts);
        let all = async |mut reader: Reader| {
            let mut all = Vec::new();
            loop {
                let chunk = reader.next(max, self.io.handle()).await?;
                assert!(chunk.len() <= max);
                if chunk.is_empty() {
                    return Ok(all);
                }
                all.extend_from_slice(&chunk);
            }
        };
        readers.into_iter().map(|reader| self.io.block_on(all(reader))).collect()
    }

    fn readers(&self, bytes: &[u8], records: Records, cuts: &[u64]) -> Vec<Reader> {
        let open = || self.locator.open(&self.url).unwrap();
        let location = open();
        let body = Bytes::copy_from_slice(bytes);
        let put = location.store.put(&location.key, body, PutOptions::default());
        let etag = self.io.block_on(put).unwrap().etag;
        let size = bytes.len() as u64;
        let starts = std::iter::once(0).chain(cuts.iter().copied());
        let ends = cuts.iter().copied().chain([size]);
        let partition = |(offset, end): (u64, u64)| Partition {
            object: self.url.clone(),
            offset,
            length: end - offset,
            object_size: size,
            etag: etag.clone(),
            records,
        };
        starts.zip(ends).map(|cut| Reader::new(partition(cut), open())).collect()
    }
}

// === impl Random ===

impl Random {
    fn seeded() -> Self {
        Self(u64::from(std::process::id()))
    }

    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }

    fn text(&mut self, words: &[&'static str], length_max: usize) -> String {
        (0..self.below(length_max)).map(|_| words[self.below(words.len())]).collect()
    }

    /// Cuts of `size` bytes: one at each byte, or some.
    fn cuts(&mut self, size: usize) -> Vec<u64> {
        let every = match self.below(3) {
            0 => 1,
            _ => 1 + self.below(size + 1),
        };
        (1..size as u64).filter(|_| self.below(every) == 0).collect()
    }
}

/// What each partition should be, by the starts of the records.
fn expected(bytes: &[u8], starts: &[usize], cuts: &[u64]) -> Vec<Vec<u8>> {
    let bounds =
        |at: usize| starts.iter().copied().find(|start| *start >= at).unwrap_or(bytes.len());
    let cuts: Vec<usize> = cuts.iter().map(|cut| bounds(*cut as usize)).collect();
    let from = std::iter::once(0).chain(cuts.iter().copied());
    let to = cuts.iter().copied().chain([bytes.len()]);
    from.zip(to).map(|(from, to)| bytes[from..to].to_vec()).collect()
}

/// Where records begin that end with `terminator`.
fn starts(text: &str, terminator: &str) -> Vec<usize> {
    let mut starts = vec![0];
    starts.extend(text.match_indices(terminator).map(|(at, end)| at + end.len()));
    starts
}

fn rows(bytes: &[u8], options: CsvOptions) -> Vec<ByteRecord> {
    let mut reader = ReaderBuilder::new()
        .has_headers(options.header)
        .flexible(true)
        .delimiter(options.delimiter)
        .quote(options.quote)
        .from_reader(bytes);
    reader.byte_records().map(Result::unwrap).collect()
}

/// All rows of all partitions, each read for itself, as a guest does.
fn rows_of_parts(parts: &[Vec<u8>], options: CsvOptions) -> Vec<ByteRecord> {
    let rows_of = |(index, part): (usize, &Vec<u8>)| {
        // What looks like a mark is data here, and the `csv` crate takes one off.
        match index > 0 && !options.header && part.starts_with(b"\xef\xbb\xbf") {
            true => rows(&[b"\xef\xbb\xbf", &part[..]].concat(), options),
            false => rows(part, options),
        }
    };
    parts.iter().enumerate().flat_map(rows_of).collect()
}

#[test]
fn records_of_any_terminator_are_whole_whatever_the_cut() {
    let (shop, mut random) = (Shop::new(), Random::seeded());
    let seed = random.0;
    for round in 0..400 {
        let terminator =
            ["\n", "\0", ";", "\r\n", "\r", "\n\n", "aba", "abab", "\n-\n", "aaaaaaaa"];
        let terminator = terminator[random.below(terminator.len())];
        let text = random.text(&["a", "b", "\n", "\r", ";", "\0", "-", terminator], 60);
        let cuts = random.cuts(text.len());
        let records = Records::Terminated(Terminator::new(terminator.as_bytes()).unwrap());
        let max = [1, 2, 3, 7, 1 << 20][random.below(5)];
        let parts = shop.read(text.as_bytes(), records, &cuts, max).unwrap();
        let expected = expected(text.as_bytes(), &starts(&text, terminator), &cuts);
        assert_eq!(
            parts, expected,
            "seed {seed}, round {round}: {text:?} by {terminator:?} at {cuts:?}, {max} at a time"
        );
    }
}

#[test]
fn long_runs_of_overlapping_terminators_are_exact_or_refused() {
    let shop = Shop::new();
    let records = Records::Terminated(Terminator::new(b"\n\n").unwrap());
    let text = format!("a{}b", "\n".repeat(100_001));
    let cuts = [10, 4_000, 70_000, 99_999, 100_001, 100_002];
    let parts = shop.read(text.as_bytes(), records, &cuts, 1 << 20).unwrap();
    assert_eq!(parts, expected(text.as_bytes(), &starts(&text, "\n\n"), &cuts));
    let text = "\n".repeat(3 << 20);
    let error = shop.read(text.as_bytes(), records, &[2 << 20], 1 << 20).unwrap_err();
    assert!(error.to_string().contains("without cutting"), "{error}");
}

#[test]
fn records_of_a_fixed_size_are_whole_whatever_the_cut() {
    let shop = Shop::new();
    let bytes: Vec<u8> = (0..120).collect();
    for size in [1, 2, 3, 5, 8, 60, 120] {
        let starts: Vec<usize> = (0..120).step_by(size).collect();
        for cuts in [vec![], vec![1], vec![59, 60, 61], (1..120).collect()] {
            for max in [1, 4, 1000] {
                let parts = shop.read(&bytes, Records::Fixed(size as u64), &cuts, max).unwrap();
                assert_eq!(parts, expected(&bytes, &starts, &cuts), "{size} at {cuts:?}");
            }
        }
    }
    let error = shop.read(&bytes, Records::Fixed(7), &[5], 9).unwrap_err().to_string();
    assert!(
        error.contains(&shop.url) && error.contains(": its 120 bytes are not a whole number"),
        "{error}"
    );
}

#[test]
fn chunks_end_with_records_that_fit() {
    let shop = Shop::new();
    let lengths = |text: &str, records, max| {
        let mut reader = shop.readers(text.as_bytes(), records, &[]).remove(0);
        let mut lengths = Vec::new();
        loop {
            let chunk = shop.io.block_on(reader.next(max, shop.io.handle())).unwrap();
            if chunk.is_empty() {
                return lengths;
            }
            lengths.push(chunk.len());
        }
    };
    let csv = Records::Csv(CsvOptions::new().header(false));
    assert_eq!(lengths("a\n\"b\nc\"\nd\n", csv, 6), [2, 6, 2]);
    assert_eq!(lengths("a\n\"b\nc\"\nd\n", csv, 5), [2, 5, 3]);
    let blank = Records::Terminated(Terminator::new(b"\n\n").unwrap());
    assert_eq!(lengths("a\n\nb\nc\n\n", blank, 7), [3, 5]);
    assert_eq!(lengths("abcdefgh\n\n\n\ni", blank, 9), [9, 4]);
    assert_eq!(lengths("aabbccdd", Records::Fixed(2), 5), [4, 4]);
    assert_eq!(lengths("aaabbb", Records::Fixed(3), 2), [2, 1, 2, 1]);
}

/// A table as the `csv` crate writes it.
fn table(random: &mut Random, options: CsvOptions) -> Vec<u8> {
    let style = [csv::QuoteStyle::Necessary, csv::QuoteStyle::Always][random.below(2)];
    let terminator = [csv::Terminator::Any(b'\n'), csv::Terminator::CRLF][random.below(2)];
    let mut writer = WriterBuilder::new()
        .flexible(true)
        .delimiter(options.delimiter)
        .quote(options.quote)
        .quote_style(style)
        .terminator(terminator)
        .from_writer(Vec::new());
    let words = ["a", "bc", "\"", "\"\"", "'", ",", ";", "\n", "\r\n", " ", "é"];
    for _ in 0..random.below(12) {
        let fields: Vec<String> = (0..=random.below(4)).map(|_| random.text(&words, 6)).collect();
        writer.write_record(&fields).unwrap();
    }
    let mut bytes = writer.into_inner().unwrap();
    match random.below(4) {
        0 => drop(bytes.pop()),
        1 => drop(bytes.splice(0..0, *b"\xef\xbb\xbf")),
        2 => drop(bytes.splice(0..0, *b"\r\n\n")),
        _ => {}
    }
    bytes
}

#[test]
fn csv_that_is_well_formed_is_exact_whatever_the_cut() {
    let (shop, mut random) = (Shop::new(), Random::seeded());
    let seed = random.0;
    for round in 0..500 {
        let options = CsvOptions::new().header(random.below(2) == 0);
        let options = match random.below(3) {
            0 => options.delimiter(b';').quote(b'\''),
            _ => options,
        };
        let bytes = table(&mut random, options);
        let cuts = random.cuts(bytes.len());
        let max = [1, 2, 5, 1 << 20][random.below(4)];
        let what = || {
            let text = bytes.escape_ascii();
            format!("seed {seed}, round {round}: \"{text}\" at {cuts:?}, {options:?}, {max}")
        };
        let parts = shop.read(&bytes, Records::Csv(options), &cuts, max);
        let parts = parts.unwrap_or_else(|error| panic!("{error}: {}", what()));
        assert_eq!(rows_of_parts(&parts, options), rows(&bytes, options), "{}", what());
        match options.header {
            true => {
                let length = super::rows::header_end(options, &bytes, true).unwrap();
                let header = |part: &Vec<u8>| part.starts_with(&bytes[..length]);
                assert!(parts.iter().all(header), "{}", what());
            }
            false => assert_eq!(parts.concat(), bytes, "{}", what()),
        }
    }
}

#[test]
fn csv_that_is_not_well_formed_is_exact_or_an_error() {
    let (shop, mut random) = (Shop::new(), Random::seeded());
    let seed = random.0;
    let (mut exact, mut refused) = (0, 0);
    for round in 0..1000 {
        let options = CsvOptions::new().header(random.below(2) == 0);
        let words = ["\"", "\"", ",", "\n", "\r", "a", "a", " ", "\"\"", "\r\n", "\u{feff}"];
        let text = random.text(&words, 40);
        let cuts = random.cuts(text.len());
        match shop.read(text.as_bytes(), Records::Csv(options), &cuts, 1 << 20) {
            Err(error) => {
                assert!(error.to_string().contains("without cutting"), "{error}");
                refused += 1;
            }
            Ok(parts) => {
                let (parts, whole) =
                    (rows_of_parts(&parts, options), rows(text.as_bytes(), options));
                assert_eq!(parts, whole, "seed {seed}, round {round}: {text:?} at {cuts:?}");
                exact += usize::from(cuts.len() > 1);
            }
        }
    }
    assert!(exact > 30 && refused > 30, "{exact} exact, {refused} refused: says nothing");
}

#[test]
fn a_field_longer_than_a_guess_reads_is_exact_or_an_error() {
    let shop = Shop::new();
    let records = Records::Csv(CsvOptions::new().header(false));
    let line = "some words, and an end\n";
    let long = line.repeat(700 << 10 >> 4);
    let bytes = format!("1,\"{long}\"\n2,\"b\"\n").into_bytes();
    let cuts = |at: u64| shop.read(&bytes, records, &[at], 1 << 20);
    let error = cuts(1000).unwrap_err().to_string();
    assert!(error.contains(&shop.url) && error.contains("byte 1000"), "{error}");
    assert!(error.contains("Read the object whole"), "{error}");
    // Where the field's end is in sight, or there is no cut, it is exact.
    let near = bytes.len() as u64 - 1000;
    let parts = cuts(near).unwrap();
    assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [bytes.len() - 6, 6]);
    assert_eq!(shop.read(&bytes, records, &[], 1 << 20).unwrap(), std::slice::from_ref(&bytes));
}

#[test]
fn a_guest_that_stops_early_does_not_hide_a_wrong_cut() {
    let shop = Shop::new();
    let records = Records::Csv(CsvOptions::new().header(false));
    let text = "a\nb\nc\nd 5\" wide\ne\n";
    let cut = 5;
    let mut first = shop.readers(text.as_bytes(), records, &[cut]).remove(0);
    let error = shop.io.block_on(async {
        assert_eq!(first.next(2, shop.io.handle()).await.unwrap(), "a\n");
        first.read_out(shop.io.handle()).await.unwrap_err()
    });
    assert!(error.to_string().contains("without cutting"), "{error}");
}

#[test]
fn a_header_that_does_not_end_is_an_error() {
    let shop = Shop::new();
    let text = "a".repeat(3 << 20);
    let error = shop.read(text.as_bytes(), Records::Csv(CsvOptions::new()), &[], 9).unwrap_err();
    assert!(error.to_string().contains("1024 KiB"), "{error}");
}

#[test]
fn a_csv_without_quotes_is_cut_like_lines() {
    let shop = Shop::new();
    let text = "a row, of three, fields\n".repeat(100_000);
    let starts: Vec<usize> = (0..text.len()).step_by(24).collect();
    let cuts = [1, 24, 25, 1_000_000, 1_000_001, 2_399_999];
    let records = Records::Csv(CsvOptions::new().header(false));
    let parts = shop.read(text.as_bytes(), records, &cuts, 1 << 20).unwrap();
    assert_eq!(parts, expected(text.as_bytes(), &starts, &cuts));
}

/// A store whose server sends all of an object whatever is asked for.
#[derive(Debug)]
struct Whole {
    store: Arc<dyn Store>,
    gets: AtomicU32,
}

impl std::fmt::Display for Whole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.store.fmt(f)
    }
}

#[async_trait::async_trait]
impl Store for Whole {
    async fn get(&self, key: &str, options: GetOptions) -> samara_store::Result<Object> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        let object = self.store.get(key, options).await?;
        let all = object.metadata.size;
        Ok(Object { ignores_ranges: object.range != (0..all), ..object })
    }

    async fn head(&self, key: &str) -> samara_store::Result<Metadata> {
        self.store.head(key).await
    }

    async fn put(
        &self,
        key: &str,
        body: Bytes,
        options: PutOptions,
    ) -> samara_store::Result<Metadata> {
        self.store.put(key, body, options).await
    }

    async fn writer(
        &self,
        key: &str,
        options: PutOptions,
    ) -> samara_store::Result<Box<dyn Writer>> {
        self.store.writer(key, options).await
    }

    async fn delete(&self, key: &str) -> samara_store::Result<()> {
        self.store.delete(key).await
    }

    async fn list(&self, prefix: &str, options: ListOptions) -> samara_store::Result<Page> {
        self.store.list(prefix, options).await
    }

    async fn copy(
        &self,
        from: &str,
        to: &str,
        options: PutOptions,
    ) -> samara_store::Result<Metadata> {
        self.store.copy(from, to, options).await
    }
}

/// Blocks by themselves would each be all of the object.
#[test]
fn an_object_of_a_server_without_ranges_is_read_in_one_stream() {
    let shop = Shop::new();
    let line = |n: usize| format!("{n}:{}\n", "x".repeat(n * 7_919 % 50_000));
    let text: String = (0..1_600).map(line).collect();
    assert!(text.len() > 36 << 20, "{} bytes", text.len());
    let records = Records::Lines;
    for cuts in [&[][..], &[20 << 20]] {
        let parts = expected(text.as_bytes(), &starts(&text, "\n"), cuts);
        let readers = shop.readers(text.as_bytes(), records, cuts);
        for (reader, part) in readers.into_iter().zip(parts) {
            let at = shop.locator.open(&shop.url).unwrap();
            let whole = Arc::new(Whole { store: at.store, gets: AtomicU32::new(0) });
            let store = Arc::clone(&whole) as Arc<dyn Store>;
            let partition = reader.partition().clone();
            let mut reader = Reader::new(partition, Location { store, key: at.key });
            let mut all = Vec::new();
            loop {
                let chunk = shop.io.block_on(reader.next(1 << 20, shop.io.handle())).unwrap();
                if chunk.is_empty() {
                    break;
                }
                all.extend_from_slice(&chunk);
            }
            assert!(all == part, "{} bytes of {}", all.len(), part.len());
            let gets = whole.gets.load(Ordering::Relaxed);
            assert!(gets <= 7, "{gets} requests: those that were ahead, and the stream");
        }
    }
}
