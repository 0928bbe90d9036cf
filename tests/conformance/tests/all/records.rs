//! Every kind of records, whatever the cut: what tasks get is what a plain cutter of the whole
//! input gives.

use samara::{Cause, CsvOptions, Objects, OnFailure, Records, Terminator};
use samara_core::ErrorKind;
use samara_guest::testing;
use samara_programs::records::Order;
use samara_programs::{input, records};

use crate::common::{executor, programs, put, results, values, wait};

/// A kind as jobs are told it, and as the plain cutter is.
struct Kind(Records, testing::Records);

impl Kind {
    fn ended_by(bytes: &[u8]) -> Self {
        let terminator = Terminator::new(bytes).unwrap();
        Self(Records::Terminated(terminator), testing::Records::Terminated(bytes.to_vec()))
    }

    fn csv(options: CsvOptions) -> Self {
        let CsvOptions { delimiter, quote, header, .. } = options;
        Self(Records::Csv(options), testing::Records::Csv { delimiter, quote, header })
    }

    fn all() -> Vec<Self> {
        vec![
            Self(Records::Lines, testing::Records::Lines),
            Self(Records::JsonLines, testing::Records::JsonLines),
            Self(Records::Bytes, testing::Records::Bytes),
            Self(Records::Fixed(3), testing::Records::Fixed(3)),
            Self::csv(CsvOptions::new()),
            Self::csv(CsvOptions::new().header(false)),
            Self::ended_by(b"\0"),
            Self::ended_by(b"\r\n"),
            Self::ended_by(b"\r"),
            Self::ended_by(b"\n\n"),
            Self::ended_by(b"0123456789abcdef"),
        ]
    }
}

/// The bytes of each partition.
fn parts(objects: Objects) -> Vec<Vec<u8>> {
    let parts = values(wait(executor().map(programs(), input::collect_bytes, objects)));
    parts.iter().map(|part| part.to_vec()).collect()
}

/// Cuts an object every so many bytes, in both ways.
fn check(name: &str, bytes: &[u8], kind: &Kind, every: u64) {
    let url = format!("mem://records/{name}");
    put(&url, bytes.to_vec());
    let step = usize::try_from(every).unwrap();
    let offsets: Vec<u64> = (every..bytes.len() as u64).step_by(step).collect();
    let plain = testing::cut(bytes, &kind.1, &offsets).into_iter();
    let plain: Vec<Vec<u8>> = plain.map(|part| part.bytes().unwrap()).collect();
    let got = parts(Objects::at(&url).records(kind.0).chunk_bytes(every));
    assert_eq!(got, plain, "{name} as {:?} cut every {every} bytes", kind.0);
}

#[test]
fn every_kind_is_whole_whatever_the_cut() {
    for (name, text) in [
        ("empty", ""),
        ("one byte", "a"),
        ("one end", "\n"),
        ("ends", "\n\n\n\n\n\r\n\r\n"),
        ("no end at the end", "one,1\r\ntwo,2\r\nthree,3"),
        ("an end at the end", "one,1\ntwo,2\n\nthree,3\n"),
        ("returns", "a\rb\r\rc"),
        ("zeros", "a\0b\0\0c\0"),
        ("long ends", "0123456789abcdefx0123456789abcdef0123456789abcdey"),
        ("quotes", "\"a\n\",\"b\"\"\n\"\n\"c\",d\n\"\r\n\",\"\"\n"),
        ("a header alone", "name,count"),
        ("blank lines first", "\r\n\nname,count\na,1\n"),
        ("a mark", "\u{feff}name,count\n\"ä\",1\n"),
        ("last byte alone", "a\nb\ncc"),
    ] {
        for kind in Kind::all() {
            if matches!(kind.0, Records::Fixed(3)) && text.len() % 3 != 0 {
                continue;
            }
            let size = text.len() as u64;
            for every in [1, 2, 3, 7, size.saturating_sub(1).max(1), size + 1] {
                check(name, text.as_bytes(), &kind, every);
            }
        }
    }
}

