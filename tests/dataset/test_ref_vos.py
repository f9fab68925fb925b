"""The official Ref-VOS layout, read as untrusted files."""

import json

import pytest
from PIL import Image

from refvessel.dataset.tree.ref_vos import (
    FRAME_TABLE,
    FRAMES,
    MASK_DICT,
    META_EXPRESSIONS,
    TreeFrame,
    read_frame_table,
    read_mask_dict,
    read_ref_vos,
    read_videos,
    write_frame_table,
)
from refvessel.errors import UserError
from refvessel.rle import empty


@pytest.fixture
def layout(tmp_path):
    """Writes videos of grey frames: name -> (frames, expressions), sizes by video, else 12 x 8."""

    def write(videos, *, sizes=None, suffix=".png", **fields):
        content = {}
        for name, (frames, expressions) in videos.items():
            content[name] = {"frames": frames, "expressions": expressions, "vid_id": 3} | fields
            folder = tmp_path / FRAMES / name
            folder.mkdir(parents=True, exist_ok=True)
            for frame in frames:
                if isinstance(frame, str) and frame.isalnum():
                    Image.new("L", (sizes or {}).get((name, frame), (12, 8))).save(
                        folder / f"{frame}{suffix}"
                    )
        (tmp_path / META_EXPRESSIONS).write_text(json.dumps({"videos": content}))
        return tmp_path

    return write


def test_videos_and_frames_are_read_in_the_order_of_the_file(layout):
    root = layout(
        {
            "b": (["2", "10"], {"10": {"exp": "a vessel", "anno_id": [4, 5], "extra": 1}}),
            "a": (["0"], {"0": {"exp": "which one?"}, "k": {"exp": "x", "anno_id": 7, "type_id": 1}}),
        },
        suffix=".jpg",
    )
    first, second = read_ref_vos(root)
    assert (first.video.name, second.video.name) == ("b", "a")
    assert [path.name for path in first.paths] == ["2.jpg", "10.jpg"]
    assert (first.height, first.width) == (8, 12)
    assert not first.video.in_text_order
    assert second.video.in_text_order
    (asked,) = first.video.expressions
    assert (asked.id, asked.text, asked.annotations) == ("10", "a vessel", ("4", "5"))
    assert [(each.annotations, each.type_id) for each in second.video.expressions] == [
        ((), None),
        (("7",), 1),
    ]


def test_a_videos_name_may_hold_folders(layout):
    (video,) = read_ref_vos(layout({"LVVIS/train/7": (["00"], {})}))
    assert video.paths[0].parent.parts[-3:] == ("LVVIS", "train", "7")


def test_suffixes_are_in_any_case_and_jpg_in_lower_case_comes_first(layout, tmp_path):
    root = layout({"a": (["7", "08", "9"], {})}, suffix=".JPG")
    folder = tmp_path / FRAMES / "a"
    (folder / "7.jpg").write_bytes((folder / "7.JPG").read_bytes())
    (folder / "08.png").write_bytes((folder / "08.JPG").read_bytes())
    (folder / "9.JPG").rename(folder / "9.Jpeg")
    (video,) = read_ref_vos(root)
    assert [path.name for path in video.paths] == ["7.jpg", "08.JPG", "9.Jpeg"]


def test_expressions_are_read_without_any_frame(layout, tmp_path):
    root = layout({"a": (["0"], {"0": {"exp": "x"}})})
    (root / FRAMES / "a" / "0.png").unlink()
    assert [video.name for video in read_videos(root / META_EXPRESSIONS)] == ["a"]


def test_all_mistakes_are_named_at_once(layout):
    root = layout(
        {"a": (["0", "1"], {}), "b": (["0", "1"], {}), "c": (["0", "1", "2"], {}), "d": (["0"], {})},
        sizes={("b", "1"): (13, 8)},
    )
    (root / FRAMES / "c" / "1.png").unlink()
    (root / FRAMES / "c" / "2.png").unlink()
    (root / FRAMES / "d" / "0.png").write_bytes(b"no image")
    with pytest.raises(UserError) as refusal:
        read_ref_vos(root)
    said = str(refusal.value)
    assert "3 problems" in said
    assert "13 x 8" in said
    assert "lacks 2 of the 3 frames" in said
    assert "0.png does not open" in said


