//! The frames of one batch, as they come.

use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{Either, join_all, pending};
use futures::{FutureExt, Stream};
use samara_core::wire::Frame;
use samara_core::{
    Batch, Cancel, Error, ErrorKind, Observer, Outcome, Report, Reports, Stats, Tally,
};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use super::{Place, Service};

/// How often a host says that it is alive where there is nothing else to say. A driver takes it for
/// lost when it misses several.
pub const ALIVE_EVERY: Duration = Duration::from_secs(1);

/// How long before a request's time is over its batch is cancelled: a guest stops within some 10 ms,
/// and the answer has to travel.
const MARGIN: Duration = Duration::from_secs(1);

/// Bytes of frames that may wait for a driver when one more comes. What is not done by then goes back:
/// a driver that does not read would have its host hold all that it makes.
const PENDING_BYTES_MAX: usize = 64 << 20;

/// The encoded frames of one batch. Dropping it cancels what is not done.
pub struct Answer {
    frames: mpsc::UnboundedReceiver<Bytes>,
    /// Bytes of frames that were not taken.
    pending: Arc<AtomicUsize>,
    cancel: Cancel,
    /// Set when what is not done goes back to its driver.
    handing_back: Arc<OnceLock<Why>>,
    alive: Interval,
    /// Whether something was said since the last tick.
    spoke: bool,
}

/// What an answer may take that goes as a whole.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The time that is left, where there is an end to it.
    pub time: Option<Duration>,
    /// Bytes at most; but for the last frame, which is short.
    pub bytes: u64,
}

/// Why a batch is cancelled before it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// Its time is over, of which it had so much. Tasks that did not begin, or began late, go back
    /// for no attempt; one that had most of it would come to the same again, and uses one up.
    Time(Duration),
    /// Nobody wants it, or what was done cannot be told.
    Untold,
}

/// Encodes what the runtime tells.
struct Encoder {
    service: Arc<Service>,
    handing_back: Arc<OnceLock<Why>>,
    frames: mpsc::UnboundedSender<Bytes>,
    pending: Arc<AtomicUsize>,
    cancel: Cancel,
    /// Set when so much is pending that the rest goes back.
    is_full: AtomicBool,
    tally: Mutex<Tally>,
}

// === impl Answer ===

impl Answer {
    pub(super) fn of(place: Place, batches: Vec<Batch>) -> Self {
        let (sender, frames) = mpsc::unbounded_channel();
        let service = Arc::clone(&place.service);
        let cancel = service.cancel.child();
        let (handing_back, pending) = <(Arc<OnceLock<Why>>, Arc<AtomicUsize>)>::default();
        let encoder = Encoder {
            service,
            handing_back: Arc::clone(&handing_back),
            frames: sender,
            pending: Arc::clone(&pending),
            cancel: cancel.clone(),
            is_full: AtomicBool::new(false),
            tally: Mutex::default(),
        };
        let encoder = Arc::new(encoder);
        tokio::spawn(run(place, batches, cancel.clone(), encoder));
        let mut alive = interval(ALIVE_EVERY);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        alive.reset();
        Self { frames, pending, cancel, handing_back, alive, spoke: false }
    }

    async fn next_frame(&mut self) -> Option<Bytes> {
        let frame = self.frames.recv().await;
        self.took(frame.as_ref());
        frame
    }

    fn took(&self, frame: Option<&Bytes>) {
        self.pending.fetch_sub(frame.map_or(0, Bytes::len), Ordering::SeqCst);
    }

