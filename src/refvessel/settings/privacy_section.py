"""The search for original names, and what the console may say."""

from typing import Annotated

from pydantic import Field, Strict

from refvessel.settings.section import Distinct, Section, setting

_Pseudonym = Annotated[str, Field(pattern=r"^p[0-9a-f]{10}(_[0-9a-f]{10})?$")]


class Privacy(Section):
    """The search for original names, and what the console may say; see docs/PRIVACY.md."""

    accepted: Annotated[tuple[_Pseudonym, ...], Strict(False), Distinct] = setting(
        (),
        "Pseudonyms of patients or images whose names may stand in the report, which tells them; for words "
        "that are there by chance.",
    )
    names_on_screen: bool = setting(
        False, "What is wrong with data is told on the console, too, where it may name somebody.", free=True
    )
