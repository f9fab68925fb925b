"""Chat templates: how a question is wrapped before the model answers, and where its answer stops."""

from dataclasses import dataclass

from refvessel.errors import UserError


@dataclass(frozen=True)
class Template:
    """One user turn and the start of the answer, around `{question}`; and the tokens that end the answer."""

    turn: str
    stop_tokens: tuple[str, ...]


_CHATML = "<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"

TEMPLATES = {
    "qwen_chat": Template(_CHATML, ("<|im_end|>", "<|endoftext|>")),
    "internlm2_chat": Template(_CHATML, ("<|im_end|>",)),
    "phi3_chat": Template("<|user|>\n{question}<|end|>\n<|assistant|>\n", ("<|end|>",)),
    "llama3_chat": Template(
        "<|start_header_id|>user<|end_header_id|>\n\n{question}<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        ("<|eot_id|>",),
    ),
}


def find_template(name: str) -> Template:
    """The template of that name, in which a hyphen is an underscore; raises UserError for an unknown one."""
    known = name.replace("-", "_") if isinstance(name, str) else None
    if known not in TEMPLATES:
        raise UserError(f"config.json: template {name!r} is unknown; known are {', '.join(TEMPLATES)}.")
    return TEMPLATES[known]
