"""What training says it loaded, beside the layers that are given."""

import pytest
import torch

from refvessel.checkpoint.stated_files import Role, stated_files
from refvessel.checkpoint.training_config import read_training_config
from refvessel.errors import UserError

STATED = "work_dirs/first/iter_9.pth"


def training_name(name: str) -> str:
    return f"mllm.model.{name}" if name.startswith(("vision_model.", "language_model.", "mlp1.")) else name


def cfg(old: str, new: str):
    def change(content):
        assert old in content["meta"]["cfg"]
        content["meta"]["cfg"] = content["meta"]["cfg"].replace(old, new)

    return change


BEGINNINGS = {
    "pretrained_pth": cfg("pretrained_pth=None", f"pretrained_pth='{STATED}'"),
    "a variable": cfg("pretrained_pth=None", f"pretrained_pth={STATED!r}"),
    "load_from": cfg("template =", f"load_from = '{STATED}'\ntemplate ="),
    "deeper": cfg("type='InternVLMLLM'", f"type='InternVLMLLM', head=dict(init=[dict(weights='{STATED}')])"),
    "init_cfg": cfg("type='InternVLMLLM'", f"init_cfg=dict(type='Pretrained', checkpoint='{STATED}')"),
    "no suffix": cfg("pretrained_pth=None", "pretrained_pth='work_dirs/first/iter_9.pth/'"),
    "an expression": cfg("pretrained_pth=None", f"pretrained_pth=join(root, '{STATED}')"),
}


@pytest.mark.parametrize("kind", BEGINNINGS)
def test_a_forgotten_beginning_is_an_error_that_names_it(kind, demo_case):
    assert STATED in demo_case.refusal(checkpoint=demo_case.trained(BEGINNINGS[kind]))


def test_factors_are_merged_onto_what_training_began_from(demo_case, plain):
    first = {name: tensor + 0.5 for name, tensor in plain.items()}
    torch.save(
        {training_name(name): tensor for name, tensor in first.items()}, demo_case.folder / "iter_9.pth"
    )
    report, merged = demo_case.convert(
        checkpoint=demo_case.trained(BEGINNINGS["pretrained_pth"]), pretrained=demo_case.folder / "iter_9.pth"
    )
    assert report["warnings"] == []
    name = "language_model.model.layers.0.mlp.up_proj.weight"
    base = demo_case.convert(checkpoint=demo_case.trained(zero_factors))[1]
    assert torch.allclose(merged[name], first[name] + plain[name] - base[name], atol=1e-6)
    assert torch.equal(
        merged["vision_model.embeddings.class_embedding"], first["vision_model.embeddings.class_embedding"]
    )


def zero_factors(content):
    for name, tensor in content["state_dict"].items():
        if "lora_" in name:
            tensor.zero_()


def test_a_beginning_left_out_on_purpose_is_a_warning(demo_case):
    checkpoint = demo_case.trained(BEGINNINGS["pretrained_pth"])
    report, _ = demo_case.convert(checkpoint=checkpoint, overrides={"pretrained_pth": None})
    assert report["warnings"] == [
        "iter_7.pth states model.pretrained_pth = 'iter_9.pth': training loaded it, but the configuration leaves "
        "it out."
    ]
    with pytest.raises(UserError, match="may only be null"):
        demo_case.convert(checkpoint=checkpoint, overrides={"pretrained_pth": "other.pth"})


def test_a_checkpoint_that_holds_the_whole_model_needs_no_beginning(demo_case, plain):
    def fill(content):
        BEGINNINGS["load_from"](content)
        cfg("llm_lora=dict(", "unused=dict(")(content)
        content["state_dict"] = {training_name(name): tensor for name, tensor in plain.items()}

    report, same = demo_case.convert(checkpoint=demo_case.trained(fill))
    assert report["warnings"] == []
    assert all(torch.equal(same[name], tensor) for name, tensor in plain.items())


