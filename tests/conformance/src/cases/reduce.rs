//! Values combined to one, in the sandbox.

use std::collections::BTreeMap;

use samara::{Cause, Error, Objects};
use samara_programs::{ends, input, reduce, values};

use super::{table, wait};
use crate::Context;

table! {
    reduce:
    a_sum_is_a_sum_whatever_the_number_of_inputs,
    the_order_is_kept_for_functions_that_do_not_commute,
    words_are_counted_over_partitions,
    a_failed_map_is_the_error_of_the_whole,
    a_failed_reduce_is_the_error_of_the_whole,
    waiting_takes_nothing,
    one_reducer_counts_the_words_of_many_objects,
    partitions_of_a_size_are_as_many_as_the_sizes_say,
    partitions_by_number_are_so_many_of_each_object,
    one_value_for_each_object_is_that_objects_own,
    a_failed_partition_is_the_error_of_all_objects,
    one_value_per_object_needs_objects,
}

fn a_sum_is_a_sum_whatever_the_number_of_inputs(context: &Context) {
    for count in [0, 1, 2, 7, 8, 9, 63, 64, 65, 500] {
        let inputs: Vec<(u64, u64)> = (0..count).map(|n| (n, 0)).collect();
        let job = wait(context.executor().map_reduce(
            context.programs(),
            values::add,
            inputs,
            reduce::sum,
        ));
        let value = wait(job.unwrap().value()).unwrap();
        let wanted = (count > 0).then(|| (0..count).sum());
        assert_eq!(value, wanted, "{count} inputs");
    }
}

fn the_order_is_kept_for_functions_that_do_not_commute(context: &Context) {
    let inputs: Vec<String> = (0..100).map(|n| format!("{n},")).collect();
    let wanted = inputs.concat();
    for _ in 0..3 {
        let job = wait(context.executor().map_reduce(
            context.programs(),
            values::echo_string,
            inputs.clone(),
            reduce::concatenate,
        ));
        assert_eq!(wait(job.unwrap().value()).unwrap().unwrap(), wanted);
    }
}

fn words_are_counted_over_partitions(context: &Context) {
    context.put("text", "a b a\nc a\n".repeat(1000));
    let text = samara::Objects::at(context.url("text")).chunk_bytes(700);
    let job = wait(context.executor().map_reduce(
        context.programs(),
        input::count_words,
        text,
        reduce::add_counts,
    ));
    let job = job.unwrap();
    let counts = wait(job.value()).unwrap().unwrap();
    let counts: Vec<_> = counts.iter().map(|(word, n)| (word.as_str(), *n)).collect();
    assert_eq!(counts, [("a", 3000), ("b", 1000), ("c", 1000)]);
}

fn a_failed_map_is_the_error_of_the_whole(context: &Context) {
    let job = wait(context.executor().map_reduce(
        context.programs(),
        ends::fails_if_odd,
        [2_u64, 4, 5, 6],
        reduce::sum,
    ));
    match wait(job.unwrap().value()).unwrap_err() {
        Error::Task(error) => {
            assert_eq!(error.index, 2);
            assert!(matches!(&error.cause, Cause::Failed(_)));
        }
        other => panic!("{other}"),
    }
}

fn a_failed_reduce_is_the_error_of_the_whole(context: &Context) {
    let inputs: Vec<(u64, u64)> = (0..50).map(|n| (n, n)).collect();
    let job = wait(context.executor().map_reduce(
        context.programs(),
        values::add,
        inputs,
        reduce::sum_up_to_100,
    ));
    match wait(job.unwrap().value()).unwrap_err() {
        Error::Task(error) => assert_eq!(error.function, "sum_up_to_100"),
        other => panic!("{other}"),
    }
}

fn waiting_takes_nothing(context: &Context) {
    let inputs: Vec<(u64, u64)> = (0..20).map(|n| (n, 1)).collect();
    let mut job =
        wait(context.executor().map_reduce(context.programs(), values::add, inputs, reduce::sum))
            .unwrap();
    wait(job.wait());
    assert_eq!(job.summary().succeeded, 20);
    assert_eq!(wait(job.value()).unwrap(), Some(210));
}

/// Writes texts of several sizes, and returns them with their names.
fn texts(context: &Context) -> Vec<(&'static str, String)> {
    let mut texts = Vec::new();
    for (name, words, lines) in [
        ("books/a.txt", "the quick brown fox", 300),
        ("books/b.txt", "jumps over the lazy dog", 1000),
        ("books/deep/c.txt", "the end", 7),
    ] {
        let text = format!("{words}\n").repeat(lines);
        context.put(name, text.clone());
        texts.push((name, text));
    }
    texts
}

