"""Where compilers keep the kernels that they made for a GPU, so that later jobs find them."""

import os
from pathlib import Path

from refvessel.artifacts import KERNELS

_OTHERS_WRITE = 0o022  # in a folder's mode
_PLACES = {"TRITON_CACHE_DIR": "triton", "TORCHINDUCTOR_CACHE_DIR": "inductor"}


def keep_kernels(results: Path) -> Path | None:
    """Let Triton and PyTorch's compiler, where nothing else is said, keep what they make below `results`.

    What lies there is executed: a folder that is not this user's own, or that others may write to, is not used,
    and the compilers keep to their own. To be called before they are first used; processes that are started later
    do likewise.

    Returns the folder, or None where it is not used.
    """
    folder = Path(results).absolute() / KERNELS
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    if not folder.is_dir() or folder.is_symlink() or found.st_uid != os.geteuid():
        return None
    if found.st_mode & _OTHERS_WRITE:
        return None
    for variable, place in _PLACES.items():
        os.environ.setdefault(variable, str(folder / place))
    return folder
