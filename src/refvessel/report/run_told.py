"""How a run was made: what its page tells besides what its artifacts say."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class RunTold:
    """The command as `shown_command` has it, None where it is not known, and the configuration without paths."""

    command: str | None
    configuration: Mapping[str, Any]
