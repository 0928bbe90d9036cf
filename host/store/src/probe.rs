//! Which conditional writes a store keeps: tried out, because some servers ignore the condition,
//! some refuse it, and some are wrong where several write at once.

use futures::future::{self, BoxFuture};

use crate::adapters::random;
use crate::{Conditions, Error, Metadata, Operation, PutMode, Result, Setting};

/// The setting that spares a store the probe.
pub(crate) const SETTING: Setting = Setting {
    name: "conditional_writes",
    variable: None,
    secret: false,
    doc: "`trust` or `never`, in place of trying them out",
};

/// Writers of a race for one key.
const RACERS: usize = 8;

/// Races: a store that is wrong mostly lets several win each.
const RACES: usize = 2;

/// Writes a few bytes to a key; none where the condition was refused, in whichever way.
pub(crate) type Put<'a> =
    &'a (dyn Fn(String, PutMode) -> BoxFuture<'a, Result<Option<Metadata>>> + Send + Sync);

/// Refuses a value that [`SETTING`] does not have.
pub(crate) fn check(said: Option<&str>) -> Result<(), String> {
    match said {
        None | Some("trust" | "never" | "probe") => Ok(()),
        Some(other) => Err(format!(
            "`conditional_writes` is `{other}`, and should be one of trust, never, probe"
        )),
    }
}

/// What a store keeps without being asked.
pub(crate) fn said(said: Option<&str>) -> Option<Conditions> {
    let all = |kept| Conditions { if_absent: kept, if_match: kept };
    match said {
        Some("trust") => Some(all(true)),
        Some("never") => Some(all(false)),
        _ => None,
    }
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
        PutMode::IfAbsent => (
            kept.if_absent,
            "it does not keep put-if-absent, which was tried where it says that it does; write \
             without it",
        ),
        PutMode::IfMatch(_) => (
            kept.if_match,
            "it does not keep put-if-match, which was tried where it says that it does; write \
             without it",
        ),
    };
    if is_kept { Ok(()) } else { Err(Error::unsupported(location, operation, reason)) }
}

/// Keys of a probe beside `key`, where we may write if anywhere. To be removed after it.
pub(crate) fn keys(key: &str) -> Vec<String> {
    let beside = key.rfind('/').map_or("", |slash| &key[..=slash]);
    let prefix = format!("{beside}.samara-probe-{:016x}", random());
    (0..=RACES).map(|n| format!("{prefix}-{n}")).collect()
}

/// Tries out, of what the store says that it keeps, whether it does.
pub(crate) async fn run(keys: &[String], says: Conditions, put: Put<'_>) -> Result<Conditions> {
    let (last, races) = keys.split_last().expect("a probe has keys");
    let mut if_absent = says.if_absent;
    for key in races {
        if_absent = if_absent && race(key, put).await?;
    }
    let if_match = says.if_match && replaces(last, put).await?;
    Ok(Conditions { if_absent, if_match })
}

/// Whether exactly one of several writers succeeds, and none that comes later.
async fn race(key: &str, put: Put<'_>) -> Result<bool> {
    let racers = (0..RACERS).map(|_| put(key.to_owned(), PutMode::IfAbsent));
    let won = future::try_join_all(racers).await?.into_iter().flatten().count();
    Ok(won == 1 && put(key.to_owned(), PutMode::IfAbsent).await?.is_none())
}

/// Whether the right etag is taken, and refused from then on.
async fn replaces(key: &str, put: Put<'_>) -> Result<bool> {
    let Some(first) = put(key.to_owned(), PutMode::Overwrite).await? else { return Ok(false) };
    let of_first = || put(key.to_owned(), PutMode::IfMatch(first.etag.clone()));
    Ok(of_first().await?.is_some() && of_first().await?.is_none())
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::conformance::tests::block_on;
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
        let says = Conditions { if_absent: true, if_match: true };
        block_on(run(&keys("a/b"), says, &put)).unwrap()
    }

    #[test]
    fn servers_that_ignore_conditions_are_found_out() {
        let all = Conditions { if_absent: true, if_match: true };
        assert_eq!(probed(|_| true), all);
        assert_eq!(probed(|_| false), Conditions { if_absent: false, if_match: false });
        let absent_alone = Conditions { if_match: false, ..all };
        assert_eq!(probed(|mode| *mode == PutMode::IfAbsent), absent_alone);
    }

    #[test]
    fn keys_lie_beside_the_one_that_is_written() {
        assert!(keys("a/b").iter().all(|key| key.starts_with("a/.samara-probe-")));
        assert!(keys("").iter().all(|key| key.starts_with(".samara-probe-")));
    }
}
