"""What others do on this machine, one worker per core: Python's process pool, which does not isolate
tasks, and Ray, where it is installed (`pip install ray`), whose tasks share processes too.

Run by benches/driver.rs in the same run as ours, with the Python that PYTHON names; prints for each
peer its tasks per second, one call each and batched.
"""

import multiprocessing
import os
import time


def add(pair):
    return pair[0] + pair[1]


def add_all(pairs):
    return [add(pair) for pair in pairs]


def pairs(tasks):
    return [(n, 1) for n in range(tasks)]


def median(rates):
    return sorted(rates)[len(rates) // 2]


def rate(tasks, run):
    inputs = pairs(tasks)
    start = time.perf_counter()
    last = run(inputs)
    took = time.perf_counter() - start
    assert last == tasks
    return tasks / took


def process_pool():
    multiprocessing.set_start_method("fork")
    with multiprocessing.Pool() as pool:
        pool.map(add, [(1, 1)] * 1000)
        single = median([rate(100_000, lambda it: pool.map(add, it, 1)[-1]) for _ in range(5)])
        batched = median([rate(3_000_000, lambda it: pool.map(add, it)[-1]) for _ in range(3)])
    return single, batched


def on_ray():
    import ray

    ray.init(num_cpus=os.cpu_count(), include_dashboard=False, log_to_driver=False, logging_level=40)
    one, many = ray.remote(add), ray.remote(add_all)
    ray.get([one.remote((1, 1)) for _ in range(1000)])

    def singly(inputs):
        return ray.get([one.remote(pair) for pair in inputs])[-1]

    def in_batches(inputs):
        size = 50_000
        parts = [many.remote(inputs[at : at + size]) for at in range(0, len(inputs), size)]
        return ray.get(parts)[-1][-1]

    # A tenth of the pool's tasks: it takes as long.
    single = median([rate(10_000, singly) for _ in range(3)])
    batched = median([rate(3_000_000, in_batches) for _ in range(3)])
    ray.shutdown()
    return single, batched


if __name__ == "__main__":
    single, batched = process_pool()
    print(f"python's process pool: {single:.0f} {batched:.0f}")
    try:
        import ray  # noqa: F401
    except ImportError:
        pass
    else:
        single, batched = on_ray()
        print(f"ray: {single:.0f} {batched:.0f}")
