"""A figure as the report's page and its manifest tell of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from refvessel.dataset.tree.layout import IMAGES
from refvessel.files import sha256_of_file
from refvessel.report.drawing import FOR_PRINT

MOST_OF_A_PHRASE = 200  # characters in a caption


@dataclass(frozen=True)
class ShownFigure:
    """A figure's file, what it shows in plain sentences, and the SHA-256 of its sources by their names."""

    path: Path
    caption: str
    sources: dict[str, str]

    @property
    def files(self) -> list[Path]:
        """The figure and, where there is one, the same for print."""
        return [self.path, *filter(Path.is_file, [self.path.with_suffix(FOR_PRINT)])]


def hashes_of_images(dataset: str, files: Sequence[Path]) -> dict[str, str]:
    """SHA-256 of each by the data set's key and its path below the tree's image folder."""
    return {
        f"{dataset}/{file.as_posix().rpartition(f'{IMAGES}/')[2]}": sha256_of_file(file) for file in files
    }
