//! The host's side: takes events, one after the other.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::{FutureExt, StreamExt};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use samara_core::wire::Frame;
use samara_core::{Access, Batch, Caller, Clock, Depot, Error, ErrorKind, Limits, Retry, wire};
use serde_json::Value;
use tokio::time::sleep;

use super::config::Config;
use super::door::Door;
use super::event::{Ask, Call, ENDING, Event, PARTS_FROM, Reply, Source, VERSION, encode};
use super::outgoing::Outgoing;
use super::spread;
use crate::host::{Defaults, Ended, Given, Host, Surroundings, Take, Variables};
use crate::push::{Answer, Refusal, Service, Why, encoded, undone};

/// Memory that a function has for one of Amazon's processors, in MiB:
/// <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>.
const PROCESSOR_MIB: usize = 1769;

/// Memory of a function that is not its tasks': the host's own, and the engine's.
const OWN_MIB: u64 = 96;

/// The least that a task gets, however small the function.
const TASK_MIB_MIN: u64 = 16;

/// How long before a function's end what it did is on its way: guests stop within some 10 ms, and the
/// store or the reply takes its time.
const MARGIN: Duration = Duration::from_secs(2);

/// How often a function that runs on says what it did, or that it lives.
const PART_EVERY: Duration = Duration::from_secs(10);

/// When one that nobody waits for says so first: most are done by then, and write once.
const QUEUED_FROM: Duration = Duration::from_secs(5);

/// When one that somebody waits for looks first whether it is still wanted: it writes nothing by then.
const LOOKED_FROM: Duration = Duration::from_secs(5);

