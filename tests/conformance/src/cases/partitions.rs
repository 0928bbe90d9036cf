//! Whatever the cut, every record is in exactly one task.

use samara::{Cause, Objects, Records};
use samara_programs::input;

use super::{collected, results, table, task_error, wait};
use crate::Context;

table! {
    partitions:
    cuts_of_odd_texts_lose_no_line,
    random_texts_at_random_cuts_lose_no_line,
    records_longer_than_any_chunk_are_whole,
    exact_ranges_keep_every_byte,
    raw_bytes_of_a_partition_keep_line_ends_and_bom,
    bytes_that_are_no_text_are_an_error_with_their_place,
    a_partition_describes_itself,
    further_arguments_go_to_every_task,
    a_function_without_a_partition_is_told_so,
    a_partition_of_zero_bytes_is_refused,
    a_partition_reads_as_records_blocks_chunks_and_a_reader,
    chunks_end_where_records_end,
}

/// Lines of all tasks, in their order.
fn lines(context: &Context, objects: Objects) -> Vec<String> {
    collected(wait(context.executor().map(context.programs(), input::collect_lines, objects)))
        .concat()
}

/// The same lines by plain std code.
fn plain_lines(text: &str) -> Vec<String> {
    text.trim_start_matches('\u{feff}').lines().map(str::to_owned).collect()
}

fn check(context: &Context, name: &str, text: &str) {
    context.put(name, text.to_owned());
    let size = text.len() as u64;
    let mut cuts: Vec<u64> = vec![1, 2, 3, 5, 7, 16, 64, 1000, size.max(1), size + 1];
    cuts.extend(size.checked_sub(1).filter(|bytes| *bytes > 0));
    for bytes in cuts.into_iter().filter(|bytes| size / bytes < 2000) {
        let got = lines(context, Objects::at(context.url(name)).chunk_bytes(bytes));
        assert_eq!(got, plain_lines(text), "{name} cut every {bytes} bytes");
    }
    for count in [1, 2, 3, 10] {
        let got = lines(context, Objects::at(context.url(name)).chunk_count(count));
        assert_eq!(got, plain_lines(text), "{name} cut in {count}");
    }
}

fn cuts_of_odd_texts_lose_no_line(context: &Context) {
    let long = format!("short\n{}\nend", "x".repeat(3000));
    for (name, text) in [
        ("empty", ""),
        ("one byte", "a"),
        ("only an end", "\n"),
        ("only ends", "\n\n\n\n"),
        ("no end at the end", "one\ntwo\nthree"),
        ("an end at the end", "one\ntwo\nthree\n"),
        ("crlf", "one\r\ntwo\r\n\r\nthree\r\n"),
        ("crlf without an end", "one\r\ntwo"),
        ("bom", "\u{feff}one\ntwo\n"),
        ("only a bom", "\u{feff}"),
        ("not ascii", "ü日本\n🦀🦀🦀\nñ"),
        ("a record longer than a partition", &long),
        ("empty lines at both ends", "\n\na\n\n"),
    ] {
        check(context, name, text);
    }
}

fn random_texts_at_random_cuts_lose_no_line(context: &Context) {
    let seed = std::process::id();
    let mut state = u64::from(seed);
    let mut random = |bound: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    };
    for round in 0..60 {
        let length = random(400);
        let text: String = (0..length)
            .map(|_| ["\n", "\n", "a", "bc", "\r\n", "é", "\t"][random(7) as usize])
            .collect();
        let name = format!("random-{round}");
        context.put(&name, text.clone());
        let bytes = 1 + random(text.len() as u64 + 2);
        let got = lines(context, Objects::at(context.url(&name)).chunk_bytes(bytes));
        assert_eq!(got, plain_lines(&text), "seed {seed}, round {round}, {bytes} bytes: {text:?}");
    }
}

fn records_longer_than_any_chunk_are_whole(context: &Context) {
    let long = "y".repeat(20 << 20);
    let text = format!("a\n{long}\nb\n{long}");
    context.put("huge", text);
    let lengths = |objects: Objects| -> Vec<usize> {
        let job =
            wait(context.executor().map(context.programs(), input::count_lines, objects.clone()));
        let counts = collected(job);
        assert_eq!(counts.iter().sum::<u64>(), 4);
        let job = wait(context.executor().map(context.programs(), input::sum_bytes, objects));
        assert_eq!(collected(job).iter().sum::<u64>(), checksum(&long));
        counts.iter().map(|n| usize::try_from(*n).unwrap()).collect()
    };
    assert_eq!(lengths(Objects::at(context.url("huge")).chunk_bytes(7 << 20)).len(), 6);
    assert_eq!(lengths(Objects::at(context.url("huge"))), [4]);
}

fn checksum(long: &str) -> u64 {
    let sum = |text: &str| text.bytes().map(u64::from).sum::<u64>();
    sum("a\nb\n\n") + 2 * sum(long)
}

