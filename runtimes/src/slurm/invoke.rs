//! The driver's side: hands batches over, and waits for their answers.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use samara_core::{
    Batch, Cancel, Capacity, Depot, Error, ErrorKind, Observer, Reach, Runtime, wire,
};
use tokio::sync::Semaphore;

use super::commands::Asked;
use super::config::{Config, SLOTS_MAX};
use super::gather::{Gathering, Place};
use super::submit::Submitter;
use super::watch::Watch;
use crate::Context;
use crate::local::BATCH_TASKS_MAX;
use crate::mail::{Inbox, Parts, Runs, below, cancelled, wanted};

/// Indexes at the same moment where Slurm does not say how many processors there are.
const SLOTS: usize = 64;

/// What a batch of tiny tasks should take: an index costs Slurm and its node a second or so.
const BATCH_TIME: Duration = Duration::from_secs(2);

/// Bytes of a batch of several tasks: four of them fill the memory that is set aside for an array.
const BATCH_BYTES_MAX: u64 = 16 << 20;

/// A Slurm cluster.
#[derive(Debug)]
pub(crate) struct Slurm {
    url: String,
    gathering: Arc<Gathering>,
    inbox: Arc<Inbox>,
    depot: Arc<dyn Depot>,
    /// Indexes at the same moment, where that was said.
    slots: Option<usize>,
    /// What the cluster has, once it was asked.
    found: Mutex<Option<usize>>,
    places: Semaphore,
}

pub(crate) fn open(url: &str, context: &Context) -> Result<Arc<dyn Runtime>, Error> {
    let config = Config::parse(url)?;
    let Some(depot) = &context.depot else {
        let text = format!("{url} needs a store that its nodes reach too");
        return Err(Error::new(ErrorKind::Invalid, text));
    };
    let slots = config.slots.or(context.slots);
    let watch = Watch::new(Arc::clone(&context.clock), config.log.clone());
    let submitter = Submitter::new(config, context, Arc::clone(depot));
    Ok(Arc::new(Slurm {
        url: url.split('?').next().unwrap_or(url).to_owned(),
        gathering: Gathering::new(submitter, watch),
        inbox: Inbox::new(Arc::clone(depot), Arc::clone(&context.clock)),
        depot: Arc::clone(depot),
        slots,
        found: Mutex::default(),
        places: Semaphore::new(slots.unwrap_or(SLOTS_MAX)),
    }))
}

// === impl Slurm ===

impl Slurm {
    fn found(&self) -> Option<usize> {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands on the frames of a batch, until they end or it is known that they do not come.
    async fn read(
        &self,
        (parts, place): (&mut Parts, &mut Place),
        to: &str,
        cancel: &Cancel,
        observer: Arc<dyn Observer>,
    ) -> Result<(), Error> {
        let mut runs = Runs::new(observer);
        loop {
            tokio::select! {
                biased;
                part = parts.next() => {
                    if let Some(ended) = runs.push(part?) {
                        return ended;
                    }
                }
                error = place.lost() => return Err(error),
                () = cancelled(cancel) => {
                    // One that is at work looks now and then whether it is wanted.
                    if runs.is_empty() {
                        place.cancel();
                    }
                    let marker = format!("{to}cancel");
                    if let Err(error) = self.depot.put(&marker, Bytes::new()).await {
                        tracing::debug!("a host was not told to stop: {error}");
                    }
                    return Err(Error::new(ErrorKind::Cancelled, "the job was cancelled"));
                }
            }
        }
    }
}

#[async_trait]
impl Runtime for Slurm {
    fn capacity(&self) -> Capacity {
        let slots = self.slots.or_else(|| self.found()).unwrap_or(SLOTS);
        Capacity::new(slots, BATCH_TASKS_MAX)
            .with_batch_time(BATCH_TIME)
            .with_batch_bytes_max(BATCH_BYTES_MAX)
    }

    fn reach(&self) -> Reach {
        Reach::Network
    }

    async fn ready(&self) -> Result<(), Error> {
        if self.found().is_some() {
            return Ok(());
        }
        let config = &self.gathering.submitter.config;
        let mut asked = Asked::new("sinfo", &["--noheader", "--format=%P|%C"]);
        let partition = config.partition.as_deref();
        asked.arguments.extend(partition.map(|name| format!("--partition={name}")));
        let said = asked.answer().await?;
        let Some(processors) = processors(&said, partition) else {
            let text = format!(
                "{}: Slurm has no such partition, or none that is the default; `sinfo` lists them",
                self.url
            );
            return Err(Error::new(ErrorKind::Invalid, text));
        };
        let slots = (processors / config.cpus.unwrap_or(1)).clamp(1, SLOTS_MAX);
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some(slots);
        Ok(())
    }

    async fn invoke(
        &self,
        batch: Arc<Batch>,
        cancel: Cancel,
        observer: Arc<dyn Observer>,
    ) -> Result<(), Error> {
        let body = wire::encode_batch(&batch)?;
        let place = wanted(&cancel, self.places.acquire()).await?;
        let _place = place.expect("it is never closed");
        let calls = below(&batch);
        let to = format!("{calls}{}/", self.gathering.submitter.name());
        let mut parts = self.inbox.watch_waited(&calls, &to);
        let mut index = wanted(&cancel, self.gathering.join(&calls, &to, body)).await??;
        self.read((&mut parts, &mut index), &to, &cancel, observer).await
    }
}

impl fmt::Display for Slurm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

/// The processors of a partition, the default one unless it is named, as `sinfo` lists them:
/// `name*|allocated/idle/other/total`. Those that are out of order are among the others.
fn processors(said: &str, partition: Option<&str>) -> Option<usize> {
    let of = |line: &str| {
        let (name, counts) = line.trim().split_once('|')?;
        let is_wanted = match partition {
            Some(partition) => name.trim_end_matches('*') == partition,
            None => name.ends_with('*'),
        };
        let counts: Vec<usize> = counts.split('/').filter_map(|n| n.trim().parse().ok()).collect();
        is_wanted.then_some(counts.first()?.saturating_add(*counts.get(1)?))
    };
    said.lines().filter_map(of).reduce(usize::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_has_the_processors_that_sinfo_lists() {
        let said = "short|2/6/0/8\nlong*|0/16/4/20\nlong*|4/0/0/4\n";
        assert_eq!(processors(said, Some("short")), Some(8));
        assert_eq!(processors(said, Some("long")), Some(20));
        assert_eq!(processors(said, None), Some(20));
        assert_eq!(processors(said, Some("moon")), None);
        assert_eq!(processors("", None), None);
    }

    #[test]
    fn slots_are_what_the_url_says() {
        let context =
            Context { depot: Some(Arc::<crate::testing::Shelf>::default()), ..Context::default() };
        let runtime = open("slurm://short?slots=7", &context).unwrap();
        assert_eq!((runtime.capacity().slots, runtime.to_string().as_str()), (7, "slurm://short"));
        let error = open("slurm://short", &Context::default()).unwrap_err();
        assert!(error.message.contains("needs a store"), "{error}");
    }
}