def test_a_resumed_run_holds_all_that_it_had_trained(demo_case):
    change = cfg("template =", "load_from = 'work_dirs/this/iter_3.pth'\nresume = True\ntemplate =")
    report, _ = demo_case.convert(checkpoint=demo_case.trained(change))
    assert "resumed it" in report["warnings"][0]


@pytest.mark.parametrize(
    ("stated", "folder", "alarm"),
    [
        ("OpenGVLab/InternVL3-8B", "InternVL3-8B", False),
        ("/data/2024/InternVL3-8B", "my_InternVL3-8B-20250601", False),
        ("OpenGVLab/InternVL3-8B", "base_mllm", False),
        ("OpenGVLab/InternVL3-8B", "models--OpenGVLab--InternVL3-8B/snapshots/0a1b2c", False),
        ("OpenGVLab/InternVL3-8B", "InternVL3-2B", True),
        ("OpenGVLab/InternVL2_5-8B", "InternVL3-8B", True),
        ("OpenGVLab/InternVL3-8B", "InternVL3-8B-Instruct", True),
    ],
)
def test_base_models_are_compared_by_what_their_names_say_of_a_release(stated, folder, alarm, demo_case):
    place = demo_case.folder / folder
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(demo_case.layers["base_mllm"])
    checkpoint = demo_case.trained(cfg("model_path=path", f"model_path='{stated}'"))
    report, _ = demo_case.convert(base_mllm=place, checkpoint=checkpoint)
    assert bool(report["warnings"]) == alarm


@pytest.mark.parametrize(
    "name", ["sam2_hiera_tiny.pt", "weights/sam2_hiera_b+.yaml", "sam2.1_hiera_large.pt"]
)
def test_another_trunk_of_sam2_than_the_stated_one_is_an_error(name, demo_case):
    checkpoint = demo_case.trained(cfg("sam2_hiera_demo.pt", name))
    assert "the SAM2 given has the trunk of no release" in demo_case.refusal(checkpoint=checkpoint)


def test_an_unneeded_pretrained_layer_is_a_warning(demo_case):
    torch.save({"mlp1.0.bias": demo_case.convert()[1]["mlp1.0.bias"]}, demo_case.folder / "x.pth")
    report, _ = demo_case.convert(pretrained=demo_case.folder / "x.pth")
    assert report["warnings"][0].startswith("x.pth is given as the pretrained layer, but")


def test_a_configuration_that_refers_to_itself_again_and_again_is_read_at_once():
    lines = ["a0 = ['x.pth', 'y.pth']"] + [f"a{n} = [a{n - 1}, a{n - 1}]" for n in range(1, 40)]
    text = "\n".join([*lines, "model = dict(deep=a39)", "template = 'qwen_chat'"])
    text += "\nspecial_tokens = ['[SEG]', '<p>', '</p>', '<vp>', '</vp>']"
    assert [each.path for each in read_training_config(text, "it").loaded] == ["x.pth", "y.pth"]
    chain = ["a0 = ['x.pth']"] + [f"a{n} = [a{n - 1}]" for n in range(1, 1000)]
    with pytest.raises(UserError, match="nested more than"):
        read_training_config(
            "\n".join([*chain, "model = dict(deep=a999)", text]).replace("deep=a39", "deep=a999"), "it"
        )


def test_files_are_told_apart_by_their_place_and_their_name():
    model = {
        "mllm": {"model_path": "OpenGVLab/InternVL3-8B"},
        "grounding_encoder": {"ckpt_path": "a/mine.pt", "cfg_path": "sam2_hiera_l.yaml", "frozen": True},
        "pretrained_pth": "None",
        "tokenizer": {"pretrained_model_name_or_path": "OpenGVLab/InternVL3-8B"},
    }
    found = {each.key: each.role for each in stated_files({"model": model, "load_from": ""}, "it")}
    assert found == {
        "model.mllm.model_path": Role.BASE,
        "model.grounding_encoder.ckpt_path": Role.SAM2,
        "model.grounding_encoder.cfg_path": Role.SAM2,
        "model.tokenizer.pretrained_model_name_or_path": Role.BASE,
    }
