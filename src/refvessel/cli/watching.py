"""Checkpoints of a training evaluated on val, round by round, each round one run of the workflow."""

import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from refvessel.artifacts import OF_SCORES, OF_WATCH, SUMMARY, WATCH_CONFIG, WATCHED
from refvessel.checkpoint.left_by_training import Left, is_settled, left_by_training, require_whole
from refvessel.cli.run_command import command_of_run
from refvessel.errors import UserError
from refvessel.files import atomic_file, read_json, write_json
from refvessel.jobs.signals import Stopped
from refvessel.report.learning_curve import write_learning_curve
from refvessel.settings.refinement_section import TUNING_SPLIT
from refvessel.settings.watched import configuration_of, watched_dataset, watched_model
from refvessel.settings.whole import Settings

_SECONDS_BETWEEN_STATES = 5


class Watching:
    """What is known of a training's checkpoints, from look to look and, in a file, from run to run.

    Args:
        settings: of a run that evaluates one of them.
        model: a key of its models, in the place of whose checkpoint they come; None: the only one that has one.
        dataset: a key of its data sets; None: the only one on which the model is evaluated.
        cores: as of `command_of_run`.
        workflow_profile: likewise.
        arguments: whatever else Snakemake takes.

    Raises:
        UserError: where model or data set are not clear.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        model: str | None,
        dataset: str | None,
        cores: str | None,
        workflow_profile: str | None,
        arguments: Sequence[str],
    ) -> None:
        self._settings = settings
        self._model = model = watched_model(settings, model)
        self._dataset = dataset = watched_dataset(settings, model, dataset)
        self._cores, self._profile = cores, workflow_profile
        self._arguments = arguments
        self._results = Path(settings.pathvars.apply("<results>"))
        self._folder = self._results / OF_WATCH.format(model=model, dataset=dataset)
        known = self._folder / WATCHED
        self._scored: dict[str, dict[str, Any]] = read_json(known) if known.exists() else {}
        self._refused: dict[str, str] = {}  # name -> the state in which it could not be read or evaluated

    def look(self, work_dir: Path) -> list[str]:
        """Evaluate what is new and whole; the names of what could not be."""
        new = self._new(work_dir)
        if new:
            print(f"to be evaluated: {', '.join(new)}", file=sys.stderr)
            self._evaluate(new)
            if self._scored:
                self._draw(next(iter(new.values())).kind)
        return sorted(self._refused)

    def _new(self, work_dir: Path) -> dict[str, Left]:
        """What is neither scored nor refused as it is, and that nobody writes any more; by its name as a model."""
        found = {f"{self._model}-{each.name}": each for each in left_by_training(work_dir)}
        unknown = {
            name: each
            for name, each in found.items()
            if each.state not in (self._scored.get(name, {}).get("state"), self._refused.get(name))
        }
        settled = {name: each for name, each in unknown.items() if is_settled(each, None)}
        if len(settled) < len(unknown):
            time.sleep(_SECONDS_BETWEEN_STATES)
            states = {each.path: each for each in left_by_training(work_dir)}
            for name, each in unknown.items():
                now = states.get(each.path)
                if now is not None and is_settled(now, each.state):
                    settled[name] = now
        return {
            name: each for name, each in sorted(settled.items(), key=_by_step) if self._is_whole(name, each)
        }

    def _is_whole(self, name: str, left: Left) -> bool:
        try:
            require_whole(left)
        except UserError as error:
            print(f"{name} is not taken: {error}", file=sys.stderr)
            self._refused[name] = left.state
            return False
        return True

    def _evaluate(self, new: Mapping[str, Left]) -> None:
        """Run the workflow for these, and take note of what has scores then; one that fails does so alone."""
        self._folder.mkdir(parents=True, exist_ok=True)
        content = configuration_of(
            self._settings, self._model, self._dataset, {name: each.path for name, each in new.items()}
        )
        config = self._folder / WATCH_CONFIG
        with atomic_file(config) as temporary:
            temporary.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), "utf-8")
        wanted = {name: self._scores(name) / SUMMARY for name in new}
        before = {name for name, path in wanted.items() if path.exists()}
        command = command_of_run(config, cores=self._cores, workflow_profile=self._profile)
        status = _run([*command, "--keep-going", *self._arguments, *map(str, wanted.values())])
        for name, each in new.items():
            if wanted[name].exists() and not (status and name in before):
                self._scored[name] = {"kind": each.kind, "step": each.step, "state": each.state}
                self._refused.pop(name, None)
            elif len(new) > 1:
                self._evaluate({name: each})
            else:
                self._refused[name] = each.state
        write_json(self._folder / WATCHED, self._scored)

    def _scores(self, name: str) -> Path:
        return self._results / OF_SCORES.format(model=name, dataset=self._dataset, split=TUNING_SPLIT)

    def _draw(self, kind: str) -> None:
        scored = {
            name: (each["step"], self._scores(name))
            for name, each in self._scored.items()
            if each["kind"] == kind and (self._scores(name) / SUMMARY).exists()
        }
        best = write_learning_curve(
            scored,
            self._folder,
            scores=self._settings.scores.compared,
            kind=kind,
            title=f"{self._model} on {self._dataset}, {TUNING_SPLIT}",
            language=self._settings.report.language,
        )
        print(
            f"{len(scored)} checkpoints are scored; best on {TUNING_SPLIT}: {best}. {self._folder}",
            file=sys.stderr,
        )


def _by_step(named: tuple[str, Left]) -> int:
    return named[1].step


def _run(command: Sequence[str]) -> int:
    """The status of a run, which ends, too, where this process is told to end."""
    process = subprocess.Popen(command)
    try:
        return process.wait()
    except Stopped as stopped:
        # A terminal has told all of its processes; a scheduler told this one alone.
        if stopped.status != 128 + signal.SIGINT:
            process.send_signal(signal.SIGINT)
        process.wait()
        raise
