//! A small fake of Google's storage, in this process: what its documentation says of generations,
//! conditions, pages and resumable uploads, and the emulators that can be installed leave out.
//!
//! | file | does |
//! |---|---|
//! | `wire.rs` | HTTP |
//! | `objects.rs` | what is held, and its generations |
//! | `api.rs` | the JSON interface: objects, buckets, listings, batches |
//! | `upload.rs` | objects on their way up |
//! | `signature.rs` | signed URLs |
//!
//! It is strict where Google is: a wrong token is refused, a piece of an upload that is not the
//! last one has a multiple of 256 KiB, a token of a page is opaque, and a copy may take several
//! requests. It does not know quotas, rights of single users, or versions that are kept.

mod api;
mod objects;
mod signature;
mod upload;
mod wire;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use rsa::RsaPublicKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use self::objects::Content;
use self::wire::Request;

/// The fake on loopback; it stops when it is dropped.
#[derive(Debug)]
pub struct Google {
    address: SocketAddr,
    content: Arc<Mutex<Content>>,
    runtime: Option<tokio::runtime::Runtime>,
}

// === impl Google ===

impl Google {
    /// Starts one with an empty bucket.
    ///
    /// # Errors
    ///
    /// Where no port is to be had.
    pub fn start(bucket: &str, token: &str) -> io::Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let listener = {
            let _entered = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let mut content = Content::default();
        token.clone_into(&mut content.token);
        content.buckets.entry(bucket.to_owned()).or_default();
        let content = Arc::new(Mutex::new(content));
        runtime.spawn(serve(listener, Arc::clone(&content)));
        Ok(Self { address, content, runtime: Some(runtime) })
    }

    /// From now on URLs hold that this account signs.
    pub fn trust(&self, account: &str, key: RsaPublicKey) {
        let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        content.signers.insert(account.to_owned(), key);
    }

    /// Its URL.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Google {
    /// May be dropped within another runtime, where nothing may be waited for.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(listener: TcpListener, content: Arc<Mutex<Content>>) {
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let content = Arc::clone(&content);
        connections.spawn(async move {
            // Who goes away is not waited for.
            drop(converse(client, &content).await);
        });
        while connections.try_join_next().is_some() {}
    }
}

/// One connection: any number of requests.
async fn converse(mut client: TcpStream, content: &Mutex<Content>) -> io::Result<()> {
    // Heads and bodies are sent apart.
    client.set_nodelay(true)?;
    let mut left = BytesMut::new();
    while let Some(request) = Request::read(&mut client, &mut left).await? {
        let answer = {
            let mut content = content.lock().unwrap_or_else(PoisonError::into_inner);
            api::answer(&mut content, &request)
        };
        let is_last =
            request.header("connection").is_some_and(|it| it.eq_ignore_ascii_case("close"));
        let answer = if is_last { answer.with("Connection", "close") } else { answer };
        answer.send(&mut client, &request).await?;
        if is_last {
            break;
        }
    }
    Ok(())
}
