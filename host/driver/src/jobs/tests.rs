//! Jobs as their drivers' own writers leave them, looked at from outside.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use futures::TryStreamExt;
use samara_core::{Batch, Cancel, Grants, Limits, Output, Stats};

use super::*;
use crate::block_on;
use crate::error::{Cause, TaskName};
use crate::joblog::{Entry, JobLog, Recorded};
use crate::{TaskError, storage};

fn executor(store: &str) -> Executor {
    Executor::builder().store(store).slots(1).progress(false).build().unwrap()
}

/// Writes a manifest as a driver does.
fn submit(executor: &Executor, submitted: Duration) -> JobId {
    let job = JobId::new(u64::try_from(submitted.as_millis()).unwrap(), 7);
    let batch = Batch {
        job,
        component: ComponentId::of(b"x"),
        function: "f".to_owned(),
        store: executor.store(),
        limits: Limits::default(),
        grants: Grants::default(),
        task_count: 3,
        reuse: false,
        depth: 0,
        payer: Default::default(),
        tasks: Vec::new(),
    };
    let unix_ms = u64::try_from(submitted.as_millis()).unwrap();
    let manifest = Manifest::of(&batch, Some(3), executor.runtime(), unix_ms);
    let store = executor.store_location().clone();
    block_on(executor.clone().on_io(async move { manifest.write(&store).await })).unwrap();
    job
}

fn attempt(task: u64) -> Entry {
    let stats = Stats { bytes_read: 10, ..Stats::default() };
    let second = Duration::from_secs(1);
    Entry::Attempt(Box::new(AttemptStats::shared(task, 1, &stats, second, 2 * second)))
}

fn line(task: u64, message: &str) -> Entry {
    let line = LogLine { level: Level::Info, message: message.to_owned() };
    Entry::Log { task, attempt: 0, line }
}

fn failure(job: JobId, task: u64) -> Recorded {
    let name = TaskName { job, function: "f".to_owned(), index: task, partition: None };
    let error = TaskError::new(name, 1, Cause::Output("no".to_owned()), Vec::new());
    Recorded::Failed(crate::error::Failure::of(&error))
}

fn cancelled(job: JobId, task: u64) -> Recorded {
    let name = TaskName { job, function: "f".to_owned(), index: task, partition: None };
    let why = samara_core::Error::new(samara_core::ErrorKind::Cancelled, "it was enough");
    let error = TaskError::new(name, 1, Cause::Platform(why), Vec::new());
    Recorded::Failed(crate::error::Failure::of(&error))
}

/// Starts a job's log with three tasks that ended, and waits until it can be read.
fn logged(executor: &Executor, job: JobId) -> JobLog {
    let (store, clock) = (executor.store_location().clone(), executor.clock());
    let started = executor.clone().on_io(async move {
        let log = JobLog::start((job, None), store, Cancel::default(), Arc::default(), clock);
        let value = Recorded::Value(Output::Inline(Bytes::from_static(&[1])));
        log.write(vec![
            attempt(0),
            line(0, "zero"),
            Entry::Result { task: 0, result: value },
            attempt(1),
            line(1, "one"),
            Entry::Result { task: 1, result: failure(job, 1) },
            Entry::Result { task: 2, result: cancelled(job, 2) },
        ])
        .await;
        Ok(log)
    });
    let log = block_on(started).unwrap();
    for _ in 0..1000 {
        if block_on(executor.job_status(job)).unwrap().succeeded > 0 {
            return log;
        }
        block_on(executor.sleep(Duration::from_millis(10)));
    }
    panic!("the log is never written");
}

fn messages(executor: &Executor, job: JobId, options: LogOptions) -> Vec<String> {
    let lines = block_on(executor.job_log(job, options)).unwrap();
    let lines: Vec<JobLine> = block_on(lines.try_collect()).unwrap();
    lines.into_iter().map(|line| format!("{}: {}", line.task, line.message)).collect()
}

fn finish(executor: &Executor, log: JobLog, stopped: Option<&str>) {
    let stopped = stopped.map(str::to_owned);
    let summary = Summary { tasks: 3, succeeded: 1, failed: 0, cancelled: 2, ..Summary::default() };
    let finished = async move {
        log.finish(summary, stopped).await;
        Ok(())
    };
    block_on(executor.clone().on_io(finished)).unwrap();
}

#[test]
fn a_job_is_what_its_objects_say_while_it_runs_and_afterwards() {
    let executor = executor("mem://samara jobs status/");
    let job = submit(&executor, executor.clock().unix());
    let log = logged(&executor, job);
    let running = block_on(executor.job_status(job)).unwrap();
    assert_eq!(running.state, JobState::Running);
    assert_eq!((running.tasks, running.succeeded, running.failed), (Some(3), 1, 1));
    assert_eq!(running.cancelled, 1);
    assert_eq!((running.function.as_str(), running.summary), ("f", None));
    assert_eq!(messages(&executor, job, LogOptions::default()), ["0: zero", "1: one"]);
    assert_eq!(messages(&executor, job, LogOptions::default().task(1)), ["1: one"]);
    let stats = block_on(executor.job_stats(job)).unwrap();
    assert_eq!((stats.attempts.len(), stats.summary.bytes_read), (2, 20));
    let refused = block_on(executor.clean_job(job, false)).unwrap_err().to_string();
    assert!(refused.contains("is running; cancel it first"), "{refused}");

    finish(&executor, log, Some("it was enough"));
    let stopped = block_on(executor.job_status(job)).unwrap();
    assert_eq!(stopped.state, JobState::Stopped("it was enough".to_owned()));
    let counts = (stopped.succeeded, stopped.failed, stopped.cancelled);
    assert_eq!(counts, (1, 0, 2), "those of the summary");
    let all = LogOptions::default().follow(true);
    assert_eq!(messages(&executor, job, all), ["0: zero", "1: one"], "it ends by itself");
    let late = block_on(executor.cancel_job(job)).unwrap_err().to_string();
    assert!(late.contains("has ended"), "{late}");
}

