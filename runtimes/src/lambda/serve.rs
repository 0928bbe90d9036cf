//! The host's side: takes events, one after the other.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use samara_core::wire::Frame;
use samara_core::{Batch, Caller, Clock, Error, ErrorKind, Limits, wire};
use serde_json::Value;

use super::config::Config;
use super::door::Door;
use super::event::{Ask, ENDING, Event, PARTS_FROM, Reply};
use super::finish::finish;
use super::spread;
use crate::host::{Defaults, Ended, Given, Host, Surroundings, Take, Variables};
use crate::mail::{Begun, Call, Desk, Outgoing, Pace, encode, pass_on};
use crate::push::encoded;

/// Memory that a function has for one of Amazon's processors, in MiB:
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>.
const PROCESSOR_MIB: usize = 1769;

/// Memory of a function that is not its tasks': the host's own, and the engine's.
const OWN_MIB: u64 = 96;

/// The least that a task gets, however small the function.
const TASK_MIB_MIN: u64 = 16;

/// The first second of the year 2001: what lies before it is no deadline, but an emulator's constant.
const PLAUSIBLE: Duration = Duration::from_secs(978_307_200);

/// What AWS sets, and its runtime crate does not do without.
const NEEDED: [&str; 3] =
    ["AWS_LAMBDA_FUNCTION_NAME", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION"];

/// A function of AWS Lambda.
pub(crate) const PLACE: Surroundings = Surroundings {
    name: "lambda",
    doc: "AWS Lambda, as a function's own runtime: an API in AWS_LAMBDA_RUNTIME_API",
    told_by: Some("AWS_LAMBDA_RUNTIME_API"),
    // What an extension's function has; others are not told at all.
    grace: Duration::from_millis(300),
    defaults,
    check: |_| Ok(()),
    serve: |host| serve(host).boxed(),
    embed: Some(embed),
};

/// Runs what events ask for.
struct Worker {
    desk: Desk,
    clock: Arc<dyn Clock>,
    variables: Variables,
}

/// One invocation.
struct Invocation {
    /// A short name for it.
    run: String,
    /// The function itself, with the version that was invoked.
    function: String,
    /// How long it may take from now on, where that is known.
    left: Option<Duration>,
}

/// One slot per processor, and the one directory that can be written.
fn defaults(variables: &Variables) -> Defaults {
    let slots = memory_mib(variables).map(|mib| {
        let mib = usize::try_from(mib).unwrap_or(usize::MAX);
        (mib.saturating_add(PROCESSOR_MIB / 2) / PROCESSOR_MIB).max(1)
    });
    let below_tmp = |name: &str| Some(PathBuf::from("/tmp/samara").join(name));
    Defaults { slots, cache_dir: below_tmp("compiled"), cache_key_file: below_tmp("keys/compiled") }
}

fn memory_mib(variables: &Variables) -> Option<u64> {
    variables.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")?.parse().ok()
}

async fn serve(mut host: Host) -> Result<Ended, Error> {
    let is_missing = |name: &&&str| !host.variables.contains_key(**name);
    if let Some(missing) = NEEDED.iter().find(is_missing) {
        let text = format!("{missing} is not set, which AWS Lambda and its emulators do");
        return Err(Error::new(ErrorKind::Invalid, text));
    }
    if host.tls.is_some() {
        let text = "a function of AWS Lambda listens nowhere, and AWS speaks TLS before it; take \
                    SAMARA_HOST_TLS_CERT and its like out";
        return Err(Error::new(ErrorKind::Invalid, text));
    }
    let api = host.variables.get("AWS_LAMBDA_RUNTIME_API").cloned().unwrap_or_default();
    (host.listening)(&format!("the runtime API at {api}"));
    let service = Arc::clone(&host.service);
    let worker = Arc::new(Worker {
        desk: Desk { service: Arc::clone(&service), depot: host.depot },
        clock: host.clock,
        variables: host.variables,
    });
    let handler = service_fn(move |event: LambdaEvent<Value>| {
        let worker = Arc::clone(&worker);
        let LambdaEvent { payload, context, .. } = event;
        async move {
            let deadline = Duration::from_millis(context.deadline);
            let (id, function) = (&context.request_id, &context.invoked_function_arn);
            let invocation = worker.invocation(id, function, deadline);
            Ok::<Reply, Diagnostic>(worker.take(payload, &invocation).await)
        }
    });
    let stopped = async {
        // An error means that nobody is there to stop it any more.
        drop(host.stop.wait_for(|stop| *stop).await);
        service.drain(host.grace).await
    };
    tokio::select! {
        ran = lambda_runtime::run(handler) => match ran {
            Ok(()) => Ok(Ended::Done),
            Err(error) => {
                let text = format!("the runtime API at {api} failed: {error}");
                Err(Error::new(ErrorKind::Store, text))
            }
        },
        all_done = stopped => Ok(if all_done { Ended::Done } else { Ended::HandedBack }),
    }
}

/// A function that is handed its events by whoever plays Lambda.
fn embed(host: Host) -> Take {
    let Host { service, depot, clock, variables, .. } = host;
    let worker = Arc::new(Worker { desk: Desk { service, depot }, clock, variables });
    Arc::new(move |given: Given| {
        let worker = Arc::clone(&worker);
        async move {
            let invocation = worker.invocation(&given.id, &given.function, given.deadline);
            let reply = match serde_json::from_slice(&given.payload) {
                Ok(payload) => worker.take(payload, &invocation).await,
                Err(error) => Reply::Invalid(format!("the payload is no JSON: {error}")),
            };
            serde_json::to_vec(&reply).expect("texts are JSON")
        }
        .boxed()
    })
}

// === impl Worker ===

impl Worker {
    async fn take(&self, payload: Value, invocation: &Invocation) -> Reply {
        let (ticket, asked) = match Event::read(payload) {
            Ok(Event { ticket, ask, .. }) => (ticket, ask),
            Err(why) => return Reply::Invalid(why),
        };
        let caller = match self.desk.identify(ticket.as_ref(), asked.calls()) {
            Ok(caller) => caller,
            Err(error) => return Reply::Denied(error),
        };
        match asked {
            Ask::Host => self.info(invocation),
            Ask::Batch(call) => self.run(&call, caller, invocation).await,
            Ask::Queued(call) => self.run_queued(&call, caller, invocation).await,
            Ask::Wave(mut calls) if !calls.is_empty() => {
                let own = calls.remove(0);
                let config = Config { name: invocation.function.clone(), ..Config::default() };
                let door = Door::new(config, ticket);
                let others = spread::start(door, &self.desk.depot, calls, &invocation.run);
                futures::join!(self.run_queued(&own, caller, invocation), others).0
            }
            Ask::Wave(_) => Reply::Parts,
        }
    }

    /// An event of this name, for a function that ends then, by the time since the Unix epoch.
    fn invocation(&self, id: &str, arn: &str, deadline: Duration) -> Invocation {
        let left = deadline.saturating_sub(self.clock.unix());
        let left = (deadline > PLAUSIBLE).then_some(left);
        let said = |name: &str| self.variables.get(name).cloned().unwrap_or_default();
        let function = match arn.starts_with("arn:") {
            true => arn.to_owned(),
            false => said("AWS_LAMBDA_FUNCTION_NAME"),
        };
        let is_of_names = |c: &char| c.is_ascii_alphanumeric();
        let run = id.chars().filter(is_of_names).take(16).collect();
        Invocation { run, function, left }
    }

    fn info(&self, invocation: &Invocation) -> Reply {
        let mut info = self.desk.service.info();
        info.streams = false;
        info.text = true;
        // It was a moment ago that the time began.
        let whole = |left: Duration| left.as_secs() + u64::from(left.subsec_nanos() > 0);
        info.time_max = invocation.left.map(|left| Duration::from_secs(whole(left)));
        match wire::encode_info(&info) {
            Ok(info) => Reply::Host(encode(&info)),
            Err(error) => Reply::Invalid(error.message),
        }
    }

    /// Runs a batch whose answer is waited for.
    async fn run(
        &self,
        call: &Call,
        caller: Option<Arc<dyn Caller>>,
        invocation: &Invocation,
    ) -> Reply {
        let mut outgoing = Outgoing::new(&self.desk.depot, call.to.clone(), &invocation.run);
        match self.desk.begin(call, caller, |batch| self.bound(batch)).await {
            Ok(answer) => {
                let pace = Pace { first: PARTS_FROM, looks: true, left: invocation.left };
                pass_on(answer, &mut outgoing, pace).await;
            }
            Err(Begun::Refused(why)) => return Reply::Refused(why),
            Err(Begun::Ending) => return Reply::Refused(ENDING.to_owned()),
            // Its driver knows whether it makes sense to try again.
            Err(Begun::Failed(error)) => outgoing.add(&encoded(&Frame::Failed(error))),
        }
        finish(outgoing).await.unwrap_or_else(|error| untold(&error))
    }

    /// Runs a batch that nobody waits for.
    async fn run_queued(
        &self,
        call: &Call,
        caller: Option<Arc<dyn Caller>>,
        invocation: &Invocation,
    ) -> Reply {
        let of = (invocation.run.as_str(), invocation.left);
        let ran = self.desk.run_queued(call, caller, of, |batch| self.bound(batch)).await;
        ran.map_or_else(|error| untold(&error), |()| Reply::Parts)
    }

    /// A task that takes more than the function has would end them all.
    fn bound(&self, batch: &mut Batch) {
        let Some(mib) = memory_mib(&self.variables) else { return };
        let slots = self.desk.service.info().slots.min(batch.tasks.len()).max(1) as u64;
        let each = (mib.saturating_sub(OWN_MIB) / slots).max(TASK_MIB_MIN) << 20;
        let Limits { memory_bytes, .. } = &mut batch.limits;
        *memory_bytes = (*memory_bytes).min(each);
    }
}

/// Who does not wait sees that nothing comes.
fn untold(error: &Error) -> Reply {
    tracing::error!("the answer is lost: {error}");
    Reply::Frames(encode(&encoded(&Frame::Failed(error.clone()))))
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("desk", &self.desk).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_has_a_slot_for_each_processor() {
        let slots = |mib: &str| {
            let name = "AWS_LAMBDA_FUNCTION_MEMORY_SIZE".to_owned();
            defaults(&Variables::from([(name, mib.to_owned())])).slots
        };
        for (mib, wanted) in [("128", 1), ("1769", 1), ("3008", 2), ("10240", 6)] {
            assert_eq!(slots(mib), Some(wanted), "{mib}");
        }
        assert_eq!(defaults(&Variables::new()).slots, None);
    }
}
