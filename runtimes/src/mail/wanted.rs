//! Waits that end when the batch is cancelled.

use std::time::Duration;

use samara_core::{Cancel, Error, ErrorKind};
use tokio::time::sleep;

/// How often it is looked whether a batch is still wanted.
const CANCEL_POLL: Duration = Duration::from_millis(50);

/// Waits until the batch is cancelled.
pub(crate) async fn cancelled(cancel: &Cancel) {
    while !cancel.is_cancelled() {
        sleep(CANCEL_POLL).await;
    }
}

/// Waits for something, unless the batch is not wanted any more.
///
/// # Errors
///
/// `Cancelled`.
pub(crate) async fn wanted<F: Future>(cancel: &Cancel, future: F) -> Result<F::Output, Error> {
    tokio::select! {
        output = future => Ok(output),
        () = cancelled(cancel) => {
            Err(Error::new(ErrorKind::Cancelled, "the job was cancelled"))
        }
    }
}
