//! Refusals that are alike: the first is written at once, the others of its window are counted, and come
//! as one line when it is over.
//!
//! Those of a tenant are alike where their lines would be. What a stranger says of itself is the
//! stranger's choice, so those are alike where they were refused for the same kind of reason: there are
//! as many kinds as we have words for.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Line;

/// How long refusals that are alike are gathered: a host that is killed loses the counts of as long.
/// What a stranger can have written grows as it shrinks, to some 10 KB a second here.
pub(super) const WINDOW: Duration = Duration::from_millis(250);

/// Different refusals of one tenant in that time, each with a line: more than drivers make by mistake,
/// and a megabyte or so each second. What comes beyond is counted.
pub(super) const DIFFERENT_MAX: usize = 500;

/// What is gathered now, of each tenant; all strangers are one, without a name.
#[derive(Debug, Default)]
pub(super) struct Windows(BTreeMap<Option<String>, Window>);

/// What is gathered of one tenant.
#[derive(Debug)]
struct Window {
    end: Duration,
    alike: BTreeMap<Line, Alike>,
    left_out: u64,
}

/// Refusals that are alike.
#[derive(Debug)]
struct Alike {
    /// Why strangers were refused, as long as all were told the same.
    reason: Option<String>,
    /// How many there were beside the one that was written.
    others: u64,
}

// === impl Windows ===

impl Windows {
    /// Takes note of a refusal; says whether it is to be written now.
    pub(super) fn note(&mut self, now: Duration, line: &Line) -> bool {
        let window = self.0.entry(line.tenant.clone()).or_insert_with(|| Window {
            end: now.saturating_add(WINDOW),
            alike: BTreeMap::new(),
            left_out: 0,
        });
        let (key, reason) = match line.kind {
            Some(_) => (Line { reason: None, ..line.clone() }, line.reason.clone()),
            None => (line.clone(), None),
        };
        if let Some(alike) = window.alike.get_mut(&key) {
            alike.others = alike.others.saturating_add(1);
            if alike.reason != reason {
                alike.reason = None;
            }
            return false;
        }
        let is_room = window.alike.len() < DIFFERENT_MAX;
        match is_room {
            true => drop(window.alike.insert(key, Alike { reason, others: 0 })),
            false => window.left_out = window.left_out.saturating_add(1),
        }
        is_room
    }

    /// Ends the windows whose time is over, or all where no time is given; what there is to say of them.
    pub(super) fn end(&mut self, now: Option<Duration>) -> Vec<Line> {
        let mut lines = Vec::new();
        self.0.retain(|tenant, window| {
            let is_over = now.is_none_or(|now| window.end <= now);
            if is_over {
                window.say(tenant.as_deref(), &mut lines);
            }
            !is_over
        });
        lines
    }

    /// When the first one is over.
    pub(super) fn next_end(&self) -> Option<Duration> {
        self.0.values().map(|window| window.end).min()
    }
}

// === impl Window ===

impl Window {
    fn say(&mut self, tenant: Option<&str>, lines: &mut Vec<Line>) {
        let alike = std::mem::take(&mut self.alike);
        let more = alike.into_iter().filter(|(_, alike)| alike.others > 0);
        lines.extend(more.map(|(line, alike)| Line {
            reason: line.reason.or(alike.reason),
            times: Some(alike.others),
            ..line
        }));
        if self.left_out > 0 {
            let tenant = tenant.map(str::to_owned);
            let left_out = Some(self.left_out);
            lines.push(Line { event: "left-out", tenant, left_out, ..Line::default() });
        }
    }
}
