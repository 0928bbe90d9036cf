"""What Python's process pool does on this machine: one worker per core, no isolation of tasks.

Run by benches/driver.rs in the same run as ours; prints tasks per second, one call each and batched.
"""

import multiprocessing
import time


def add(pair):
    return pair[0] + pair[1]


def rate(pool, tasks, chunk):
    inputs = [(n, 1) for n in range(tasks)]
    start = time.perf_counter()
    values = pool.map(add, inputs, chunksize=chunk)
    took = time.perf_counter() - start
    assert values[-1] == tasks
    return tasks / took


if __name__ == "__main__":
    multiprocessing.set_start_method("fork")
    with multiprocessing.Pool() as pool:
        pool.map(add, [(1, 1)] * 1000)
        single = sorted(rate(pool, 100_000, 1) for _ in range(5))[2]
        batched = sorted(rate(pool, 3_000_000, None) for _ in range(3))[1]
    print(f"{single:.0f} {batched:.0f}")
