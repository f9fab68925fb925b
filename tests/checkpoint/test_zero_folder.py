"""DeepSpeed's ZeRO folders, cut here as DeepSpeed cuts them and read back whole."""

from collections import OrderedDict
from math import ceil
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refvessel.checkpoint.tensors import whole
from refvessel.checkpoint.zero_folder import is_zero_folder, read_zero_folder
from refvessel.errors import UserError

META = {"cfg": "template = 'qwen_chat'"}


def parameters(*shapes: tuple[int, ...], seed: int = 0) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return {f"p{seed}.{index}": torch.randn(shape) for index, shape in enumerate(shapes)}


GROUPS = [parameters((3, 5), (7,), (2, 2, 2)), parameters((11,), (4, 3), seed=1)]
FROZEN = parameters((6, 2), (3,), seed=2)


def padded(flat: torch.Tensor, multiple: int) -> torch.Tensor:
    return torch.nn.functional.pad(flat, (0, -len(flat) % multiple), value=float("nan"))


def shapes(tensors: dict[str, torch.Tensor]) -> OrderedDict:
    return OrderedDict((name, tensor.shape) for name, tensor in tensors.items())


def model_states(groups, frozen, fragments, module) -> dict:
    return {
        "module": module,
        "buffer_names": ["buffer"],
        "param_shapes": [shapes(group) for group in groups],
        "frozen_param_shapes": shapes(frozen),
        "frozen_param_fragments": fragments,
        "shared_params": {"same": next(iter(groups[0]))},
        "ds_version": "0.15.4",
        "meta": META,
    }


def optimizer_states(key: str, parts: list[torch.Tensor], processes: int, stage: int) -> dict:
    partitions = processes if stage == 3 else [processes] * len(parts)
    return {"optimizer_state_dict": {"zero_stage": stage, "partition_count": partitions, key: parts}}


def write_zero2(folder: Path, processes: int, groups=GROUPS, frozen=FROZEN, prefix: str = "") -> Path:
    """ZeRO 1 or 2: a group's parameters end to end, padded to 2 elements a process, one part a process."""
    folder.mkdir()
    module = {name: tensor.bfloat16() for group in groups for name, tensor in group.items()}
    module["buffer"] = torch.arange(4.0)
    torch.save(model_states(groups, frozen, frozen, module), folder / "mp_rank_00_model_states.pt")
    flats = [
        padded(torch.cat([tensor.flatten() for tensor in group.values()]), 2 * processes) for group in groups
    ]
    for rank in range(processes):
        parts = [flat.chunk(processes)[rank].clone() for flat in flats]
        states = optimizer_states("single_partition_of_fp32_groups", parts, processes, 2)
        torch.save(states, folder / f"{prefix}zero_pp_rank_{rank}_mp_rank_00_optim_states.pt")
    return folder


