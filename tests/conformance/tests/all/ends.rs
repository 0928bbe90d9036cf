//! Every kind of end gives the right outcome, and the engine survives them all.

use std::error::Error as _;
use std::time::{Duration, Instant};

use samara::{Cause, Exceeded, Executor, Level, Limits, UserErrorKind};
use samara_programs::{ends, isolation, sandbox, task, values};

use crate::call;
use crate::common::{builder, cause, executor, programs, results, task_error, wait};

fn limited(change: impl FnOnce(&mut Limits)) -> Executor {
    let mut limits = Limits::default();
    change(&mut limits);
    builder().limits(limits).build().unwrap()
}

#[test]
fn a_returned_error_keeps_its_chain() {
    let error = task_error(call!(ends::fails, ()));
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

#[test]
fn an_error_type_of_the_users_own_keeps_its_chain_too() {
    match cause(call!(ends::fails_typed, "x".to_owned())) {
        Cause::Failed(error) => {
            assert_eq!(error.kind, UserErrorKind::Returned);
            assert_eq!(error.message, "not a number");
            assert_eq!(error.causes, ["invalid digit found in string"]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_panic_arrives_with_message_place_and_stack() {
    match cause(call!(ends::panics, "the dish ran away".to_owned())) {
        Cause::Trapped(trap) => {
            assert_eq!(trap.message, "the dish ran away");
            let location = trap.location.as_deref().unwrap();
            assert!(location.contains("ends.rs:"), "{location}");
            let stack = trap.backtrace.join("\n");
            assert!(stack.contains("panics"), "{stack}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn traps_say_what_happened_and_where() {
    let stack = |cause: Cause, wanted: &str| match cause {
        Cause::Trapped(trap) => {
            assert!(trap.message.contains(wanted), "{}", trap.message);
            trap.backtrace.join("\n")
        }
        other => panic!("{other:?}"),
    };
    assert!(stack(cause(call!(ends::traps, ())), "unreachable").contains("traps"));
    stack(cause(call!(ends::aborts, ())), "unreachable");
    stack(cause(call!(ends::indexes, (3, 5))), "index out of bounds: the len is 3");
    let deep = stack(cause(call!(ends::recurses, u64::MAX)), "stack");
    assert!(deep.lines().count() <= 32, "a backtrace of bounded length");
}

#[test]
fn an_exiting_guest_ends_its_task_and_nothing_else() {
    for code in [0, 1] {
        let cause = cause(call!(ends::exits, code));
        assert!(matches!(cause, Cause::Trapped(_)), "{cause:?}");
    }
}

#[test]
fn memory_is_limited() {
    let executor = limited(|limits| limits.memory_bytes = 64 << 20);
    let limit = Exceeded::Memory { limit: 64 << 20 };
    for function in [ends::allocates_without_end, ends::allocates_bit_by_bit] {
        let cause = cause(wait(executor.call(programs(), function, ())));
        assert_eq!(cause, Cause::LimitExceeded(limit));
    }
    let fits = wait(executor.call(programs(), ends::allocates, 32 << 20));
    assert_eq!(fits.unwrap(), 32 << 20);
    let beyond = wait(executor.call(programs(), ends::allocates, 65 << 20));
    assert_eq!(cause(beyond), Cause::LimitExceeded(limit));
}

#[test]
fn time_is_limited_for_busy_and_for_sleeping_guests() {
    let limit = Duration::from_millis(150);
    let executor = limited(|limits| limits.time = limit);
    let wanted = Cause::LimitExceeded(Exceeded::Time { limit });
    let started = Instant::now();
    assert_eq!(cause(wait(executor.call(programs(), ends::loops, ()))), wanted);
    assert_eq!(cause(wait(executor.call(programs(), sandbox::sleeps, 60_000))), wanted);
    let took = started.elapsed();
    assert!(took >= 2 * limit && took < Duration::from_secs(10), "{took:?}");
    assert!(wait(executor.call(programs(), sandbox::sleeps, 10)).unwrap() >= 10);
}

#[test]
fn output_is_limited() {
    let executor = limited(|limits| limits.output_bytes = 1 << 20);
    for size in [2 << 20, 100 << 20, 200 << 20] {
        let cause = cause(wait(executor.call(programs(), ends::output_of, size)));
        let limit = 1 << 20;
        assert!(
            matches!(cause, Cause::LimitExceeded(Exceeded::Output { limit: l, .. }) if l == limit),
            "{size}: {cause:?}"
        );
    }
    let fits = wait(executor.call(programs(), ends::output_of, (1 << 20) - 16)).unwrap();
    assert_eq!(fits.len(), (1 << 20) - 16);
}

#[test]
fn a_large_output_travels_through_the_store() {
    // Over what rides in a reply, under the limit.
    for size in [100 << 10, 300 << 10, 8 << 20] {
        assert_eq!(call!(ends::output_of, size).unwrap().len(), size);
    }
}

#[test]
fn logs_are_limited_and_kept_with_the_error() {
    let executor = limited(|limits| limits.log_bytes = 64 << 10);
    wait(executor.call(programs(), task::logs_lines, (10_000, 100))).unwrap();
    // What std prints before it aborts is the task's own standard error.
    let small = limited(|limits| limits.memory_bytes = 16 << 20);
    let error = task_error(wait(small.call(programs(), ends::allocates_without_end, ())));
    let said = error.log.iter().find(|line| line.message.contains("memory allocation"));
    assert_eq!(said.map(|line| line.level), Some(Level::Warn), "{:?}", error.log);
}

#[test]
fn one_failure_hides_no_other_result() {
    let job = wait(executor().map(programs(), ends::fails_if_odd, 0..100_u64));
    for (n, result) in results(job).into_iter().enumerate() {
        match n % 2 {
            0 => assert_eq!(result.unwrap(), n as u64),
            _ => assert!(result.unwrap_err().to_string().contains(&format!("{n} is odd"))),
        }
    }
    let job = wait(executor().map(programs(), ends::panics_if_odd, 0..20_u64));
    let failed = results(job).iter().filter(|result| result.is_err()).count();
    assert_eq!(failed, 10);
}

#[test]
fn a_users_error_is_not_tried_again() {
    let error = task_error(call!(ends::fails_before_attempt, 1));
    assert_eq!(error.attempts, 1);
}

#[test]
fn the_engine_survives_hundreds_of_ends() {
    let executor = limited(|limits| {
        limits.memory_bytes = 16 << 20;
        limits.time = Duration::from_secs(20);
    });
    for _ in 0..40 {
        let ends = [
            wait(executor.call(programs(), ends::fails, ())),
            wait(executor.call(programs(), ends::panics, "x".to_owned())),
            wait(executor.call(programs(), ends::traps, ())),
            wait(executor.call(programs(), ends::recurses, u64::MAX)),
            wait(executor.call(programs(), ends::allocates_without_end, ())),
        ];
        assert!(ends.iter().all(Result::is_err));
        assert_eq!(wait(executor.call(programs(), values::add, (1, 2))).unwrap(), 3);
    }
}

#[test]
fn every_task_has_a_fresh_instance() {
    let job = wait(executor().map(programs(), isolation::count_calls, [(); 200]));
    for result in results(job) {
        assert_eq!(result.unwrap(), (1, 1), "nobody called this instance before");
    }
}

#[test]
fn no_memory_of_one_task_is_seen_by_the_next() {
    for seed in 0..20 {
        assert!(call!(isolation::fill_memory, seed).unwrap() > 0);
        let (not_zero, found) = call!(isolation::find_pattern, seed).unwrap();
        assert_eq!(not_zero, 0, "fresh memory is zero");
        assert!(found < 8, "{found} words of another task's memory; its own variables are a few");
    }
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    let limits = Limits::default();
    let mut none = limits;
    none.memory_bytes = 0;
    let error = builder().limits(none).build().unwrap_err().to_string();
    assert!(error.contains("memory_bytes"), "{error}");
}
