//! An object as a file that is written: [`BufWriter`].

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use samara_store::{Error, Metadata, PutOptions};
use tokio::io::AsyncWrite;
use tokio::task::JoinSet;

use super::{Result, Storage, Writer, ended};

/// Bytes that are gathered before they are passed on. Stores gather them again into parts of the size
/// that they like; here it is enough that small writes cost little.
const PASS_BYTES: usize = 1 << 20;

/// An object as a file that is written, for whatever writes to [`AsyncWrite`].
/// [`blocking`](Self::blocking) makes it one for [`std::io`].
///
/// The object appears under its name, whole, when [`finish`](Self::finish) or `shutdown` has
/// succeeded; `flush` does not make it appear. One that is dropped before is given up: what was sent
/// is removed in the background, which the end of the process may cut short;
/// [`abort`](Self::abort) waits for it. One that is dropped while it is being finished may be there,
/// whole.
///
/// ```
/// use samara::Storage;
/// use tokio::io::AsyncWriteExt;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # samara::block_on(async {
/// let storage = Storage::new()?;
/// let mut copy = storage.buf_writer("mem://example/copy").await?;
/// let mut source = &b"bytes from anywhere"[..];
/// tokio::io::copy(&mut source, &mut copy).await?;
/// copy.shutdown().await?;
/// assert_eq!(storage.get("mem://example/copy").await?, "bytes from anywhere");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })
/// # }
/// ```
#[must_use = "an object is written only when its writer is finished"]
pub struct BufWriter {
    state: State,
    gathered: BytesMut,
    storage: Storage,
    url: String,
}

/// How far it has come.
enum State {
    Ready(Writer),
    /// Bytes are on their way, whether somebody waits for them or not.
    Writing(JoinSet<(Result<()>, Writer)>),
    Finishing(JoinSet<Result<Metadata>>),
    Finished(Metadata),
    /// It is of no more use. What is left may have something to remove.
    Failed(Option<Writer>),
}

impl Storage {
    /// Starts to write an object as a file, in place of one that is there: for what knows
    /// `tokio::io`, or `std::io`.
    ///
    /// # Errors
    ///
    /// As [`put`](Self::put).
    pub async fn buf_writer(&self, url: &str) -> Result<BufWriter> {
        self.buf_writer_with(url, PutOptions::default()).await
    }

    /// Starts to write an object as a file, on conditions, and says something about it. Whether the
    /// condition holds is seen at the end.
    ///
    /// # Errors
    ///
    /// `Unsupported` where the store does not keep the condition; else as [`put`](Self::put).
    pub async fn buf_writer_with(&self, url: &str, options: PutOptions) -> Result<BufWriter> {
        let writer = self.writer_with(url, options).await?;
        let (storage, url) = (self.clone(), writer.url.clone());
        Ok(BufWriter { state: State::Ready(writer), gathered: BytesMut::new(), storage, url })
    }
}

// === impl BufWriter ===

impl BufWriter {
    /// Completes the object, as `shutdown` does, and describes it.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` and `Precondition`, by the condition; `OutOfSpace` and the like. The object is
    /// then not there.
    pub async fn finish(mut self) -> Result<Metadata> {
        poll_fn(|cx| self.poll_finish(cx)).await?;
        self.metadata().cloned().ok_or_else(|| self.spent())
    }

    /// Gives the object up, and waits until the store has removed what was sent.
    ///
    /// # Errors
    ///
    /// Where something may have been left.
    pub async fn abort(mut self) -> Result<()> {
        self.take().give_up().await
    }

    /// What is known of the object, once it is complete.
    pub fn metadata(&self) -> Option<&Metadata> {
        match &self.state {
            State::Finished(metadata) => Some(metadata),
            _ => None,
        }
    }

    /// The same for programs that are not asynchronous.
    pub fn blocking(self) -> crate::blocking::BufWriter {
        self.into()
    }

    /// Gives the object up, and waits for that on this thread, which may be of any runtime.
    pub(crate) fn give_up_here(mut self) {
        let (told, tells) = std::sync::mpsc::channel::<()>();
        self.give_up_behind(told);
        // It says nothing, and ends.
        let _ended = tells.recv();
    }

    /// Gives the object up on our threads, which stay until that is done; `told` goes with it.
    fn give_up_behind(&mut self, told: impl Send + 'static) {
        let state = self.take();
        if matches!(state, State::Finished(_) | State::Failed(None)) {
            return;
        }
        let (storage, url) = (self.storage.clone(), self.url.clone());
        let io = storage.io.clone();
        io.spawn(async move {
            if let Err(error) = state.give_up().await {
                tracing::warn!(url, %error, "an object was left half written");
            }
            drop(told);
            drop(storage);
        });
    }

