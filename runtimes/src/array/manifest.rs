//! Which batches there are, and whose they are: an object in the job's store, that whoever starts the
//! workers binds them to by its hash. It has no ticket in it, nor anything else that is secret.

use bytes::Bytes;
#[cfg(feature = "serve")]
use samara_core::{ComponentId, Error, ErrorKind};
use serde::{Deserialize, Serialize};

use crate::mail::Call;
#[cfg(feature = "serve")]
use crate::mail::Source;

/// The version of the format.
const VERSION: u32 = 1;

/// Bytes of a manifest at most: each worker reads it as a whole, and a call takes some 300.
#[cfg(feature = "serve")]
pub(super) const MANIFEST_BYTES_MAX: u64 = 8 << 20;

/// Calls in a manifest at most: each is checked by every worker before the first begins.
#[cfg(feature = "serve")]
const CALLS_MAX: usize = 10_000;

/// Workers of a manifest at most: the largest arrays that platforms make have 10,000.
#[cfg(feature = "serve")]
const WORKERS_MAX: u64 = 10_000;

/// What the workers of an array do together.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Manifest {
    samara: u32,
    /// How many there are: the one with index `i` runs the calls `i`, `i + workers`, and so on.
    workers: u64,
    calls: Vec<Call>,
}

// === impl Manifest ===

impl Manifest {
    /// One with a worker for each call.
    #[cfg(any(test, feature = "slurm"))]
    pub(crate) fn of(calls: Vec<Call>) -> Self {
        Self { samara: VERSION, workers: calls.len() as u64, calls }
    }

    #[cfg(any(test, feature = "slurm"))]
    pub(crate) fn to_json(&self) -> Bytes {
        serde_json::to_vec(self).expect("texts and numbers are JSON").into()
    }
}

#[cfg(feature = "serve")]
impl Manifest {
    /// Reads the manifest that a hash names.
    ///
    /// # Errors
    ///
    /// `Denied` where these bytes are another's; `Invalid` where they are no manifest that this host
    /// knows.
    pub(super) fn read(bytes: &Bytes, hash: &ComponentId) -> Result<Self, Error> {
        let found = ComponentId::of(bytes);
        if found != *hash {
            let text = format!(
                "the manifest's hash is {found}, and not {hash}, with which this worker was \
                 started: it was changed, or another one took its place"
            );
            return Err(Error::new(ErrorKind::Denied, text));
        }
        let invalid = |why: &str| Error::new(ErrorKind::Invalid, format!("the manifest {why}"));
        let manifest: Self = serde_json::from_slice(bytes)
            .map_err(|error| invalid(&format!("is none of this version's: {error}")))?;
        let Self { samara, workers, calls } = &manifest;
        if *samara != VERSION {
            return Err(invalid(&format!("has version {samara}; this host knows {VERSION}")));
        }
        if !(1..=WORKERS_MAX).contains(workers) {
            return Err(invalid(&format!("is for {workers} workers, of 1 to {WORKERS_MAX}")));
        }
        if calls.len() > CALLS_MAX {
            return Err(invalid(&format!("has {} calls, of {CALLS_MAX}", calls.len())));
        }
        calls.iter().try_for_each(check).map_err(invalid)?;
        Ok(manifest)
    }

    pub(super) fn calls(&self) -> &[Call] {
        &self.calls
    }

    /// The calls of the worker with this index.
    ///
    /// # Errors
    ///
    /// `Invalid` where there is no such worker.
    pub(super) fn share(&self, index: u64) -> Result<impl Iterator<Item = &Call>, Error> {
        if index >= self.workers {
            let text = format!("the manifest is for {} workers, and this is {index}", self.workers);
            return Err(Error::new(ErrorKind::Invalid, text));
        }
        let at = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Ok(self.calls.iter().skip(at(index)).step_by(at(self.workers)))
    }
}

/// Refuses a call that others could change, or whose answer has no place.
#[cfg(feature = "serve")]
fn check(call: &Call) -> Result<(), &'static str> {
    if matches!(call.batch, Source::Stored { hash: None, .. }) {
        return Err("has a batch without its hash");
    }
    match call.has_place() {
        true => Ok(()),
        false => Err("has a batch whose answer has no place that ends with `/`"),
    }
}

#[cfg(all(test, feature = "serve"))]
mod tests {
    use super::*;
    use crate::mail::hash_of;

    fn call(name: u32) -> Call {
        let hash = Some(hash_of(b"abc"));
        let batch = Source::Stored { url: "s3://b/k".to_owned(), range: 2..5, hash };
        Call { batch, to: Some(format!("s3://b/to/{name}/")) }
    }

    fn read(bytes: &Bytes) -> Result<Manifest, Error> {
        Manifest::read(bytes, &ComponentId::of(bytes))
    }

    /// Hosts and drivers of other versions read these.
    #[test]
    fn manifests_are_written_as_ever() {
        let bytes = Manifest::of(vec![call(0)]).to_json();
        let hash = hash_of(b"abc");
        let wanted = format!(
            r#"{{"samara":1,"workers":1,"calls":[{{"batch":{{"stored":{{"url":"s3://b/k","range":{{"start":2,"end":5}},"hash":"{hash}"}}}},"to":"s3://b/to/0/"}}]}}"#
        );
        assert_eq!(bytes, wanted);
        assert_eq!(read(&bytes).unwrap(), Manifest::of(vec![call(0)]));
    }

    #[test]
    fn each_call_is_of_one_worker() {
        let mut manifest = Manifest::of((0..7).map(call).collect());
        manifest.workers = 3;
        let mut all: Vec<&Call> = Vec::new();
        for index in 0..3 {
            let own: Vec<&Call> = manifest.share(index).unwrap().collect();
            assert_eq!(*own[1], call(u32::try_from(index).unwrap() + 3));
            all.extend(own);
        }
        assert_eq!(all.len(), 7);
        let error = manifest.share(3).err().unwrap();
        assert!(error.message.contains("for 3 workers"), "{error}");
    }

    #[test]
    fn what_others_could_have_changed_is_refused() {
        let bytes = Manifest::of(vec![call(0)]).to_json();
        let error = Manifest::read(&bytes, &ComponentId::of(b"another")).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Denied, "{error}");
        let of = |change: fn(&mut Manifest)| {
            let mut manifest = Manifest::of(vec![call(0)]);
            change(&mut manifest);
            read(&manifest.to_json()).unwrap_err().message
        };
        type Case = (fn(&mut Manifest), &'static str);
        let cases: [Case; 5] = [
            (|m| m.samara = 2, "version 2"),
            (|m| m.workers = 0, "0 workers"),
            (|m| m.workers = WORKERS_MAX + 1, "workers"),
            (|m| m.calls[0].to = Some("s3://b/to".to_owned()), "no place"),
            (
                |m| {
                    let batch =
                        Source::Stored { url: "s3://b/k".to_owned(), range: 2..5, hash: None };
                    m.calls[0].batch = batch;
                },
                "without its hash",
            ),
        ];
        for (change, named) in cases {
            let said = of(change);
            assert!(said.contains(named), "{named}: {said}");
        }
        let many = Manifest::of(vec![call(0); CALLS_MAX + 1]);
        assert!(read(&many.to_json()).unwrap_err().message.contains("10001"));
        assert!(read(&Bytes::from("{}")).unwrap_err().message.contains("none of"));
    }
}
