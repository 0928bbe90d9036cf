//! Values combined to one, in the sandbox.

use samara::{Cause, Error};
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
