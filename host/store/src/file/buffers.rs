//! Buffers that long ranges are read into, used again as long as any of them is in use: memory that
//! is new to a process costs a page fault for every page of it, and is zeroed first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;

/// Shorter buffers come from the allocator, which uses them again by itself.
const POOLED_MIN: usize = 128 << 10;

/// Bytes of buffers that wait to be used again at most: what a copy has under way.
const SPARE_BYTES_MAX: usize = 64 << 20;

/// The one pool of this process. Nobody but buffers in use keeps it: with the last of them, its spare
/// ones are gone.
static POOL: Mutex<Weak<Pool>> = Mutex::new(Weak::new());

/// Buffers that wait.
#[derive(Default)]
struct Pool {
    spare: Mutex<Spare>,
}

#[derive(Default)]
struct Spare {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

/// A buffer in use. What it holds at first is left from the use before.
struct Pooled {
    memory: Vec<u8>,
    length: usize,
    pool: Arc<Pool>,
}

/// Bytes of that length, as `fill` writes them: all of them, or it fails.
pub(super) fn filled<E>(
    length: usize,
    fill: impl FnOnce(&mut [u8]) -> Result<(), E>,
) -> Result<Bytes, E> {
    if length < POOLED_MIN {
        let mut memory = vec![0; length];
        fill(&mut memory)?;
        return Ok(memory.into());
    }
    let mut pooled = Pool::of_this_process().take(length);
    fill(&mut pooled.memory[..length])?;
    Ok(Bytes::from_owner(pooled))
}

// === impl Pool ===

impl Pool {
    fn of_this_process() -> Arc<Self> {
        let mut known = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        known.upgrade().unwrap_or_else(|| {
            let pool = Arc::new(Self::default());
            *known = Arc::downgrade(&pool);
            pool
        })
    }

    /// A buffer of at least that length, and less than twice as long.
    fn take(self: Arc<Self>, length: usize) -> Pooled {
        let mut spare = self.spare();
        let fits = |memory: &Vec<u8>| (length..length * 2).contains(&memory.len());
        let memory = spare.buffers.iter().rposition(fits).map(|n| spare.buffers.swap_remove(n));
        spare.bytes -= memory.as_ref().map_or(0, Vec::len);
        drop(spare);
        Pooled { memory: memory.unwrap_or_else(|| vec![0; length]), length, pool: self }
    }

    fn spare(&self) -> MutexGuard<'_, Spare> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Pooled ===

impl AsRef<[u8]> for Pooled {
    fn as_ref(&self) -> &[u8] {
        &self.memory[..self.length]
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let mut spare = self.pool.spare();
        if spare.bytes + self.memory.len() <= SPARE_BYTES_MAX {
            spare.bytes += self.memory.len();
            spare.buffers.push(std::mem::take(&mut self.memory));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(pool: &Arc<Pool>, length: usize) -> Pooled {
        Arc::clone(pool).take(length)
    }

    #[test]
    fn buffers_are_used_again_where_they_fit() {
        let pool = Arc::new(Pool::default());
        let first = taken(&pool, 3 << 20);
        let place = first.memory.as_ptr();
        drop(first);
        assert_eq!(taken(&pool, 4 << 20).memory.len(), 4 << 20, "the spare one is too short");
        let again = taken(&pool, 2 << 20);
        assert_eq!((again.memory.as_ptr(), again.as_ref().len()), (place, 2 << 20));
        assert_ne!(taken(&pool, 1 << 20).memory.len(), 4 << 20, "it would be wasted");
    }

    #[test]
    fn no_more_wait_than_a_copy_has_under_way() {
        let pool = Arc::new(Pool::default());
        let all: Vec<Pooled> = (0..40).map(|_| taken(&pool, 2 << 20)).collect();
        drop(all);
        let spare = pool.spare();
        assert_eq!((spare.bytes, spare.buffers.len()), (SPARE_BYTES_MAX, 32));
    }

    #[test]
    fn what_is_read_is_what_was_filled_in_and_no_more() {
        for length in [0, 1, POOLED_MIN - 1, POOLED_MIN, 3 * POOLED_MIN + 1] {
            for value in [7, 9] {
                let fill = |bytes: &mut [u8]| {
                    bytes.fill(value);
                    Ok::<_, ()>(())
                };
                assert_eq!(filled(length, fill).unwrap(), vec![value; length]);
            }
        }
        assert_eq!(filled(POOLED_MIN, |_| Err("broken")), Err("broken"));
    }

    #[test]
    fn spare_buffers_go_with_the_last_in_use() {
        let pool = Arc::new(Pool::default());
        let known = Arc::downgrade(&pool);
        let last = pool.take(1 << 20);
        drop(Arc::clone(&last.pool).take(1 << 20));
        assert!(known.upgrade().is_some());
        drop(last);
        assert!(known.upgrade().is_none());
    }
}