    /// Writes with another writer of a store.
    #[cfg(test)]
    pub(super) fn replace(&mut self, inner: Box<dyn samara_store::Writer>) {
        let State::Ready(writer) = &mut self.state else { return };
        writer.inner = Some(inner);
    }

    fn take(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Failed(None))
    }

    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        if self.gathered.len() >= PASS_BYTES {
            ready!(self.poll_pass(cx))?;
        }
        if !matches!(self.state, State::Ready(_) | State::Writing(_)) {
            return Poll::Ready(Err(self.spent()));
        }
        let count = bytes.len().min(PASS_BYTES - self.gathered.len());
        self.gathered.extend_from_slice(&bytes[..count]);
        // What is ready is on its way while the next bytes are made.
        if self.gathered.len() >= PASS_BYTES
            && let Poll::Ready(passed) = self.poll_pass(cx)
        {
            passed?;
        }
        Poll::Ready(Ok(count))
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if matches!(self.state, State::Finished(_)) {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_pass(cx))?;
        self.poll_ready(cx)
    }

    pub(crate) fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if !matches!(self.state, State::Finishing(_) | State::Finished(_)) {
            ready!(self.poll_flush(cx))?;
            let State::Ready(writer) = self.take() else { return Poll::Ready(Err(self.spent())) };
            let mut task = JoinSet::new();
            task.spawn_on(writer.finish(), &self.storage.io);
            self.state = State::Finishing(task);
        }
        if let State::Finishing(task) = &mut self.state {
            let joined = ready!(task.poll_join_next(cx));
            self.state = State::Failed(None);
            self.state = State::Finished(ended(joined.expect("a task was spawned"))??);
        }
        Poll::Ready(Ok(()))
    }

    /// Passes on what was gathered, once what was passed before has gone.
    fn poll_pass(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        ready!(self.poll_ready(cx))?;
        if self.gathered.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let State::Ready(mut writer) = self.take() else { return Poll::Ready(Err(self.spent())) };
        let bytes = self.gathered.split().freeze();
        let mut task = JoinSet::new();
        let write = async move { (writer.write(bytes).await, writer) };
        task.spawn_on(write, &self.storage.io);
        self.state = State::Writing(task);
        Poll::Ready(Ok(()))
    }

    /// Waits until nothing is on its way.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        if let State::Writing(task) = &mut self.state {
            let joined = ready!(task.poll_join_next(cx));
            self.state = State::Failed(None);
            let (written, writer) = ended(joined.expect("a task was spawned"))?;
            self.state = match written {
                Ok(()) => State::Ready(writer),
                Err(error) => {
                    self.state = State::Failed(Some(writer));
                    return Poll::Ready(Err(error));
                }
            };
        }
        match &self.state {
            State::Ready(_) => Poll::Ready(Ok(())),
            _ => Poll::Ready(Err(self.spent())),
        }
    }

    fn spent(&self) -> Error {
        let why = match &self.state {
            State::Finishing(_) | State::Finished(_) => "the object is complete already",
            _ => "an earlier write failed, and nothing was written",
        };
        Error::generic(&self.url, why)
    }
}

impl AsyncWrite for BufWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write(&mut self, cx, bytes).map_err(io::Error::from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_flush(&mut self, cx).map_err(io::Error::from)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_finish(cx).map_err(io::Error::from)
    }
}

impl Drop for BufWriter {
    fn drop(&mut self) {
        self.give_up_behind(());
    }
}

impl fmt::Debug for BufWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, gathered, .. } = self;
        f.debug_struct("BufWriter")
            .field("url", url)
            .field("gathered", &gathered.len())
            .finish_non_exhaustive()
    }
}

// === impl State ===

impl State {
    /// Removes what was sent. Where the end has begun, it is waited for.
    async fn give_up(self) -> Result<()> {
        match self {
            Self::Ready(writer) | Self::Failed(Some(writer)) => writer.abort().await,
            Self::Writing(mut task) => match task.join_next().await {
                Some(joined) => ended(joined)?.1.abort().await,
                None => Ok(()),
            },
            Self::Finishing(mut task) => task.join_next().await.map_or(Ok(()), |_| Ok(())),
            Self::Finished(_) | Self::Failed(None) => Ok(()),
        }
    }
}
