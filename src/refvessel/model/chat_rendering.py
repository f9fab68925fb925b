"""The user's turn around a question, as a folder's chat template has it.

A template is a small program of another person's. It is rendered once, in a sandbox and a process of its own, with
a mark in the place of the question; what stands around the mark stands around every question.
"""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import markupsafe

from refvessel.errors import UserError
from refvessel.files import read_json
from refvessel.model import chat_sandbox
from refvessel.model.isolation import CHAT_TEMPLATE, CHAT_TEMPLATE_JSON, TOKENIZER_SETTINGS

_MARK = "\ue000"  # of no meaning in any text
_BLANKS = (" \n ", " \n ")  # around the mark, to see whether a template strips
_LONGEST = 1 << 18  # characters of a template, and of what it renders
_LONGEST_REASON = 300  # characters
_SECONDS = 30  # of waiting for a rendering, which takes a fraction of one


@dataclass(frozen=True)
class Turn:
    """A user's turn and the start of the answer.

    before: what stands before, between and behind its images, up to the question; one more than the images.
    behind: what follows the question.
    strips: whether the template takes blanks from a question's ends.
    """

    before: tuple[str, ...]
    behind: str
    strips: bool

    def around(self, question: str, images: Sequence[str]) -> str:
        """The prompt, with these texts in the places of the images."""
        pieces = [self.before[0]]
        for image, following in zip(images, self.before[1:], strict=True):
            pieces += [image, following]
        return "".join([*pieces, question.strip() if self.strips else question, self.behind])


def read_template(folder: Path) -> str:
    """The chat template of a folder, from the first file that holds one; raises UserError where there is none."""
    path = Path(folder) / CHAT_TEMPLATE
    if path.is_file():
        if path.stat().st_size > _LONGEST:
            raise UserError(f"{CHAT_TEMPLATE} is longer than any chat template; copy the model again.")
        try:
            return path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{CHAT_TEMPLATE} cannot be read ({error}); copy the model again.") from None
    for name in (CHAT_TEMPLATE_JSON, TOKENIZER_SETTINGS):
        if (Path(folder) / name).is_file():
            settings = read_json(Path(folder) / name)
            template = settings.get("chat_template") if isinstance(settings, dict) else None
            if isinstance(template, str) and len(template) <= _LONGEST:
                return template
    raise UserError(f"there is no chat template ({CHAT_TEMPLATE}); copy the model again.")


def render_turn(template: str, images: int, image_token: str, special_tokens: Mapping[str, str]) -> Turn:
    """One user's turn of so many images and a question behind them.

    Args:
        template: the folder's.
        images: their number.
        image_token: what the template puts in the place of an image.
        special_tokens: of the tokenizer, by their names in templates.

    Raises:
        UserError: where it cannot be rendered, or the result is not such a turn.
    """
    marked = f"{_BLANKS[0]}{_MARK}{_BLANKS[1]}"
    content = [*({"type": "image"} for _ in range(images)), {"type": "text", "text": marked}]
    variables = {
        **special_tokens,
        "messages": [{"role": "user", "content": content}],
        "tools": None,
        "documents": None,
        "add_generation_prompt": True,
    }
    rendered = _render(template, variables)
    strips = marked not in rendered
    before, found, behind = rendered.partition(_MARK if strips else marked)
    pieces = before.split(image_token)
    if not found or _MARK in behind or len(pieces) != images + 1 or image_token in behind:
        raise UserError(
            f"the chat template does not put {images} images and one question behind them into a turn; "
            "copy the model again."
        )
    return Turn(tuple(pieces), behind, strips)


def _render(template: str, variables: Mapping[str, object]) -> str:
    """What a template makes of variables; raises UserError where it fails, or takes too much."""
    libraries = sorted({str(Path(str(library.__file__)).parents[1]) for library in (jinja2, markupsafe)})
    asked = json.dumps({"template": template, "variables": variables, "libraries": libraries})
    command = [sys.executable, "-I", str(chat_sandbox.__file__)]
    reason = "it takes too long, or too much memory"
    try:
        done = subprocess.run(
            command, input=asked, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
        answer = json.loads(done.stdout) if done.returncode == 0 else {}
    except (subprocess.TimeoutExpired, json.JSONDecodeError):
        answer = {}
    rendered = answer.get("text")
    if isinstance(rendered, str) and len(rendered) <= _LONGEST:
        return rendered
    reason = " ".join(str(answer.get("error", reason)).split())[:_LONGEST_REASON]
    raise UserError(f"the chat template cannot be rendered ({reason}); copy the model again.")
