"""Which checkpoints of a work folder are taken: whole ones, in the order of training."""

import os
import shutil
import time

import pytest

from refvessel.checkpoint.left_by_training import is_settled, left_by_training, require_whole
from refvessel.errors import UserError


@pytest.fixture
def work_dir(demo_layers, tmp_path):
    """Three checkpoints, the last of which is being written, and what else lies there."""
    for step in (1000, 200):
        (tmp_path / f"iter_{step}.pth").symlink_to(demo_layers["checkpoint"])
    content = demo_layers["checkpoint"].read_bytes()
    (tmp_path / "iter_1200.pth").write_bytes(content[: len(content) // 2])
    (tmp_path / "last_checkpoint").write_text("/elsewhere/iter_1000.pth")
    (tmp_path / "best_iter_200.pth").touch()
    (tmp_path / "20261130_201200").mkdir()
    return tmp_path


def test_checkpoints_are_found_in_the_order_of_training(work_dir):
    assert [each.name for each in left_by_training(work_dir)] == ["iter_200", "iter_1000", "iter_1200"]


def test_what_is_being_written_is_not_settled_unless_mmengine_names_it(work_dir):
    early, named, written = left_by_training(work_dir)
    assert is_settled(early, None)
    assert is_settled(named, None)
    assert not is_settled(written, None)
    with written.path.open("ab") as stream:
        stream.write(b"more")
    (_, _, later) = left_by_training(work_dir)
    assert not is_settled(later, written.state)
    assert is_settled(later, later.state)
    os.utime(written.path, (time.time() - 3600,) * 2)
    assert is_settled(left_by_training(work_dir)[-1], None)


def test_half_a_checkpoint_is_not_whole(work_dir):
    *whole, half = left_by_training(work_dir)
    for each in whole:
        require_whole(each)
    with pytest.raises(UserError, match="iter_1200"):
        require_whole(half)


def test_a_folder_of_deepspeed_is_a_checkpoint_whose_files_all_count(work_dir):
    folder = work_dir / "iter_1400.pth"
    folder.mkdir()
    (folder / "mp_rank_00_model_states.pt").write_bytes(b"a")
    before = left_by_training(work_dir)[-1]
    (folder / "zero_pp_rank_0_mp_rank_00_optim_states.pt").write_bytes(b"b")
    after = left_by_training(work_dir)[-1]
    assert before.name == after.name == "iter_1400"
    assert before.state != after.state
    assert not is_settled(after, before.state)


def test_steps_that_share_no_axis_are_refused(work_dir):
    shutil.copy(work_dir / "iter_200.pth", work_dir / "iter_200")
    with pytest.raises(UserError, match="two checkpoints of iter 200"):
        left_by_training(work_dir)
    (work_dir / "epoch_1.pth").touch()
    with pytest.raises(UserError, match="by iterations and by epochs"):
        left_by_training(work_dir)
    with pytest.raises(UserError, match="is not a folder"):
        left_by_training(work_dir / "iter_200.pth")
