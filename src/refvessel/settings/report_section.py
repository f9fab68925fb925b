"""How the report is written."""

from typing import Literal

from refvessel.settings.section import Section, setting

ENGLISH = "en"


class Report(Section):
    """How the report is written."""

    language: Literal["en", "zh"] = setting(
        ENGLISH,
        "Language of the report's pages: en (English) or zh (Chinese). Tables, the labels in figures and the "
        "files that the report is made from stay in English.",
    )
