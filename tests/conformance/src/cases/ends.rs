//! Every kind of end gives the right outcome, and the engine survives them all.

use std::error::Error as _;
use std::time::{Duration, Instant};

use samara::{Access, Cause, Exceeded, Executor, Level, Limits, UserErrorKind};
use samara_guest::Bytes;
use samara_programs::{Attempt, ends, isolation, sandbox, store, task, values};

use super::{call, cause, results, table, task_error, wait};
use crate::Context;

table! {
    ends:
    computing_for_longer_than_allowed_is_a_limit,
    operations_and_bytes_of_stores_are_limited,
    what_is_held_for_a_task_is_limited,
    a_returned_error_keeps_its_chain,
    an_error_type_of_the_users_own_keeps_its_chain_too,
    a_panic_arrives_with_message_place_and_stack,
    traps_say_what_happened_and_where,
    an_exiting_guest_ends_its_task_and_nothing_else,
    memory_is_limited,
    time_is_limited_for_busy_and_for_sleeping_guests,
    output_is_limited,
    a_large_output_travels_through_the_store,
    logs_are_limited_and_kept_with_the_error,
    one_failure_hides_no_other_result,
    a_users_error_is_not_tried_again,
    the_engine_survives_hundreds_of_ends,
    every_task_has_a_fresh_instance,
    no_memory_of_one_task_is_seen_by_the_next,
    limits_that_make_no_sense_are_refused,
}

fn limited(context: &Context, change: impl FnOnce(&mut Limits)) -> Executor {
    let mut limits = Limits::default();
    change(&mut limits);
    context.builder().limits(limits).build().unwrap()
}

fn a_returned_error_keeps_its_chain(context: &Context) {
    let error = task_error(call!(context, ends::fails, ()));
    assert!(error.to_string().ends_with("(`fails`) failed: cannot count"), "{error}");
    let mut chain = Vec::new();
    let mut source = error.source();
    while let Some(cause) = source {
        chain.push(cause.to_string());
        source = cause.source();
    }
    assert_eq!(chain, ["cannot read the number", "invalid digit found in string"]);
    assert!(error.is_user_error());
}

fn an_error_type_of_the_users_own_keeps_its_chain_too(context: &Context) {
    match cause(call!(context, ends::fails_typed, "x".to_owned())) {
        Cause::Failed(error) => {
            assert_eq!(error.kind, UserErrorKind::Returned);
            assert_eq!(error.message, "not a number");
            assert_eq!(error.causes, ["invalid digit found in string"]);
        }
        other => panic!("{other:?}"),
    }
}

fn a_panic_arrives_with_message_place_and_stack(context: &Context) {
    match cause(call!(context, ends::panics, "the dish ran away".to_owned())) {
        Cause::Trapped(trap) => {
            assert_eq!(trap.message, "the dish ran away");
            let location = trap.location.as_deref().unwrap();
            assert!(location.contains("ends.rs:"), "{location}");
            assert!(trap.backtrace[0].contains("::ends::panics"), "{:?}", trap.backtrace);
        }
        other => panic!("{other:?}"),
    }
}

fn traps_say_what_happened_and_where(context: &Context) {
    let stack = |cause: Cause, wanted: &str| match cause {
        Cause::Trapped(trap) => {
            assert!(trap.message.contains(wanted), "{}", trap.message);
            trap.backtrace.join("\n")
        }
        other => panic!("{other:?}"),
    };
    assert!(stack(cause(call!(context, ends::traps, ())), "unreachable").contains("traps"));
    stack(cause(call!(context, ends::aborts, ())), "unreachable");
    stack(cause(call!(context, ends::indexes, (3, 5))), "index out of bounds: the len is 3");
    let deep = stack(cause(call!(context, ends::recurses, u64::MAX)), "stack");
    assert!(deep.lines().count() <= 32, "a backtrace of bounded length");
}

fn an_exiting_guest_ends_its_task_and_nothing_else(context: &Context) {
    for code in [0, 1, 3] {
        let Cause::Trapped(trap) = cause(call!(context, ends::exits, code)) else {
            panic!("code {code}")
        };
        assert!(trap.message.starts_with("exited"), "{trap}");
        assert_eq!(trap.message.contains("failure"), code != 0, "{trap}");
        assert!(!trap.message.contains("status"), "nobody knows the number: {trap}");
    }
}

