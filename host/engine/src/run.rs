//! One task in one fresh instance.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use samara_core::{
    Arguments, Batch, Cancel, Clock, Error, ErrorKind, Exceeded, FunctionInfo, Grants, Limits,
    LogLine, Outcome, Output, Report, Secret, Stats, Task, Usage, UserError, UserErrorKind,
};
use wasmtime::component::{Instance, ResourceTable};
use wasmtime::{Store, UpdateDeadline};

use crate::bindings::exports::samara::function::functions::Failure;
use crate::budget::Budget;
use crate::capabilities::{partition, storage, task, wasi};
use crate::component::Prepared;
use crate::engine::Engine;
use crate::failure::{self, Stop};
use crate::job::Job;
use crate::log::Log;
use crate::partition::Reader;
use crate::patience::Patience;
use crate::state::{Memory, RESOURCES_MAX, State};

/// Epochs between two looks at the deadline and the cancellation.
const EPOCHS_PER_CHECK: u64 = 1;

/// Instructions that a guest may execute where they are counted: more than any can in its time.
const FUEL: u64 = u64::MAX;

/// Measures from an instance's start to its end.
pub(crate) struct Meter<'a> {
    clock: &'a dyn Clock,
    started: Duration,
    wall: Duration,
    cpu: Duration,
}

/// What a guest finds in its environment, and what of that is secret.
struct Environment {
    variables: Vec<(String, String)>,
    secrets: Vec<Secret>,
}

/// What an instance left when it ended.
pub(crate) struct Used {
    pub(crate) log: Vec<LogLine>,
    pub(crate) log_dropped: u64,
    pub(crate) stats: Stats,
}

// === impl Meter ===

impl<'a> Meter<'a> {
    pub(crate) fn start(clock: &'a dyn Clock) -> Self {
        let (started, wall) = (clock.unix(), clock.monotonic());
        Self { clock, started, wall, cpu: clock.thread_cpu() }
    }

    fn stop(&self, stats: Stats) -> Stats {
        Stats {
            started: self.started,
            wall: self.clock.monotonic().saturating_sub(self.wall),
            cpu: self.clock.thread_cpu().saturating_sub(self.cpu),
            ..stats
        }
    }
}

// === impl Engine ===

impl Engine {
    /// Runs one task in a fresh instance. Blocks; whatever the guest does is a report.
    ///
    /// Must not be called on a thread that drives an async runtime.
    pub fn run(&self, prepared: &Prepared, job: &Arc<Job>, task: &Task) -> Report {
        // Before the task's time begins: waiting for others is not its own.
        let _permit = self.inner().permits.take(job.batch().depth);
        // Also when the state is dropped: what a guest left open may have to be cleaned up.
        let _entered = self.inner().io.enter();
        let meter = Meter::start(&*self.inner().clock);
        let report = |outcome| Report {
            index: task.index,
            attempt: task.attempt,
            outcome,
            log: Vec::new(),
            log_dropped: 0,
            stats: Stats::default(),
        };
        let state = match self.state(job, task) {
            Ok(state) => state,
            Err(error) => return report(Outcome::Platform(error)),
        };
        let mut store = self.store(state);
        let outcome = self.call(prepared, &mut store, &job.batch().function, task);
        let output_bytes = match &outcome {
            Outcome::Success(Output::Inline(bytes)) => bytes.len() as u64,
            _ => 0,
        };
        let Used { log, log_dropped, stats } = self.end(store, &meter);
        Report { log, log_dropped, stats: Stats { output_bytes, ..stats }, ..report(outcome) }
    }

    /// Ends an instance, and says what it used.
    pub(crate) fn end(&self, store: Store<State>, meter: &Meter<'_>) -> Used {
        let fuel = self.inner().fuel.then(|| FUEL - store.get_fuel().unwrap_or(FUEL));
        let state = store.into_data();
        let (log, log_dropped) = state.log.take();
        let stats = Stats {
            fetch: state.partition.waited,
            memory_peak: state.memory.peak(),
            bytes_read: state.partition.bytes_read,
            storage_read: state.storage.read,
            storage_written: state.storage.written,
            http_bytes: state.budget.served_bytes(),
            host_calls: state.calls,
            progress: state.task.progress,
            fuel,
            ..Stats::default()
        };
        let (payer, bytes) = (state.job.batch().payer.clone(), state.budget.all_bytes());
        // What the guest left open is dropped within its time.
        drop(state);
        let stats = meter.stop(stats);
        if let Some(account) = payer.account() {
            account.spent(Usage { cpu: stats.cpu, bytes });
        }
        Used { log, log_dropped, stats }
    }