def test_names_may_be_composed_otherwise_on_the_disk(layout):
    composed, apart = "M\u00fcller", "Mu\u0308ller"
    root = layout({composed: ([f"{composed}1", f"{composed}2"], {})})
    (root / FRAMES / composed).rename(root / FRAMES / apart)
    (root / FRAMES / apart / f"{composed}1.png").rename(root / FRAMES / apart / f"{apart}1.png")
    (read,) = read_ref_vos(root)
    assert [path.name for path in read.paths] == [f"{apart}1.png", f"{composed}2.png"]
    assert read.video.frames == (f"{composed}1", f"{composed}2")


def test_a_stated_size_is_that_of_the_frames(layout):
    assert read_ref_vos(layout({"a": (["0"], {})}, height=8, width=12))[0].width == 12
    with pytest.raises(UserError, match=r"12 x 8 pixels, but meta_expressions\.json says 8 x 12"):
        read_ref_vos(layout({"a": (["0"], {})}, height=12, width=8))


@pytest.mark.parametrize(
    ("name", "entry", "said"),
    [
        ("../b", {"frames": ["0"], "expressions": {}}, "cannot be the name"),
        ("/b", {"frames": ["0"], "expressions": {}}, "cannot be the name"),
        ("b", {"frames": ["../0"], "expressions": {}}, "cannot be the name"),
        ("b", {"frames": [], "expressions": {}}, "has 0 frames"),
        ("b", {"frames": ["0", "0"], "expressions": {}}, "twice"),
        ("b", {"frames": [0], "expressions": {}}, "must be text"),
        ("b", {"expressions": {}}, "'frames' is missing"),
        ("b", {"frames": ["0"]}, "'expressions' is missing"),
        ("b", {"frames": ["0"], "expressions": {"0": {}}}, "'exp' is missing"),
        ("b", {"frames": ["0"], "expressions": {"0": {"exp": " "}}}, "has no text"),
        ("b", {"frames": ["0"], "expressions": {"a/b": {"exp": "x"}}}, "cannot be the name"),
        ("b", {"frames": ["0"], "expressions": {"0": {"exp": "x", "anno_id": [{}]}}}, "anno_id holds"),
        ("b", {"frames": ["0"], "expressions": {}, "height": -1, "width": 2}, "positive sizes"),
        ("b", [], "an object is needed"),
    ],
)
def test_what_cannot_be_right_is_refused(tmp_path, name, entry, said):
    path = tmp_path / META_EXPRESSIONS
    path.write_text(json.dumps({"videos": {name: entry}}))
    with pytest.raises(UserError, match=said):
        read_videos(path)


def test_truths_are_run_lengths_or_nothing(tmp_path):
    path = tmp_path / MASK_DICT
    mask = empty(8, 12)
    path.write_text(json.dumps({"0": [mask, None]}))
    assert read_mask_dict(path) == {"0": [mask, None]}
    path.write_text(json.dumps({"0": [None, {"size": [8, 12], "counts": "1"}], "1": None}))
    with pytest.raises(UserError, match="2 problems") as refusal:
        read_mask_dict(path)
    assert "the mask of frame 1 is no RLE" in str(refusal.value)


def test_the_table_of_frames_comes_back(tmp_path):
    table = {"a/b": {"0": {"00": TreeFrame("a_b_00", 3, 5)}}}
    write_frame_table(tmp_path / FRAME_TABLE, table)
    assert read_frame_table(tmp_path / FRAME_TABLE) == table
    (tmp_path / FRAME_TABLE).write_text('{"a": {"0": {"00": [1, 2, 3]}}}')
    with pytest.raises(UserError, match="must be text"):
        read_frame_table(tmp_path / FRAME_TABLE)
