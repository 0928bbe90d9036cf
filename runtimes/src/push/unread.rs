//! Tests of answers that nobody reads.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use samara_core::wire::{Frame, Frames};
use samara_core::{
    Batch, Cancel, Capacity, Error, ErrorKind, Observer, Outcome, Output, Reach, Report, Reports,
    Runtime, Stats,
};

use super::{Answer, Service};

/// What each task makes.
const OUTPUT_BYTES: usize = 1 << 20;

/// Makes a lot, as fast as it can, until it is cancelled.
#[derive(Debug)]
struct Loud;

#[async_trait]
impl Runtime for Loud {
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
            let outcome = match cancel.is_cancelled() {
                true => Outcome::Platform(Error::new(ErrorKind::Cancelled, "cancelled")),
                false => Outcome::Success(Output::Inline(vec![0; OUTPUT_BYTES].into())),
            };
            observer.ended(Reports::Each(vec![Report {
                index: task.index,
                attempt: 0,
                outcome,
                log: Vec::new(),
                log_dropped: 0,
                stats: Stats::default(),
            }]));
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

impl fmt::Display for Loud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("loud:")
    }
}

/// The tasks that were reported, the bytes of all frames, and why the rest was not done.
async fn read(mut answer: Answer) -> (usize, usize, Option<Error>) {
    let (mut frames, mut reported, mut bytes) = (Frames::default(), 0, 0);
    while let Some(piece) = answer.next().await {
        bytes += piece.len();
        frames.push(&piece);
        match frames.next_frame().unwrap().expect("whole frames") {
            Frame::Ended(Reports::Each(reports)) => {
                let is_done = |report: &&Report| matches!(report.outcome, Outcome::Success(_));
                assert!(reports.iter().all(|report| is_done(&report)), "cancelled ones go back");
                reported += reports.len();
            }
            Frame::Done => return (reported, bytes, None),
            Frame::Failed(error) => return (reported, bytes, Some(error)),
            _ => {}
        }
    }
    panic!("there is a last frame");
}

fn began(service: &Arc<Service>, tasks: u64) -> Answer {
    let batch = (*crate::local::tests::batch(0..tasks)).clone();
    service.begin(batch, None).unwrap()
}

#[tokio::test]
async fn what_a_driver_does_not_read_is_held_up_to_a_bound_and_the_rest_goes_back() {
    let service = Service::new(Arc::new(Loud), "1", None);
    let unread = began(&service, 500);
    let ended = async {
        while service.in_flight() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ended).await.expect("it comes to an end");
    let (reported, bytes, why) = read(unread).await;
    assert_eq!(why.map(|error| error.kind), Some(ErrorKind::HandedBack));
    assert!((60..70).contains(&reported) && bytes < 70 * OUTPUT_BYTES, "{reported}: {bytes}");
}

#[tokio::test]
async fn a_driver_that_reads_gets_more_than_the_bound() {
    let service = Service::new(Arc::new(Loud), "1", None);
    let (reported, _, why) = read(began(&service, 200)).await;
    assert_eq!((reported, why), (200, None));
}