    /// Asks a component for its functions, within `limits`.
    ///
    /// # Errors
    ///
    /// Where the component ends otherwise than by answering.
    pub fn list(&self, prepared: &Prepared, limits: Limits) -> Result<Vec<FunctionInfo>, Outcome> {
        let batch = Batch {
            job: samara_core::JobId::new(0, 0),
            component: prepared.id(),
            function: String::new(),
            store: String::new(),
            limits,
            grants: samara_core::Grants::default(),
            task_count: 0,
            reuse: false,
            depth: 0,
            payer: samara_core::Payer::default(),
            tasks: Vec::new(),
        };
        let task = Task { index: 0, attempt: 0, arguments: Default::default(), partition: None };
        let job = Arc::new(Job::new(&Arc::new(batch), &Arc::default(), &Cancel::default()));
        let _permit = self.inner().permits.take(0);
        let state = self.state(&job, &task).map_err(Outcome::Platform)?;
        let mut store = self.store(state);
        let _running = self.inner().ticker.running();
        let _entered = self.inner().io.enter();
        let listed = prepared
            .instantiate(&mut store)
            .and_then(|instance| prepared.list(&mut store, &instance)?.call(&mut store, ()));
        match listed {
            Ok((functions,)) => Ok(functions.into_iter().map(FunctionInfo::from).collect()),
            Err(error) => Err(failure::outcome(error, store.data_mut())),
        }
    }