def write_zero3(folder: Path, processes: int, groups=GROUPS, frozen=FROZEN) -> Path:
    """ZeRO 3: each parameter cut into one part a process, the last part padded."""
    folder.mkdir()

    def part(tensor: torch.Tensor, rank: int) -> torch.Tensor:
        size = ceil(tensor.numel() / processes)
        return padded(tensor.flatten(), size * processes)[rank * size : (rank + 1) * size].clone()

    for rank in range(processes):
        fragments = {name: part(tensor, rank) for name, tensor in frozen.items()}
        states = model_states(groups, frozen, fragments, {"buffer": torch.arange(4.0)})
        torch.save(states, folder / f"zero_pp_rank_{rank}_mp_rank_00_model_states.pt")
        parts = [torch.cat([part(tensor, rank) for tensor in group.values()]) for group in groups]
        states = optimizer_states("fp32_flat_groups", parts, processes, 3)
        torch.save(states, folder / f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt")
    return folder


WRITERS = {2: write_zero2, 3: write_zero3}


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
@pytest.mark.parametrize("stage", WRITERS)
def test_the_parts_are_joined_to_the_float32_weights(stage, processes, tmp_path):
    folder = WRITERS[stage](tmp_path / "iter_10.pth", processes)
    files, content = read_zero_folder(folder)
    found = {name: whole(tensor) for name, tensor in content["state_dict"].items()}
    expected = GROUPS[0] | GROUPS[1] | FROZEN | {"buffer": torch.arange(4.0), "same": GROUPS[0]["p0.0"]}
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert content["meta"] == META
    assert sorted(files) == sorted(folder.iterdir())
    assert is_zero_folder(folder)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(
    sides=st.lists(st.lists(st.integers(1, 5), max_size=3).map(tuple), min_size=1, max_size=5),
    processes=st.integers(1, 5),
    stage=st.sampled_from([2, 3]),
)
def test_any_shapes_and_any_number_of_processes_give_the_weights_back(
    sides, processes, stage, tmp_path_factory
):
    group = parameters(*sides)
    folder = WRITERS[stage](tmp_path_factory.mktemp("zero") / "folder", processes, [group], {})
    tensors = read_zero_folder(folder)[1]["state_dict"]
    for name, tensor in group.items():
        assert torch.equal(whole(tensors[name]), tensor)
        rows = tensor.shape[0] if tensor.ndim else 1
        blocks = [tensors[name].rows(row, row + 1) for row in range(rows)]
        assert torch.equal(torch.cat(blocks) if tensor.ndim else blocks[0], tensor)


def test_files_of_the_bfloat16_optimizer_are_read(tmp_path):
    folder = write_zero2(tmp_path / "folder", 2, prefix="bf16_")
    assert torch.equal(whole(read_zero_folder(folder)[1]["state_dict"]["p0.1"]), GROUPS[0]["p0.1"])


def test_without_optimizer_states_the_module_is_read(tmp_path):
    folder = write_zero2(tmp_path / "folder", 2)
    for path in folder.glob("*_optim_states.pt"):
        path.unlink()
    tensors = read_zero_folder(folder)[1]["state_dict"]
    assert torch.equal(whole(tensors["p0.1"]), GROUPS[0]["p0.1"].bfloat16())


def edit(folder: Path, pattern: str, change) -> None:
    (path,) = folder.glob(pattern)
    content = torch.load(path, weights_only=True)
    change(content)
    torch.save(content, path)


def remove(pattern: str):
    return lambda folder: [path.unlink() for path in folder.glob(pattern)]


def edit_model(change):
    return lambda folder: edit(folder, "*_rank_0*model_states.pt" if is_zero3(folder) else "mp*", change)


def edit_optimizer(change):
    return lambda folder: edit(
        folder, "*zero_pp_rank_0_*optim_states.pt", lambda x: change(x["optimizer_state_dict"])
    )


def is_zero3(folder: Path) -> bool:
    return not (folder / "mp_rank_00_model_states.pt").exists()


def rename_rank(folder: Path) -> None:
    path = folder / "zero_pp_rank_2_mp_rank_00_optim_states.pt"
    path.rename(folder / "zero_pp_rank_2_mp_rank_01_optim_states.pt")


@pytest.mark.parametrize(
    ("stage", "damage", "reason"),
    [
        (2, remove("*model_states.pt"), "no mp_rank_*"),
        (2, remove("zero_pp_rank_1_*"), "lacks the file of process 1"),
        (3, remove("zero_pp_rank_1_*optim*"), "lacks the file of process 1"),
        (2, remove("zero_pp_rank_2_*"), "not those of [3, 3] processes"),
        (3, remove("zero_pp_rank_2_*optim*"), "not those of 3 processes"),
        (3, remove("*optim_states.pt"), "ZeRO 3"),
        (2, rename_rank, "split over devices"),
        (
            2,
            edit_optimizer(lambda states: states.pop("single_partition_of_fp32_groups")),
            "no float32 weights",
        ),
        (2, edit_optimizer(lambda states: states.update(single_partition_of_fp32_groups=5)), "unknown form"),
        (
            2,
            edit_optimizer(lambda states: states.update(single_partition_of_fp32_groups=[torch.ones(2, 2)])),
            "unknown form",
        ),
        (
            2,
            edit_optimizer(lambda states: states.update(single_partition_of_fp32_groups=[torch.ones(1)] * 2)),
            "fewer float32 weights",
        ),
        (2, edit_model(lambda states: states.pop("param_shapes")), "param_shapes"),
        (2, edit_model(lambda states: states.update(param_shapes=[{"p": "wide"}])), "no shape for 'p'"),
        (2, edit_model(lambda states: states.update(param_shapes=[{"p": (-1, 2)}])), "no shape for 'p'"),
        (2, edit_model(lambda states: states.update(param_shapes=[{"p": (1 << 50,)}])), "than p needs"),
        (2, edit_model(lambda states: states["frozen_param_fragments"].pop("p2.0")), "the frozen p2.0"),
        (
            2,
            edit_model(lambda states: states["frozen_param_shapes"].update({"p2.0": (99,)})),
            "the frozen p2.0",
        ),
        (2, edit_model(lambda states: states.update(frozen_param_shapes=[1])), "not laid out"),
        (2, edit_model(lambda states: states.update(shared_params=7)), "not laid out"),
    ],
)
def test_a_damaged_folder_is_refused_by_name(stage, damage, reason, tmp_path):
    folder = WRITERS[stage](tmp_path / "folder", 3)
    damage(folder)
    with pytest.raises(UserError) as caught:
        read_zero_folder(folder)
    assert reason in str(caught.value)
    assert str(folder) in str(caught.value)


def test_any_other_folder_is_none(tmp_path):
    assert not is_zero_folder(tmp_path)
