//! Several ways to the same end in turns: what each takes of time and of the processors.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::{median, say, time};

/// Ticks of proc(5) in a second: `USER_HZ`, which Linux has fixed for programs.
const TICKS: f64 = 100.0;

/// One way.
pub struct Way<'a> {
    name: &'a str,
    run: Box<dyn FnMut() -> Result<()> + 'a>,
}

/// What one way took, round by round.
#[derive(Debug, Default)]
pub struct Took {
    /// Seconds on the clock.
    pub wall: Vec<f64>,
    /// Seconds of processors, of this process and of those that it started and that have ended.
    pub cpu: Vec<f64>,
}

// === impl Way ===

impl<'a> Way<'a> {
    /// A way to the end.
    pub fn new(name: &'a str, run: impl FnMut() -> Result<()> + 'a) -> Self {
        Self { name, run: Box::new(run) }
    }
}

impl std::fmt::Debug for Way<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Way").field(&self.name).finish()
    }
}

/// Goes all ways in turns, and says for each what it took, and how many times as fast the first
/// was. A round before warms up and is not counted, where there are several; `between` puts things
/// in order after each round.
///
/// # Errors
///
/// As the ways.
pub fn turns(
    what: &str,
    rounds: usize,
    mut ways: Vec<Way<'_>>,
    mut between: impl FnMut() -> Result<()>,
) -> Result<Vec<Took>> {
    let mut took: Vec<Took> = ways.iter().map(|_| Took::default()).collect();
    let warm = usize::from(rounds > 1);
    for round in 0..rounds + warm {
        for (way, took) in ways.iter_mut().zip(&mut took) {
            let before = processors()?;
            let ((), wall) = time(&mut way.run).with_context(|| way.name.to_owned())?;
            let cpu = processors()?.saturating_sub(before);
            if round >= warm {
                took.wall.push(wall.as_secs_f64());
                took.cpu.push(cpu.as_secs_f64());
            }
        }
        between()?;
    }
    for (way, one) in ways.iter().zip(&took) {
        let (wall, cpu) = (median(one.wall.clone()), median(one.cpu.clone()));
        let ratios = ratios(&one.wall, &took[0].wall);
        let (least, most) = (
            ratios.iter().copied().fold(f64::MAX, f64::min),
            ratios.iter().copied().fold(f64::MIN, f64::max),
        );
        say(&format!(
            "{what}: {} {wall:.3} s ({cpu:.2} s of processors); {} is {:.2} times as fast ({least:.2} \
             to {most:.2} in {rounds} turns)",
            way.name,
            ways[0].name,
            median(ratios)
        ))?;
    }
    Ok(took)
}

/// The ratio of each round.
pub fn ratios(one: &[f64], other: &[f64]) -> Vec<f64> {
    one.iter().zip(other).map(|(one, other)| one / other).collect()
}

/// What this process and those that it waited for have used: proc(5), `/proc/PID/stat`.
fn processors() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(") ").context("no name")?;
    // utime, stime, cutime, cstime.
    let ticks = fields.split(' ').skip(11).take(4).map(str::parse::<f64>);
    let ticks: f64 = ticks.sum::<Result<f64, _>>()?;
    Ok(Duration::from_secs_f64(ticks / TICKS))
}