    /// All frames of the batch, where they cannot go one by one. What would go beyond the bounds
    /// goes back to the driver.
    pub async fn whole(mut self, bounds: Bounds) -> Vec<u8> {
        let mut all = Vec::new();
        if bounds.time.is_some_and(|time| time.is_zero()) {
            self.hand_back(&mut all, Why::Time(Duration::ZERO)).await;
            return all;
        }
        let had = bounds.time.map(|time| time.saturating_sub(MARGIN.min(time / 2)));
        let late = match had {
            Some(time) => Either::Left(sleep(time)),
            None => Either::Right(pending()),
        };
        tokio::pin!(late);
        loop {
            tokio::select! {
                biased;
                frame = self.next_frame() => match frame {
                    None => return all,
                    Some(frame) if (all.len() + frame.len()) as u64 > bounds.bytes => {
                        let text = "the answer would be longer than the platform allows";
                        all.extend_from_slice(&encoded(&given_back(text)));
                        return all;
                    }
                    Some(frame) => all.extend_from_slice(&frame),
                },
                () = &mut late => break,
            }
        }
        self.hand_back(&mut all, Why::Time(had.unwrap_or_default())).await;
        all
    }

    /// Cancels the batch, and adds what was done until then to `all`.
    pub(crate) async fn hand_back(&mut self, all: &mut Vec<u8>, why: Why) {
        let _the_first_counts = self.handing_back.set(why);
        self.cancel.cancel();
        let rest = async {
            while let Some(frame) = self.next_frame().await {
                all.extend_from_slice(&frame);
            }
        };
        if tokio::time::timeout(MARGIN / 2, rest).await.is_err() {
            all.extend_from_slice(&encoded(&late()));
        }
    }
}

impl Stream for Answer {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Poll::Ready(frame) = self.frames.poll_recv(context) {
            self.spoke = true;
            self.took(frame.as_ref());
            return Poll::Ready(frame);
        }
        while self.alive.poll_tick(context).is_ready() {
            if !std::mem::take(&mut self.spoke) {
                return Poll::Ready(Some(encoded(&Frame::Alive)));
            }
        }
        Poll::Pending
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").finish_non_exhaustive()
    }
}

/// Runs a batch, or the parts of one, to its end, which the last frame tells.
async fn run(place: Place, batches: Vec<Batch>, cancel: Cancel, encoder: Arc<Encoder>) {
    let service = Arc::clone(&place.service);
    let tasks: u64 = batches.iter().map(|batch| batch.tasks.len() as u64).sum();
    let invoke = |batch| {
        let observer = Arc::clone(&encoder) as Arc<dyn Observer>;
        service.runtime.invoke(Arc::new(batch), cancel.clone(), observer)
    };
    let invoked = async { join_all(batches.into_iter().map(invoke)).await.into_iter().collect() };
    let ended = std::panic::AssertUnwindSafe(invoked).catch_unwind().await;
    let last = match ended {
        Ok(Ok(())) if service.is_handing_back() => {
            given_back("the host is about to end, and gave back what was not done")
        }
        Ok(Ok(())) if encoder.is_full() => given_back(FULL),
        Ok(Ok(())) => match encoder.handing_back.get() {
            Some(Why::Time(_)) => given_back(LATE),
            Some(Why::Untold) => late(),
            None => Frame::Done,
        },
        Ok(Err(error)) => Frame::Failed(error),
        Err(_) => {
            let text = "the host panicked over the batch: a defect of Samara's";
            Frame::Failed(Error::new(ErrorKind::Lost, text))
        }
    };
    place.ended(&encoder.tally(tasks));
    // Free before the answer ends: who saw the end may send the next batch.
    drop(place);
    encoder.send(&last);
}

/// Why a batch was given back whose driver does not take what is done.
const FULL: &str = "the driver did not read what is done, and the host gave back what was not done";

/// Why a batch was given back before its request's time was over.
const LATE: &str =
    "the platform's time for the request was nearly over, and the host gave back what was not done";

/// The last frame where not all is reported, for no fault of the tasks.
fn given_back(why: &str) -> Frame {
    Frame::Failed(Error::new(ErrorKind::HandedBack, why))
}

/// The last frame where it is not known which tasks took the time: it uses up an attempt of each.
fn late() -> Frame {
    Frame::Failed(too_long())
}

fn too_long() -> Error {
    Error::new(ErrorKind::Lost, LATE)
}

/// A batch that is not even begun, for no fault of its tasks.
pub(crate) fn undone(why: &str) -> Bytes {
    encoded(&given_back(why))
}

