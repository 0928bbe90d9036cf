//! Writes an array down, and hands it to Slurm.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use samara_core::{Depot, Error, ErrorKind};

use super::commands::Asked;
use super::config::Config;
use crate::array::{HASH, MANIFEST, Manifest, TICKET};
use crate::mail::{Call, Names, Source, Ticket, hash_of};

/// How long before its time limit a host is told to end: a little more than it takes to give back what
/// is undone. Slurm by itself tells it to steps alone, and the host is none.
const SIGNAL: &str = "--signal=B:TERM@35";

/// Hands arrays to Slurm.
pub(super) struct Submitter {
    pub(super) config: Config,
    depot: Arc<dyn Depot>,
    host: PathBuf,
    variables: Vec<(String, String)>,
    ticket: Option<Ticket>,
    names: Names,
}

/// A batch of an array.
pub(super) struct Member {
    /// The URL of its own answer.
    pub(super) to: String,
    pub(super) body: Bytes,
}

/// What an array lies in, which is removed with the last of it.
#[derive(Debug)]
pub(super) struct Objects {
    depot: Arc<dyn Depot>,
    urls: Vec<String>,
}

// === impl Submitter ===

impl Submitter {
    pub(super) fn new(config: Config, context: &crate::Context, depot: Arc<dyn Depot>) -> Self {
        let host = config.host.as_ref().map(PathBuf::from);
        Self {
            host: host.unwrap_or_else(|| context.host_program.clone()),
            variables: context.host_variables.clone(),
            ticket: context.token.clone().map(Ticket),
            config,
            depot,
            names: Names::default(),
        }
    }

    /// A name that no other driver gives.
    pub(super) fn name(&self) -> String {
        self.names.next()
    }

    /// Makes an array of batches, whose objects lie below `calls`; its id, and what it lies in.
    ///
    /// # Errors
    ///
    /// What the store says, and what Slurm does.
    pub(super) async fn submit(
        &self,
        calls: &str,
        members: &[Member],
    ) -> Result<(u64, Arc<Objects>), Error> {
        let place = format!("{calls}array-{}", self.name());
        let (batches, manifest) = (format!("{place}/batches"), format!("{place}/manifest"));
        let (mut bytes, mut list) = (BytesMut::new(), Vec::new());
        for Member { to, body } in members {
            let start = bytes.len() as u64;
            bytes.extend_from_slice(body);
            let (url, range) = (batches.clone(), start..bytes.len() as u64);
            let batch = Source::Stored { url, range, hash: Some(hash_of(body)) };
            list.push(Call { batch, to: Some(to.clone()) });
        }
        let (depot, urls) = (Arc::clone(&self.depot), vec![batches, manifest]);
        let objects = Arc::new(Objects { depot, urls });
        let [batches, manifest] = &objects.urls[..] else { unreachable!("there are two") };
        let listed = Manifest::of(list).to_json();
        let hash = hash_of(&listed);
        self.depot.put(batches, bytes.freeze()).await?;
        self.depot.put(manifest, listed).await?;
        let said = self.asked(members.len(), manifest, &hash).answer().await?;
        // A cluster's name may follow the id.
        let id = said.trim().split(';').next().and_then(|id| id.parse().ok());
        let no_id = || Error::new(ErrorKind::Invalid, format!("`sbatch` says no id: {said}"));
        Ok((id.ok_or_else(no_id)?, objects))
    }

    fn asked<'a>(&'a self, count: usize, manifest: &'a str, hash: &'a str) -> Asked<'a> {
        let array = format!("--array=0-{}", count.saturating_sub(1));
        // Which of Samara's jobs it is of is what its user looks for: the store has it in its names.
        let job = manifest.rsplit('/').nth(3).unwrap_or_default();
        let name = &format!("--job-name=samara-{job}");
        let output = match &self.config.log {
            Some(log) => format!("--output={log}/samara-%A_%a.log"),
            None => "--output=/dev/null".to_owned(),
        };
        let mut asked = Asked::new(
            "sbatch",
            &["--parsable", &array, name, "--ntasks=1", "--no-requeue", SIGNAL],
        );
        // Variables go in this command's own: command lines are seen by everybody on a machine.
        asked.arguments.extend(["--export=ALL".to_owned(), output]);
        let Config { partition, cpus, further, .. } = &self.config;
        asked.arguments.extend(partition.iter().map(|name| format!("--partition={name}")));
        asked.arguments.extend(cpus.iter().map(|cpus| format!("--cpus-per-task={cpus}")));
        asked.arguments.extend(further.iter().map(|(flag, said)| format!("{flag}={said}")));
        let variables = self.variables.iter();
        asked.variables = variables.map(|(name, said)| (name.as_str(), said.as_str())).collect();
        asked.variables.extend([(MANIFEST, manifest), (HASH, hash)]);
        asked.variables.extend(self.ticket.iter().map(|ticket| (TICKET, ticket.0.as_str())));
        let host = self.host.display().to_string().replace('\'', r"'\''");
        asked.input = format!("#!/bin/sh\nexec '{host}' --as slurm\n");
        asked
    }
}

impl std::fmt::Debug for Submitter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Submitter").field("config", &self.config).finish_non_exhaustive()
    }
}

// === impl Objects ===

impl Drop for Objects {
    fn drop(&mut self) {
        let (depot, urls) = (Arc::clone(&self.depot), std::mem::take(&mut self.urls));
        // What is left behind goes with the job.
        let Ok(io) = tokio::runtime::Handle::try_current() else { return };
        io.spawn(async move {
            if let Err(error) = depot.remove(&urls).await {
                tracing::debug!("batches were not removed: {error}");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Shelf;

    #[test]
    fn a_ticket_goes_by_a_variable_alone() {
        let context = crate::Context {
            token: Some("a.b.c".to_owned()),
            host_program: "/o'clock/samara-host".into(),
            ..crate::Context::default()
        };
        let config = Config::parse("slurm://short?time=5&cpus=2&log=/l").unwrap();
        let submitter = Submitter::new(config, &context, Arc::<Shelf>::default());
        let asked = submitter.asked(20, "s/jobs/7/calls/array-1/manifest", "b3:0");
        for wanted in [
            "--array=0-19",
            "--job-name=samara-7",
            "--partition=short",
            "--cpus-per-task=2",
            "--time=5",
        ] {
            assert!(asked.arguments.iter().any(|said| said == wanted), "{wanted}");
        }
        assert!(!asked.arguments.iter().any(|said| said.contains("a.b.c")));
        assert!(asked.variables.contains(&(TICKET, "a.b.c")) && !asked.input.contains("a.b.c"));
        assert!(asked.input.contains(r"exec '/o'\''clock/samara-host' --as slurm"));
        assert!(!format!("{submitter:?}").contains("a.b.c"));
    }
}