fn exact_ranges_keep_every_byte(context: &Context) {
    let bytes: Vec<u8> = (0..=255).cycle().take(10_007).collect();
    context.put("binary", bytes.clone());
    for size in [1000, 4096, 10_007, 20_000] {
        let objects = Objects::at(context.url("binary")).chunk_bytes(size).records(Records::Bytes);
        let parts = collected(wait(context.executor().map(
            context.programs(),
            input::collect_bytes,
            objects,
        )));
        let whole: Vec<u8> = parts.iter().flat_map(|part| part.to_vec()).collect();
        assert_eq!(whole, bytes, "cut every {size} bytes");
    }
}

fn raw_bytes_of_a_partition_keep_line_ends_and_bom(context: &Context) {
    let text = "\u{feff}a\r\nb\n\r\nc";
    context.put("raw", text);
    let parts = collected(wait(context.executor().map(
        context.programs(),
        input::collect_bytes,
        Objects::at(context.url("raw")).chunk_bytes(3),
    )));
    let whole: Vec<u8> = parts.iter().flat_map(|part| part.to_vec()).collect();
    assert_eq!(whole, text.as_bytes());
}

fn bytes_that_are_no_text_are_an_error_with_their_place(context: &Context) {
    context.put("latin1", &b"fine\nfine\nM\xfcller\n"[..]);
    let job = wait(context.executor().map(
        context.programs(),
        input::collect_lines,
        context.url("latin1"),
    ));
    let error = results(job).remove(0).unwrap_err();
    match &error.cause {
        Cause::Failed(user) => {
            assert!(user.to_string().contains("11"), "the byte's offset: {user}")
        }
        other => panic!("{other:?}"),
    }
}

fn a_partition_describes_itself(context: &Context) {
    context.put("describe", "0123456789");
    let objects = Objects::at(context.url("describe")).chunk_bytes(4);
    let described = collected(wait(context.executor().map(
        context.programs(),
        input::describe_partition,
        objects,
    )));
    let last = &described[2];
    assert_eq!(described.len(), 3);
    assert_eq!(last.object, Some(context.url("describe")));
    assert_eq!((last.offset, last.length, last.object_size), (8, 2, 10));
    assert_eq!((last.index, last.count), (2, 3));
}

fn further_arguments_go_to_every_task(context: &Context) {
    context.put("find", "x\na needle\nx\nneedles\n");
    // The partition stands between the two in the signature.
    let inputs =
        Objects::at(context.url("find")).chunk_bytes(5).with(("needle".to_owned(), 10_usize));
    let found =
        collected(wait(context.executor().map(context.programs(), input::find_lines, inputs)));
    assert_eq!(found.concat().len(), 2, "{found:?}");
}

fn a_function_without_a_partition_is_told_so(context: &Context) {
    let unpartitioned = samara::Inputs::<()>::into_plan([()]).unwrap();
    let job =
        wait(context.executor().map_untyped(context.programs(), "count_lines", unpartitioned))
            .unwrap();
    let error = task_error(wait(job.values()).map_err(samara::Error::from));
    assert!(error.to_string().contains("partition") || error.is_user_error(), "{error}");
    assert!(matches!(&error.cause, Cause::Failed(_)), "{error:?}");
}

fn a_partition_of_zero_bytes_is_refused(context: &Context) {
    context.put("zero", "x");
    for objects in [
        Objects::at(context.url("zero")).chunk_bytes(0),
        Objects::at(context.url("zero")).chunk_count(0),
    ] {
        let error = wait(context.executor().map(context.programs(), input::count_lines, objects))
            .unwrap_err();
        assert!(error.to_string().contains("zero"), "{error}");
    }
}

fn a_partition_reads_as_records_blocks_chunks_and_a_reader(context: &Context) {
    let text = "head\r\none\ntwo\n\nlast";
    context.put("ways", text);
    let objects = || Objects::at(context.url("ways"));
    let one = |function| {
        collected(wait(context.executor().map(context.programs(), function, objects()))).remove(0)
    };
    assert_eq!(one(input::count_lines_of_blocks), 5);
    let first =
        collected(wait(context.executor().map(context.programs(), input::first_line, objects())));
    assert_eq!(first, [Some("head".to_owned())]);
    let header = collected(wait(context.executor().map(
        context.programs(),
        input::header_and_rest,
        objects(),
    )));
    assert_eq!(header, [("head".to_owned(), 4)]);
    let twice =
        collected(wait(context.executor().map(context.programs(), input::read_twice, objects())));
    assert_eq!(twice, [(text.len(), 0)]);
    let records = collected(wait(context.executor().map(
        context.programs(),
        input::collect_records,
        objects(),
    )));
    let records: Vec<Vec<u8>> = records[0].iter().map(|record| record.to_vec()).collect();
    let plain: Vec<&[u8]> = text.split('\n').map(|l| l.trim_end_matches('\r').as_bytes()).collect();
    assert_eq!(records, plain);
}

fn chunks_end_where_records_end(context: &Context) {
    let line = format!("{}\n", "z".repeat(99_999));
    context.put("chunks", line.repeat(50));
    let objects = Objects::at(context.url("chunks"));
    let lengths =
        collected(wait(context.executor().map(context.programs(), input::chunk_lengths, objects)))
            .remove(0);
    assert_eq!(lengths.iter().sum::<usize>(), 5_000_000);
    assert!(lengths.len() > 1 && lengths.iter().all(|length| length % 100_000 == 0), "{lengths:?}");
}
