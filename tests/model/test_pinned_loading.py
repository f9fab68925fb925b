"""Tensors that come to a GPU by buffers are those of the files, and transformers takes them as its own."""

import pytest
import torch
from safetensors.torch import save_file

from refvessel.model import modeling, pinned_loading
from refvessel.model.modeling import Sa2VAModel
from refvessel.model.pinned_loading import tensors_on_disk
from refvessel.safetensors_header import read_header

CPU = torch.device("cpu")
DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.int64, torch.uint8, torch.bool)


class OnTheHost:
    """Stands in for a way to a GPU."""

    def __init__(self, device):
        assert device == CPU

    def bring(self, file, begin, target):
        pinned_loading._read(file, begin, target.numpy().data)


@pytest.fixture
def without_gpu(monkeypatch):
    monkeypatch.setattr(pinned_loading, "_Lane", OnTheHost)


def test_every_tensor_is_the_file_s(without_gpu, tmp_path):
    torch.manual_seed(0)
    expected = {str(dtype): (torch.rand(3, 5, 7) * 9).to(dtype) for dtype in DTYPES}
    expected |= {"scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4)}
    save_file(expected, tmp_path / "a.safetensors", {"format": "pt"})
    with tensors_on_disk([tmp_path / "a.safetensors"], CPU) as tensors:
        assert tensors.keys() == expected.keys()
        for name, tensor in expected.items():
            found = tensors[name][...]
            assert found.dtype == tensor.dtype
            assert torch.equal(found, tensor)
            assert tensors[name].get_shape() == [*tensor.shape]


def test_a_file_that_ends_early_is_an_error(without_gpu, tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.ones(64)}, path)
    with tensors_on_disk([path], CPU) as tensors:
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(OSError, match=r"a.safetensors ends early"):
            tensors["a"][...]


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 9, b"\x02" + bytes(7) + b"[]", b"\x07" + bytes(7) + b'{"a":1}']
)
def test_what_is_no_header_is_a_value_error(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(ValueError, match=r"header|Expecting"):
        read_header(tmp_path / "a")


@pytest.mark.parametrize("language_weights", [None, "int8"])
def test_a_model_from_tensors_on_disk_is_the_one_from_mapped_files(
    without_gpu, write_folder, official_tensors, monkeypatch, language_weights
):
    folder = write_folder(official_tensors)
    expected = Sa2VAModel.load(folder, dtype=torch.bfloat16, language_weights=language_weights)

    def source(weights, device, spreading):
        return modeling._tensors(weights, device)

    monkeypatch.setattr(modeling, "_source", source)
    found = Sa2VAModel.load(folder, dtype=torch.bfloat16, language_weights=language_weights)
    for name, tensor in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor), name
