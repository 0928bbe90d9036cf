//! Jobs that a function starts: many tasks of another function of the same component.
//!
//! The tasks run beside the one that started them, wherever the runtime has room, with the same
//! grants and limits. A job that is dropped is cancelled, and so it is when the task that started
//! it ends, whatever way.
//!
//! ```
//! use samara_guest::{Result, function, jobs};
//!
//! /// Counts the primes below `end`.
//! #[function]
//! fn primes(start: u64, end: u64) -> u64 {
//!     (start.max(2)..end).filter(|n| (2..*n).all(|d| n % d != 0)).count() as u64
//! }
//!
//! /// The same, with a task for every hundred numbers.
//! #[function]
//! fn many_primes(end: u64) -> Result<u64> {
//!     let parts = (0..end.div_ceil(100)).map(|n| (n * 100, end.min((n + 1) * 100)));
//!     Ok(jobs::map(primes, parts)?.values()?.into_iter().sum())
//! }
//!
//! assert_eq!(many_primes(1000)?, 168);
//! # Ok::<(), samara_guest::Error>(())
//! ```
//!
//! Built natively, the tasks run in place, one after the other, when the job is started; arguments
//! and outputs are encoded and decoded as in the sandbox.
//!
//! A function may start itself, as a division into ever smaller parts does; inside of itself its
//! handle is called `self::name`, as `name` is the plain function there. Jobs nest eight deep.

use std::fmt;
use std::marker::PhantomData;

use samara_wit::value::{self, ArgumentWriter};
use samara_wit::{Function, Given};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::host;

/// A job that this task started: the iterator of its results, in the order in which tasks end.
///
/// Each comes with its task's number. [`values`](Self::values) and [`results`](Self::results) put
/// them in the order of the inputs.
#[must_use = "a job that is dropped is cancelled"]
pub struct Job<O> {
    host: host::Job,
    count: usize,
    output: PhantomData<fn() -> O>,
}

/// Why a job could not be started, or one of its tasks has no value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The job was not started.
    NotStarted(crate::storage::Error),
    /// An argument cannot be encoded.
    Argument {
        /// The task's number.
        task: u64,
        /// Why.
        message: String,
    },
    /// A task failed: its function, or the platform.
    Task {
        /// The task's number.
        task: u64,
        /// Why.
        message: String,
    },
}

/// Inputs of a function whose argument slots are `A`: its one value, or a tuple of its values.
#[diagnostic::on_unimplemented(
    message = "this is no input of the function",
    label = "not the function's arguments",
    note = "a function of one value takes that value, one of several a tuple of them; \
            one of a `Partition` cannot be started by a function"
)]
pub trait Input<A> {
    /// Encodes the arguments.
    #[doc(hidden)]
    fn encode(&self) -> Result<Vec<u8>, value::Error>;
}

/// Functions with argument slots `A` that return an `O`, or a `Result` of one.
#[diagnostic::on_unimplemented(
    message = "this function cannot be started by a function",
    note = "functions of one to eight values can"
)]
pub trait Callable<A, O> {
    /// Decodes the arguments, calls the function, encodes its output.
    #[doc(hidden)]
    fn call_encoded(&self, arguments: &[u8]) -> Result<Vec<u8>, String>;
}

/// What a function returns that gives an `O`.
pub trait Returned<O> {
    /// The value, or the error's chain as a text.
    #[doc(hidden)]
    fn returned(self) -> Result<O, String>;
}

/// Starts a job: a task of `function` for each of `inputs`.
///
/// # Errors
///
/// [`Error::NotStarted`] where jobs are nested too deeply, or the runtime starts none.
#[allow(clippy::needless_pass_by_value, reason = "a handle is passed as it is written: by name")]
pub fn map<F, A, O, I>(function: Function<F, A, O>, inputs: I) -> Result<Job<O>, Error>
where
    F: Callable<A, O>,
    I: IntoIterator,
    I::Item: Input<A>,
{
    let encode = |(task, input): (u64, I::Item)| {
        input.encode().map_err(|error| Error::Argument { task, message: error.to_string() })
    };
    let arguments: Vec<Vec<u8>> = (0..).zip(inputs).map(encode).collect::<Result<_, _>>()?;
    let count = arguments.len();
    #[cfg(target_family = "wasm")]
    let host = host::Job::start(function.name(), arguments);
    #[cfg(not(target_family = "wasm"))]
    let host = host::Job::start(arguments, |arguments| function.call_encoded(arguments));
    Ok(Job { host: host.map_err(Error::NotStarted)?, count, output: PhantomData })
}

