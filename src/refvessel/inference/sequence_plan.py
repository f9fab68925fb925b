"""Which sequences go into which shard, and which go through the model side by side."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby

from refvessel.dataset.tree.expressions import Sentence
from refvessel.dataset.tree.ref_vos import VideoExpression, VideoFiles

_EXPRESSION_COST = 0.5  # of tracking one object through a frame, by that of encoding the frame


@dataclass(frozen=True)
class SequenceTask:
    """A sequence and what is asked about it.

    files: its frames; `files.video.expressions` are those that are asked.
    asked: of each expression by its id, the frames of which an answer is recorded, by their place in the sequence.
    """

    files: VideoFiles
    asked: Mapping[str, Mapping[int, Sentence]]

    @property
    def name(self) -> str:
        """The sequence's name."""
        return self.files.video.name

    @property
    def length(self) -> int:
        """The number of its frames."""
        return len(self.files.paths)

    @property
    def expressions(self) -> tuple[VideoExpression, ...]:
        """What is asked."""
        return self.files.video.expressions

    @property
    def sentences(self) -> Iterator[Sentence]:
        """All that is recorded, expression by expression and frame by frame."""
        return chain.from_iterable(of_frame.values() for of_frame in self.asked.values())

    @property
    def cost(self) -> float:
        """Estimated time, in frames through SAM2's image encoder."""
        return self.length * (1 + len(self.expressions) * _EXPRESSION_COST)

    def about(self, expression: VideoExpression) -> "SequenceTask":
        """The same sequence, asked about one expression only."""
        video = replace(self.files.video, expressions=(expression,))
        return SequenceTask(replace(self.files, video=video), {expression.id: self.asked[expression.id]})


@dataclass(frozen=True)
class SequenceGroup:
    """Sequences that go through the model side by side, frame by frame; longer ones first.

    shown: places of the frames that the language model sees, the same in each of them.
    """

    tasks: tuple[SequenceTask, ...]
    shown: tuple[int, ...]

    @property
    def onward(self) -> list[tuple[int, int]]:
        """Frames behind the first shown one that are not shown, and how many of the sequences have them."""
        lengths = [task.length for task in self.tasks]
        places = (place for place in range(self.shown[0], lengths[0]) if place not in self.shown)
        return [(place, sum(length > place for length in lengths)) for place in places]

    @property
    def back(self) -> list[tuple[int, int]]:
        """Frames before the first shown one, the last first, and the number of sequences."""
        return [(place, len(self.tasks)) for place in range(self.shown[0] - 1, -1, -1)]

    @property
    def reads(self) -> list[tuple[SequenceTask, int]]:
        """Sequence and place of each frame that is not shown, in the order in which they are read."""
        return [(task, place) for place, count in self.onward + self.back for task in self.tasks[:count]]

    def parts(self) -> list["SequenceGroup"]:
        """The sequences apart, or the expressions of a single one; none where there is one expression."""
        if len(self.tasks) > 1:
            return [SequenceGroup((task,), self.shown) for task in self.tasks]
        (task,) = self.tasks
        if len(task.expressions) == 1:
            return []
        return [SequenceGroup((task.about(each),), self.shown) for each in task.expressions]


def plan_sequences(tasks: Sequence[SequenceTask], shard: int, of: int) -> list[SequenceTask]:
    """The sequences of shard number `shard` (from 1), in order; the costliest goes where least is so far."""
    loads = [0.0] * of
    mine = set()
    for task in sorted(tasks, key=lambda task: (-task.cost, task.name)):
        lightest = loads.index(min(loads))
        loads[lightest] += task.cost
        if lightest == shard - 1:
            mine.add(task.name)
    return [task for task in tasks if task.name in mine]


def form_groups(
    tasks: Sequence[SequenceTask], shown: Mapping[str, Sequence[int]], size: int
) -> list[SequenceGroup]:
    """Groups of up to `size` sequences that can go side by side.

    Args:
        tasks: the sequences.
        shown: of each by its name, the places of the frames that the language model sees.
        size: of a group.
    """

    def alike(task: SequenceTask) -> tuple[tuple[int, ...], int]:
        """What sequences side by side have in common: on the way back, also where they end."""
        places = tuple(shown[task.name])
        return places, task.length if places[0] else 0

    ordered = sorted(tasks, key=lambda task: (alike(task), -task.length, task.name))
    return [
        SequenceGroup(tuple(together[start : start + size]), places)
        for (places, _), group in groupby(ordered, key=alike)
        for together in [list(group)]
        for start in range(0, len(together), size)
    ]
