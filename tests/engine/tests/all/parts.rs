//! Arguments that lie in the store.

use samara_core::{Argument, Arguments, ErrorKind, JobId, Outcome, Output, layout};

use crate::common::{Worker, arguments, inline, unique};

#[test]
fn arguments_are_gathered_from_the_store() {
    let worker = Worker::new();
    let batch = worker.batch("returns_bytes", vec![arguments((300_usize << 10,))]);
    let job = batch.job;
    let report = worker.each(batch).remove(0);
    let Outcome::Success(Output::Stored { size, content: None }) = report.outcome else {
        panic!("{report:?}")
    };
    // Its bytes are the first argument of another function.
    let parts = vec![Argument::Stored { job, index: 0, size, content: None }, inline(false)];
    let report = worker.one("puts_object", Arguments::Parts(parts));
    let object: samara_wit::ObjectRef = crate::common::value_of(&report);
    assert_eq!(object.size, 300 << 10);
    assert!(report.stats.fetch > std::time::Duration::ZERO);
    assert!(report.stats.wall >= report.stats.fetch);
}

#[test]
fn an_argument_that_is_gone_is_a_platform_failure_that_names_it() {
    let worker = Worker::new();
    let job = JobId::new(unique(), 0);
    let part = Argument::Stored { job, index: 5, size: 3, content: None };
    let report = worker.one("adds_one", Arguments::Parts(vec![part]));
    let Outcome::Platform(error) = report.outcome else { panic!("{report:?}") };
    assert_eq!(error.kind, ErrorKind::NotFound);
    let wanted = format!("fetching the output of task 5 of {job}");
    assert!(error.message.starts_with(&wanted), "{error}");
    assert!(error.message.contains(&layout::output(&job, 5)), "{error}");
}
