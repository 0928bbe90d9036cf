//! Which conditional writes a store keeps: tried out, because some servers ignore the condition,
//! some refuse it, and some are wrong where several write at once.

use futures::future::{self, BoxFuture};

use crate::adapters::random;
pub(crate) use crate::conditional::{SETTING, check, said};
use crate::discover::TRIAL;
use crate::{Conditions, Error, Metadata, Operation, Patience, PutMode, Request, Result};

/// Writers of a race for one key.
const RACERS: usize = 8;

/// Races for a key that is absent: a store that is wrong mostly lets several win each. Of two with
/// s3s-fs one process in thirty saw a single winner in both.
const RACES: usize = 4;

/// Races for a version of a key: Ceph 16 lets two win about three races of four.
const MATCH_RACES: usize = 4;

/// Races for a version at most, with those that some answers were missing of.
const MATCH_RACES_MAX: usize = 24;

/// Writes a few bytes to a key; none where the condition was refused.
pub(crate) type Put<'a> =
    &'a (dyn Fn(String, PutMode) -> BoxFuture<'a, Result<Option<Metadata>>> + Send + Sync);

/// A store that is tried out.
pub(crate) struct Probe<'a> {
    /// Where it writes, as [`keys`] says.
    pub(crate) keys: &'a [String],
    pub(crate) put: Put<'a>,
    pub(crate) patience: &'a Patience,
    /// What it is about, for errors.
    pub(crate) location: String,
}

/// What became of races for a version of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replaced {
    /// One won each.
    Once,
    /// Nobody won any: the store does not know the version by that name.
    Never,
    /// The store does not keep the condition.
    Wrongly,
}

/// Refuses what the store does not keep.
pub(crate) fn require(
    kept: Conditions,
    location: String,
    mode: &PutMode,
    operation: Operation,
) -> Result<()> {
    let (is_kept, reason) = match mode {
        PutMode::Overwrite => (true, ""),
        PutMode::IfAbsent => {
            (kept.if_absent, "it does not keep put-if-absent, which was tried; write without it")
        }
        PutMode::IfMatch(_) => {
            (kept.if_match, "it does not keep put-if-match, which was tried; write without it")
        }
    };
    if is_kept { Ok(()) } else { Err(Error::unsupported(location, operation, reason)) }
}

/// Keys of a probe beside `key`, where we may write if anywhere. To be removed after it.
pub(crate) fn keys(key: &str) -> Vec<String> {
    let beside = key.rfind('/').map_or("", |slash| &key[..=slash]);
    let prefix = format!("{beside}{TRIAL}{:016x}", random());
    (0..=RACES).map(|n| format!("{prefix}-{n}")).collect()
}

/// Tries out, of what the store says that it keeps, whether it does.
#[cfg(any(feature = "opendal", feature = "swift"))]
pub(crate) async fn run(probe: &Probe<'_>, says: Conditions) -> Result<Conditions> {
    let if_absent = says.if_absent && probe.if_absent().await?;
    let if_match = says.if_match && probe.if_match().await? == Replaced::Once;
    Ok(Conditions::new(if_absent, if_match))
}

// === impl Probe ===

