import atexit
import sys
from threading import Event, Thread

from snakemake.common import async_run
from snakemake.io import IOFile

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
            line = under_way(RESULTS_HERE / artifacts.ANSWERS)
        except UserError:  # a progress file of another version
            continue
        if line and line != told:
            print(line, file=sys.stderr, flush=True)
        told = line


def nothing_was_to_be_done():
    return workflow.scheduler is not None and not len(workflow.dag)


def fetch_scores():
    """Copy what the last lines tell of from the default storage, where there is one."""
    for entry in settings.scored_entries():
        folder = RESULTS / artifacts.OF_SCORES.format(**entry.places)
        summary = IOFile(STORED(str(folder / artifacts.SUMMARY)))
        if summary.is_storage and summary.storage_object.exists():
            async_run(summary.storage_object.managed_retrieve())


def outcome_of_run():
    """The scores, and where the report is."""
    told = describe_outcome(RESULTS_HERE, [each.places for each in settings.entries()])
    page = IOFile(STORED(str(RESULTS / artifacts.REPORT)))
    return f"{told}\nReport: {page.storage_object.query}" if page.is_storage else told


def tell_outcome():
    """The last that a run prints: why jobs ended, or the scores and where the report is."""
    if workflow.executor_plugin is None or workflow.dryrun or workflow.touch:
        return
    if sentences := refusals():
        print(*sentences, sep="\n", file=sys.stderr)
    elif outcome["succeeded"] or nothing_was_to_be_done():
        rules = {job.rule.name for job in workflow.dag.targetjobs}
        if rules & {"all", "render_report"}:
            print(outcome_of_run(), file=sys.stderr)


if workflow.is_main_process:
    atexit.register(tell_outcome)


onstart:
    refusals()  # of a run that was killed before it told them
    sweep(RESULTS_HERE)
    Thread(target=tell_progress, daemon=True).start()


onsuccess:
    fetch_scores()
    outcome["succeeded"] = True
    ended.set()


onerror:
    ended.set()