fn memory_is_limited(context: &Context) {
    let executor = limited(context, |limits| limits.memory_bytes = 64 << 20);
    let limit = Exceeded::Memory { limit: 64 << 20 };
    for function in [ends::allocates_without_end, ends::allocates_bit_by_bit] {
        let cause = cause(wait(executor.call(context.programs(), function, ())));
        assert_eq!(cause, Cause::LimitExceeded(limit));
    }
    let fits = wait(executor.call(context.programs(), ends::allocates, 32 << 20));
    assert_eq!(fits.unwrap(), 32 << 20);
    let beyond = wait(executor.call(context.programs(), ends::allocates, 65 << 20));
    assert_eq!(cause(beyond), Cause::LimitExceeded(limit));
}

fn time_is_limited_for_busy_and_for_sleeping_guests(context: &Context) {
    let limit = Duration::from_millis(500);
    let executor = limited(context, |limits| limits.time = limit);
    let wanted = Cause::LimitExceeded(Exceeded::Time { limit });
    let started = Instant::now();
    assert_eq!(cause(wait(executor.call(context.programs(), ends::loops, ()))), wanted);
    assert_eq!(cause(wait(executor.call(context.programs(), sandbox::sleeps, 60_000))), wanted);
    let took = started.elapsed();
    assert!(took >= 2 * limit && took < Duration::from_secs(40), "{took:?}");
    assert!(wait(executor.call(context.programs(), sandbox::sleeps, 10)).unwrap() >= 10);
}

fn computing_for_longer_than_allowed_is_a_limit(context: &Context) {
    let limit = Duration::from_millis(150);
    let executor = limited(context, |limits| limits.cpu = limit);
    let wanted = Cause::LimitExceeded(Exceeded::Cpu { limit });
    assert_eq!(cause(wait(executor.call(context.programs(), ends::loops, ()))), wanted);
    // To wait is not to compute.
    let slept = wait(executor.call(context.programs(), sandbox::sleeps, 400)).unwrap();
    assert!(slept >= 400, "{slept}");
}

/// An executor whose functions may write objects of the case, within limits.
fn writing(context: &Context, set: impl FnOnce(&mut Limits)) -> Executor {
    let mut limits = Limits::default();
    set(&mut limits);
    let builder = context.builder().limits(limits);
    builder.grant(context.url(""), Access::ReadWrite).build().unwrap()
}

fn operations_and_bytes_of_stores_are_limited(context: &Context) {
    let executor = writing(context, |limits| limits.storage_operations = 5);
    let pieces = |executor: &Executor, size: usize, pieces: u64| {
        let arguments = (context.url("o"), Bytes::from(vec![7; size]), pieces, true);
        wait(executor.call(context.programs(), store::write_pieces, arguments))
    };
    assert_eq!(pieces(&executor, 10, 3).unwrap(), Attempt::Did(30));
    let limit = Exceeded::StorageOperations { limit: 5 };
    assert_eq!(cause(pieces(&executor, 100_000, 50)), Cause::LimitExceeded(limit));
    let executor = writing(context, |limits| limits.storage_bytes = 1_000_000);
    assert_eq!(pieces(&executor, 500_000, 2).unwrap(), Attempt::Did(1_000_000));
    let limit = Exceeded::StorageBytes { limit: 1_000_000 };
    assert_eq!(cause(pieces(&executor, 500_000, 3)), Cause::LimitExceeded(limit));
}

fn what_is_held_for_a_task_is_limited(context: &Context) {
    let executor = writing(context, |limits| limits.buffer_bytes = 8 << 20);
    let writers = |writers: u64| {
        let arguments = (context.url("many"), writers, Bytes::from(vec![7; 1 << 20]));
        wait(executor.call(context.programs(), store::writes_many_at_once, arguments))
    };
    assert_eq!(writers(8).unwrap(), 8);
    let limit = Exceeded::Buffers { limit: 8 << 20 };
    assert_eq!(cause(writers(9)), Cause::LimitExceeded(limit));
}