/// A frame that surely can be encoded, or else what kept it from being so.
pub(crate) fn encoded(frame: &Frame) -> Bytes {
    let mut bytes = Vec::new();
    if let Err(error) = frame.write(&mut bytes) {
        tracing::error!("{error}");
        let instead = Frame::Failed(error.with_retry(samara_core::Retry::Never));
        let _short_enough = instead.write(&mut bytes);
    }
    bytes.into()
}

// === impl Encoder ===

impl Encoder {
    /// What became of so many tasks; those without a report are lost.
    fn tally(&self, tasks: u64) -> Tally {
        let mut tally = *self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.lost = tasks.saturating_sub(tally.succeeded.saturating_add(tally.failed));
        tally
    }

    fn is_handing_back(&self) -> bool {
        self.service.is_handing_back() || self.handing_back.get().is_some() || self.is_full()
    }

    /// Whether a task had most of the batch's time before that was over.
    fn had_its_time(&self, report: &Report) -> bool {
        let had = match self.handing_back.get() {
            Some(Why::Time(had)) => *had,
            _ => return false,
        };
        !had.is_zero() && report.stats.wall >= had / 2
    }

    fn is_full(&self) -> bool {
        self.is_full.load(Ordering::SeqCst)
    }

    fn send(&self, frame: &Frame) {
        let bytes = encoded(frame);
        let pending = self.pending.fetch_add(bytes.len(), Ordering::SeqCst);
        // Nobody listens any more: the batch was cancelled.
        let _nobody = self.frames.send(bytes);
        if pending > PENDING_BYTES_MAX && !self.is_full.swap(true, Ordering::SeqCst) {
            self.cancel.cancel();
        }
    }
}

impl Observer for Encoder {
    fn started(&self) {
        self.send(&Frame::Started);
    }

    fn ended(&self, mut reports: Reports) {
        if let Reports::Each(each) = &mut reports
            && self.is_handing_back()
        {
            // Its driver has not cancelled them: they are not done, and go back.
            each.retain_mut(|report| {
                let takes_long = is_cancelled(report) && self.had_its_time(report);
                if takes_long {
                    report.outcome = Outcome::Platform(too_long());
                }
                !is_cancelled(report)
            });
        }
        self.service.metrics.ended(&reports);
        count(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner), &reports);
        self.send(&Frame::Ended(reports));
    }
}

/// Adds what reports say to a tally. A process that was taken over may say anything.
fn count(tally: &mut Tally, reports: &Reports) {
    let mut used = |stats: &Stats| {
        let Stats { cpu, bytes_read, storage_read, storage_written, http_bytes, .. } = *stats;
        tally.usage.cpu = tally.usage.cpu.saturating_add(cpu);
        for bytes in [bytes_read, storage_read, storage_written, http_bytes] {
            tally.usage.bytes = tally.usage.bytes.saturating_add(bytes);
        }
    };
    match reports {
        Reports::Shared(shared) => {
            used(&shared.stats);
            tally.succeeded += shared.indices.len() as u64;
        }
        Reports::Each(reports) => {
            reports.iter().for_each(|report| used(&report.stats));
            for report in reports {
                match &report.outcome {
                    Outcome::Success(_) => tally.succeeded += 1,
                    Outcome::Platform(_) => tally.lost += 1,
                    _ => tally.failed += 1,
                }
            }
        }
    }
}