    pub(crate) fn state(&self, job: &Arc<Job>, task: &Task) -> Result<State, samara_core::Error> {
        let limits = job.batch().limits;
        let patience = Patience::new(
            self.inner().io.clone(),
            Arc::clone(&self.inner().clock),
            &limits,
            job.cancel().clone(),
            Arc::clone(job.waits()),
        );
        let Environment { variables, secrets } = self.variables(job)?;
        let budget = Budget::new(limits);
        let log = Log::new(limits.log_bytes);
        log.hide(secrets);
        let open = |partition: &samara_core::Partition| {
            let location = job.locator().open(&partition.object);
            location.map(|location| Reader::new(partition.clone(), location))
        };
        let reader = task.partition.as_deref().map(open).transpose();
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES_MAX);
        Ok(State {
            limits,
            memory: Memory::new(limits.memory_bytes, job.batch().payer.clone()),
            wasi: wasi::context(&log, job.grants(), &variables, &self.inner().clock),
            #[cfg(feature = "http")]
            http: crate::capabilities::http::Granted::new(self, job, &log, &budget),
            budget,
            panic: None,
            calls: 0,
            partition: partition::Granted {
                index: task.index,
                count: job.batch().task_count,
                reader: reader.map_err(|error| failure::store_error(&error))?,
                bytes_read: 0,
                waited: Duration::ZERO,
            },
            storage: storage::Granted::default(),
            job: Arc::clone(job),
            task: task::Granted { index: task.index, attempt: task.attempt, progress: (0, 0) },
            table,
            patience,
            log,
        })
    }

    /// The environment of a job's tasks: what its driver said, and the secrets that it named, which
    /// come once more by themselves.
    fn variables(&self, job: &Job) -> Result<Environment, Error> {
        let Grants { variables, secrets, .. } = job.grants();
        let tenant = job.batch().payer.tenant();
        let own = variables.iter().map(|(name, value)| (name.clone(), value.clone()));
        let mut environment = Environment { variables: own.collect(), secrets: Vec::new() };
        for (name, secret) in secrets {
            let known = self.inner().secrets.as_ref();
            let Some(value) = known.and_then(|known| known.secret(tenant, secret)) else {
                let text = format!(
                    "the secret `{secret}`, for the variable `{name}`, is not known where the task \
                     runs: it has to be a file of that name in the directory of secrets there, \
                     which is that of the setting `secrets-dir` for tasks on the driver's machine, \
                     and of SAMARA_HOST_SECRETS for hosts"
                );
                return Err(Error::new(ErrorKind::Denied, text));
            };
            environment.variables.push((name.clone(), value.reveal().to_owned()));
            environment.secrets.push(value);
        }
        Ok(environment)
    }

    pub(crate) fn store(&self, state: State) -> Store<State> {
        let mut store = Store::new(&self.inner().engine, state);
        store.limiter(|state| &mut state.memory);
        store.set_epoch_deadline(EPOCHS_PER_CHECK);
        store.epoch_deadline_callback(|mut store| match store.data_mut().look() {
            Ok(()) => Ok(UpdateDeadline::Continue(EPOCHS_PER_CHECK)),
            Err(stop) => Err(wasmtime::Error::new(stop)),
        });
        let limits = &store.data().limits;
        let fuel = limits.host_call_bytes.max(limits.output_bytes);
        store.set_hostcall_fuel(usize::try_from(fuel).unwrap_or(usize::MAX));
        if self.inner().fuel {
            store.set_fuel(FUEL).expect("an engine that counts was made to");
        }
        store
    }

    fn call(
        &self,
        prepared: &Prepared,
        store: &mut Store<State>,
        function: &str,
        task: &Task,
    ) -> Outcome {
        if let Err(stop) = store.data().patience.check() {
            return Stop::into(stop);
        }
        let Arguments::Encoded(arguments) = task.arguments.clone() else {
            let text = "its stored arguments are not in place: a defect of Samara's";
            return Outcome::Platform(Error::new(ErrorKind::Internal, text));
        };
        let _running = self.inner().ticker.running();
        let instance = match instantiate(prepared, store) {
            Ok(instance) => instance,
            Err(outcome) => return outcome,
        };
        let called = prepared
            .call(store, &instance)
            .and_then(|call| call.call(&mut *store, (function.to_owned(), arguments)));
        let outcome = match called {
            Ok((Ok(output),)) => match partition::read_out(store.data_mut()) {
                Ok(()) => success(output, store.data().limits.output_bytes),
                Err(stop) => stop.into(),
            },
            Ok((Err(failure),)) => failure::returned(failure.into(), store.data_mut()),
            Err(error) => failure::outcome(error, store.data_mut()),
        };
        // A guest sees no more than that a server's answer ended early.
        store.data().budget.check_served().map_or_else(Stop::into, |()| outcome)
    }
}

/// An instance, or what its start came to.
pub(crate) fn instantiate(
    prepared: &Prepared,
    store: &mut Store<State>,
) -> Result<Instance, Outcome> {
    prepared.instantiate(store).map_err(|error| {
        // The guest's own start may trap, or run until it is stopped.
        match error.is::<Stop>() || error.is::<wasmtime::Trap>() {
            true => failure::outcome(error, store.data_mut()),
            false => failure::instantiation(&error, store.data()),
        }
    })
}

fn success(output: Bytes, limit: u64) -> Outcome {
    match output.len() as u64 {
        size if size > limit => {
            Outcome::LimitExceeded(Exceeded::Output { limit, size: Some(size) })
        }
        _ => Outcome::Success(Output::Inline(output)),
    }
}

impl From<Failure> for UserError {
    fn from(failure: Failure) -> Self {
        let (kind, message, causes) = match failure {
            Failure::NoSuchFunction(text) => (UserErrorKind::NoSuchFunction, text, Vec::new()),
            Failure::BadArguments(text) => (UserErrorKind::BadArguments, text, Vec::new()),
            Failure::BadOutput(text) => (UserErrorKind::BadOutput, text, Vec::new()),
            Failure::Failed(chain) => {
                let mut chain = chain.into_iter();
                let message = chain.next().unwrap_or_default();
                (UserErrorKind::Returned, message, chain.collect())
            }
        };
        Self { kind, message, causes }
    }
}
