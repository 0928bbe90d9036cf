//! Connections, from the first to the drain.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustix::process::{Resource, getrlimit};
use samara_core::{Error, ErrorKind};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::dialect::{Dialect, Door};
use super::handle::Handling;
use super::listen::{Address, Listener, Stream};
use super::requests::{HEAD_TIME, Requests};
use super::tls::Tls;
use crate::host::{Ended, Host, Planned};

/// Connections at the same moment, and no more than half of the files that the process may have
/// open: tasks need some, too. A driver has one for each batch under way; one more waits until
/// another ends.
const CONNECTIONS_MAX: usize = 4096;

/// How long a client may take to begin with TLS, and to read why it was refused.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// How often a connection of HTTP/2 on which nothing comes is asked whether it is still there.
const PING_EVERY: Duration = Duration::from_secs(30);

/// Headers of a request, and bytes of all of them.
const HEADERS_MAX: usize = 100;
const HEAD_BYTES_MAX: usize = 64 << 10;

/// How long connections may take to end once everything is answered.
pub(super) const CLOSE_TIME: Duration = Duration::from_secs(2);

/// How long to wait where no connection can be taken, because the machine has no more files.
const ACCEPT_WAIT: Duration = Duration::from_millis(50);

/// Listens, answers, and drains when it is told to stop.
pub(super) async fn serve(
    mut host: Host,
    address: Address,
    dialect: &'static Dialect,
) -> Result<Ended, Error> {
    let planned = Planned {
        variables: &host.variables,
        listen: host.listen.as_deref(),
        knows_some: !host.tokens.is_empty() || host.service.has_gate(),
        tls: host.tls.as_deref(),
    };
    check(&planned, &address, dialect.door)?;
    let listener = address.listen().await?;
    let failed = |error: std::io::Error| {
        Error::new(ErrorKind::Invalid, format!("cannot listen on {address}: {error}"))
    };
    let handling = Arc::new(Handling::new(&host, dialect));
    let place = listener.address().map_err(failed)?;
    (host.listening)(&place.to_string());
    let connections = GracefulShutdown::new();
    let stopped = async {
        // An error means that nobody is there to stop it any more.
        drop(host.stop.wait_for(|stop| *stop).await);
        host.service.drain(host.grace).await
    };
    let all_done = tokio::select! {
        done = stopped => done,
        () = accept(&listener, &handling, host.tls.as_ref(), &connections) => {
            unreachable!("it has no end")
        }
        () = follow(host.tls.as_deref()) => unreachable!("it has no end"),
    };
    drop(listener);
    let _some_are_idle = tokio::time::timeout(CLOSE_TIME, connections.shutdown()).await;
    Ok(if all_done { Ended::Done } else { Ended::HandedBack })
}

