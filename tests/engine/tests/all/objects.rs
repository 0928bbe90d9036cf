//! Objects by reference.

use samara_core::{Batch, layout};
use samara_guest::{Bytes, ObjectRef};
use samara_programs::Attempt;

use crate::common::{Worker, arguments, value_of};

#[test]
fn an_object_is_made_by_one_job_and_read_by_another() {
    let worker = Worker::new();
    for keep in [false, true] {
        let piece = Bytes::from(&b"0123456789"[..]);
        let batch = worker.batch("makes_object", vec![arguments(("a/b", &piece, 200_000, keep))]);
        let job = batch.job;
        let object: ObjectRef = value_of(&worker.each(batch).remove(0));
        let prefix = if keep { layout::kept(&job) } else { layout::objects(&job) };
        assert_eq!(object.url, format!("{}/{prefix}0/a/b", worker.store));
        assert_eq!(object.size, 2_000_000);
        let at: Bytes = worker.call("reads_object_at", arguments((&object, 1_999_995, 10)));
        assert_eq!(at.to_vec(), b"56789");
        let small: ObjectRef = worker.call("puts_object", arguments((&piece, keep)));
        let read: Bytes = worker.call("reads_object", arguments((small,)));
        assert_eq!(read, piece);
    }
}

#[test]
fn a_later_job_may_read_an_object_and_not_touch_it() {
    let worker = Worker::new();
    let object: ObjectRef = worker.call("puts_object", arguments((Bytes::from(&b"x"[..]), false)));
    let attempts: Vec<Attempt<u64>> = worker.call("replaces_object", arguments((&object,)));
    for attempt in attempts {
        let Attempt::Refused { case, .. } = attempt else { panic!("{attempt:?}") };
        assert_eq!(case, "NotGranted");
    }
    assert_eq!(worker.call::<Bytes>("reads_object", arguments((object,))).to_vec(), b"x");
}

#[test]
fn of_two_attempts_the_first_objects_counts() {
    let worker = Worker::new();
    let first = worker.batch("makes_object_of_attempt", vec![arguments(("x",))]);
    let mut second = first.clone();
    second.tasks[0].attempt = 1;
    let first: ObjectRef = value_of(&worker.each(first).remove(0));
    let second: ObjectRef = value_of(&worker.each(second).remove(0));
    assert_eq!(first, second);
    let read: Bytes = worker.call("reads_object", arguments((second,)));
    assert_eq!(read.to_vec(), b"attempt 0");
    assert!(worker.call::<bool>("makes_object_twice", arguments(("x",))));
}

#[test]
fn tasks_that_share_an_instance_have_names_of_their_own() {
    let worker = Worker::new();
    let inputs = (0..3).map(|_| arguments(())).collect();
    let batch = Batch { reuse: true, ..worker.batch("scratch_prefix", inputs) };
    let job = batch.job;
    let (shared, _) = crate::common::apart(worker.run(batch));
    let prefixes = crate::common::shared_values::<String>(&shared[0]);
    let expected = |index| format!("{}/{}{index}/", worker.store, layout::objects(&job));
    assert_eq!(prefixes, [0, 1, 2].map(|index| (index, expected(index))));
}