// === impl Job ===

impl<O> Job<O> {
    /// The job's id, a ULID.
    pub fn id(&self) -> String {
        self.host.id()
    }

    /// Cancels what has not ended. Those tasks come out as failures.
    pub fn cancel(&mut self) {
        self.host.cancel();
    }
}

impl<O: DeserializeOwned> Job<O> {
    /// Waits for all tasks and returns their values in the order of the inputs.
    ///
    /// # Errors
    ///
    /// The first failure that is met; what has not ended then is cancelled.
    pub fn values(self) -> Result<Vec<O>, Error> {
        let mut values: Vec<Option<O>> = Vec::new();
        values.resize_with(self.count, || None);
        for (task, result) in self {
            put(&mut values, task, result?);
        }
        let lost = values.iter().position(Option::is_none);
        match lost {
            Some(task) => Err(Error::lost(task)),
            None => Ok(values.into_iter().flatten().collect()),
        }
    }

    /// Waits for all tasks and returns what each came to, in the order of the inputs.
    pub fn results(self) -> Vec<Result<O, Error>> {
        let mut results: Vec<Option<Result<O, Error>>> = Vec::new();
        results.resize_with(self.count, || None);
        for (task, result) in self {
            put(&mut results, task, result);
        }
        let results = results.into_iter().enumerate();
        results.map(|(task, result)| result.unwrap_or_else(|| Err(Error::lost(task)))).collect()
    }
}

fn put<T>(slots: &mut [Option<T>], task: u64, value: T) {
    if let Some(slot) = usize::try_from(task).ok().and_then(|task| slots.get_mut(task)) {
        *slot = Some(value);
    }
}

impl<O: DeserializeOwned> Iterator for Job<O> {
    type Item = (u64, Result<O, Error>);

    /// Waits for the next task to end.
    fn next(&mut self) -> Option<Self::Item> {
        let (task, result) = self.host.next()?;
        let decoded = result.and_then(|bytes| value::decode(&bytes).map_err(|e| e.to_string()));
        Some((task, decoded.map_err(|message| Error::Task { task, message })))
    }
}

impl<O> fmt::Debug for Job<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job").field("tasks", &self.count).finish_non_exhaustive()
    }
}

// === impl Error ===

impl Error {
    #[cold]
    fn lost(task: usize) -> Self {
        Self::Task { task: task as u64, message: "it was never reported".to_owned() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted(error) => write!(f, "the job was not started: {error}"),
            Self::Argument { task, message } => {
                write!(f, "an argument of task {task} cannot be encoded: {message}")
            }
            Self::Task { task, message } => write!(f, "task {task} failed: {message}"),
        }
    }
}

impl std::error::Error for Error {}

// === impl Input, impl Callable, impl Returned ===

impl Input<()> for () {
    fn encode(&self) -> Result<Vec<u8>, value::Error> {
        Ok(ArgumentWriter::new(0).finish())
    }
}

impl<T: Serialize> Input<(Given<T>,)> for T {
    fn encode(&self) -> Result<Vec<u8>, value::Error> {
        let mut writer = ArgumentWriter::new(1);
        writer.push(self)?;
        Ok(writer.finish())
    }
}

impl<O> Returned<O> for O {
    fn returned(self) -> Result<O, String> {
        Ok(self)
    }
}

impl<O, E: Into<anyhow::Error>> Returned<O> for Result<O, E> {
    fn returned(self) -> Result<O, String> {
        self.map_err(|error| format!("{:#}", error.into()))
    }
}

