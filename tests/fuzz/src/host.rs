//! The host's doors in a process of their own, for the target `dialects`: each platform's way in,
//! with nothing behind it that runs.
//!
//! `samara-fuzz-host DIRECTORY` listens on a socket for each platform, and ends with its standard
//! input, or as soon as anything panics. What platforms want to have on standard output goes there.

mod sevens;

use std::io::{Read as _, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use samara_core::{Depot, Error, SystemClock};
use samara_runtimes::host::{Host, Service, Surroundings, surroundings};
use tokio::sync::watch;

use self::sevens::Sevens;

/// What lets requests in, where a platform does not.
const TOKEN: &str = "a-token-for-fuzzing";

/// Places where a host listens on no socket: its work comes from elsewhere.
const ELSEWHERE: [&str; 6] =
    ["lambda", "queue", "slurm", "kubernetes-job", "aws-batch", "cloud-run-job"];

/// A store in which nothing is.
#[derive(Debug)]
struct Empty;

fn main() {
    let directory = std::env::args_os().nth(1).map(PathBuf::from).expect("a directory");
    std::panic::set_hook(Box::new(|info| {
        let _nobody_reads = writeln!(std::io::stderr(), "{info}");
        std::process::abort();
    }));
    let io = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let io = io.expect("a thread");
    let (stop, stopped) = watch::channel(false);
    for place in surroundings().filter(|place| !ELSEWHERE.contains(&place.name)) {
        io.spawn(serve(place, directory.clone(), stopped.clone()));
    }
    // Whoever started this ends it by ending.
    let _ended = std::io::stdin().read_to_end(&mut Vec::new());
    drop(stop);
}

async fn serve(place: &'static Surroundings, directory: PathBuf, stop: watch::Receiver<bool>) {
    let service = Service::new(Arc::new(Sevens), "0.1.0", None);
    let host = Host {
        service,
        variables: std::collections::BTreeMap::new(),
        listen: Some(format!("unix:{}", socket(&directory, place.name).display())),
        tokens: vec![TOKEN.to_owned()],
        grace: Duration::from_secs(1),
        tls: None,
        stop,
        clock: Arc::new(SystemClock::new()),
        depot: Arc::new(Empty),
        listening: Box::new(|_| {}),
    };
    place.serve(host).await.expect("it listens");
}

fn socket(directory: &Path, name: &str) -> PathBuf {
    directory.join(name)
}

#[async_trait]
impl Depot for Empty {
    async fn get(&self, _: &str, _: Option<Range<u64>>) -> Result<Option<Bytes>, Error> {
        Ok(None)
    }

    async fn put(&self, _: &str, _: Bytes) -> Result<(), Error> {
        Ok(())
    }

    async fn list(&self, _: &str) -> Result<Vec<String>, Error> {
        Ok(Vec::new())
    }

    async fn remove(&self, _: &[String]) -> Result<(), Error> {
        Ok(())
    }
}
