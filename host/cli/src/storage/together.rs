//! Copies that end together: where one fails, or somebody interrupts, no other is begun, and what
//! those under way have written is removed before the command ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use futures::channel::{mpsc, oneshot};
use futures::future::{Either, FutureExt, join, select};
use futures::{Stream, StreamExt};
use samara::Storage;
use samara::storage::{Error, Metadata, PutMode, PutOptions};

use super::bar::Bar;
use crate::report::{interrupted, say};

/// What is listed before it is worked on, so that it is known how much there is to do.
const AHEAD: usize = 10_000;

/// Whether they go on. Clones are about the same copies.
#[derive(Debug, Clone, Default)]
pub(super) struct Together(Arc<AtomicBool>);

// === impl Together ===

impl Together {
    /// Whether no further copy is to be begun.
    pub(super) fn has_stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Makes a copy. None where it was given up because of others.
    pub(super) async fn copy(
        &self,
        storage: &Storage,
        (from, to): (&str, &str),
        options: PutOptions,
        bar: &Bar,
    ) -> Result<Option<Metadata>> {
        match self.tried(storage, (from, to), options, bar).await {
            Ok(copied) => Ok(copied),
            Err(error) => self.failed(error, (from, to)),
        }
    }

    /// Makes a copy where nothing is in its place, or not at all; the inner one is none then. None
    /// where it was given up because of others.
    ///
    /// What is written there meanwhile stays too, where the store keeps such a condition.
    pub(super) async fn copy_if_new(
        &self,
        storage: &Storage,
        (from, to): (&str, &str),
        options: PutOptions,
        bar: &Bar,
    ) -> Result<Option<Option<Metadata>>> {
        match storage.head(to).await {
            Ok(_) => return Ok(Some(None)),
            Err(Error::NotFound { .. }) => {}
            Err(error) => return self.failed(error, (from, to)),
        }
        let new = PutOptions { mode: PutMode::IfAbsent, ..options.clone() };
        let copied = match self.tried(storage, (from, to), new, bar).await {
            Err(Error::Unsupported { .. }) => self.tried(storage, (from, to), options, bar).await,
            copied => copied,
        };
        match copied {
            Ok(copied) => Ok(copied.map(Some)),
            Err(Error::AlreadyExists { .. }) => Ok(Some(None)),
            Err(error) => self.failed(error, (from, to)),
        }
    }

    async fn tried(
        &self,
        storage: &Storage,
        (from, to): (&str, &str),
        options: PutOptions,
        bar: &Bar,
    ) -> Result<Option<Metadata>, Error> {
        if self.has_stopped() {
            return Ok(None);
        }
        let (this, bar) = (self.clone(), bar.clone());
        let passed = move |bytes| {
            bar.passed(bytes);
            !this.has_stopped()
        };
        storage.copy_while(from, to, options, passed).await.map(Some)
    }

    /// A failure, after which no other copy is begun.
    fn failed<T>(&self, error: Error, (from, to): (&str, &str)) -> Result<Option<T>> {
        // What fails because of the first failure, or after it, tells nothing more.
        if self.0.swap(true, Ordering::Relaxed) {
            return Ok(None);
        }
        Err(error).with_context(|| format!("cannot copy {from} to {to}"))
    }

    /// Waits for all of them, and hands on what was done; for those under way only, once one has
    /// failed or the signal has come.
    pub(super) async fn all<T: Send>(
        &self,
        mut done: impl Stream<Item = Result<Option<T>>> + Send + Unpin,
        signal: oneshot::Receiver<()>,
        mut each: impl FnMut(T) -> Result<()> + Send,
    ) -> Result<()> {
        let mut signal = signal.fuse();
        let mut failed = None;
        loop {
            let error = match select(done.next(), &mut signal).await {
                Either::Left((None, _)) => break,
                Either::Left((Some(Ok(None)), _)) => continue,
                Either::Left((Some(Ok(Some(ended))), _)) => match each(ended) {
                    Ok(()) => continue,
                    Err(error) => error,
                },
                Either::Left((Some(Err(error)), _)) => error,
                Either::Right(_) => {
                    say(format_args!("interrupted: gives up what is under way"));
                    interrupted("interrupted before all was copied")
                }
            };
            self.0.store(true, Ordering::Relaxed);
            failed.get_or_insert(error);
        }
        failed.map_or(Ok(()), Err)
    }
}

