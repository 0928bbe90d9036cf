//! What tells a host to end.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Waits for the signal to end; and for the end of who started this, where they asked for it.
pub(crate) async fn at_the_end(stop: watch::Sender<bool>, with_parent: bool) {
    let parent = async {
        if !with_parent {
            return std::future::pending().await;
        }
        // Standard input ends when whoever holds its other end does.
        let read = || drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        drop(tokio::task::spawn_blocking(read).await);
    };
    let signals =
        signal(SignalKind::terminate()).and_then(|t| Ok((t, signal(SignalKind::interrupt())?)));
    match signals {
        Ok((mut terminate, mut interrupt)) => tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = parent => {}
        },
        Err(error) => {
            tracing::error!("signals are not heard: {error}");
            parent.await;
        }
    }
    tracing::info!("told to end");
    // Nobody serves any more.
    let _ended = stop.send(true);
}
