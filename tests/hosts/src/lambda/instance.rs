//! An execution environment: a process, the runtime API that it asks for events, and its end.

use std::convert::Infallible;
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::net::TcpListener;
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};

use super::api::{PAYLOAD_MAX, accepted};
use super::{NAME, Ran, State};

/// How often it is looked whether the process ended.
const LOOK: Duration = Duration::from_millis(10);

/// How long a process may take until it asks for its first event, on a machine that is busy.
const START_TIME: Duration = Duration::from_secs(60);

/// An environment.
#[derive(Debug)]
pub(super) struct Instance {
    child: Mutex<Child>,
    events: mpsc::UnboundedSender<Event>,
    answers: Arc<Answers>,
    arn: String,
}

#[derive(Debug)]
struct Event {
    id: String,
    payload: Bytes,
    /// How long it may take, from when the process takes it: what it takes to start does not count.
    timeout: Duration,
    taken: oneshot::Sender<()>,
    arn: String,
}

/// Who waits for an event's answer: its id, and who is told the answer and whether it is an error.
type Waiting = (String, oneshot::Sender<(Bytes, bool)>);

/// What the process asks for, and what it says.
#[derive(Debug)]
struct Answers {
    next: AsyncMutex<mpsc::UnboundedReceiver<Event>>,
    waiting: Mutex<Option<Waiting>>,
}

// === impl Instance ===

impl Instance {
    pub(super) async fn start(state: &Arc<State>) -> io::Result<Arc<Self>> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let api = listener.local_addr()?;
        let (events, next) = mpsc::unbounded_channel();
        let (next, waiting) = (AsyncMutex::new(next), Mutex::new(None));
        let answers = Arc::new(Answers { next, waiting });
        tokio::spawn(serve(listener, Arc::clone(&answers)));
        let settings = &state.settings;
        let memory = settings.memory_mib.to_string();
        let mut command = Command::new(&settings.program);
        // What https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html lists.
        command.env_clear().envs([
            ("AWS_LAMBDA_RUNTIME_API", api.to_string().as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", NAME),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &memory),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "AKIAFUNCTION"),
            ("AWS_SECRET_ACCESS_KEY", "of-the-function"),
            ("AWS_SESSION_TOKEN", "session"),
            ("AWS_ENDPOINT_URL_LAMBDA", &format!("http://{}", state.address)),
            ("LAMBDA_TASK_ROOT", "/var/task"),
            ("LAMBDA_RUNTIME_DIR", "/var/runtime"),
            ("_HANDLER", "bootstrap"),
            ("TZ", ":UTC"),
            ("LANG", "en_US.UTF-8"),
            ("PATH", "/usr/local/bin:/usr/bin/:/bin:/opt/bin"),
        ]);
        command.envs(settings.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        // A group of its own: signals for the tests are none of its business.
        let mut child = command.process_group(0).spawn()?;
        let pipe = BufReader::new(child.stderr.take().expect("it is piped"));
        let log = Arc::clone(state);
        std::thread::spawn(move || {
            for line in pipe.lines().map_while(Result::ok) {
                log.pool().logs.push(line);
            }
        });
        Ok(Arc::new(Self { child: Mutex::new(child), events, answers, arn: arn() }))
    }

    /// Runs an event; also says whether the environment can take another one.
    pub(super) async fn run(&self, state: &State, payload: Bytes, kills: bool) -> (Ran, bool) {
        let (sender, answer) = oneshot::channel();
        let id = id(state.number());
        *self.waiting() = Some((id.clone(), sender));
        self.signal(Signal::SIGCONT);
        let timeout = state.settings.timeout;
        let (taken, begins) = oneshot::channel();
        let event = Event { id: id.clone(), payload, timeout, taken, arn: self.arn.clone() };
        if self.events.send(event).is_err() {
            return (Ran::failed("Runtime.ExitError", "the environment is gone"), false);
        }
        if kills {
            tokio::time::sleep(LOOK).await;
            self.kill();
        }
        let ended = async {
            while self.is_alive() {
                tokio::time::sleep(LOOK).await;
            }
        };
        let late = async {
            let _or_never = tokio::time::timeout(START_TIME, begins).await;
            tokio::time::sleep(timeout).await;
        };
        tokio::select! {
            answered = answer => match answered {
                Ok((payload, _)) if payload.len() > PAYLOAD_MAX => {
                    let text = format!("Response payload size exceeded maximum allowed payload size ({PAYLOAD_MAX} bytes).");
                    self.freeze();
                    (Ran::failed("Function.ResponseSizeTooLarge", &text), true)
                }
                Ok((payload, failed)) => {
                    self.freeze();
                    (Ran { payload, failed }, true)
                }
                Err(_) => (Ran::failed("Runtime.ExitError", "nobody answers"), false),
            },
            () = ended => {
                let text = format!("RequestId: {id} Error: Runtime exited with error: signal: killed");
                (Ran::failed("Runtime.ExitError", &text), false)
            }
            () = late => {
                self.kill();
                let text = format!("RequestId: {id} Error: Task timed out after {:.2} seconds", timeout.as_secs_f64());
                (Ran::failed("Sandbox.Timedout", &text), false)
            }
        }
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Option<Waiting>> {
        self.answers.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Between events nothing in it runs.
    fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.lock().unwrap_or_else(PoisonError::into_inner).id();
        let Ok(id) = i32::try_from(id) else { return };
        // It may have ended.
        let _ended = kill(Pid::from_raw(id), signal);
    }

    fn is_alive(&self) -> bool {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(child.try_wait(), Ok(None))
    }

    /// Ends the process.
    pub(super) fn kill(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        // It may have ended.
        let _ended = child.kill();
        let _ended = child.wait();
    }
}

/// The runtime API of one environment.
async fn serve(listener: TcpListener, answers: Arc<Answers>) {
    while let Ok((stream, _)) = listener.accept().await {
        // Heads and bodies are sent apart.
        drop(stream.set_nodelay(true));
        let answers = Arc::clone(&answers);
        tokio::spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let answers = Arc::clone(&answers);
                async move { answers.answer(request).await }
            });
            let served = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service);
            // The process may end at any time.
            drop(served.await);
        });
    }
}

