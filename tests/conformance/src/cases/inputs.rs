//! Inputs that are taken as they are needed, and inputs that cannot be.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;
use samara::function::{Function, Given, Kind};
use samara::{Cause, Completed, Objects, TaskError};
use samara_programs::{input, values};
use serde::{Serialize, Serializer};

use super::{EXPECTED_PANIC, collected, results, table, wait};
use crate::Context;

table! {
    inputs:
    endless_inputs_are_taken_as_their_results_are_read,
    an_endless_stream_is_taken_as_its_results_are_read,
    two_hundred_thousand_results_are_read_as_they_come,
    a_stream_of_tuples_is_several_arguments,
    an_iterator_that_panics_is_an_error_behind_its_last_input,
    a_stream_that_panics_is_an_error_behind_its_last_input,
    an_input_that_cannot_be_encoded_fails_its_own_task,
    several_kinds_of_objects_are_one_input,
    objects_with_arguments_of_their_own_are_one_input,
}

/// Inputs that may be ahead of the results that were read, with two slots and an instance for each
/// task: 16,384 results that wait for their reader, and as many again in queue, batches and chunks.
const AHEAD_MAX: u64 = 65_536;

/// Results that are read of endless inputs.
const READ: u64 = 20_000;

/// The numbers from 0, which count how many of them were taken.
fn counted() -> (Arc<AtomicU64>, impl Iterator<Item = (u64, u64)> + Send + 'static) {
    let given = Arc::new(AtomicU64::new(0));
    let taken = Arc::clone(&given);
    let count = move |n: u64| {
        taken.fetch_add(1, Ordering::SeqCst);
        (n, 1)
    };
    (given, (0..).map(count))
}

/// Reads some results with pauses, in which the driver could take more than it should, and then
/// no more.
fn read_some(given: &AtomicU64, mut completed: Completed<u64>) {
    let mut most = 0;
    for read in 1..=READ {
        let (index, result) = wait(completed.next()).unwrap();
        assert_eq!(result.unwrap(), index as u64 + 1);
        if read % 5_000 == 1 {
            std::thread::sleep(Duration::from_millis(200));
        }
        most = most.max(given.load(Ordering::SeqCst) - read);
    }
    assert!(most <= AHEAD_MAX, "{most} inputs ahead of the results that were read");
    drop(completed);
    // Nobody waits: no more inputs are taken, but for those of a chunk that was begun.
    std::thread::sleep(Duration::from_millis(100));
    let taken = given.load(Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(100));
    assert!(given.load(Ordering::SeqCst) - taken < 10_000, "inputs are taken for nobody");
    assert!(given.load(Ordering::SeqCst) <= READ + AHEAD_MAX);
}

fn endless_inputs_are_taken_as_their_results_are_read(context: &Context) {
    let (given, inputs) = counted();
    let executor = context.builder().slots(2).build().unwrap();
    let map = executor.map(context.programs(), values::add, inputs);
    read_some(&given, wait(map).unwrap().as_completed());
}

fn an_endless_stream_is_taken_as_its_results_are_read(context: &Context) {
    let (given, inputs) = counted();
    let executor = context.builder().slots(2).build().unwrap();
    let inputs = samara::stream(futures::stream::iter(inputs));
    let map = executor.map(context.programs(), values::add, inputs);
    read_some(&given, wait(map).unwrap().as_completed());
}

fn two_hundred_thousand_results_are_read_as_they_come(context: &Context) {
    const MANY: u64 = 200_000;
    let (given, inputs) = counted();
    let inputs = inputs.take(MANY as usize);
    let map = context.executor().map(context.programs(), values::add, inputs).reuse(true);
    let mut seen = vec![false; MANY as usize];
    let mut completed = wait(map).unwrap().as_completed();
    while let Some((index, result)) = wait(completed.next()) {
        assert_eq!(result.unwrap(), index as u64 + 1);
        assert!(!std::mem::replace(&mut seen[index], true), "{index} came twice");
    }
    assert!(seen.into_iter().all(|seen| seen));
    assert_eq!(given.load(Ordering::SeqCst), MANY);
}

fn a_stream_of_tuples_is_several_arguments(context: &Context) {
    let inputs = samara::stream(futures::stream::iter((0..5_000_u64).map(|n| (n, 2))));
    let job = wait(context.executor().map(context.programs(), values::add, inputs));
    assert!(collected(job).into_iter().eq(2..5_002));
    let inputs = samara::stream(futures::stream::iter([String::from("one"), String::new()]));
    let job = wait(context.executor().map(context.programs(), values::echo_string, inputs));
    assert_eq!(collected(job), ["one", ""]);
}