macro_rules! inputs {
    ($count:literal $($name:ident.$field:tt)+) => {
        impl<$($name: Serialize),+> Input<($(Given<$name>,)+)> for ($($name,)+) {
            fn encode(&self) -> Result<Vec<u8>, value::Error> {
                let mut writer = ArgumentWriter::new($count);
                $(writer.push(&self.$field)?;)+
                Ok(writer.finish())
            }
        }
    };
}

macro_rules! callable {
    ($($name:ident)*) => {
        impl<$($name: DeserializeOwned,)* R: Returned<O>, O: Serialize>
            Callable<($(Given<$name>,)*), O> for fn($($name),*) -> R
        {
            fn call_encoded(&self, arguments: &[u8]) -> Result<Vec<u8>, String> {
                let refuse = |error: value::Error| error.to_string();
                #[allow(unused_mut, reason = "there is nothing to take for a function of nothing")]
                let mut reader = value::ArgumentReader::new(arguments).map_err(refuse)?;
                let _ = &reader;
                let output = self($(reader.take::<$name>().map_err(refuse)?),*).returned()?;
                value::encode(&output).map_err(refuse)
            }
        }
    };
}

inputs!(2 A.0 B.1);
inputs!(3 A.0 B.1 C.2);
inputs!(4 A.0 B.1 C.2 D.3);
inputs!(5 A.0 B.1 C.2 D.3 E.4);
inputs!(6 A.0 B.1 C.2 D.3 E.4 F.5);
inputs!(7 A.0 B.1 C.2 D.3 E.4 F.5 G.6);
inputs!(8 A.0 B.1 C.2 D.3 E.4 F.5 G.6 H.7);

callable!();
callable!(A);
callable!(A B);
callable!(A B C);
callable!(A B C D);
callable!(A B C D E);
callable!(A B C D E F);
callable!(A B C D E F G);
callable!(A B C D E F G H);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task;

    #[allow(clippy::type_complexity, reason = "the macro writes it, nobody reads it")]
    #[expect(non_upper_case_globals, reason = "stands where the macro writes a function's name")]
    static half: Function<fn(u64) -> crate::Result<u64>, (Given<u64>,), u64> =
        Function::new("half", samara_wit::Kind::Map, |n| {
            crate::ensure!(n % 2 == 0, "{n} is odd");
            assert_ne!(n, 66, "planted");
            Ok(n / 2)
        });

    #[expect(non_upper_case_globals, reason = "stands where the macro writes a function's name")]
    static index: Function<fn() -> u64, (), u64> =
        Function::new("index", samara_wit::Kind::Map, || task::current().index);

    #[test]
    fn values_come_in_the_order_of_the_inputs() {
        assert_eq!(map(half, [2_u64, 4, 6]).unwrap().values().unwrap(), [1, 2, 3]);
        assert!(map(half, Vec::<u64>::new()).unwrap().values().unwrap().is_empty());
        let pairs: Vec<(u64, u64)> =
            map(half, [8_u64, 10]).unwrap().map(|(task, value)| (task, value.unwrap())).collect();
        assert_eq!(pairs, [(0, 4), (1, 5)]);
    }

    #[test]
    fn one_failure_hides_no_other_result() {
        let results = map(half, [2_u64, 3, 66, 4]).unwrap().results();
        assert_eq!((&results[0], &results[3]), (&Ok(1), &Ok(2)));
        let text = |n: usize| results[n].as_ref().unwrap_err().to_string();
        assert_eq!(text(1), "task 1 failed: 3 is odd");
        assert!(text(2).contains("planted"), "{}", text(2));
        let first = map(half, [2_u64, 3]).unwrap().values().unwrap_err();
        assert!(matches!(first, Error::Task { task: 1, .. }), "{first}");
    }

    #[test]
    fn a_nested_task_is_another_task_and_the_outer_goes_on() {
        crate::testing::set_task(task::Identity { job: "outer".to_owned(), index: 7, attempt: 1 });
        let mut job = map(index, [(), (), ()]).unwrap();
        job.cancel();
        assert_ne!(job.id(), "outer");
        assert_eq!(job.values().unwrap(), [0, 1, 2]);
        assert_eq!((task::current().job, task::current().index), ("outer".to_owned(), 7));
    }
}