impl<'a> Probe<'a> {
    /// Whether put-if-absent is kept.
    pub(crate) async fn if_absent(&self) -> Result<bool> {
        for key in &self.keys[..RACES] {
            if !known(self.race(key).await)?.unwrap_or(false) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether not more than one of several writers succeeds, and none that comes later.
    async fn race(&self, key: &str) -> Result<bool> {
        let racers = (0..RACERS).map(|_| (self.put)(key.to_owned(), PutMode::IfAbsent));
        // A racer whose answer was lost may have won.
        let mut won = 0;
        for ended in future::join_all(racers).await {
            match ended {
                Ok(written) => won += usize::from(written.is_some()),
                Err(error) if error.retry() => {}
                Err(error) => return Err(error),
            }
        }
        while won <= 1 {
            match self.patiently(|| (self.put)(key.to_owned(), PutMode::IfAbsent)).await? {
                None => return Ok(true),
                Some(_) => won += 1,
            }
        }
        Ok(false)
    }

    /// Whether put-if-match is kept.
    pub(crate) async fn if_match(&self) -> Result<Replaced> {
        Ok(known(self.matches().await)?.unwrap_or(Replaced::Wrongly))
    }

    async fn matches(&self) -> Result<Replaced> {
        let key = &self.keys[RACES];
        let (mut held, mut idle) = (0, 0);
        for _ in 0..MATCH_RACES_MAX {
            let write = || (self.put)(key.clone(), PutMode::Overwrite);
            let Some(first) = self.patiently(write).await? else { return Ok(Replaced::Wrongly) };
            let replace = || (self.put)(key.clone(), PutMode::IfMatch(first.etag.clone()));
            let (mut won, mut lost) = (0, 0);
            for ended in future::join_all((0..RACERS).map(|_| replace())).await {
                match ended {
                    Ok(replaced) => won += usize::from(replaced.is_some()),
                    Err(error) if error.retry() => lost += 1,
                    Err(error) => return Err(error),
                }
            }
            // Afterwards the version is another one.
            if won > 1 || self.patiently(replace).await?.is_some() {
                return Ok(Replaced::Wrongly);
            }
            // Who did not answer may have won too.
            match (won, lost) {
                (1, 0) => held += 1,
                (0, 0) => idle += 1,
                _ => {}
            }
            if held == MATCH_RACES {
                return Ok(Replaced::Once);
            }
            if idle == MATCH_RACES {
                return Ok(Replaced::Never);
            }
        }
        Ok(Replaced::Wrongly)
    }

    /// Tries again what may pass.
    pub(crate) async fn patiently<T: Send>(
        &self,
        attempt_at: impl FnMut() -> BoxFuture<'a, Result<T>> + Send,
    ) -> Result<T> {
        let time = self.patience.policy().answer;
        let asked = Request { operation: Operation::Put, location: &self.location, time };
        self.patience.request(asked, attempt_at).await
    }
}

/// What was found; nothing where the store does not know the condition.
fn known<T>(found: Result<T>) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Error::Unsupported { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[cfg(any(feature = "opendal", feature = "swift"))]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::{MemStore, PutOptions, Store};

    fn probed(keeps: fn(&PutMode) -> bool) -> Conditions {
        let store = MemStore::default();
        let put = |key: String, mode: PutMode| {
            let mode = if keeps(&mode) { mode } else { PutMode::Overwrite };
            let store = store.clone();
            async move {
                let options = PutOptions { mode, ..PutOptions::default() };
                Ok(store.put(&key, "1".into(), options).await.ok())
            }
            .boxed()
        };
        let says = Conditions::new(true, true);
        let (keys, patience) = (keys("a/b"), Patience::new(crate::Policy::REMOTE));
        let location = "mem://a/b".to_owned();
        let probe = Probe { keys: &keys, put: &put, patience: &patience, location };
        // Patience has timers.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(run(&probe, says)).unwrap()
    }

    #[test]
    fn servers_that_ignore_conditions_are_found_out() {
        let all = Conditions::new(true, true);
        assert_eq!(probed(|_| true), all);
        assert_eq!(probed(|_| false), Conditions::new(false, false));
        let absent_alone = Conditions { if_match: false, ..all };
        assert_eq!(probed(|mode| *mode == PutMode::IfAbsent), absent_alone);
    }

    #[test]
    fn keys_lie_beside_the_one_that_is_written() {
        assert!(keys("a/b").iter().all(|key| crate::is_trial("a/", key)));
        assert!(keys("a/b").iter().all(|key| key.starts_with("a/.samara-probe-")));
        assert!(keys("").iter().all(|key| key.starts_with(".samara-probe-")));
    }
}