#[test]
fn records_longer_than_blocks_and_cuts_are_whole() {
    // A line's end lies across the blocks in which the host reads.
    let long = "x".repeat((2 << 20) - 1);
    let text = format!("{long}\r\n{}\r\nb\r\n{long}", "y".repeat(300_000));
    let csv = CsvOptions::new().header(false);
    for kind in
        [Kind(Records::Lines, testing::Records::Lines), Kind::ended_by(b"\r\n"), Kind::csv(csv)]
    {
        for every in [1 << 20, 2 << 20, (2 << 20) + 1, 100 << 20] {
            check("long", text.as_bytes(), &kind, every);
        }
    }
    let quoted = format!("a,\"{}\"\nb,c\n", "1 2\n\"\"3\"\"\n".repeat(200_000));
    for every in [100_000, 1 << 20, 3 << 20] {
        check("quoted", quoted.as_bytes(), &Kind::csv(csv), every);
    }
}

#[test]
fn rows_of_csv_are_read_with_their_header() {
    let order = |index: u64| Order {
        name: format!("Ada, the {index}."),
        count: index,
        note: "to be\n\"or\" not\r\n".repeat((index % 4) as usize),
    };
    let mut table = "name,count,note\n".to_owned();
    for it in (0..200).map(order) {
        let note = it.note.replace('"', "\"\"");
        table.push_str(&format!("\"{}\",{},\"{note}\"\n", it.name, it.count));
    }
    put("mem://records/orders", table.clone());
    for every in [1 << 20, 1000, 333, 17] {
        let objects = Objects::at("mem://records/orders").csv().chunk_bytes(every);
        let orders = values(wait(executor().map(programs(), records::collect_orders, objects)));
        assert!(orders.concat().into_iter().eq((0..200).map(order)), "cut every {every}");
    }
    let options = CsvOptions::new().header(false);
    let objects = Objects::at("mem://records/orders").csv_with(options).chunk_count(50);
    let rows =
        values(wait(executor().map(programs(), records::collect_rows, objects.with((false,)))));
    assert_eq!(rows.concat().len(), 201);
}

#[test]
fn json_lines_are_read_as_values() {
    let order = |count| Order { name: "é\n".to_owned(), count, note: String::new() };
    let line = |count| format!("{{\"name\": \"é\\n\", \"count\": {count}, \"note\": \"\"}}\r\n");
    put("mem://records/json", (0..100).map(line).collect::<String>());
    let objects = Objects::at("mem://records/json").json_lines().chunk_bytes(64);
    let orders = values(wait(executor().map(programs(), records::collect_json, objects)));
    assert!(orders.concat().into_iter().eq((0..100).map(order)));
    put("mem://records/no-json", "{}\n");
    let job = executor().map(programs(), records::collect_json, "mem://records/no-json");
    let error = results(wait(job)).remove(0).unwrap_err();
    let Cause::Failed(user) = &error.cause else { panic!("{error:?}") };
    assert!(user.to_string().contains("byte 0 of the partition"), "{user}");
}

#[test]
fn records_of_any_end_and_any_size_are_read() {
    let text = (0..500).map(|number| format!("{number}\n\n")).collect::<String>();
    put("mem://records/ended", text);
    let objects = Objects::at("mem://records/ended").lines_ended_by("\n\n").chunk_bytes(11);
    let terminator = samara_guest::Bytes::from(&b"\n\n"[..]);
    let inputs = objects.with((terminator,));
    let found = values(wait(executor().map(programs(), records::collect_ended_by, inputs)));
    let plain = (0..500).map(|number| number.to_string().into_bytes());
    assert!(found.concat().iter().map(|record| record.to_vec()).eq(plain));

    let numbers: Vec<u8> = (0..1000_u32).flat_map(u32::to_le_bytes).collect();
    put("mem://records/numbers", numbers);
    for every in [1, 6, 999, 10_000] {
        let objects = Objects::at("mem://records/numbers").fixed(4).chunk_bytes(every);
        let sums = values(wait(executor().map(programs(), records::sum_numbers, objects)));
        assert_eq!(sums.iter().sum::<u64>(), 999 * 500, "cut every {every}");
    }
    let objects = Objects::at("mem://records/numbers").fixed(40).chunk_count(3).with((40,));
    let fixed = values(wait(executor().map(programs(), records::collect_fixed, objects)));
    assert_eq!(fixed.iter().map(Vec::len).collect::<Vec<_>>(), [34, 33, 33]);
}