/// Lists on while what was listed is worked on.
pub(super) async fn ahead<T, R>(
    listing: impl Stream<Item = T> + Send,
    work: impl AsyncFnOnce(mpsc::Receiver<T>) -> R,
) -> R {
    let (sender, receiver) = mpsc::channel(AHEAD);
    // It ends early where nobody works any more.
    let listed = listing.map(Ok).forward(sender);
    join(listed, work(receiver)).await.1
}

#[cfg(test)]
mod tests {
    use futures::stream;

    use super::*;

    /// Copies of large objects, and of one that is not there, to this directory.
    fn copied(dir: &std::path::Path, names: &[&str], interrupts: bool) -> Result<usize> {
        let (storage, together) = (Storage::new().unwrap(), Together::default());
        let bar = Bar::hidden();
        let (signal, receiver) = oneshot::channel();
        let mut count = 0;
        samara::block_on(async {
            let large = vec![7_u8; 64 << 20];
            storage.put("mem://together/large", large).await.unwrap();
            let copies =
                stream::iter(names).take_while(|_| futures::future::ready(!together.has_stopped()));
            let copies = copies.enumerate().map(|(n, name)| {
                let to = dir.join(n.to_string()).to_str().unwrap().to_owned();
                let (storage, together, bar) = (&storage, &together, &bar);
                let from = format!("mem://together/{name}");
                async move { together.copy(storage, (&from, &to), PutOptions::default(), bar).await }
            });
            let copies = copies.buffered(2).boxed();
            if interrupts {
                signal.send(()).unwrap();
                return together.all(copies, receiver, |_| Ok(())).await;
            }
            let ended = together.all(copies, receiver, |_| {
                count += 1;
                Ok(())
            });
            let ended = ended.await;
            drop(signal);
            ended
        })?;
        Ok(count)
    }

    /// A bar whose total is only what has begun says nothing.
    #[test]
    fn what_there_is_to_do_is_known_before_it_is_done() {
        let bar = &Bar::hidden();
        let listing = stream::iter(0..100_u64).inspect(|bytes| bar.expect(*bytes));
        samara::block_on(ahead(listing, async |mut listed| {
            assert_eq!(listed.next().await, Some(0));
            assert_eq!(bar.total(), 99 * 50);
        }));
        let more = stream::iter(0..3 * AHEAD as u64);
        let all = samara::block_on(ahead(more, async |listed| listed.count().await));
        assert_eq!(all, 3 * AHEAD);
    }

    #[test]
    fn after_a_failure_no_copy_is_begun_and_those_under_way_are_given_up() {
        let dir = tempfile::tempdir().unwrap();
        let error = copied(dir.path(), &["large", "none", "large"], false).unwrap_err();
        assert!(format!("{error:#}").contains("cannot copy mem://together/none"), "{error:#}");
        assert_eq!(dir.path().read_dir().unwrap().count(), 0, "nothing is left");
        assert_eq!(copied(dir.path(), &["large"], false).unwrap(), 1);
    }

    #[test]
    fn an_interrupt_gives_up_what_is_under_way() {
        let dir = tempfile::tempdir().unwrap();
        let error = copied(dir.path(), &["large", "large", "large"], true).unwrap_err();
        assert!(error.to_string().contains("interrupted"), "{error:#}");
        assert_eq!(dir.path().read_dir().unwrap().count(), 0, "nothing is left");
    }
}