fn output_is_limited(context: &Context) {
    let executor = limited(context, |limits| limits.output_bytes = 1 << 20);
    for size in [2 << 20, 100 << 20, 200 << 20] {
        let cause = cause(wait(executor.call(context.programs(), ends::output_of, size)));
        let limit = 1 << 20;
        assert!(
            matches!(cause, Cause::LimitExceeded(Exceeded::Output { limit: l, .. }) if l == limit),
            "{size}: {cause:?}"
        );
    }
    let fits = wait(executor.call(context.programs(), ends::output_of, (1 << 20) - 16)).unwrap();
    assert_eq!(fits.len(), (1 << 20) - 16);
}

fn a_large_output_travels_through_the_store(context: &Context) {
    // Over what rides in a reply, under the limit.
    for size in [100 << 10, 300 << 10, 8 << 20] {
        assert_eq!(call!(context, ends::output_of, size).unwrap().len(), size);
    }
}

fn logs_are_limited_and_kept_with_the_error(context: &Context) {
    let executor = limited(context, |limits| limits.log_bytes = 64 << 10);
    wait(executor.call(context.programs(), task::logs_lines, (10_000, 100))).unwrap();
    // What std prints before it aborts is the task's own standard error.
    let small = limited(context, |limits| limits.memory_bytes = 16 << 20);
    let error = task_error(wait(small.call(context.programs(), ends::allocates_without_end, ())));
    let said = error.log.iter().find(|line| line.message.contains("memory allocation"));
    assert_eq!(said.map(|line| line.level), Some(Level::Warn), "{:?}", error.log);
}

fn one_failure_hides_no_other_result(context: &Context) {
    let job = wait(context.executor().map(context.programs(), ends::fails_if_odd, 0..100_u64));
    for (n, result) in results(job).into_iter().enumerate() {
        match n % 2 {
            0 => assert_eq!(result.unwrap(), n as u64),
            _ => assert!(result.unwrap_err().to_string().contains(&format!("{n} is odd"))),
        }
    }
    let job = wait(context.executor().map(context.programs(), ends::panics_if_odd, 0..20_u64));
    let failed = results(job).iter().filter(|result| result.is_err()).count();
    assert_eq!(failed, 10);
}

fn a_users_error_is_not_tried_again(context: &Context) {
    let error = task_error(call!(context, ends::fails_before_attempt, 1));
    assert_eq!(error.attempts, 1);
}

fn the_engine_survives_hundreds_of_ends(context: &Context) {
    let executor = limited(context, |limits| {
        limits.memory_bytes = 16 << 20;
        limits.time = Duration::from_secs(20);
    });
    for _ in 0..40 {
        let ends = [
            wait(executor.call(context.programs(), ends::fails, ())),
            wait(executor.call(context.programs(), ends::panics, "x".to_owned())),
            wait(executor.call(context.programs(), ends::traps, ())),
            wait(executor.call(context.programs(), ends::recurses, u64::MAX)),
            wait(executor.call(context.programs(), ends::allocates_without_end, ())),
        ];
        assert!(ends.iter().all(Result::is_err));
        assert_eq!(wait(executor.call(context.programs(), values::add, (1, 2))).unwrap(), 3);
    }
}

fn every_task_has_a_fresh_instance(context: &Context) {
    let job = wait(context.executor().map(context.programs(), isolation::count_calls, [(); 200]));
    for result in results(job) {
        assert_eq!(result.unwrap(), (1, 1), "nobody called this instance before");
    }
}

fn no_memory_of_one_task_is_seen_by_the_next(context: &Context) {
    for seed in 0..20 {
        assert!(call!(context, isolation::fill_memory, seed).unwrap() > 0);
        let (not_zero, found) = call!(context, isolation::find_pattern, seed).unwrap();
        assert_eq!(not_zero, 0, "fresh memory is zero");
        assert!(found < 8, "{found} words of another task's memory; its own variables are a few");
    }
}

fn limits_that_make_no_sense_are_refused(context: &Context) {
    let limits = Limits::default();
    let mut none = limits;
    none.memory_bytes = 0;
    let error = context.builder().limits(none).build().unwrap_err().to_string();
    assert!(error.contains("memory_bytes"), "{error}");
}
