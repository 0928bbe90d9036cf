//! The host's side: runs the share of one index, writes its answers to the store, and ends.

use std::sync::Arc;
use std::time::Duration;

use samara_core::{Access, Caller, ComponentId, Depot, Error, ErrorKind};

use super::dialect::Dialect;
use super::manifest::{MANIFEST_BYTES_MAX, Manifest};
use super::{HASH, MANIFEST, TICKET};
use crate::host::{Ended, Host, Planned, Variables};
use crate::mail::{Call, Desk, Ticket, check_places};

/// How long a worker that was told to end may take to say what goes back.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// What a worker is started with.
#[derive(Debug)]
struct Order {
    index: u64,
    manifest: String,
    hash: ComponentId,
    ticket: Option<Ticket>,
}

/// Refuses what a worker has no use for, and an order that is none.
pub(super) fn check(planned: &Planned<'_>, dialect: &Dialect) -> Result<(), Error> {
    let useless = match (planned.listen, planned.tls) {
        (Some(_), _) => "SAMARA_HOST_LISTEN",
        (_, Some(_)) => "SAMARA_HOST_TLS_CERT",
        _ => return Order::read(planned.variables, dialect).map(drop),
    };
    let text = format!("a worker of an array listens nowhere: take {useless} and its like out");
    Err(Error::new(ErrorKind::Invalid, text))
}

/// Runs the share, and hands back what is undone when it is told to stop.
pub(super) async fn serve(mut host: Host, dialect: &Dialect) -> Result<Ended, Error> {
    let planned = Planned {
        variables: &host.variables,
        listen: host.listen.as_deref(),
        knows_some: host.service.has_gate(),
        tls: host.tls.as_deref(),
    };
    check(&planned, dialect)?;
    let order = Order::read(&host.variables, dialect)?;
    let desk = Desk { service: Arc::clone(&host.service), depot: Arc::clone(&host.depot) };
    // No object is touched on behalf of who was refused, and whoever may not do all does nothing.
    let caller = desk.identify(order.ticket.as_ref(), &[])?;
    if let Some(caller) = &caller {
        caller.check_object(&order.manifest, Access::Read)?;
    }
    let manifest = order.fetch(&host.depot).await?;
    check_places(caller.as_deref(), manifest.calls())?;
    let share: Vec<&Call> = manifest.share(order.index)?.collect();
    tracing::info!(index = order.index, batches = share.len(), "begins");
    let moment = (order.index, std::process::id(), host.clock.unix());
    let run = ComponentId::of(format!("{moment:?}").as_bytes()).hex();
    let ran = run_all(&desk, share, caller, run.get(..16).unwrap_or(&run));
    tokio::pin!(ran);
    let stopped = async {
        // An error means that nobody is there to stop it any more.
        drop(host.stop.wait_for(|stop| *stop).await);
        host.service.drain(host.grace).await
    };
    tokio::select! {
        written = &mut ran => return written.map(|()| Ended::Done),
        _all_done = stopped => {}
    }
    // What was under way has ended, and what did not begin does not: both are written down.
    match tokio::time::timeout(LAST_WORDS, ran).await {
        Ok(written) => written.map(|()| Ended::HandedBack),
        Err(_) => {
            let text = format!("what goes back was not written within {LAST_WORDS:?}");
            Err(Error::new(ErrorKind::Store, text))
        }
    }
}

/// Runs calls one after the other: each has all slots.
async fn run_all(
    desk: &Desk,
    calls: Vec<&Call>,
    caller: Option<Arc<dyn Caller>>,
    run: &str,
) -> Result<(), Error> {
    let mut unwritten = Ok(());
    for call in calls {
        if desk.is_cancelled(call).await {
            tracing::info!("a batch was cancelled before it began");
            continue;
        }
        if let Err(error) = desk.run_queued(call, caller.clone(), (run, None), |_| {}).await {
            tracing::error!("an answer is lost: {error}");
            unwritten = Err(error);
        }
    }
    unwritten
}

// === impl Order ===

impl Order {
    fn read(variables: &Variables, dialect: &Dialect) -> Result<Self, Error> {
        let invalid = |text: String| Error::new(ErrorKind::Invalid, text);
        let said = |name: &str| variables.get(name).filter(|said| !said.is_empty());
        let needed = |name: &str, what: &str| {
            said(name).cloned().ok_or_else(|| {
                let text = format!(
                    "{name} is not set, and a worker of an array needs it: {what}. A host that is \
                     to listen here instead is started with `--as http`"
                );
                invalid(text)
            })
        };
        let index = needed(dialect.index, "the platform says which worker it is")?;
        let wrong = || invalid(format!("{} is `{index}`, which is no index", dialect.index));
        let manifest = needed(MANIFEST, "the URL of the manifest, in the job's store")?;
        let hash = needed(HASH, "the manifest's BLAKE3, as b3: and 64 digits")?;
        let no_hash = || invalid(format!("{HASH} is `{hash}`, and should be b3: and 64 digits"));
        Ok(Self {
            index: index.parse().map_err(|_| wrong())?,
            hash: hash.parse().map_err(|_| no_hash())?,
            manifest,
            ticket: said(TICKET).cloned().map(Ticket),
        })
    }

    /// The manifest, if it is the one that was meant.
    async fn fetch(&self, depot: &Arc<dyn Depot>) -> Result<Manifest, Error> {
        let url = &self.manifest;
        // One byte more than there may be.
        let found = depot.get(url, Some(0..MANIFEST_BYTES_MAX + 1)).await;
        let found = found.map_err(|error| error.context(format!("reading {url}")))?;
        let none = || Error::new(ErrorKind::Lost, format!("there is no manifest at {url}"));
        let bytes = found.ok_or_else(none)?;
        if bytes.len() as u64 > MANIFEST_BYTES_MAX {
            let text = format!("the manifest at {url} has more than {MANIFEST_BYTES_MAX} bytes");
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        Manifest::read(&bytes, &self.hash).map_err(|error| error.context(url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_says_what_is_missing_and_shows_no_ticket() {
        let dialect = Dialect { index: "INDEX" };
        let hash = format!("b3:{}", "5a".repeat(32));
        let all =
            [("INDEX", "3"), (MANIFEST, "s3://b/m"), (HASH, hash.as_str()), (TICKET, "a.b.c")];
        let of = |pairs: &[(&str, &str)]| {
            let own = |(name, said): &(&str, &str)| ((*name).to_owned(), (*said).to_owned());
            Order::read(&pairs.iter().map(own).collect(), &dialect)
        };
        let order = of(&all).unwrap();
        assert_eq!((order.index, order.manifest.as_str()), (3, "s3://b/m"));
        assert!(!format!("{order:?}").contains("a.b.c"), "{order:?}");
        assert!(of(&all[..3]).unwrap().ticket.is_none());
        for (without, named) in [(0, "INDEX"), (1, MANIFEST), (2, HASH)] {
            let mut some = all.to_vec();
            some[without].1 = "";
            let error = of(&some).unwrap_err();
            assert!(error.message.starts_with(named) && error.kind == ErrorKind::Invalid);
            some[without].1 = if without == 1 { "s3://b/n" } else { "x" };
            assert_eq!(of(&some).is_ok(), without == 1);
        }
    }
}
