"""What the predictors of models on one device have in common, where these take turns."""

from collections import deque
from dataclasses import dataclass, field
from threading import RLock

from refvessel.inference.looks import Looks
from refvessel.inference.segmenter import Batch


@dataclass(frozen=True)
class Turns:
    """The device of several models, or of one.

    looks: what towers see in images.
    lock: who holds it has the device: a batch that is tried again, by another thread, has it for itself.
    waiting: of each predictor, the batches that are to be decoded.
    """

    looks: Looks = field(default_factory=Looks)
    lock: RLock = field(default_factory=RLock)
    waiting: list[deque[Batch]] = field(default_factory=list)

    def let_go(self) -> bool:
        """Free what was computed ahead; whether there was anything."""
        with self.lock:
            encoded = [batch for queue in self.waiting for batch in queue if batch.prefill is not None]
            for batch in encoded:
                batch.let_go()
            return self.looks.forget() or bool(encoded)
