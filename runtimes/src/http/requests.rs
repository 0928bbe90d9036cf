//! What is asked on one connection, and when a connection is of no use to anybody: whoever can reach
//! a host can hold one open, and there are only so many.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use super::handle::Body;

/// How long a client may take to send the head of a request.
pub(super) const HEAD_TIME: Duration = Duration::from_secs(30);

/// How long a connection stays on which nothing is asked. Drivers close theirs sooner.
const IDLE_TIME: Duration = Duration::from_secs(120);

/// The requests of one connection.
#[derive(Debug, Default)]
pub(super) struct Requests {
    begun: AtomicU64,
    under_way: AtomicUsize,
}

/// A request that is under way until this is dropped.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Requests>);

/// An answer, which is under way until the last of it was taken.
pub(super) struct Answered {
    body: Body,
    _under_way: UnderWay,
}

// === impl Requests ===

impl Requests {
    /// Counts a request whose head is there.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.begun.fetch_add(1, Ordering::Relaxed);
        self.under_way.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(self))
    }

    /// Waits until the connection is of no use: no head came in time, or nothing is asked any more.
    pub(super) async fn are_over(&self) {
        tokio::time::sleep(HEAD_TIME).await;
        let mut begun = 0;
        loop {
            let before = std::mem::replace(&mut begun, self.begun.load(Ordering::Relaxed));
            if begun == before && self.under_way.load(Ordering::Relaxed) == 0 {
                return;
            }
            tokio::time::sleep(IDLE_TIME).await;
        }
    }
}

// === impl UnderWay ===

impl UnderWay {
    pub(super) fn until_sent(self, body: Body) -> Answered {
        Answered { body, _under_way: self }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Answered ===

impl hyper::body::Body for Answered {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{sleep, timeout};

    use super::*;

    /// Whether a connection of these requests ends in that time.
    async fn ends(requests: &Requests, time: Duration) -> bool {
        timeout(time, requests.are_over()).await.is_ok()
    }

    /// Less than any of the times.
    const MOMENT: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_stays_no_longer_than_a_head_may_take() {
        let requests = Requests::default();
        assert!(!ends(&requests, HEAD_TIME - MOMENT).await);
        assert!(ends(&requests, HEAD_TIME + MOMENT).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_on_which_nothing_is_asked_any_more_ends() {
        let requests = Arc::new(Requests::default());
        drop(requests.begin());
        assert!(!ends(&requests, HEAD_TIME + IDLE_TIME - MOMENT).await);
        assert!(ends(&requests, HEAD_TIME + IDLE_TIME + MOMENT).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_asked_now_and_then_stays() {
        let requests = Arc::new(Requests::default());
        let asking = async {
            for _ in 0..100 {
                drop(requests.begin());
                sleep(IDLE_TIME / 2).await;
            }
        };
        tokio::select! {
            () = requests.are_over() => panic!("it was asked"),
            () = asking => {}
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_stays_while_an_answer_is_under_way() {
        let requests = Arc::new(Requests::default());
        let answer = requests.begin().until_sent(super::super::handle::full(Bytes::new()));
        assert!(!ends(&requests, IDLE_TIME * 100).await);
        drop(answer);
        assert!(ends(&requests, HEAD_TIME + IDLE_TIME + MOMENT).await);
    }
}
