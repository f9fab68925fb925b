"""A `refvessel` command with a time line on stderr: its steps, and where its threads are meanwhile.

    PYTHONPATH=src python benchmarks/timeline.py BEGIN COMMAND ...

BEGIN is when the command was started, in seconds since the epoch; what follows is as for `refvessel`. Steps are
told in milliseconds since then. Behind them stands where the threads were found every few milliseconds, by phases:
the innermost lines of this package, and what they called; a sample counts for the time since the one before, so
that a call that holds Python's lock is not missed.
"""

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import FrameType, ModuleType
from typing import Any

BEGIN = float(sys.argv[1])
ENTERED = time.time()
SECONDS_BETWEEN_SAMPLES = 0.005
MOST_PLACES = 24  # that a phase tells
TOLD_OF_EACH = 3  # times that a step is told, from the first on
IMPORTS = (
    *("typer", "pydantic", "refvessel.cli", "numpy", "torch", "transformers", "refvessel.model.modeling"),
    "refvessel.inference.run",
)
IDLE = ("threading.py", "queue.py", "selectors.py", "connection.py", "futures/thread.py")
# Where a step is looked up by who takes it, and its name there.
STEPS = (
    ("refvessel.inference.run", "segment_series"),
    ("refvessel.inference.run", "read_expressions"),
    ("refvessel.inference.run", "choose_device"),
    ("refvessel.inference.run", "identify"),
    ("refvessel.inference.run", "require_one_kind"),
    ("refvessel.inference.run", "read_official_folder"),
    ("refvessel.inference.run", "Sa2VAProcessor.from_pretrained"),
    ("refvessel.inference.run", "plan_shard"),
    ("refvessel.inference.run", "hashes_of_files"),
    ("refvessel.inference.run", "code_hash"),
    ("refvessel.inference.run", "versions"),
    ("refvessel.inference.run", "asked_of"),
    ("refvessel.inference.completing", "describe_device"),
    ("refvessel.inference.completing", "known_drafts"),
    ("refvessel.inference.completing", "fitting_batch_size"),
    ("refvessel.inference.completing", "require_unchanged"),
    ("refvessel.inference.completing", "form_batches"),
    ("refvessel.inference.completing", "_unfinished"),
    ("refvessel.inference.completing", "_left"),
    ("refvessel.inference.completing", "compile_blocks"),
    ("refvessel.inference.sheets", "open_shard.__wrapped__"),
    ("refvessel.inference.loaded_model", "describe_device"),
    ("refvessel.jobs.gpus", "visible_gpus"),
    ("refvessel.jobs.gpus", "_counted_by_the_driver"),
    ("refvessel.jobs.gpus", "_mig_devices"),
    ("refvessel.jobs.gpus", "_take"),
    ("refvessel.model.modeling", "Sa2VAModel.load"),
    ("refvessel.model.modeling", "Sa2VAModel.__init__"),
    ("refvessel.model.modeling", "weights_alone"),
    ("refvessel.inference.reading", "DataLoader.__iter__"),
    ("refvessel.inference.segmenter", "Segmenter.__init__"),
    ("refvessel.inference.segmenter", "Segmenter.encode"),
    ("refvessel.inference.segmenter", "Segmenter._encode_beside"),
    ("refvessel.inference.segmenter", "Segmenter._read"),
    ("refvessel.inference.segmenter", "Segmenter.decode"),
    ("refvessel.inference.segmenter", "Segmenter._masks"),
    ("refvessel.inference.segmenter", "Arriving"),
    ("refvessel.inference.segmenter", "encode_masks"),
    ("refvessel.inference.warm_up", "few_layers"),
    ("refvessel.inference.warm_up", "build_kernels"),
    ("refvessel.inference.warm_up", "rehearse"),
    ("refvessel.inference.segmenter", "Segmenter.collect"),
    ("refvessel.inference.predictor", "Predictor._records"),
    ("refvessel.predictions.identity", "model_identity"),
    ("refvessel.predictions.shard", "ShardWriter.append"),
    ("refvessel.predictions.shard", "ShardWriter.finish"),
    ("refvessel.predictions.shard", "read_shard"),
)
phase = ["imports"]
told: Counter[str] = Counter()
spent: Counter[tuple[str, str, str]] = Counter()  # phase, thread, place -> nanoseconds


def now() -> float:
    """Milliseconds since the command's start."""
    return (time.time() - BEGIN) * 1e3


def tell(text: str) -> None:
    """A line of the time line."""
    print(f"[{now():9.1f}] {text}", file=sys.stderr, flush=True)


def timed(name: str, step: Callable[..., Any]) -> Callable[..., Any]:
    """The same step, told the first times."""

    @wraps(step)
    def wrapper(*args: Any, **named: Any) -> Any:
        told[name] += 1
        number = told[name]
        begin = now()
        try:
            return step(*args, **named)
        finally:
            if number <= TOLD_OF_EACH:
                thread = threading.current_thread().name
                tell(f"{name} #{number}: began {begin:.1f}, took {now() - begin:.1f} ms ({thread})")

    return wrapper


