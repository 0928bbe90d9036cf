//! Objects by reference.

use std::collections::BTreeSet;

use samara_core::{Batch, Outcome, Output, layout};
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
fn without_conditions_each_attempt_has_an_object_of_its_own() {
    let worker = Worker::unconditional();
    let first = worker.batch("makes_object_of_attempt", vec![arguments(("x",))]);
    let job = first.job;
    let mut second = first.clone();
    second.tasks[0].attempt = 1;
    // One of them was handed out twice: which of the two reports counts is not known either.
    let batches = [first.clone(), second, first];
    let objects = batches.map(|batch| value_of::<ObjectRef>(&worker.each(batch).remove(0)));
    let read = objects.each_ref().map(|object| {
        // By URL and etag.
        worker.call::<Bytes>("reads_object", arguments((object,))).to_vec()
    });
    assert_eq!(read, [b"attempt 0", b"attempt 1", b"attempt 0"]);
    let names: BTreeSet<_> = objects.iter().map(|object| object.url.as_str()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    // So they go with the job.
    let prefix = format!("{}/{}0/of-attempt/", worker.store, layout::objects(&job));
    assert!(
        names.iter().all(|name| name.starts_with(&prefix) && name.ends_with("/x")),
        "{names:?}"
    );
    assert!(worker.call::<bool>("makes_object_twice", arguments(("x",))));
}

#[test]
fn without_conditions_bytes_that_were_put_are_not_overwritten() {
    let worker = Worker::unconditional();
    for keep in [false, true] {
        let bytes = Bytes::from(&b"x"[..]);
        let batch = worker.batch("puts_object", vec![arguments((&bytes, keep))]);
        let objects = [batch.clone(), batch].map(|batch| {
            let object: ObjectRef = value_of(&worker.each(batch).remove(0));
            object
        });
        for object in &objects {
            assert_eq!(worker.call::<Bytes>("reads_object", arguments((object,))), bytes);
        }
    }
}

#[test]
fn without_conditions_no_attempt_overwrites_anothers_output() {
    const BYTES: usize = 300_000;
    let worker = Worker::unconditional();
    let first = worker.batch("output_of_attempt", vec![arguments((BYTES,))]);
    let job = first.job;
    let mut second = first.clone();
    second.tasks[0].attempt = 1;
    // At once: neither knows of the other.
    let ended = std::thread::scope(|scope| {
        [first, second]
            .map(|batch| scope.spawn(|| worker.each(batch).remove(0).outcome))
            .map(|running| running.join().unwrap())
    });
    for (attempt, outcome) in (b'0'..).zip(ended) {
        let Outcome::Success(Output::Stored { size, content: Some(content) }) = outcome else {
            panic!("{outcome:?}");
        };
        let stored = worker.read(&layout::stored_output(&job, 0, Some(&content))).unwrap();
        assert_eq!(stored.len() as u64, size);
        let value: Bytes = samara_wit::value::decode(&stored).unwrap();
        assert_eq!(value.to_vec(), vec![attempt; BYTES]);
    }
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
