//! What of the world outside a job may grant: servers, variables, clocks.

use std::time::{Duration, Instant};

use samara_guest::{function, http, task};

use crate::Attempt;

/// How often a clock is looked at: enough that a coarse one is seen to jump.
const LOOKS: u32 = 200_000;

/// The status and the body of what is at a URL; or why there is none.
#[function]
pub fn asks(url: String) -> Attempt<(u16, String)> {
    let ask = || -> samara_guest::Result<_> {
        let response = http::get(&url)?;
        let status = response.status();
        Ok((status, response.text()?))
    };
    ask().into()
}

/// Sends a body, and gives back the answer's.
#[function]
pub fn posts(url: String, body: samara_guest::Bytes) -> samara_guest::Result<samara_guest::Bytes> {
    Ok(http::post(&url, body.to_vec())?.error_for_status()?.bytes()?.into())
}

/// Asks this often, one after the other, without waiting for the answer's body.
#[function]
pub fn asks_often(url: String, times: u64) -> u64 {
    (0..times).filter(|_| http::get(&url).is_ok()).count() as u64
}

/// Asks this often, and keeps all answers unread.
#[function]
pub fn keeps_answers(url: String, times: u64) -> samara_guest::Result<u64> {
    let answers: samara_guest::Result<Vec<_>> = (0..times).map(|_| http::get(&url)).collect();
    Ok(answers?.len() as u64)
}

/// Asks for each of these, keeps all that came of it, and counts the answers.
#[function]
pub fn asks_all(urls: Vec<String>) -> u64 {
    let came: Vec<_> = urls.iter().map(|url| http::get(url)).collect();
    came.iter().filter(|came| came.is_ok()).count() as u64
}

/// Follows redirections to their end: the last URL, and what it answered.
#[function]
pub fn follows(url: String) -> Attempt<(String, u16)> {
    let follow = || -> samara_guest::Result<_> {
        let mut url = url;
        loop {
            let response = http::get(&url)?;
            match response.header("location") {
                Some(next) => url = String::from_utf8_lossy(next).into_owned(),
                None => return Ok((url, response.status())),
            }
        }
    };
    follow().into()
}

/// A variable of the environment.
#[function]
#[expect(clippy::disallowed_methods, reason = "shows what was granted")]
pub fn variable(name: String) -> Option<String> {
    std::env::var(name).ok()
}

/// Logs a variable's value, on both ways there are, and fails, so that the log is seen.
#[function]
#[expect(clippy::disallowed_methods, clippy::print_stdout, reason = "shows what is kept of it")]
pub fn logs_variable(name: String) -> samara_guest::Result<()> {
    let value = std::env::var(name).unwrap_or_default();
    println!("printed: {value}");
    task::log(task::Level::Info, &format!("logged: {value}"));
    samara_guest::bail!("as it should")
}

/// Ends with a variable's value: in an error, in an error's cause, or in a panic.
#[function]
#[expect(clippy::disallowed_methods, clippy::panic, reason = "shows what is kept of it")]
pub fn ends_with_variable(name: String, how: String) -> samara_guest::Result<()> {
    let value = std::env::var(name).unwrap_or_default();
    match how.as_str() {
        "error" => samara_guest::bail!("it is {value}"),
        "cause" => Err(std::io::Error::other(format!("it is {value}")))?,
        _ => panic!("it is {value}"),
    }
    Ok(())
}

/// The shortest step of the clock, in nanoseconds.
#[function]
#[expect(clippy::disallowed_methods, reason = "shows the guest's own clock")]
pub fn clock_step() -> u64 {
    let mut shortest = Duration::MAX;
    let mut before = Instant::now();
    for _ in 0..LOOKS {
        let now = Instant::now();
        if now > before {
            shortest = shortest.min(now - before);
        }
        before = now;
    }
    u64::try_from(shortest.as_nanos()).unwrap_or(u64::MAX)
}
