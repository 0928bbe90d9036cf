//! Jobs whose inputs are other jobs' outputs.

use samara::{Cause, Executor};
use samara_guest::Bytes;
use samara_programs::{ends, reuse, values};

use super::{collected, results, table, wait};
use crate::Context;

table! {
    chains:
    a_jobs_outputs_are_the_next_jobs_inputs,
    outputs_are_passed_on_with_further_arguments,
    large_outputs_are_passed_on_through_the_store,
    a_failed_task_fails_its_own_successor_by_name,
    a_chain_begins_before_its_first_job_has_ended,
    outputs_in_another_store_are_refused,
    instances_are_shared_without_a_difference_in_results,
    a_trap_in_a_shared_instance_is_one_tasks_alone,
}

fn a_jobs_outputs_are_the_next_jobs_inputs(context: &Context) {
    let (executor, programs) = (context.executor(), context.programs());
    for count in [0, 1, 3_000_u64] {
        let first = wait(executor.map(programs, values::add, (0..count).map(|n| (n, 0)))).unwrap();
        let second = wait(executor.map(programs, reuse::adds_one, first)).unwrap();
        let third = wait(executor.map(programs, reuse::adds_one, second));
        assert!(collected(third).into_iter().eq(2..count + 2), "{count}");
    }
}

fn outputs_are_passed_on_with_further_arguments(context: &Context) {
    let (executor, programs) = (context.executor(), context.programs());
    let first = wait(executor.map(programs, reuse::adds_one, 0..500)).unwrap();
    let second = wait(executor.map(programs, values::add, first.with((1_000_u64,))));
    assert!(collected(second).into_iter().eq(1_001..1_501));
}

fn large_outputs_are_passed_on_through_the_store(context: &Context) {
    let (executor, programs) = (context.executor(), context.programs());
    let sizes = [10, 255 << 10, 257 << 10, 3 << 20];
    let first = wait(executor.map(programs, ends::output_of, sizes)).unwrap();
    let second = wait(executor.map(programs, values::echo_bytes, first)).unwrap();
    let third: Vec<Bytes> = collected(wait(executor.map(programs, values::echo_bytes, second)));
    for (bytes, size) in third.iter().zip(sizes) {
        assert!(bytes.len() == size && bytes.iter().all(|byte| *byte == b'x'), "{size}");
    }
    assert_eq!(third.len(), sizes.len());
}

fn a_failed_task_fails_its_own_successor_by_name(context: &Context) {
    let (executor, programs) = (context.executor(), context.programs());
    let first = wait(executor.map(programs, ends::fails_if_odd, 0..20_u64)).unwrap();
    let name = format!("of job {}", first.id());
    let second = wait(executor.map(programs, values::add, first.with((100_u64,))));
    for (n, result) in results(second).into_iter().enumerate() {
        match (n % 2, result) {
            (0, result) => assert_eq!(result.unwrap(), n as u64 + 100),
            (_, Ok(value)) => panic!("{n} has a value: {value}"),
            (_, Err(error)) => {
                assert_eq!((error.index, error.code()), (n as u64, "bad-input"));
                let Cause::Input(why) = &error.cause else { panic!("{error}") };
                let task = format!("task {n} ");
                for part in ["its input failed", "fails_if_odd", &task, &name] {
                    assert!(why.contains(part), "{part}: {why}");
                }
            }
        }
    }
}

fn a_chain_begins_before_its_first_job_has_ended(context: &Context) {
    let executor = context.builder().slots(2).build().unwrap();
    // The second input never ends by itself.
    let first = wait(executor.map(context.programs(), reuse::does_as_told, [1, 15])).unwrap();
    let id = first.id();
    let second = wait(executor.map(context.programs(), echo_pair(), first)).unwrap();
    assert_ne!(second.id(), id);
    assert_eq!(wait(second.task(0)).unwrap().0, 1);
    second.cancel();
    assert!(wait(second.task(1)).is_err());
    // Cancelling the successor, the only one who held it, has stopped the first job too.
    drop(second);
    let sum = wait(executor.map(context.programs(), values::add, [(1, 2), (3, 4)]));
    assert_eq!(collected(sum), [3, 7]);
}

/// A function that returns what `does_as_told` does: any that takes one value will do, as values
/// have no type on their way.
#[allow(clippy::type_complexity, reason = "a handle as the macro would write it")]
fn echo_pair() -> samara::function::Function<(), (samara::function::Given<(u64, u64)>,), (u64, u64)>
{
    samara::function::Function::new("echo_numbers", samara::function::Kind::Map, ())
}

fn outputs_in_another_store_are_refused(context: &Context) {
    let elsewhere = context.builder().store(context.url("elsewhere")).build().unwrap();
    let first = wait(elsewhere.map(context.programs(), reuse::adds_one, [1])).unwrap();
    let second = context.executor().map(context.programs(), reuse::adds_one, first);
    let error = wait(second).unwrap_err();
    assert_eq!(error.code(), "invalid");
    let text = error.to_string();
    assert!(
        text.contains(&elsewhere.store()) && text.contains("run both with one store"),
        "{text}"
    );
}

fn reused(executor: &Executor, context: &Context, reuse: bool) -> Vec<u64> {
    let inputs = (0..2_000).map(|n| (n, n * n));
    collected(wait(executor.map(context.programs(), values::add, inputs).reuse(reuse)))
}

fn instances_are_shared_without_a_difference_in_results(context: &Context) {
    let executor = context.executor();
    assert_eq!(reused(executor, context, true), reused(executor, context, false));
}

fn a_trap_in_a_shared_instance_is_one_tasks_alone(context: &Context) {
    let inputs = (0..1_000).map(|n| if n == 777 { 14 } else { 1_000 + n });
    let map = context.executor().map(context.programs(), reuse::does_as_told, inputs);
    for (index, result) in results(wait(map.reuse(true))).into_iter().enumerate() {
        match (index, result) {
            (777, result) => {
                let error = result.unwrap_err();
                assert_eq!((error.index, error.code()), (777, "trapped"));
                assert!(error.to_string().contains("told to panic"), "{error}");
            }
            (_, result) => assert_eq!(result.unwrap().0, 1_000 + index as u64),
        }
    }
}