#[test]
fn reads_of_any_size_are_whole() {
    let text = (0..3000).map(|n| format!("row {n}, of some\r\n")).collect::<String>();
    put("mem://records/reads", text.clone());
    for size in [1, 16, 17, 100, 1000, 4096, 65_536] {
        let objects = Objects::at("mem://records/reads").chunk_count(3).with((size,));
        let parts = values(wait(executor().map(programs(), records::read_by, objects)));
        let whole: Vec<u8> = parts.iter().flat_map(|part| part.to_vec()).collect();
        assert_eq!(whole, text.as_bytes(), "read by {size}");
        let ends = parts.iter().all(|part| part.ends_with(b"\n"));
        assert!(ends, "no row is cut in two, read by {size}");
    }
}

#[test]
fn csv_that_cannot_be_cut_is_an_error_even_where_a_task_stops_early() {
    let text = "size,what\n1,pipe\n2,5\" pipe\n3,6\" pipe\n4,none\n";
    put("mem://records/inches", text);
    let cut = || Objects::at("mem://records/inches").csv().chunk_bytes(13);
    let causes = |results: Vec<Result<_, samara::TaskError>>| -> Vec<Cause> {
        results.into_iter().filter_map(Result::err).map(samara::TaskError::into_cause).collect()
    };
    let whole = wait(executor().map(programs(), input::count_lines, cut()));
    let first = wait(executor().map(programs(), input::first_line, cut()));
    for causes in [
        causes(results(whole).into_iter().map(|it| it.map(drop)).collect()),
        causes(results(first).into_iter().map(|it| it.map(drop)).collect()),
    ] {
        let Some(Cause::Platform(error)) = causes.first() else { panic!("{causes:?}") };
        assert_eq!(error.kind, ErrorKind::Invalid);
        let text = error.to_string();
        assert!(text.contains("mem://records/inches") && text.contains("byte 13"), "{text}");
        assert!(text.contains("Read the object whole"), "{text}");
    }
    let whole = Objects::at("mem://records/inches").csv().with((true,));
    let rows = values(wait(executor().map(programs(), records::collect_rows, whole)));
    assert_eq!(rows.concat().len(), 4);
}

#[test]
fn records_that_cannot_be_are_refused_before_anything_runs() {
    put("mem://records/ten", "0123456789");
    let at = || Objects::at("mem://records/ten");
    for (objects, says) in [
        (at().fixed(0), "at least 1"),
        (at().fixed(4), "mem://records/ten: its 10 bytes"),
        (at().lines_ended_by(""), "1 to 16 bytes"),
        (at().lines_ended_by("12345678901234567"), "too long"),
        (at().csv_with(CsvOptions::new().delimiter(b'"')), "two different bytes"),
    ] {
        let error = wait(executor().map(programs(), input::count_lines, objects)).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
}

#[test]
fn tolerance_is_refused_for_csv_that_is_cut() {
    put("mem://records/tolerated", b"a\n1\n2\n3\n".to_vec());
    let objects = || Objects::at("mem://records/tolerated").csv();
    let tolerate = OnFailure::Tolerate(0.5);
    let map = |objects| executor().map(programs(), input::collect_bytes, objects);
    let error = wait(map(objects().chunk_bytes(3)).on_failure(tolerate)).unwrap_err().to_string();
    assert!(error.contains("is CSV and cut") && error.contains("whole"), "{error}");
    assert!(wait(map(objects()).on_failure(tolerate)).is_ok(), "the object is whole");
    assert!(wait(map(objects().chunk_bytes(3)).on_failure(OnFailure::Stop)).is_ok());
}
