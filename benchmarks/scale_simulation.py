"""How long a split takes on many GPUs, simulated from the costs of RESULTS.md; what is assumed says so."""

import heapq
from dataclasses import dataclass

import numpy as np

# Measured, see RESULTS.md.
SECONDS_PER_ANSWER = 0.0119  # one H100, 512x512, one expression an image
START = 75.0  # seconds of a job before its first answer: imports, weights, compilation, first batches
DAG_SECONDS_PER_JOB = 0.003  # of a dry run, CPU
GATHER_SECONDS = 0.0004  # an expression of 512x512, one process
SCORE_SECONDS = 0.055  # the same, all scores, one core
GATHER_GIGABYTES = 5.4e-7  # an expression, beside 0.4 GB
# Assumed.
LATENCY = 60.0  # mean seconds in the queue, exponential, also after a preemption
FAILURES = 1 / (500 * 3600)  # per second and GPU
PREEMPTIONS = 1 / (24 * 3600)
LOST_ANSWERS = 64  # of a killed job, the batch that it was in; all others are in its shard
SUBMISSION = 0.1  # seconds in which the scheduler takes one job: one process submits them all
CORES = 16  # of the node that scores

SIZES = [10**4, 10**5, 10**6, 10**7, 10**8]
GPUS = [1, 8, 64, 1000]
SHARDS_PER_GPU = [0.25, 0.5, 1, 2, 4, 8, 16, 64]
RUNS = 5


@dataclass(frozen=True)
class Outcome:
    """Of the GPU stage: hours until the last shard is done, the GPUs' share of time in answers, killed jobs."""

    hours: float
    use: float
    killed: int


def segment(expressions: int, gpus: int, shards: int, seed: int) -> Outcome:
    """Simulate the jobs of one split, submitted one after another, each tried again until its shard is whole."""
    random = np.random.default_rng(seed)
    work = expressions / shards * SECONDS_PER_ANSWER
    submitted = DAG_SECONDS_PER_JOB * shards + SUBMISSION * np.arange(1, shards + 1)
    waiting = [(float(at + random.exponential(LATENCY)), work) for at in submitted]
    heapq.heapify(waiting)
    free = [0.0] * gpus  # when each GPU is next free
    end, killed = 0.0, 0
    while waiting:
        ready, left = heapq.heappop(waiting)
        begin = max(ready, heapq.heappop(free))
        until = random.exponential(1 / (FAILURES + PREEMPTIONS))
        if until >= START + left:
            done = begin + START + left
            end = max(end, done)
        else:
            done, killed = begin + until, killed + 1
            answered = max(0.0, until - START - LOST_ANSWERS * SECONDS_PER_ANSWER)
            heapq.heappush(waiting, (done + float(random.exponential(LATENCY)), left - min(left, answered)))
        heapq.heappush(free, done)
    return Outcome(end / 3600, expressions * SECONDS_PER_ANSWER / (gpus * end), killed)


def _mean(expressions: int, gpus: int, shards: int) -> Outcome:
    runs = [segment(expressions, gpus, shards, seed) for seed in range(RUNS)]
    return Outcome(
        float(np.mean([each.hours for each in runs])),
        float(np.mean([each.use for each in runs])),
        round(np.mean([each.killed for each in runs])),
    )


def print_simulation() -> None:
    """For each size and number of GPUs the best number of shards, and what comes after them."""
    print(
        "| expressions | GPUs | best shards | expressions a shard | hours | GPUs in answers | killed jobs | "
        "gather, h | score on 16 cores, h | gather, GB |"
    )
    print("|---:" * 10 + "|")
    for expressions in SIZES:
        for gpus in GPUS:
            choices = sorted({max(1, round(gpus * share)) for share in SHARDS_PER_GPU})
            outcomes = {
                shards: _mean(expressions, gpus, shards) for shards in choices if shards <= expressions
            }
            shards, best = min(outcomes.items(), key=lambda item: item[1].hours)
            print(
                f"| {expressions:,} | {gpus:,} | {shards:,} | {expressions // shards:,} | {best.hours:.2f} | "
                f"{best.use:.0%} | {best.killed} | {expressions * GATHER_SECONDS / 3600:.2f} | "
                f"{expressions * SCORE_SECONDS / CORES / 3600:.2f} | {0.4 + expressions * GATHER_GIGABYTES:.1f} |",
                flush=True,
            )
