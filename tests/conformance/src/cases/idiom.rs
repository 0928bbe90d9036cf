//! The driver in the ways that Rust's users know: parallel iterators, services, no async.

use samara::blocking::{Wait, iter};
use samara::{Error, IntoSamara, OnFailure};
use samara_programs::{ends, reduce, values};
use tower_service::Service;

use super::{table, wait};
use crate::Context;

table! {
    idiom:
    a_parallel_iterator_collects_combines_and_hands_out,
    a_parallel_iterator_ends_with_the_first_error_and_hides_none,
    a_function_is_a_service,
    futures_are_waited_for_and_streams_are_iterators,
    instructions_are_counted_where_asked_and_are_the_same_each_time needs Within(Machine),
}

fn a_parallel_iterator_collects_combines_and_hands_out(context: &Context) {
    let (executor, add) = (context.executor(), context.programs().function(values::add));
    let inputs = || (0..100_u64).map(|n| (n, 1));
    let values: Vec<u64> = inputs().into_samara(executor, add.clone()).collect().unwrap();
    assert_eq!(values, (1..=100).collect::<Vec<u64>>());
    let sum = inputs().into_samara(executor, add.clone()).reduce(reduce::sum).unwrap();
    assert_eq!(sum, Some(5050));
    let none = Vec::<(u64, u64)>::new().into_samara(executor, add.clone());
    assert_eq!(none.reduce(reduce::sum).unwrap(), None);
    let mut seen = vec![0; 100];
    let look = |index: usize, value| seen[index] = value;
    inputs().into_samara(executor, add).for_each(look).unwrap();
    assert_eq!(seen, values);
}

fn a_parallel_iterator_ends_with_the_first_error_and_hides_none(context: &Context) {
    let function = context.programs().function(ends::fails_if_odd);
    let mapped = || [2_u64, 3, 4].into_samara(context.executor(), function.clone());
    let error = mapped().collect::<Vec<_>>().unwrap_err();
    assert_eq!(error.code(), "user-error", "{error}");
    let results = mapped().options(|map| map.on_failure(OnFailure::Continue)).results().unwrap();
    let ended: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!(ended, [true, false, true]);
}

fn a_function_is_a_service(context: &Context) {
    let function = context.programs().function(values::add);
    let mut service = context.executor().service(function);
    let ready = |service: &mut samara::FunctionService<_, u64>| {
        let mut nothing = std::task::Context::from_waker(std::task::Waker::noop());
        Service::<(u64, u64)>::poll_ready(service, &mut nothing).is_ready()
    };
    assert!(ready(&mut service));
    let calls: Vec<_> = (0..10_u64).map(|n| service.call((n, 100))).collect();
    let sums: Vec<u64> =
        wait(futures::future::join_all(calls)).into_iter().map(Result::unwrap).collect();
    assert_eq!(sums, (100..110).collect::<Vec<u64>>());
}

fn futures_are_waited_for_and_streams_are_iterators(context: &Context) {
    let (executor, programs) = (context.executor(), context.programs());
    assert_eq!(executor.call(programs, values::add, (20, 22)).wait().unwrap(), 42);
    let job = executor.map(programs, values::add, (0..50_u64).map(|n| (n, n))).wait().unwrap();
    let mut all: Vec<(usize, u64)> =
        iter(job.as_completed()).map(|(index, result)| (index, result.unwrap())).collect();
    all.sort_unstable();
    assert_eq!(all, (0..50).map(|n| (n, 2 * n as u64)).collect::<Vec<_>>());
    let wrong: Result<u64, Error> = executor.call(programs, ends::fails_if_odd, 3).wait();
    assert_eq!(wrong.unwrap_err().code(), "user-error");
}

fn instructions_are_counted_where_asked_and_are_the_same_each_time(context: &Context) {
    let fuel = |count: bool| {
        let executor = context.builder().count_fuel(count).build().unwrap();
        let job = wait(executor.map(context.programs(), values::add, [(1, 2), (1, 2)])).unwrap();
        wait(job.wait());
        job.stats().attempts.iter().map(|attempt| attempt.fuel).collect::<Vec<_>>()
    };
    assert_eq!(fuel(false), [None, None]);
    let counted = fuel(true);
    assert!(counted[0].is_some_and(|fuel| fuel > 0), "{counted:?}");
    assert_eq!(counted[0], counted[1]);
}