fn is_cancelled(report: &Report) -> bool {
    matches!(&report.outcome, Outcome::Platform(error) if error.kind == ErrorKind::Cancelled)
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use samara_core::wire::Frames;
    use samara_core::{
        Arguments, Capacity, ComponentId, Grants, JobId, Limits, Output, Reach, Runtime, Stats,
        Task,
    };

    use super::*;

    /// Takes 100 ms for each task, but ten seconds for one, and has ended by the next 10 ms when it is
    /// cancelled.
    #[derive(Debug)]
    struct Slow {
        long: Option<u64>,
    }

    #[async_trait]
    impl Runtime for Slow {
        fn capacity(&self) -> Capacity {
            Capacity::new(1, usize::MAX)
        }

        fn reach(&self) -> Reach {
            Reach::Process
        }

        async fn invoke(
            &self,
            batch: Arc<Batch>,
            cancel: Cancel,
            observer: Arc<dyn Observer>,
        ) -> Result<(), Error> {
            for task in &batch.tasks {
                let (times, mut wall) = (if self.long == Some(task.index) { 1000 } else { 10 }, 0);
                while wall < times && !cancel.is_cancelled() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    wall += 1;
                }
                let outcome = match cancel.is_cancelled() {
                    true => Outcome::Platform(Error::new(ErrorKind::Cancelled, "cancelled")),
                    false => Outcome::Success(Output::Inline(vec![0; 100].into())),
                };
                observer.ended(Reports::Each(vec![Report {
                    index: task.index,
                    attempt: 0,
                    outcome,
                    log: Vec::new(),
                    log_dropped: 0,
                    stats: Stats { wall: Duration::from_millis(10 * wall), ..Stats::default() },
                }]));
            }
            Ok(())
        }
    }

    impl fmt::Display for Slow {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("slow:")
        }
    }

    /// What is said of ten tasks within the time: those that succeeded, those that failed, and why
    /// the others have no report.
    async fn whole(
        long: Option<u64>,
        time: Option<Duration>,
        bytes: u64,
    ) -> (usize, Vec<u64>, Option<ErrorKind>) {
        let task =
            |index| Task { index, attempt: 0, arguments: Arguments::default(), partition: None };
        let batch = Batch {
            job: JobId::new(1, 2),
            component: ComponentId::of(b""),
            function: "f".to_owned(),
            store: "mem://x/".to_owned(),
            limits: Limits::default(),
            grants: Grants::default(),
            task_count: 10,
            reuse: false,
            depth: 0,
            payer: Default::default(),
            tasks: (0..10).map(task).collect(),
        };
        let service = Service::new(Arc::new(Slow { long }), "1", None);
        let answer = service.begin(batch, None).unwrap().whole(Bounds { time, bytes });
        // One without any time has at least the moment in which a guest stops.
        let most = time.unwrap_or(Duration::MAX).max(MARGIN / 2);
        let answer = tokio::time::timeout(most, answer).await.expect("it is not too late");
        let (mut frames, mut done, mut failed) = (Frames::default(), 0, Vec::new());
        frames.push(&answer);
        loop {
            match frames.next_frame().unwrap().expect("a last frame") {
                Frame::Ended(Reports::Each(reports)) => {
                    for Report { index, outcome, .. } in reports {
                        match outcome {
                            Outcome::Success(_) => done += 1,
                            Outcome::Platform(error) if error.kind == ErrorKind::Lost => {
                                failed.push(index);
                            }
                            other => panic!("{other:?}"),
                        }
                    }
                }
                Frame::Done => return (done, failed, None),
                Frame::Failed(error) => return (done, failed, Some(error.kind)),
                _ => {}
            }
        }
    }

    const BACK: Option<ErrorKind> = Some(ErrorKind::HandedBack);

    #[tokio::test(start_paused = true)]
    async fn what_goes_beyond_the_bounds_goes_back() {
        let within = |ms| whole(None, Some(Duration::from_millis(ms)), u64::MAX);
        let (unbounded, long, short, none, small) = tokio::join!(
            whole(None, None, u64::MAX),
            within(9000),
            within(900),
            within(0),
            whole(None, None, 1200)
        );
        assert_eq!((unbounded, long), ((10, vec![], None), (10, vec![], None)));
        assert_eq!(none, (0, vec![], BACK));
        for (done, failed, why) in [short, small] {
            assert!((1..9).contains(&done) && failed.is_empty() && why == BACK, "{done} {why:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_task_that_had_most_of_the_time_uses_up_an_attempt() {
        let within = |long, s| whole(Some(long), Some(Duration::from_secs(s)), u64::MAX);
        // The one that takes too long is the third: it had most of four seconds, and those behind it
        // none.
        assert_eq!(within(2, 5).await, (2, vec![2], BACK));
        // The last one began late.
        assert_eq!(within(9, 2).await, (9, vec![], BACK));
    }
}
