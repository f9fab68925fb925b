import atexit
import sys
from threading import Event, Thread

from refvessel.jobs.runs import refusals
from refvessel.jobs.status import under_way
from refvessel.outcome import describe_outcome
from refvessel.temporaries import sweep

SECONDS_BETWEEN_LINES = 30

ended = Event()
outcome = {"succeeded": False}


def tell_progress():
    """Say now and then how far the shards are, until the run ends."""
    told = None
    while not ended.wait(SECONDS_BETWEEN_LINES):
        try:
            line = under_way(RESULTS / artifacts.ANSWERS)
        except UserError:  # a progress file of another version
            continue
        if line and line != told:
            print(line, file=sys.stderr, flush=True)
        told = line


def nothing_was_to_be_done():
    return workflow.scheduler is not None and not len(workflow.dag)


def tell_outcome():
    """The last that a run prints: why jobs ended, or the scores and where the report is."""
    if workflow.executor_plugin is None or workflow.dryrun or workflow.touch:
        return
    if sentences := refusals():
        print(*sentences, sep="\n", file=sys.stderr)
    elif outcome["succeeded"] or nothing_was_to_be_done():
        rules = {job.rule.name for job in workflow.dag.targetjobs}
        if rules & {"all", "render_report"}:
            print(
                describe_outcome(
                    RESULTS, [entry.places for entry in settings.entries()]
                ),
                file=sys.stderr,
            )


if workflow.is_main_process:
    atexit.register(tell_outcome)


onstart:
    refusals()  # of a run that was killed before it told them
    sweep(RESULTS)
    Thread(target=tell_progress, daemon=True).start()


onsuccess:
    outcome["succeeded"] = True
    ended.set()


onerror:
    ended.set()
