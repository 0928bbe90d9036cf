//! `samara logs` of a deployment: what its hosts said.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use samara::blocking::Wait as _;
use samara::deploy::Event;

use super::{failed, open};
use crate::globals::Globals;

/// How far back lines are printed, where that is not said.
const SINCE: Duration = Duration::from_secs(600);

/// How often it is looked for further lines.
const FOLLOW_EVERY: Duration = Duration::from_secs(2);

/// How far back it is looked then: lines come late, and not in order.
const FOLLOW_BACK: Duration = Duration::from_secs(30);

pub(crate) fn run(
    url: &str,
    since: Option<Duration>,
    follow: bool,
    globals: &Globals,
) -> Result<ExitCode> {
    let place = open(url, globals)?;
    let mut since = since.unwrap_or(SINCE);
    let mut seen = BTreeSet::new();
    loop {
        let events = place.logs(since).wait().map_err(failed)?;
        let ids: BTreeSet<String> = events.iter().map(|event| event.id.clone()).collect();
        let mut out = io::stdout().lock();
        for event in events.iter().filter(|event| !seen.contains(&event.id)) {
            match globals.json {
                true => writeln!(out, "{}", serde_json::to_string(event)?)?,
                false => writeln!(out, "{}", text(event))?,
            }
        }
        drop(out);
        if !follow {
            return Ok(ExitCode::SUCCESS);
        }
        // What the next look finds again is among these.
        seen = ids;
        thread::sleep(FOLLOW_EVERY);
        since = FOLLOW_BACK;
    }
}

fn text(event: &Event) -> String {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(event.milliseconds));
    let time =
        time.map_or_else(String::new, |time| humantime::format_rfc3339_millis(time).to_string());
    format!("{time}  {}", event.text)
}