/// Parts in a row that the store may refuse, before what was not done goes back: a driver gives a
/// function up that says nothing for the time of three.
const UNWRITTEN_MAX: u32 = 2;

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
    service: Arc<Service>,
    depot: Arc<dyn Depot>,
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
        service: Arc::clone(&service),
        depot: host.depot,
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
    let worker = Arc::new(Worker { service, depot, clock, variables });
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
        let (ticket, asked) = match serde_json::from_value::<Event>(payload) {
            Ok(Event { samara: VERSION, ticket, ask }) => (ticket, ask),
            Ok(Event { samara, .. }) => {
                let text = format!("this host speaks version {VERSION} of events, not {samara}");
                return Reply::Invalid(text);
            }
            Err(error) => {
                let text = format!(
                    "this is a host of Samara's, and takes events of its drivers alone: {error}"
                );
                return Reply::Invalid(text);
            }
        };
        let shown = ticket.as_ref().map(|ticket| ticket.0.as_str());
        let caller = match self.service.identify(shown) {
            Ok(caller) => caller,
            Err(error) => return Reply::Denied(error),
        };
        let calls: &[Call] = match &asked {
            Ask::Host => &[],
            Ask::Batch(call) | Ask::Queued(call) => std::slice::from_ref(call),
            Ask::Wave(calls) => calls,
        };
        if let Some(caller) = &caller
            && let Err(error) = calls.iter().try_for_each(|call| check_places(call, &**caller))
        {
            return Reply::Denied(error);
        }
        match asked {
            Ask::Host => self.info(invocation),
            Ask::Batch(call) => self.run(call, caller, invocation, true).await,
            Ask::Queued(call) => self.run(call, caller, invocation, false).await,
            Ask::Wave(mut calls) if !calls.is_empty() => {
                let own = calls.remove(0);
                let config = Config { name: invocation.function.clone(), ..Config::default() };
                let door = Door::new(config, ticket);
                let others = spread::start(door, &self.depot, calls, &invocation.run);
                futures::join!(self.run(own, caller, invocation, false), others).0
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
        let mut info = self.service.info();
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

    /// Runs a batch; `waits` says whether somebody waits for the reply.
    async fn run(
        &self,
        call: Call,
        caller: Option<Arc<dyn Caller>>,
        invocation: &Invocation,
        waits: bool,
    ) -> Reply {
        let mut outgoing = Outgoing::new(&self.depot, call.to.clone(), &invocation.run);
        match self.begin(&call, caller).await {
            Ok(answer) => self.pass_on(answer, &mut outgoing, invocation, waits).await,
            Err(Begun::Refused(why)) if waits => return Reply::Refused(why),
            Err(Begun::Refused(why)) => outgoing.add(&undone(&why)),
            // Its driver knows whether it makes sense to try again.
            Err(Begun::Failed(error)) => outgoing.add(&encoded(&Frame::Failed(error))),
        }
        match outgoing.finish(waits).await {
            Ok(reply) => reply,
            // Who does not wait sees that nothing comes.
            Err(error) => {
                tracing::error!("the answer is lost: {error}");
                Reply::Frames(encode(&encoded(&Frame::Failed(error))))
            }
        }
    }

    async fn begin(&self, call: &Call, caller: Option<Arc<dyn Caller>>) -> Result<Answer, Begun> {
        let bytes = call.batch.bytes(&self.depot).await.map_err(Begun::Failed)?;
        let mut batch = wire::decode_batch(&bytes).map_err(Begun::Failed)?;
        self.bound(&mut batch);
        self.service.begin_alone(batch, caller).map_err(|refusal| match refusal {
            Refusal::Denied(error) if error.kind == ErrorKind::Throttled => {
                Begun::Refused(error.message)
            }
            Refusal::Denied(error) | Refusal::TooMany(error) => Begun::Failed(error),
            Refusal::Busy | Refusal::Draining => Begun::Refused(ENDING.to_owned()),
        })
    }

    /// A task that takes more than the function has would end them all.
    fn bound(&self, batch: &mut Batch) {
        let Some(mib) = memory_mib(&self.variables) else { return };
        let slots = self.service.info().slots.min(batch.tasks.len()).max(1) as u64;
        let each = (mib.saturating_sub(OWN_MIB) / slots).max(TASK_MIB_MIN) << 20;
        let Limits { memory_bytes, .. } = &mut batch.limits;
        *memory_bytes = (*memory_bytes).min(each);
    }

    /// Takes frames as they come, until the last, or the end of the function's time.
    async fn pass_on(
        &self,
        mut answer: Answer,
        outgoing: &mut Outgoing,
        invocation: &Invocation,
        waits: bool,
    ) {
        let next_part = sleep(if waits { PARTS_FROM } else { QUEUED_FROM });
        let next_look = sleep(LOOKED_FROM);
        let had = invocation.left.map(|left| left.saturating_sub(MARGIN));
        let late = async {
            match had {
                Some(had) => sleep(had).await,
                None => std::future::pending().await,
            }
        };
        let mut unwritten = 0;
        tokio::pin!(late, next_part, next_look);
        loop {
            tokio::select! {
                biased;
                () = &mut late => {
                    let why = Why::Time(had.unwrap_or_default());
                    return answer.hand_back(outgoing.frames(), why).await;
                }
                frame = answer.next() => match frame {
                    Some(frame) => outgoing.add(&frame),
                    None => return,
                },
                () = &mut next_look, if waits && outgoing.can_be_parts() => {
                    next_look.set(sleep(PART_EVERY));
                    if outgoing.is_cancelled().await {
                        tracing::info!("nobody waits for the batch any more: it was cancelled");
                        return answer.hand_back(outgoing.frames(), Why::Untold).await;
                    }
                }
                () = &mut next_part, if outgoing.can_be_parts() => {
                    next_part.set(sleep(PART_EVERY));
                    match outgoing.write_part().await {
                        Ok(()) => unwritten = 0,
                        // The task goes on: what was not written goes with the next part.
                        Err(error) if error.retry == Retry::Later && unwritten < UNWRITTEN_MAX => {
                            tracing::warn!("a part of the answer was not written: {error}");
                            unwritten += 1;
                            continue;
                        }
                        Err(_) => return answer.hand_back(outgoing.frames(), Why::Untold).await,
                    }
                    if !waits && outgoing.is_cancelled().await {
                        return answer.hand_back(outgoing.frames(), Why::Untold).await;
                    }
                }
            }
            if outgoing.is_too_long() && outgoing.can_be_parts() {
                next_part.set(sleep(Duration::ZERO));
            }
        }
    }
}

/// Whether the objects that a call is about may be used on its caller's behalf.
fn check_places(call: &Call, caller: &dyn Caller) -> Result<(), Error> {
    let stored = match &call.batch {
        Source::Stored { url, .. } => Some(url),
        Source::Inline(_) => None,
    };
    let mut places = stored.into_iter().chain(&call.to);
    places.try_for_each(|url| caller.check_object(url, Access::ReadWrite))
}

/// Why a batch did not begin.
enum Begun {
    /// It is none, or the store does not give it.
    Failed(Error),
    /// The host is about to end, or a quota is used up for now.
    Refused(String),
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("service", &self.service).finish_non_exhaustive()
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