/// Refuses what makes no sense together, and to be where anybody could run tasks.
pub(super) fn check(planned: &Planned<'_>, address: &Address, door: Door) -> Result<(), Error> {
    let knows_some = planned.knows_some;
    match (planned.tls, address) {
        (Some(_), Address::Unix(_) | Address::Shared(_)) => {
            let text = format!(
                "SAMARA_HOST_TLS_CERT is for addresses of TCP, and {address} is none: nobody \
                 listens in there; take SAMARA_HOST_TLS_CERT and its like out"
            );
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        // Without a certificate nobody comes in, whatever passes requests on.
        (Some(tls), _) if tls.is_mutual() => return Ok(()),
        _ => {}
    }
    if !knows_some {
        admits_nobody_else(address, door)?;
    }
    if knows_some && planned.tls.is_none() && door == Door::Reach && !address.is_here() {
        tracing::warn!(
            "{address} can be reached from other machines, and speaks no TLS: tickets and tokens \
             can be read on their way, unless something before it speaks TLS; SAMARA_HOST_TLS_CERT \
             and SAMARA_HOST_TLS_KEY have the host speak it"
        );
    }
    Ok(())
}

/// Refuses to be where anybody could run tasks.
fn admits_nobody_else(address: &Address, door: Door) -> Result<(), Error> {
    let text = match door {
        Door::Platform => return Ok(()),
        Door::Reach if address.is_here() => return Ok(()),
        Door::Reach => format!(
            "{address} can be reached from other machines, and anybody there could run tasks: say \
             who may with SAMARA_HOST_TENANTS, SAMARA_HOST_TOKENS or SAMARA_HOST_TLS_CLIENT_CA, or \
             listen on 127.0.0.1"
        ),
        Door::Tokens => format!(
            "the platform passes requests from anywhere on to {address}, and anybody could run \
             tasks: say who may with SAMARA_HOST_TENANTS or SAMARA_HOST_TOKENS"
        ),
    };
    Err(Error::new(ErrorKind::Invalid, text))
}

/// Takes up certificates that change, for ever.
async fn follow(tls: Option<&Tls>) {
    match tls {
        Some(tls) => tls.follow().await,
        None => std::future::pending().await,
    }
}

/// Takes connections, for ever.
async fn accept(
    listener: &Listener,
    handling: &Arc<Handling>,
    tls: Option<&Arc<Tls>>,
    connections: &GracefulShutdown,
) {
    let places = Arc::new(Semaphore::new(connections_max()));
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("it is never closed");
        match listener.accept().await {
            Ok(stream) => {
                let (handling, watcher) = (Arc::clone(handling), connections.watcher());
                tokio::spawn(connection(stream, handling, tls.cloned(), watcher, place));
            }
            Err(error) => {
                tracing::warn!("a connection was not taken: {error}");
                tokio::time::sleep(ACCEPT_WAIT).await;
            }
        }
    }
}

fn connections_max() -> usize {
    let files = getrlimit(Resource::Nofile).current.and_then(|files| usize::try_from(files).ok());
    files.map_or(CONNECTIONS_MAX, |files| CONNECTIONS_MAX.min(files / 2).max(1))
}

async fn connection(
    stream: Stream,
    handling: Arc<Handling>,
    tls: Option<Arc<Tls>>,
    watcher: Watcher,
    _place: OwnedSemaphorePermit,
) {
    match (stream, tls) {
        (Stream::Unix(stream), _) => requests(stream, handling, watcher).await,
        (Stream::Tcp(stream), None) => requests(stream, handling, watcher).await,
        (Stream::Tcp(stream), Some(tls)) => {
            let from = stream.peer_addr().map_or_else(|_| "nobody".to_owned(), |it| it.to_string());
            // Only this connection waits for it.
            match tokio::time::timeout(HANDSHAKE_TIME, tls.accept(stream)).await {
                Ok(Ok(stream)) => requests(stream, handling, watcher).await,
                Ok(Err(error)) => tracing::debug!(from, "a connection came to no TLS: {error}"),
                Err(_) => {
                    tracing::debug!(from, "a connection came to no TLS in {HANDSHAKE_TIME:?}");
                }
            }
        }
    }
}

/// Answers what is asked on a connection, until it ends.
async fn requests<S>(stream: S, handling: Arc<Handling>, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let requests = Arc::new(Requests::default());
    let asked = Arc::clone(&requests);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let (handling, under_way) = (Arc::clone(&handling), asked.begin());
        async move {
            let answer = handling.answer(request).await?;
            Ok::<_, Infallible>(answer.map(|body| under_way.until_sent(body)))
        }
    });
    let builder = builder();
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        served = watcher.watch(connection.into_owned()) => {
            if let Err(error) = served {
                tracing::debug!("a connection ended: {error}");
            }
        }
        () = requests.are_over() => tracing::debug!("a connection was closed: nothing was asked"),
    }
}

/// HTTP/1.1 and HTTP/2, within bounds.
fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEAD_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX));
    builder
}
