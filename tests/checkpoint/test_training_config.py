import pytest

from refvessel.checkpoint.training_config import LoraSettings, read_training_config
from refvessel.errors import UserError

TOKENS = "special_tokens = ['[SEG]', '<p>', '</p>', '<vp>', '</vp>']\n"
HEAD = "template = 'qwen_chat'\n" + TOKENS


def config(model: str, head: str = HEAD):
    return read_training_config(head + model, "iter_1.pth")


def refusal(model: str, head: str = HEAD) -> str:
    with pytest.raises(UserError, match=r"iter_1\.pth") as caught:
        config(model, head)
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "model = dict(mllm=dict(llm_lora=dict(r=64, lora_alpha=128)))",
        "model = {'mllm': {'llm_lora': {'r': 64, 'lora_alpha': 128}}}",
        "rank = 64\nlora = dict(r=rank, lora_alpha=128)\nmodel = dict(mllm=dict(llm_lora=lora), other=f(1))",
        "import os\nmodel = dict(mllm=dict(llm_lora=dict(r=1, lora_alpha=1)))\n"
        "model = dict(mllm=dict(llm_lora=dict(r=64, lora_alpha=128.0)))",
    ],
)
def test_lora_settings_are_read_however_they_are_written(text):
    assert config(text).llm_lora == LoraSettings(64, 128.0, False)


def test_template_and_tokens_are_read_in_their_order():
    head = "template = 'internlm2_chat'\nspecial_tokens = ('<p>', '</p>', '[SEG]', '<vp>', '</vp>')\n"
    result = config("model = dict(mllm=dict(freeze_llm=True))", head)
    assert result.template == "internlm2_chat"
    assert result.special_tokens == ("<p>", "</p>", "[SEG]", "<vp>", "</vp>")
    assert result.llm_lora is None


def test_the_scale_is_alpha_over_rank_or_its_root():
    assert LoraSettings(64, 128, False).scale == 2
    assert LoraSettings(64, 128, True).scale == 16


def test_nothing_in_the_text_is_executed(tmp_path):
    marker = tmp_path / "marker"
    text = f"x = open({str(marker)!r}, 'w')\n[open({str(marker)!r}, 'w') for _ in 'a']\nmodel = dict()"
    assert config(text).llm_lora is None
    assert not marker.exists()


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ("r=rank, lora_alpha=1", "`r`"),
        ("r=2 * 8, lora_alpha=1", "`r`"),
        ("r=0, lora_alpha=1", "`r`"),
        ("r=True, lora_alpha=1", "`r`"),
        ("lora_alpha=1", "`r`"),
        ("r=8", "`lora_alpha`"),
        ("r=8, lora_alpha='16'", "`lora_alpha`"),
        ("r=8, lora_alpha=-1", "`lora_alpha`"),
        ("r=8, lora_alpha=1e999", "`lora_alpha`"),
        ("r=8, lora_alpha=" + "9" * 400, "`lora_alpha`"),
        ("r=8, lora_alpha=1, use_rslora='yes'", "`use_rslora`"),
        ("r=8, lora_alpha=1, use_dora=True", "use_dora"),
        ("r=8, lora_alpha=1, rank_pattern=dict(a=4)", "rank_pattern"),
    ],
)
def test_lora_settings_that_cannot_be_trusted_are_refused(settings, field):
    assert field in refusal(f"model = dict(mllm=dict(llm_lora=dict({settings})))")


def test_lora_settings_that_are_not_written_out_are_refused():
    assert "llm_lora" in refusal("model = dict(mllm=dict(llm_lora=LoraConfig(r=8)))")


@pytest.mark.parametrize(
    "tokens",
    [
        "[]",
        "['[SEG]']",
        "['[SEG]', '<p>', '</p>', '<vp>', '<new>']",
        "1",
        "tokens",
        "[1, 2, 3, 4, 5]",
        "[['[SEG]']]",
    ],
)
def test_other_special_tokens_are_refused(tokens):
    assert "special_tokens" in refusal("", f"template = 'qwen_chat'\nspecial_tokens = {tokens}\n")


@pytest.mark.parametrize("template", ["", "template = 1\n", "template = PROMPT.qwen\n"])
def test_a_template_that_is_not_stated_is_refused(template):
    assert "template" in refusal("", template + TOKENS)


@pytest.mark.parametrize("text", ["model = (", "\0", "x = " + "(" * 10_000, "x = " + "-" * 100_000 + "1"])
def test_text_that_is_not_python_is_refused(text):
    assert "not Python text" in refusal(text)


def test_endless_text_is_refused():
    assert "length" in refusal("#" * 2_000_000)


def test_values_that_repeat_each_other_cost_nothing():
    doubling = "a0 = [1, 1]\n" + "".join(f"a{n} = [a{n - 1}, a{n - 1}]\n" for n in range(1, 80))
    assert "`r`" in refusal(doubling + "model = dict(mllm=dict(llm_lora=dict(r=a79)))")