/// The words of texts by plain std code.
fn counted<'a>(texts: impl IntoIterator<Item = &'a String>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for word in texts.into_iter().flat_map(|text| text.split_whitespace()) {
        *counts.entry(word.to_owned()).or_default() += 1;
    }
    counts
}

/// The words of objects by tasks, and how many tasks there were.
fn count(context: &Context, objects: Objects) -> (BTreeMap<String, u64>, u64) {
    let (executor, programs) = (context.executor(), context.programs());
    let tasks = wait(executor.plan(&objects)).unwrap().len() as u64;
    let job = wait(executor.map_reduce(programs, input::count_words, objects, reduce::add_counts));
    (wait(job.unwrap().value()).unwrap().unwrap(), tasks)
}

fn one_reducer_counts_the_words_of_many_objects(context: &Context) {
    let texts = texts(context);
    let all = counted(texts.iter().map(|(_, text)| text));
    let at = |name: &str| Objects::at(context.url(name));
    assert_eq!(count(context, at("books/")), (all.clone(), 3), "all below a prefix");
    assert_eq!(count(context, at("books/**/*.txt")), (all.clone(), 3), "by a pattern");
    let listed = texts.iter().skip(1).fold(at(texts[0].0), |o, (name, _)| o.and(context.url(name)));
    assert_eq!(count(context, listed), (all, 3), "by their names");
    let two = counted(texts[..2].iter().map(|(_, text)| text));
    assert_eq!(count(context, at("books/*.txt")), (two, 2), "those of one directory");
    let one = counted([&texts[2].1]);
    assert_eq!(count(context, at(texts[2].0)), (one, 1), "one object");
}

fn partitions_of_a_size_are_as_many_as_the_sizes_say(context: &Context) {
    let texts = texts(context);
    let all = counted(texts.iter().map(|(_, text)| text));
    for size in [1000, 6000, 1 << 20] {
        let wanted: u64 = texts.iter().map(|(_, text)| (text.len() as u64).div_ceil(size)).sum();
        let objects = Objects::at(context.url("books/")).chunk_bytes(size);
        assert_eq!(count(context, objects), (all.clone(), wanted), "{size} bytes");
    }
}

fn partitions_by_number_are_so_many_of_each_object(context: &Context) {
    let texts = texts(context);
    let all = counted(texts.iter().map(|(_, text)| text));
    for number in [1, 2, 7] {
        let objects = Objects::at(context.url("books/")).chunk_count(number);
        assert_eq!(count(context, objects), (all.clone(), 3 * number), "{number} of each");
    }
}

fn one_value_for_each_object_is_that_objects_own(context: &Context) {
    let texts = texts(context);
    let wanted: Vec<_> =
        texts.iter().map(|(name, text)| (context.url(name), counted([text]))).collect();
    let at = || Objects::at(context.url("books/"));
    for objects in [at(), at().chunk_bytes(1000), at().chunk_bytes(1 << 20), at().chunk_count(7)] {
        let (executor, programs) = (context.executor(), context.programs());
        let job = executor.map_reduce(programs, input::count_words, objects, reduce::add_counts);
        let grouped = wait(job.per_object()).unwrap();
        assert_eq!(wait(grouped.values()).unwrap(), wanted);
    }
}

fn a_failed_partition_is_the_error_of_all_objects(context: &Context) {
    context.put("good", "a b\n");
    context.put("worse", &b"a \xff b\n"[..]);
    let objects = Objects::at(context.url("good")).and(context.url("worse"));
    let (executor, programs) = (context.executor(), context.programs());
    let job = executor.map_reduce(programs, input::count_words, objects, reduce::add_counts);
    let error = wait(wait(job.per_object()).unwrap().values()).unwrap_err();
    let Error::Task(error) = error else { panic!("{error}") };
    assert_eq!((error.index, error.code()), (1, "user-error"));
    let partition = error.partition.as_ref().unwrap();
    assert!(format!("{partition:?}").contains("worse"), "{partition:?}");
}

fn one_value_per_object_needs_objects(context: &Context) {
    let (executor, programs) = (context.executor(), context.programs());
    let job = executor.map_reduce(programs, values::add, [(1, 2)], reduce::sum).per_object();
    let error = wait(job).unwrap_err();
    assert_eq!(error.code(), "invalid");
    assert!(error.to_string().contains("takes objects as inputs"), "{error}");
}
