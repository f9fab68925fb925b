"""What one look came to."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """What one look came to.

    subject: what was looked at, in a word or two.
    state: fine; warning where a run would work, but perhaps not as was meant; failure where it would not.
    told: what was found and, unless all is well, what to do.
    """

    subject: str
    state: Literal["fine", "warning", "failure"]
    told: str


def table(findings: list[Finding]) -> str:
    """One line for each, failures last, where the eye falls."""
    order = ("fine", "warning", "failure")
    ordered = sorted(findings, key=lambda each: order.index(each.state))
    width = max(len(each.subject) for each in ordered)
    return "\n".join(f"{each.state:<7}  {each.subject:<{width}}  {each.told}" for each in ordered)