def wrap(module: str, path: str) -> None:
    """Let a step be told; one that this version does not have is left out."""
    owner: Any = import_module(module)
    *owners, name = path.split(".")
    try:
        for each in owners:
            owner = getattr(owner, each)
        found = vars(owner)[name] if isinstance(owner, type) else getattr(owner, name)
    except (AttributeError, KeyError):
        tell(f"no {module}.{path}")
        return
    label = f"{module.removeprefix('refvessel.')}.{path}"
    if isinstance(found, classmethod):
        setattr(owner, name, classmethod(timed(label, found.__func__)))
    else:
        setattr(owner, name, timed(label, found))


def tell_kernels() -> None:
    """Let Triton's kernels that are built be told."""
    with suppress(ImportError):  # Triton comes with PyTorch for GPUs only
        from triton import knobs

        def built(*, src: Any, times: Any, cache_hit: bool, **_: Any) -> None:
            if not cache_hit:
                thread = threading.current_thread().name
                tell(f"kernel {src.name}: built in {times.total / 1e3:.1f} ms ({thread})")

        knobs.compilation.listener = built


def place_of(frame: FrameType | None) -> str:
    """The innermost line of this package, and the innermost function of all."""
    inner, mine = "", ""
    while frame is not None:
        code = frame.f_code
        where = f"{'/'.join(code.co_filename.split('/')[-2:])}:{code.co_name}"
        inner = inner or where
        if "/refvessel/" in code.co_filename and not mine:
            mine = f"{where}:{frame.f_lineno}"
        frame = frame.f_back
    return f"{mine} > {inner}" if mine else inner


def sample() -> None:
    """Note where all threads are, for as long as the process lives."""
    before = time.perf_counter()
    while True:
        time.sleep(SECONDS_BETWEEN_SAMPLES)
        at = time.perf_counter()
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        for ident, frame in sys._current_frames().items():
            if ident == threading.get_ident() or frame.f_code.co_filename.endswith(IDLE):
                continue
            thread = names.get(ident, "?").partition("_")[0]
            spent[phase[0], thread, place_of(frame)] += int((at - before) * 1e9)
        before = at


class ToldImports(MetaPathFinder):
    """Tells how long some modules take; behind the last one, steps are wrapped."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the finders behind this one find, with a loader that tells."""
        if name not in IMPORTS:
            return None
        behind = sys.meta_path[sys.meta_path.index(self) + 1 :]
        spec = next(filter(None, (finder.find_spec(name, path, target) for finder in behind)), None)
        if spec is None or spec.loader is None:
            return spec
        execute = timed(f"import {name}", spec.loader.exec_module)

        def executed(module: ModuleType) -> None:
            execute(module)
            if name == IMPORTS[-1]:
                for step in STEPS:
                    wrap(*step)
                tell_kernels()
                phase[0] = "start"

        spec.loader.exec_module = executed
        return spec


def main() -> None:
    """Run the command; told are its imports, its steps, its states, and where its threads were."""
    tell(f"the interpreter runs this since {(ENTERED - BEGIN) * 1e3:.1f}")
    threading.Thread(target=sample, daemon=True, name="sampler").start()
    told_imports = ToldImports()
    sys.meta_path.insert(0, told_imports)
    from refvessel import cli
    from refvessel.jobs import progress

    load_by_parts, end_at_once, enter = cli.load_by_parts, cli.end_at_once, progress.Reporter.enter

    def load() -> None:
        load_by_parts()
        sys.meta_path.remove(told_imports)
        sys.meta_path.insert(0, told_imports)

    def told_state(self: Any, state: str, device: str = "") -> None:
        phase[0] = state
        enter(self, state, device)
        tell(f"state: {state}")

    def ended() -> None:
        tell("the command has ended")
        tell_places()
        end_at_once()

    replaced: Any = cli
    replaced.load_by_parts, replaced.end_at_once = load, ended
    progress.Reporter.enter = told_state
    sys.argv = ["refvessel", *sys.argv[2:]]
    cli.run()


def tell_places() -> None:
    """Where the threads were, phase by phase."""
    for each in dict.fromkeys(key[0] for key in spent):
        print(f"\n-- {each}: milliseconds by thread and place", file=sys.stderr)
        of_phase = Counter({key[1:]: value for key, value in spent.items() if key[0] == each})
        for (thread, place), nanoseconds in of_phase.most_common(MOST_PLACES):
            print(f"{nanoseconds / 1e6:9.0f}  {thread:12} {place}", file=sys.stderr)
    tell("told")


if __name__ == "__main__":
    main()
