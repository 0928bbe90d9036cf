//! What tests leave of uploads in parts: nothing.

use std::io::{self, Write};
use std::time::Duration;

use crate::{FAST, Server};

/// How long what was given up may take to go: it is removed behind the writer's back.
const GONE_WITHIN: Duration = Duration::from_secs(30);

/// Says which uploads those of these servers still have that list them, as a test of its own, and whether there are none.
///
/// # Errors
///
/// Where nothing can be said.
///
/// # Panics
///
/// Where a server cannot be asked.
pub fn verdict<'a>(
    servers: impl IntoIterator<Item = &'a Server>,
    out: &mut impl Write,
) -> io::Result<bool> {
    let mut failed = 0;
    let mut asked = Vec::new();
    let io = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let says =
        |server: &&Server| server.url().starts_with("s3:") && server.spec().name != FAST.name;
    for server in servers.into_iter().filter(says) {
        for key in io.block_on(left(server)) {
            failed += 1;
            writeln!(out, "an upload was left behind: {}: {key}", server.spec().name)?;
        }
        asked.push(server.spec().name);
    }
    if asked.is_empty() {
        return Ok(true);
    }
    let (verdict, passed) = if failed == 0 { ("ok", 1) } else { ("FAILED", 0) };
    writeln!(
        out,
        "\nno upload was left behind: {}\ntest result: {verdict}. {passed} passed; {failed} failed",
        asked.join(", ")
    )?;
    Ok(failed == 0)
}

/// The keys of those that do not go.
async fn left(server: &Server) -> Vec<String> {
    let store = server.locator().open(server.url()).expect("the store").store;
    let mut waited = Duration::ZERO;
    loop {
        let unfinished = store.unfinished("").await.expect("uploads");
        if unfinished.is_empty() || waited >= GONE_WITHIN {
            return unfinished.into_iter().map(|unfinished| unfinished.key).collect();
        }
        let look = Duration::from_millis(100);
        tokio::time::sleep(look).await;
        waited += look;
    }
}
