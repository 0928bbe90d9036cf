//! Where tasks wait for each other, in the engine's place.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use samara_core::{
    Arguments, Batch, Cancel, Capacity, Error, ErrorKind, Observer, Outcome, Output, Reach, Report,
    Reports, Runtime, Stats, Task,
};
use samara_wit::value::{self, ArgumentReader};
use tokio::sync::watch;

/// Where all tasks of a job come together before any goes on.
#[derive(Debug)]
pub(crate) struct Hall {
    wanted: u64,
    /// How long they wait for the last of them.
    patience: Duration,
    state: Mutex<State>,
    all: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    /// How often each task began.
    begun: BTreeMap<u64, u32>,
    /// The environments in which tasks began.
    places: BTreeSet<u64>,
    /// What functions were asked for, and how often.
    asks: BTreeMap<String, u64>,
}

/// The runtime of one environment.
#[derive(Debug)]
pub(crate) struct Seat {
    hall: Arc<Hall>,
    number: u64,
}

// === impl Hall ===

impl Hall {
    pub(crate) fn new(wanted: u64, patience: Duration) -> Arc<Self> {
        let (all, _) = watch::channel(false);
        Arc::new(Self { wanted, patience, state: Mutex::default(), all })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The runtime of the environment of this number.
    pub(crate) fn at(self: &Arc<Self>, number: u64) -> Seat {
        Seat { hall: Arc::clone(self), number }
    }

    /// Takes note of what an event asks for.
    pub(crate) fn asked(&self, payload: &[u8]) {
        let event: serde_json::Value = serde_json::from_slice(payload).expect("JSON");
        let ask = match &event["ask"] {
            serde_json::Value::Object(ask) => ask.keys().next().cloned().unwrap_or_default(),
            other => other.as_str().unwrap_or_default().to_owned(),
        };
        *self.state().asks.entry(ask).or_default() += 1;
    }

    pub(crate) fn asks(&self) -> BTreeMap<String, u64> {
        self.state().asks.clone()
    }

    /// Tasks that began.
    pub(crate) fn begun(&self) -> usize {
        self.state().begun.len()
    }

    /// Whether none began twice.
    pub(crate) fn is_once(&self) -> bool {
        self.state().begun.values().all(|times| *times == 1)
    }

    /// Environments in which tasks began.
    pub(crate) fn places(&self) -> usize {
        self.state().places.len()
    }

    /// Waits until the tasks of the whole job are here.
    async fn enter(&self, task: u64, place: u64) -> Result<(), Error> {
        let mut all = self.all.subscribe();
        let begun = {
            let mut state = self.state();
            *state.begun.entry(task).or_default() += 1;
            state.places.insert(place);
            state.begun.len() as u64
        };
        if begun == self.wanted {
            self.all.send_replace(true);
        }
        let came = tokio::time::timeout(self.patience, all.wait_for(|all| *all)).await;
        came.map(drop).map_err(|_| {
            let text = format!("{} of {} tasks began", self.begun(), self.wanted);
            Error::new(ErrorKind::TimedOut, text)
        })
    }
}

// === impl Seat ===

#[async_trait]
impl Runtime for Seat {
    fn capacity(&self) -> Capacity {
        Capacity::new(1, usize::MAX)
    }

    fn reach(&self) -> Reach {
        Reach::Process
    }

    async fn invoke(
        &self,
        batch: Arc<Batch>,
        _: Cancel,
        observer: Arc<dyn Observer>,
    ) -> Result<(), Error> {
        observer.started();
        for task in &batch.tasks {
            self.hall.enter(task.index, self.number).await?;
            observer.ended(Reports::Each(vec![report(task)]));
        }
        Ok(())
    }
}

impl fmt::Display for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "hall:{}", self.number)
    }
}

/// What `adds_one` answers.
fn report(task: &Task) -> Report {
    let Arguments::Encoded(arguments) = &task.arguments else { panic!("{task:?}") };
    let mut arguments = ArgumentReader::new(arguments).expect("arguments");
    let number: u64 = arguments.take().expect("a number");
    let sum = value::encode(&(number + 1)).expect("a value");
    Report {
        index: task.index,
        attempt: task.attempt,
        outcome: Outcome::Success(Output::Inline(sum.into())),
        log: Vec::new(),
        log_dropped: 0,
        stats: Stats::default(),
    }
}
