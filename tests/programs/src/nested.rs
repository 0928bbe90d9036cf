//! Functions that start jobs.

use samara_guest::{Result, ensure, function, jobs};

use crate::Attempt;

/// Counts the leaves of a tree: each node starts so many of itself, one level less deep.
#[function]
pub fn leaves(depth: u32, fan_out: u64) -> Result<u64> {
    if depth == 0 {
        return Ok(1);
    }
    let below = (0..fan_out).map(|_| (depth - 1, fan_out));
    Ok(jobs::map(self::leaves, below)?.values()?.into_iter().sum())
}

/// Squares a number, but for 13.
#[function]
pub fn squared(n: u64) -> Result<u64> {
    ensure!(n != 13, "13 has bad luck");
    Ok(n * n)
}

/// Squares numbers by a job; returns its id and what each task came to.
#[function]
pub fn squares_by_a_job(numbers: Vec<u64>) -> Result<(String, Vec<Result<u64, String>>)> {
    let job = jobs::map(squared, numbers)?;
    let id = job.id();
    let results = job.results().into_iter();
    Ok((id, results.map(|result| result.map_err(|error| error.to_string())).collect()))
}

/// Starts itself until it is refused; returns how deep that was, and the refusal.
#[function]
pub fn sinks(depth: u32) -> Result<(u32, String)> {
    match jobs::map(self::sinks, [depth + 1]) {
        Ok(job) => Ok(job.values()?.remove(0)),
        Err(error) => Ok((depth, error.to_string())),
    }
}

/// Does nothing for as long as it may.
#[function]
pub fn never_ends(_: u64) {
    loop {
        std::thread::sleep(std::time::Duration::from_secs(3600));
    }
}

/// Starts a job that never ends, cancels it, and returns what its task came to.
#[function]
pub fn cancels_a_job() -> Result<Vec<Attempt<()>>> {
    let mut job = jobs::map(never_ends, [1])?;
    job.cancel();
    let refused =
        |error: jobs::Error| Attempt::Refused { case: "Task".to_owned(), text: error.to_string() };
    Ok(job.map(|(_, result)| result.map_or_else(refused, Attempt::Did)).collect())
}

/// Starts a job that never ends, and leaves it; returns its id.
#[function]
pub fn leaves_a_job_behind() -> Result<String> {
    Ok(jobs::map(never_ends, [1, 2])?.id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn natively_jobs_run_in_place() {
        assert_eq!(leaves(3, 2).unwrap(), 8);
        let (_, squares) = squares_by_a_job(vec![2, 13]).unwrap();
        assert_eq!(squares[0], Ok(4));
        assert_eq!(squares[1], Err("task 1 failed: 13 has bad luck".to_owned()));
    }
}
