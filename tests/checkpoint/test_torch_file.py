import contextlib
import pickle
import zipfile
from collections import OrderedDict

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from refvessel.checkpoint.pickles import Inert
from refvessel.checkpoint.tensors import StoredTensor
from refvessel.checkpoint.torch_file import read_torch_file
from refvessel.errors import UserError

DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16]
DTYPES += [torch.int8, torch.uint8, torch.bool]


def read(stored: StoredTensor) -> torch.Tensor:
    return stored.rows(0, stored.shape[0] if stored.shape else 1)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_saved_tensor_is_read_bit_by_bit(dtype, tmp_path):
    tensor = torch.arange(24).reshape(2, 3, 4).to(dtype)
    torch.save({"model": {"x": tensor}}, tmp_path / "x.pt")
    stored = read_torch_file(tmp_path / "x.pt")["model"]["x"]
    assert (stored.dtype, stored.shape) == (dtype, (2, 3, 4))
    assert torch.equal(read(stored), tensor)


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.T,
        lambda x: x[3:7],
        lambda x: x[:, 2:4],
        lambda x: x[::2, ::3],
        lambda x: x[5],
        lambda x: x[2, 3],
    ],
)
def test_views_of_a_storage_are_read_as_torch_reads_them(view, tmp_path):
    tensor = view(torch.randn(10, 8))
    torch.save([tensor], tmp_path / "view.pt")
    (stored,) = read_torch_file(tmp_path / "view.pt")
    assert torch.equal(read(stored), tensor)
    if tensor.ndim:
        assert torch.equal(stored.rows(1, 3), tensor[1:3])


def test_tensors_that_share_a_storage_and_parameters_are_read(tmp_path):
    weight = torch.nn.Parameter(torch.randn(4, 4))
    torch.save(OrderedDict(a=weight, b=weight.detach()[1:]), tmp_path / "shared.pt")
    content = read_torch_file(tmp_path / "shared.pt")
    assert torch.equal(read(content["a"]), weight.data)
    assert torch.equal(read(content["b"]), weight.data[1:])


def test_a_module_state_dict_with_its_metadata_is_read(tmp_path):
    state = torch.nn.Linear(3, 2).state_dict()
    torch.save({"state_dict": state}, tmp_path / "linear.pth")
    stored = read_torch_file(tmp_path / "linear.pth")["state_dict"]
    assert {name: read(tensor).tolist() for name, tensor in stored.items()} == {
        name: tensor.tolist() for name, tensor in state.items()
    }


def test_pickled_objects_of_a_library_that_is_absent_are_inert(layers):
    scalars = read_torch_file(layers.checkpoint)["message_hub"]["log_scalars"]
    assert isinstance(scalars["train/loss"], Inert)
    assert scalars["train/loss"].origin == "mmengine.logging.history_buffer.HistoryBuffer"


def refusal(path) -> str:
    with pytest.raises(UserError) as caught:
        read_torch_file(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    assert "check the path" in refusal(tmp_path / "absent.pth")


def test_a_legacy_file_is_refused(tmp_path):
    torch.save({"x": torch.ones(2)}, tmp_path / "legacy.pth", _use_new_zipfile_serialization=False)
    assert "zip format" in refusal(tmp_path / "legacy.pth")


def test_a_bare_pickle_is_refused(tmp_path):
    (tmp_path / "bare.pth").write_bytes(pickle.dumps({"state_dict": {}}))
    assert "zip format" in refusal(tmp_path / "bare.pth")


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_refused(kept, tmp_path):
    path = tmp_path / "cut.pth"
    torch.save({"x": torch.randn(1000)}, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    assert "zip format" in refusal(path)


def test_a_zip_bomb_is_refused_unopened(archive):
    path = archive(pickle.dumps({}), {"hostile/data/0": bytes(50_000_000)}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1_000_000
    assert "compressed" in refusal(path)


@pytest.mark.parametrize(
    "name", ["../outside", "/etc/outside", "hostile/../../outside", "hostile\\..\\outside"]
)
def test_a_record_name_that_leaves_the_archive_is_refused(name, archive, tmp_path):
    assert "leaves the archive" in refusal(archive(pickle.dumps({}), {name: b"x"}))
    assert not (tmp_path.parent / "outside").exists()


def test_an_archive_without_a_pickle_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "plain.zip", "w") as file:
        file.writestr("readme.txt", "hello")
    assert "data.pkl" in refusal(tmp_path / "plain.zip")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_records_of_one_name_are_refused(archive):
    path = archive(pickle.dumps({}))
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("hostile/data.pkl", b"other")
    assert "two records" in refusal(path)


def test_a_big_endian_file_is_refused(archive):
    assert "little-endian" in refusal(archive(pickle.dumps({}), {"hostile/byteorder": b"big"}))


def tensor_program(shape, stride, offset=0, numel=4, key="0", kind="FloatStorage") -> bytes:
    """A pickle of one tensor, as torch writes it but with any numbers."""

    def integers(values) -> str:
        return "(" + "".join(f"I{value}\n" for value in values) + "t"

    storage = f"(Vstorage\nctorch\n{kind}\nV{key}\nVcpu\nI{numel}\ntQ"
    return (
        f"ctorch._utils\n_rebuild_tensor_v2\n({storage}I{offset}\n{integers(shape)}{integers(stride)}I00\n"
        "ccollections\nOrderedDict\n)RtR."
    ).encode()


def test_the_tensor_program_of_these_tests_is_sound(archive):
    stored = read_torch_file(archive(tensor_program((2, 2), (2, 1)), {"hostile/data/0": bytes(16)}))
    assert read(stored).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (tensor_program((2, 2), (2, 1), numel=5), "16 bytes in the record"),
        (tensor_program((5,), (1,)), "5 elements"),
        (tensor_program((2, 2), (2, 1), offset=1), "5 elements"),
        (tensor_program((2, 2), (4, 1)), "6 elements"),
        (tensor_program((1 << 40,), (0,)), "elements"),
        (tensor_program((1 << 40, 1 << 40), (0, 0)), "elements"),
        (tensor_program((-1,), (1,)), "unknown form"),
        (tensor_program((2,), (-1,)), "unknown form"),
        (tensor_program((2,), (1, 1)), "unknown form"),
        (tensor_program((2,), (1,), offset=-1), "unknown form"),
        (tensor_program((2,), (1,), numel=-1), "unknown form"),
        (tensor_program((2,), (1,), key="1"), "lacks the record hostile/data/1"),
        (tensor_program((2,), (1,), key="../../secret"), "lacks the record"),
        (tensor_program((2,), (1,), kind="ComplexFloatStorage"), "ComplexFloatStorage"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n)R.", "cannot be read"),
        (b"(Vstorage\ntQ.", "unknown form"),
        (b"not a pickle", "cannot be read"),
    ],
)
def test_a_tensor_that_its_record_cannot_hold_is_refused(program, reason, archive):
    assert reason in refusal(archive(program, {"hostile/data/0": bytes(16)}))


def test_a_record_that_starts_before_the_file_is_refused(archive):
    path = archive(pickle.dumps({}))
    content = bytearray(path.read_bytes())
    end = content.rindex(b"PK\5\6")
    content[end + 16 : end + 20] = (100_000).to_bytes(4, "little")  # where the directory claims to start
    path.write_bytes(content)
    assert "has no header" in refusal(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_damaged_file_is_read_or_refused(data, tmp_path):
    path = tmp_path / "damaged.pth"
    torch.save({"state_dict": OrderedDict(x=torch.randn(3))}, path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with contextlib.suppress(UserError):
        read_torch_file(path)
