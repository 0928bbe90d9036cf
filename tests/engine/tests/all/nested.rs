//! Jobs that tasks start, on the local runtime, started by as little of a driver as will do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};
use std::task::{Context, Poll};

use bytes::Bytes;
use samara_core::nested::DEPTH_MAX;
use samara_core::{
    Batch, Cancel, Error, JobId, JobStarter, Nested, Observer, Outcome, Output, Reports, Runtime,
    StartedJob, Task,
};
use samara_programs::Attempt;
use samara_wit::value;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use crate::common::{Worker, arguments, unique};

/// Starts jobs on a runtime: one batch of all tasks.
#[derive(Debug)]
struct Starter {
    runtime: Arc<dyn Runtime>,
    io: tokio::runtime::Handle,
    /// The jobs that were started, and what cancels them.
    started: Mutex<BTreeMap<String, Cancel>>,
}

struct Started {
    id: JobId,
    cancel: Cancel,
    results: mpsc::UnboundedReceiver<(u64, Result<Bytes, String>)>,
}

struct Sender(mpsc::UnboundedSender<(u64, Result<Bytes, String>)>);

impl JobStarter for Starter {
    fn start(&self, nested: Nested<'_>) -> Result<Box<dyn StartedJob>, Error> {
        let Nested { parent, function, arguments, cancel, .. } = nested;
        let id = JobId::new(unique(), 1);
        let tasks = (0..).zip(arguments).map(|(index, arguments)| Task {
            index,
            attempt: 0,
            arguments: arguments.into(),
            partition: None,
        });
        let (function, depth) = (function.to_owned(), parent.depth + 1);
        let tasks: Vec<Task> = tasks.collect();
        let (sender, results) = mpsc::unbounded_channel();
        let cancel = cancel.child();
        self.started.lock().unwrap().insert(id.to_string(), cancel.clone());
        // A batch for each task: what runs them all at once is the runtime's matter.
        for task in tasks {
            let tasks = vec![task];
            let batch =
                Batch { job: id, function: function.clone(), depth, tasks, ..parent.clone() };
            let (runtime, cancel) = (Arc::clone(&self.runtime), cancel.clone());
            let observer = Arc::new(Sender(sender.clone()));
            self.io.spawn(async move { runtime.invoke(Arc::new(batch), cancel, observer).await });
        }
        Ok(Box::new(Started { id, cancel, results }))
    }
}

impl StartedJob for Started {
    fn id(&self) -> JobId {
        self.id
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<(u64, Result<Bytes, String>)>> {
        self.results.poll_recv(cx)
    }

    fn cancel(&mut self) {
        self.cancel.cancel();
    }
}

impl Observer for Sender {
    fn ended(&self, reports: Reports) {
        let Reports::Each(reports) = reports else { panic!("{reports:?}") };
        for report in reports {
            let result = match report.outcome {
                Outcome::Success(Output::Inline(bytes)) => Ok(bytes),
                Outcome::Failed(error) => Err(error.to_string()),
                other => Err(format!("{other:?}")),
            };
            let _the_parent_may_be_gone = self.0.send((report.index, result));
        }
    }
}

/// A worker whose tasks start jobs on a local runtime of so many slots.
fn worker(slots: usize, instances_max: u32) -> (Worker, Arc<Starter>) {
    let worker = Worker::with(|config| config.instances_max = instances_max);
    let mut context = samara_runtimes::Context::default();
    context.handler = Some(Arc::clone(&worker.handler) as _);
    context.slots = Some(slots);
    let runtime = samara_runtimes::open("local:", &context).unwrap();
    let (io, started) = (worker.io.handle().clone(), Mutex::default());
    let starter = Arc::new(Starter { runtime, io, started });
    worker.handler.set_jobs(Arc::downgrade(&starter) as Weak<dyn JobStarter>);
    (worker, starter)
}

/// Runs a task for each of `arguments`, a batch each, all at once; returns their values.
fn run<T: DeserializeOwned>(
    (worker, starter): &(Worker, Arc<Starter>),
    function: &str,
    arguments: Vec<samara_core::Arguments>,
) -> Vec<T> {
    let (sender, mut results) = mpsc::unbounded_channel();
    for (index, arguments) in (0..).zip(arguments) {
        let mut batch = worker.batch(function, vec![arguments]);
        batch.tasks[0].index = index;
        let (runtime, observer) = (Arc::clone(&starter.runtime), Arc::new(Sender(sender.clone())));
        let run = async move {
            runtime.invoke(Arc::new(batch), Cancel::default(), observer).await.unwrap();
        };
        worker.io.spawn(run);
    }
    drop(sender);
    let mut values = BTreeMap::new();
    worker.io.block_on(async {
        while let Some((index, result)) = results.recv().await {
            values.insert(index, value::decode(&result.unwrap()).unwrap());
        }
    });
    values.into_values().collect()
}

#[test]
fn a_task_waits_for_its_childrens_children_on_one_slot() {
    let worker = worker(1, 64);
    assert_eq!(run::<u64>(&worker, "leaves", vec![arguments((2, 3))]), [9]);
}

#[test]
fn many_parents_at_once_end_with_few_slots_and_few_instances() {
    let worker = worker(2, 2);
    let parents = (0..20).map(|_| arguments((2, 2))).collect();
    assert_eq!(run::<u64>(&worker, "leaves", parents), [4; 20]);
}

#[test]
fn each_nested_task_has_its_own_result() {
    let worker = worker(1, 64);
    type Squares = (String, Vec<Result<u64, String>>);
    let numbers = arguments((vec![2, 13, 4],));
    let (id, results) = run::<Squares>(&worker, "squares_by_a_job", vec![numbers]).remove(0);
    assert!(worker.1.started.lock().unwrap().contains_key(&id));
    assert_eq!((&results[0], &results[2]), (&Ok(4), &Ok(16)));
    assert_eq!(results[1], Err("task 1 failed: 13 has bad luck".to_owned()));
}

#[test]
fn jobs_nest_to_a_limit() {
    let worker = worker(1, 1);
    let (depth, refusal) = run::<(u32, String)>(&worker, "sinks", vec![arguments((0,))]).remove(0);
    assert_eq!(depth, DEPTH_MAX);
    assert!(refusal.contains("limit exceeded: jobs nest 8 deep at most"), "{refusal}");
}

#[test]
fn a_nested_job_is_cancelled_by_hand_and_with_its_parent() {
    let worker = worker(1, 64);
    let ends = run::<Vec<Attempt<()>>>(&worker, "cancels_a_job", vec![arguments(())]).remove(0);
    let [Attempt::Refused { text, .. }] = &ends[..] else { panic!("{ends:?}") };
    assert!(text.contains("cancelled"), "{text}");
    let id = run::<String>(&worker, "leaves_a_job_behind", vec![arguments(())]).remove(0);
    assert!(worker.1.started.lock().unwrap()[&id].is_cancelled(), "it ended with its parent");
    // The slot is free again: the tasks that never end did.
    assert_eq!(run::<u64>(&worker, "leaves", vec![arguments((0, 0))]), [1]);
}

#[test]
fn without_a_starter_a_task_is_told_so() {
    let worker = Worker::new();
    let report = worker.one("sinks", arguments((0,)));
    let (depth, refusal): (u32, String) = crate::common::value_of(&report);
    assert_eq!(depth, 0);
    assert!(refusal.contains("this runtime lets no task start jobs"), "{refusal}");
}
