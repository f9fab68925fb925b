"""How alike two texts are to a BERT: the cosine of their tokens' mean states."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from tokenizers import BertWordPieceTokenizer, Tokenizer
from torch.nn import functional
from transformers.models.bert.configuration_bert import BertConfig
from transformers.models.bert.modeling_bert import BertModel

from refvessel.errors import UserError
from refvessel.files import read_json
from refvessel.model.isolation import weights_alone

_KIND = "bert"
_LONGEST_REASON = 300  # characters
_LONGEST_TEXT = 512  # tokens; the official script cuts there
_TEXTS_KEPT = 65536


class SentenceEncoder:
    """A BERT of a local folder, on the CPU in float32.

    Args:
        folder: Hugging Face folder: `config.json`, safetensors and the tokenizer's files.

    Raises:
        UserError: where the folder is no such BERT.
    """

    def __init__(self, folder: Path) -> None:
        folder = Path(folder)
        config: Any = read_json(folder / "config.json")
        if not isinstance(config, dict) or config.get("model_type") != _KIND:
            raise UserError(
                f"{folder}/config.json: model_type is not {_KIND}; give a folder such as bert-base-uncased's."
            )
        if not any(folder.glob("*.safetensors")):
            raise UserError(f"{folder} holds no *.safetensors; save the model with transformers again.")
        try:
            self._tokenizer = _tokenizer(folder)
            with weights_alone(folder) as weights:
                loaded: Any = BertModel.from_pretrained(
                    weights,
                    config=BertConfig.from_dict(config),
                    add_pooling_layer=False,
                    dtype=torch.float32,
                    local_files_only=True,
                    output_loading_info=True,
                )
            self._model, told = loaded
        except UserError:
            raise
        except Exception as error:  # of damaged files, nearly anything
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:_LONGEST_REASON]
            raise UserError(f"{folder} cannot be read as a BERT ({reason}); copy it again.") from None
        if missing := sorted(told["missing_keys"]) + sorted(map(str, told["mismatched_keys"])):
            raise UserError(f"{folder} lacks the tensor {missing[0]}; copy the folder again.")
        self._model.eval()
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(min(_LONGEST_TEXT, self._model.config.max_position_embeddings))
        self._embedding = lru_cache(_TEXTS_KEPT)(self._mean_state)
        self.description = folder.name

    def similarity(self, first: str, second: str) -> float:
        """From -1 to 1."""
        return float(functional.cosine_similarity(self._embedding(first), self._embedding(second), dim=0))

    @torch.inference_mode()
    def _mean_state(self, text: str) -> torch.Tensor:
        """The mean over all tokens, the special ones included, of the last layer's states."""
        token_ids = torch.tensor([self._tokenizer.encode(text).ids])
        return self._model(token_ids).last_hidden_state[0].mean(0)


def _tokenizer(folder: Path) -> Any:
    """The folder's own tokenizer, else one of its list of word pieces."""
    if (folder / "tokenizer.json").is_file():
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    if not (folder / "vocab.txt").is_file():
        raise UserError(
            f"{folder} has neither tokenizer.json nor vocab.txt; copy the tokenizer's files, too."
        )
    stated = folder / "tokenizer_config.json"
    settings: Any = read_json(stated) if stated.is_file() else {}
    lower_case = settings.get("do_lower_case", True) if isinstance(settings, dict) else True
    return BertWordPieceTokenizer(str(folder / "vocab.txt"), lowercase=lower_case is not False)