// === impl Answers ===

impl Answers {
    async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().strip_prefix("/2018-06-01/runtime/").unwrap_or_default();
        if head.method == Method::GET && path == "invocation/next" {
            return Ok(self.next().await);
        }
        let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let said = path.strip_prefix("invocation/").and_then(|rest| rest.split_once('/'));
        match said {
            Some((id, what @ ("response" | "error"))) => {
                let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
                match waiting.take_if(|(wanted, _)| wanted == id) {
                    Some((_, sender)) => {
                        // Whoever invoked it may be gone.
                        let _gone = sender.send((body, what == "error"));
                        accepted()
                    }
                    None => Ok(status(StatusCode::BAD_REQUEST)),
                }
            }
            _ if path == "init/error" => accepted(),
            _ => Ok(status(StatusCode::NOT_FOUND)),
        }
    }

    async fn next(&self) -> Response<Full<Bytes>> {
        let Some(event) = self.next.lock().await.recv().await else {
            return status(StatusCode::GONE);
        };
        let deadline_ms = (unix() + event.timeout).as_millis();
        // Whoever waited for it may be gone.
        let _gone = event.taken.send(());
        let response = Response::builder()
            .header("lambda-runtime-aws-request-id", event.id)
            .header("lambda-runtime-deadline-ms", deadline_ms.to_string())
            .header("lambda-runtime-invoked-function-arn", event.arn)
            .header("lambda-runtime-trace-id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700")
            .header("content-type", "application/json");
        response.body(Full::new(event.payload)).expect("a response of plain text")
    }
}

/// The name of the event of this number.
pub(super) fn id(number: u64) -> String {
    format!("{number:08x}-0000-4000-8000-000000000000")
}

/// The function, as AWS names it.
pub(super) fn arn() -> String {
    format!("arn:aws:lambda:us-east-1:123456789012:function:{NAME}")
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::default()).expect("a response of constants")
}

#[allow(
    clippy::disallowed_methods,
    reason = "AWS's clock, which the function compares with its own"
)]
pub(super) fn unix() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