#[test]
fn jobs_are_listed_newest_first_and_removed_whole() {
    let executor = executor("mem://samara jobs list/");
    let now = executor.clock().unix();
    let (old, new) = (submit(&executor, now - Duration::from_hours(1)), submit(&executor, now));
    assert_eq!(block_on(executor.job_ids()).unwrap(), [new, old]);
    let listed = block_on(executor.jobs(1)).unwrap();
    assert_eq!(listed.iter().map(|job| job.id).collect::<Vec<_>>(), [new]);

    finish(&executor, logged(&executor, old), None);
    let storage = executor.storage();
    let url = |key: String| format!("{}{key}", executor.store());
    block_on(async {
        storage.put(&url(format!("{}a", layout::objects(&old))), "goes").await?;
        storage.put(&url(format!("{}a", layout::kept(&old))), "stays").await?;
        storage.put(&url(layout::output(&old, 0)), "goes").await
    })
    .unwrap();
    // Manifest, events, results, end, object and output.
    assert_eq!(block_on(executor.clean_job(old, false)).unwrap(), 6);
    assert_eq!(block_on(executor.job_ids()).unwrap(), [new]);
    let left = storage.list(&executor.store()).unwrap();
    let left: Vec<storage::Found> = block_on(left.try_collect()).unwrap();
    let left = left.iter().filter(|found| found.url.contains(&old.to_string())).count();
    assert_eq!(left, 1, "what was made to be kept");
    let gone = block_on(executor.clean_job(old, true)).unwrap_err();
    assert!(matches!(gone, Error::Store(storage::Error::NotFound { .. })), "{gone}");
}

#[test]
fn a_job_whose_driver_says_nothing_for_long_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let executor = executor(dir.path().to_str().unwrap());
    let now = executor.clock().unix();
    let state = |job| block_on(executor.job_status(job)).unwrap().state;
    assert_eq!(state(submit(&executor, now)), JobState::Running);
    let job = submit(&executor, now - Duration::from_mins(1));
    assert_eq!(state(job), JobState::Lost, "it never said anything");
    let log = logged(&executor, job);
    assert_eq!(state(job), JobState::Running);
    let part = dir.path().join(layout::event_part(&job, 0));
    let long_ago = SystemTime::UNIX_EPOCH + now - Duration::from_mins(1);
    std::fs::File::open(part).unwrap().set_modified(long_ago).unwrap();
    assert_eq!(state(job), JobState::Lost);
    let lines = block_on(executor.job_log(job, LogOptions::default().follow(true))).unwrap();
    let ended = block_on(lines.try_collect::<Vec<_>>()).unwrap_err().to_string();
    assert!(ended.contains("its log is silent"), "{ended}");
    finish(&executor, log, None);
    assert_eq!(state(job), JobState::Ended);
}

#[test]
fn a_private_store_has_no_jobs_to_find() {
    let executor = Executor::builder().slots(1).progress(false).build().unwrap();
    let refused = block_on(executor.jobs(1)).unwrap_err().to_string();
    assert!(refused.contains("set `store`"), "{refused}");
    let id = JobId::new(0, 0);
    for refused in [
        block_on(executor.job_status(id)).err(),
        block_on(executor.job_stats(id)).err(),
        block_on(executor.cancel_job(id)).err(),
        block_on(executor.clean_job(id, true)).err(),
    ] {
        assert!(matches!(refused, Some(Error::Invalid(_))), "{refused:?}");
    }
}

#[test]
fn a_job_that_is_not_there_is_named_with_its_place() {
    let executor = executor("mem://samara jobs none/");
    let id = JobId::new(0, 0);
    let missing = block_on(executor.job_status(id)).unwrap_err().to_string();
    assert!(missing.contains("00000000000000000000000000"), "{missing}");
    assert!(missing.contains("looked for a job"), "{missing}");
}

/// Their objects are fetched while the job has ended long since.
#[test]
fn stored_outputs_of_a_job_that_has_ended_all_come() {
    let executor = executor("mem://jobs-stored-outputs/s");
    let job = submit(&executor, executor.clock().unix());
    let (store, clock) = (executor.store_location().clone(), executor.clock());
    let written = executor.clone().on_io(async move {
        let log =
            JobLog::start((job, None), store.clone(), Cancel::default(), Arc::default(), clock);
        for task in 0..3 {
            let output = store.join(&layout::output(&job, task));
            output.store.put(&output.key, Bytes::from_static(&[7]), Default::default()).await?;
            let result = Recorded::Value(Output::Stored { size: 1, content: None });
            log.write(vec![Entry::Result { task, result }]).await;
        }
        Ok(log)
    });
    finish(&executor, block_on(written).unwrap(), None);
    let reference = crate::JobRef { id: job, store: executor.store() };
    let collected = block_on(executor.collect::<u8>(&reference)).unwrap();
    let mut results = block_on(collected.as_completed().collect::<Vec<_>>());
    results.sort_unstable_by_key(|(index, _)| *index);
    let values: Vec<u8> = results.into_iter().map(|(_, value)| value.unwrap()).collect();
    assert_eq!(values, [7, 7, 7]);
}
