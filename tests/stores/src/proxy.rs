//! A proxy that fails: between a store and its server, one request at a time.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It passes.
    None,
    /// The connection is cut before anything is sent on.
    Reset,
    /// The request is done, and the connection cut before the answer.
    LostAnswer,
    /// The answer's body breaks off half way.
    Truncated,
    /// The answer's body stops half way, and nothing more comes.
    Stalled,
    /// An answer of this status, without the request being done.
    Status(u16),
    /// The request is done twice, and the second answer sent.
    Twice,
    /// The request is done without its conditions.
    Unconditional,
    /// A bit in the middle of the answer's body is another one.
    Flipped,
    /// A bit in the middle of the request's body is another one.
    FlippedSent,
}

/// What becomes of requests.
#[derive(Clone)]
struct Plan {
    fault: Decides,
    answered: Hears,
}

/// Decides by the number of the request and its first line.
type Decides = Arc<dyn Fn(u64, &str) -> Fault + Send + Sync>;

/// Is shown each answer of the server.
type Hears = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// A proxy on loopback; it stops when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
    runtime: Option<tokio::runtime::Runtime>,
}

/// An HTTP message: its head with the empty line, and its body.
struct Message {
    head: String,
    body: Vec<u8>,
}

/// How long a stalled answer keeps its connection: longer than anybody is to wait for it.
const STALLED: Duration = Duration::from_mins(5);

/// The longest head of a request or answer.
const HEAD_MAX: usize = 64 << 10;

// === impl Proxy ===

impl Proxy {
    /// Starts one before a server.
    ///
    /// # Errors
    ///
    /// Where no port is to be had.
    pub fn start(
        upstream: &str,
        fault: impl Fn(u64, &str) -> Fault + Send + Sync + 'static,
    ) -> io::Result<Self> {
        Self::serving(upstream, Plan { fault: Arc::new(fault), answered: Arc::new(|_| ()) })
    }

    fn serving(upstream: &str, plan: Plan) -> io::Result<Self> {
        let upstream = upstream.trim_start_matches("http://");
        let upstream = upstream.split('/').next().unwrap_or(upstream).to_owned();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = {
            let _entered = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let requests = Arc::new(AtomicU64::new(0));
        runtime.spawn(serve(listener, upstream, plan, Arc::clone(&requests)));
        Ok(Self { address, requests, runtime: Some(runtime) })
    }

    /// Starts one that changes nothing, and counts the answers of one status.
    ///
    /// # Errors
    ///
    /// Where no port is to be had.
    pub fn counting(upstream: &str, status: u16, answers: Arc<AtomicU64>) -> io::Result<Self> {
        let status = format!("HTTP/1.1 {status} ");
        Self::serving(
            upstream,
            Plan {
                fault: Arc::new(|_, _| Fault::None),
                answered: Arc::new(move |answer: &[u8]| {
                    let is_counted = answer.starts_with(status.as_bytes());
                    answers.fetch_add(u64::from(is_counted), Ordering::Relaxed);
                }),
            },
        )
    }

    /// Its URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many requests came.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    /// May be dropped within another runtime, where nothing may be waited for.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(listener: TcpListener, upstream: String, plan: Plan, requests: Arc<AtomicU64>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let (upstream, plan, requests) = (upstream.clone(), plan.clone(), Arc::clone(&requests));
        connections.spawn(async move {
            // A connection that fails is what this is for.
            drop(one(client, &upstream, &plan, &requests).await);
        });
        while connections.try_join_next().is_some() {}
    }
}

/// One request, and with it the connection.
async fn one(
    mut client: TcpStream,
    upstream: &str,
    plan: &Plan,
    requests: &AtomicU64,
) -> io::Result<()> {
    let mut request = Message::read_request(&mut client).await?;
    let number = requests.fetch_add(1, Ordering::Relaxed);
    let fault = (plan.fault)(number, request.head.lines().next().unwrap_or_default());
    match fault {
        Fault::Reset => return Ok(()),
        Fault::Status(status) => return client.write_all(refusal(status).as_bytes()).await,
        Fault::Unconditional => {
            request.without(&["if-match:", "if-none-match:"]);
            // Google's condition stands in the URL.
            request.head = request.head.replace("ifGenerationMatch=", "ignored=");
        }
        Fault::FlippedSent => flip(&mut request.body),
        _ => {}
    }
    if fault == Fault::Twice {
        request.answer(upstream).await?;
    }
    let mut answer = request.answer(upstream).await?;
    (plan.answered)(&answer);
    let body = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(0, |at| at + 4);
    let half = body + (answer.len() - body) / 2;
    match fault {
        Fault::LostAnswer => Ok(()),
        Fault::Truncated => client.write_all(&answer[..half]).await,
        Fault::Stalled => {
            client.write_all(&answer[..half]).await?;
            client.flush().await?;
            tokio::time::sleep(STALLED).await;
            Ok(())
        }
        Fault::Flipped => {
            flip(&mut answer[body..]);
            client.write_all(&answer).await
        }
        _ => client.write_all(&answer).await,
    }
}

fn flip(bytes: &mut [u8]) {
    let middle = bytes.len() / 2;
    if let Some(byte) = bytes.get_mut(middle) {
        *byte ^= 1;
    }
}

/// An answer as a store that is overloaded or broken gives it.
fn refusal(status: u16) -> String {
    let code = if status == 503 || status == 429 { "SlowDown" } else { "InternalError" };
    let body = format!(
        "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>by the proxy</Message></Error>"
    );
    format!(
        "HTTP/1.1 {status} Refused\r\nContent-Type: application/xml\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

// === impl Message ===

impl Message {
    async fn read_request(client: &mut TcpStream) -> io::Result<Self> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            if bytes.len() > HEAD_MAX || client.read_buf(&mut bytes).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        };
        let mut body = bytes.split_off(end);
        let head = String::from_utf8_lossy(&bytes).into_owned();
        let length = header(&head, "content-length").and_then(|length| length.parse().ok());
        if header(&head, "expect").is_some() {
            client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        while body.len() < length.unwrap_or(0) {
            if client.read_buf(&mut body).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        // Of one in chunks the last is empty.
        while header(&head, "transfer-encoding").is_some() && !body.ends_with(b"\r\n0\r\n\r\n") {
            if client.read_buf(&mut body).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(Self { head, body })
    }

    /// Removes headers.
    fn without(&mut self, names: &[&str]) {
        let kept = self.head.split_inclusive("\r\n").filter(|line| {
            let line = line.to_ascii_lowercase();
            !names.iter().any(|name| line.starts_with(name))
        });
        self.head = kept.collect();
    }

    /// What the server answers: all that it sends.
    async fn answer(&self, upstream: &str) -> io::Result<Vec<u8>> {
        let mut request = Self { head: self.head.clone(), body: Vec::new() };
        request.without(&["connection:", "expect:"]);
        let head = request.head.trim_end_matches("\r\n").to_owned();
        let mut server = TcpStream::connect(upstream).await?;
        server.write_all(format!("{head}\r\nConnection: close\r\n\r\n").as_bytes()).await?;
        server.write_all(&self.body).await?;
        let mut answer = Vec::new();
        server.read_to_end(&mut answer).await?;
        Ok(answer)
    }
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let mut values = lines.filter(|(found, _)| found.eq_ignore_ascii_case(name));
    values.next().map(|(_, value)| value.trim())
}
