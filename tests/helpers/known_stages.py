"""SAM2's trunk is most of what a small model computes, and sees weights and pixels only: once is enough.

Whatever splits images, joins and projects their features or decodes masks of them computes as ever.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from unittest import mock

import torch

from refvessel.files import atomic_file
from refvessel.model.hiera import ImageEncoder, Windows, block_tokens

_MOST = 32  # images; the features of one have some 10 MB
compute_stages = ImageEncoder._stages


@contextmanager
def stages_computed_once(folder: Path | None = None) -> Iterator[None]:
    """Within the block, the trunk of one configuration and weights computes the features of the same pixels once.

    With a folder, this process and all that are forked from it do so together. Not what is compiled or on a GPU:
    there, how it is computed is what tests ask. Nor what is trained: a gradient is asked for once.
    """
    known: OrderedDict[tuple[str, bytes, bytes], list[Windows]] = OrderedDict()

    def stages(encoder: ImageEncoder, images: torch.Tensor, positions: torch.Tensor) -> list[Windows]:
        if torch.is_grad_enabled() or not images.is_cpu or encoder._block_tokens is not block_tokens:
            return compute_stages(encoder, images, positions)
        config, weights = encoder._encoder.config.to_json_string(), encoder._encoder.state_dict().values()
        key = config, _digest(*weights), _digest(images, positions)
        if key not in known:
            compute = partial(compute_stages, encoder, images, positions)
            known[key] = compute() if folder is None else _kept(folder / _name(key), compute)
            if len(known) > _MOST:
                known.popitem(last=False)
        return known[key]

    with mock.patch.object(ImageEncoder, "_stages", stages):
        yield


def _name(key: tuple[str, bytes, bytes]) -> str:
    return hashlib.sha256(repr(key).encode()).hexdigest()


def _kept(file: Path, compute: Callable[[], list[Windows]]) -> list[Windows]:
    """What the file holds, which the first who asks for it writes."""
    if file.exists():
        return torch.load(file, weights_only=False)
    computed = compute()
    with atomic_file(file) as temporary:
        torch.save(computed, temporary)
    return computed


def compute_stages_again() -> None:
    """In a fork of a process within such a block: what is to be interrupted takes its time."""
    ImageEncoder._stages = compute_stages


def _digest(*tensors: torch.Tensor) -> bytes:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(repr((tensor.dtype, tensor.shape)).encode())
        digest.update(tensor.detach().contiguous().view(torch.uint8).numpy())
    return digest.digest()
