//! What functions do with the host beside storage: shared instances, jobs of their own, objects by
//! reference.

use samara::Cause;
use samara_guest::{Bytes, ObjectRef};
use samara_programs::{Attempt, nested, objects, reuse};

use super::{call, cause, collected, results, table, wait};
use crate::Context;

table! {
    functions:
    instances_are_shared_where_a_job_asks_for_it,
    instances_are_not_shared_unless_asked_for,
    a_bad_input_harms_no_task_of_its_instance,
    many_tasks_of_shared_instances_keep_their_order,
    large_outputs_of_a_shared_instance_arrive,
    a_function_waits_for_its_jobs_on_one_slot,
    twenty_parents_wait_at_once_on_two_slots,
    nested_tasks_fail_each_for_itself,
    nested_jobs_end_at_a_depth,
    nested_jobs_are_cancelled_with_their_parents,
    objects_pass_from_job_to_job_by_reference,
    an_object_of_another_job_is_not_changed,
}

fn instances_are_shared_where_a_job_asks_for_it(context: &Context) {
    let map = context.executor().map(context.programs(), reuse::number_and_calls_before, 0..2000);
    let values: Vec<(u64, u64)> = collected(wait(map.reuse(true)));
    assert!(values.iter().map(|(number, _)| *number).eq(0..2000), "each knows its own number");
    let first = values.iter().filter(|(_, before)| *before == 0).count();
    assert!(first < 500, "{first} instances for 2000 tasks");
}

fn instances_are_not_shared_unless_asked_for(context: &Context) {
    let map = context.executor().map(context.programs(), reuse::number_and_calls_before, 0..200);
    assert!(collected(wait(map)).iter().all(|(_, before)| *before == 0));
}

fn a_bad_input_harms_no_task_of_its_instance(context: &Context) {
    let inputs = (0..300).map(|n| if n == 250 { 14 } else { 100 + n });
    let inputs: Vec<u64> = inputs.chain([13]).collect();
    let map = context.executor().map(context.programs(), reuse::does_as_told, inputs.clone());
    let results = results(wait(map.reuse(true)));
    for (input, result) in inputs.iter().zip(results) {
        match (input, result.map_err(samara::TaskError::into_cause)) {
            (13, Err(Cause::Failed(error))) => assert_eq!(error.to_string(), "told to fail"),
            (14, Err(Cause::Trapped(trap))) => assert_eq!(trap.message, "told to panic"),
            (_, result) => assert_eq!(result.unwrap().0, *input),
        }
    }
}

fn many_tasks_of_shared_instances_keep_their_order(context: &Context) {
    let map = context.executor().map(context.programs(), reuse::adds_one, 0..50_000);
    assert!(collected(wait(map.reuse(true))).into_iter().eq(1..50_001));
}

fn large_outputs_of_a_shared_instance_arrive(context: &Context) {
    let sizes = [3_usize, 300 << 10, 5, 400 << 10, 7];
    let map = context.executor().map(context.programs(), reuse::returns_bytes, sizes);
    let lengths: Vec<usize> =
        collected(wait(map.reuse(true))).iter().map(|bytes: &Bytes| bytes.len()).collect();
    assert_eq!(lengths, sizes);
}

fn a_function_waits_for_its_jobs_on_one_slot(context: &Context) {
    let executor = context.builder().slots(1).build().unwrap();
    assert_eq!(wait(executor.call(context.programs(), nested::leaves, (2, 3))).unwrap(), 9);
}

fn twenty_parents_wait_at_once_on_two_slots(context: &Context) {
    let executor = context.builder().slots(2).build().unwrap();
    let parents = executor.map(context.programs(), nested::leaves, (0..20).map(|_| (2, 2)));
    assert_eq!(collected(wait(parents)), [4; 20]);
}

fn nested_tasks_fail_each_for_itself(context: &Context) {
    assert_eq!(call!(context, nested::squared, 5).unwrap(), 25);
    let (_, squares) = call!(context, nested::squares_by_a_job, vec![2, 13, 4]).unwrap();
    assert_eq!((&squares[0], &squares[2]), (&Ok(4), &Ok(16)));
    let error = squares[1].as_ref().unwrap_err();
    assert!(error.contains("13 has bad luck"), "{error}");
}

fn nested_jobs_end_at_a_depth(context: &Context) {
    let (depth, refusal) = call!(context, nested::sinks, 0).unwrap();
    assert_eq!(depth, samara_core::nested::DEPTH_MAX);
    assert!(refusal.contains("jobs nest 8 deep at most"), "{refusal}");
}

fn nested_jobs_are_cancelled_with_their_parents(context: &Context) {
    // With one slot, a child that went on would keep it from every later call.
    let executor = context.builder().slots(1).build().unwrap();
    let ends = wait(executor.call(context.programs(), nested::cancels_a_job, ())).unwrap();
    assert!(matches!(&ends[..], [Attempt::Refused { .. }]), "{ends:?}");
    let left = wait(executor.call(context.programs(), nested::leaves_a_job_behind, ())).unwrap();
    assert_eq!(left.len(), 26, "{left}");
    assert_eq!(wait(executor.call(context.programs(), nested::leaves, (1, 2))).unwrap(), 2);
    // By its time limit, the same task ends as others do.
    let late = executor.call(context.programs(), nested::never_ends, 1);
    let late = late.time(std::time::Duration::from_millis(200));
    assert!(matches!(cause(wait(late)), Cause::LimitExceeded(_)));
}

fn objects_pass_from_job_to_job_by_reference(context: &Context) {
    let piece = Bytes::from(&b"0123456789"[..]);
    for keep in [false, true] {
        let made = (format!("a/{keep}"), piece.clone(), 200_000, keep);
        let object: ObjectRef = call!(context, objects::makes_object, made).unwrap();
        assert_eq!(object.size, 2_000_000);
        let at = (object.clone(), 1_999_995, 10);
        assert_eq!(call!(context, objects::reads_object_at, at).unwrap().to_vec(), b"56789");
        let whole = call!(context, objects::reads_object, object).unwrap();
        assert_eq!(whole.len(), 2_000_000);
        let small = call!(context, objects::puts_object, (piece.clone(), keep)).unwrap();
        assert_eq!(call!(context, objects::reads_object, small).unwrap(), piece);
    }
}

fn an_object_of_another_job_is_not_changed(context: &Context) {
    let bytes = Bytes::from(&b"x"[..]);
    let object = call!(context, objects::puts_object, (bytes.clone(), false)).unwrap();
    for attempt in call!(context, objects::replaces_object, object.clone()).unwrap() {
        let Attempt::Refused { case, .. } = attempt else { panic!("{attempt:?}") };
        assert_eq!(case, "NotGranted");
    }
    assert_eq!(call!(context, objects::reads_object, object).unwrap(), bytes);
}