/// Every result before the panic, and an error in the place of the input that was to come.
fn check_panicked(results: Vec<Result<u64, TaskError>>) {
    assert_eq!(results.len(), 5_001);
    for (index, result) in results.into_iter().enumerate() {
        match (index, result) {
            (5_000, Err(error)) => {
                assert_eq!((error.code(), error.index), ("bad-input", 5_000));
                let text = error.to_string();
                assert!(text.contains(&format!("panicked: {EXPECTED_PANIC}")), "{text}");
            }
            (_, result) => assert_eq!(result.unwrap(), index as u64),
        }
    }
}

fn panics_at_5000(n: u64) -> (u64, u64) {
    assert!(n < 5_000, "{EXPECTED_PANIC}");
    (n, 0)
}

fn an_iterator_that_panics_is_an_error_behind_its_last_input(context: &Context) {
    let inputs = (0..50_000).map(panics_at_5000);
    let map = context.executor().map(context.programs(), values::add, inputs);
    check_panicked(results(wait(map)));
}

fn a_stream_that_panics_is_an_error_behind_its_last_input(context: &Context) {
    let inputs = samara::stream(futures::stream::iter((0..50_000).map(panics_at_5000)));
    let map = context.executor().map(context.programs(), values::add, inputs);
    check_panicked(results(wait(map)));
}

/// A number whose `Serialize` refuses 13.
#[derive(Clone)]
struct NotThirteen(u64);

impl Serialize for NotThirteen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            13 => Err(serde::ser::Error::custom("13 has no encoding")),
            n => serializer.serialize_u64(n),
        }
    }
}

fn an_input_that_cannot_be_encoded_fails_its_own_task(context: &Context) {
    // Few inputs are encoded at once, many on a thread of their own.
    for count in [20, 3_000] {
        type Add = Function<(), (Given<NotThirteen>, Given<u64>), u64>;
        let add = Add::new("add", Kind::Map, ());
        let numbers = (0..count).map(|n| (NotThirteen(n), 1_u64));
        let job = wait(context.executor().map(context.programs(), add, numbers));
        let results = results(job);
        assert_eq!(results.len() as u64, count);
        for (index, result) in results.into_iter().enumerate() {
            match result {
                Ok(value) => assert_eq!(value, index as u64 + 1),
                Err(error) => {
                    assert_eq!((error.index, index), (13, 13));
                    let Cause::Input(why) = &error.cause else { panic!("{error}") };
                    let wanted = "argument 1 cannot be encoded: 13 has no encoding";
                    assert!(why.contains(wanted), "{why}");
                }
            }
        }
    }
}

fn several_kinds_of_objects_are_one_input(context: &Context) {
    let names = [("a.txt", 3), ("books/b.txt", 4), ("books/c.log", 5), ("d/e.txt", 6)];
    for (name, lines) in names {
        context.put(name, "four\n".repeat(lines));
    }
    let at = |name: &str| Objects::at(context.url(name));
    let sources = vec![
        at("a.txt").chunk_bytes(10),
        at("books/"),
        at("d/*.txt").chunk_count(2),
        at("a.txt").and(context.url("books/*.log")),
    ];
    let job = wait(context.executor().map(context.programs(), input::count_lines, sources));
    assert_eq!(collected(job), [2, 1, 4, 5, 3, 3, 3, 5]);
    // One source that is nothing is an error of the whole, whatever the others are.
    let sources = vec![at("a.txt"), at("nowhere/")];
    let job = wait(context.executor().map(context.programs(), input::count_lines, sources));
    let error = job.unwrap_err();
    assert_eq!(error.code(), "store");
    assert!(error.to_string().contains("nowhere"), "{error}");
}

fn objects_with_arguments_of_their_own_are_one_input(context: &Context) {
    context.put("fruit", "apple\npear\nplum\npear\n");
    context.put("trees", "oak\npear\nelm\n");
    let at = |name: &str| Objects::at(context.url(name));
    let sources = vec![
        at("fruit").with(("pear".to_owned(), 9)),
        at("trees").with(("pear".to_owned(), 9)),
        at("fruit").chunk_bytes(11).with(("pear".to_owned(), 9)),
        at("fruit").with(("pear".to_owned(), 1)),
        at("").with(("l".to_owned(), 9)),
    ];
    let job = wait(context.executor().map(context.programs(), input::find_lines, sources));
    let found: Vec<Vec<u64>> = collected(job);
    let wanted = [&[2, 4][..], &[2], &[2], &[2], &[2], &[1, 3], &[3]];
    assert_eq!(found, wanted);
}
