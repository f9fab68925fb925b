"""A refined table differs from the gathered one in its masks and in what it says of them, and in nothing else."""

import json
import shutil

import numpy as np
import pytest
from pyarrow import parquet
from stages import refine_predictions

from refvessel.errors import UserError
from refvessel.files import sha256_of_file, write_json
from refvessel.predictions.gather import gather_predictions
from refvessel.predictions.logits_file import logits_file, read_logits
from refvessel.rle import area, decode, union


@pytest.fixture(scope="module")
def gathered(segmented, tree, tmp_path_factory):
    table = tmp_path_factory.mktemp("gathered") / "predictions.parquet"
    gather_predictions(shards=[segmented], dataset=tree, split="test", output=table)
    return table


@pytest.fixture(scope="module")
def logits(segmented):
    return logits_file(segmented)


def rows(path):
    table = parquet.read_table(path)
    return [
        {**row, "mask": json.loads(row["mask"]), "masks": json.loads(row["masks"])}
        for row in table.to_pylist()
    ]


def metadata(path):
    return json.loads(parquet.read_schema(path).metadata[b"refvessel"])


def test_nothing_but_masks_and_their_description_changes(gathered, logits, tmp_path):
    output = tmp_path / "refined.parquet"
    refine_predictions(
        predictions=gathered,
        output=output,
        logits=[logits],
        threshold=0.2,
        smallest_component=30,
        smallest_hole=9,
    )
    assert parquet.read_schema(output).remove_metadata() == parquet.read_schema(gathered).remove_metadata()
    for refined, given in zip(rows(output), rows(gathered), strict=True):
        assert {key: refined[key] for key in refined if "mask" not in key} == {
            key: given[key] for key in given if "mask" not in key
        }
        assert refined["mask"] == union(refined["masks"])
    described = metadata(output)
    refinement = described.pop("refinement")
    assert described == metadata(gathered)
    assert (refinement["threshold"], refinement["smallest_component"], refinement["smallest_hole"]) == (
        0.2,
        30,
        9,
    )
    assert refinement["predictions"]["sha256"] == sha256_of_file(gathered)
    assert refinement["logits"][0]["sha256"] == sha256_of_file(logits)


def test_the_models_threshold_needs_no_logits_and_changes_no_mask(gathered, tmp_path):
    refine_predictions(predictions=gathered, output=tmp_path / "same.parquet")
    assert rows(tmp_path / "same.parquet") == rows(gathered)


def test_a_higher_threshold_keeps_a_part_of_every_mask(gathered, logits, tmp_path):
    areas = []
    for threshold in (0.1, 0.4, 0.9):
        output = tmp_path / "refined.parquet"
        refine_predictions(predictions=gathered, output=output, logits=[logits], threshold=threshold)
        areas.append([area(row["mask"]) for row in rows(output)])
    assert (np.diff(areas, axis=0) <= 0).all()
    assert sum(areas[0]) > sum(areas[2])


def test_post_processing_works_on_masks_as_they_are(gathered, tmp_path):
    everything = max(area(mask) for row in rows(gathered) for mask in row["masks"]) + 1
    refine_predictions(predictions=gathered, output=tmp_path / "none.parquet", smallest_component=everything)
    assert not any(decode(row["mask"]).any() for row in rows(tmp_path / "none.parquet"))
    assert [row["num_seg"] for row in rows(tmp_path / "none.parquet")] == [
        row["num_seg"] for row in rows(gathered)
    ]


def test_a_threshold_without_logits_is_an_error(gathered, tmp_path):
    with pytest.raises(
        UserError, match=r"has no stored logits, which a threshold of 0\.3 needs; set save_logits"
    ):
        refine_predictions(predictions=gathered, output=tmp_path / "refined.parquet", threshold=0.3)
    assert not (tmp_path / "refined.parquet").exists()


def test_incomplete_logits_are_an_error(gathered, logits, tmp_path):
    arrays = dict(read_logits(logits))
    arrays.popitem()
    np.savez(tmp_path / "part.npz", **{str(sent_id): array for sent_id, array in arrays.items()})
    with pytest.raises(UserError, match="has no stored logits"):
        refine_predictions(
            predictions=gathered, output=tmp_path / "r.parquet", logits=[tmp_path / "part.npz"], threshold=0.3
        )


def tuned(gathered, path, **changes):
    made_from = metadata(gathered)
    dataset = changes.pop("dataset", made_from["dataset"])
    run = made_from["run"] | {"split": "val"} | changes
    values = {"threshold": 0.3, "score": "dice", "mean": 0.8, "mean_at_half": 0.7}
    write_json(path, values | {"n_expressions": 5, "n_patients": 2, "run": run, "dataset": dataset})
    return path


def test_a_tuned_threshold_is_applied_and_recorded(gathered, logits, tmp_path):
    file, outputs = tuned(gathered, tmp_path / "tuned.json"), [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    thresholds = {"threshold": "dice", "tuned_threshold": file}, {"threshold": 0.3}
    for output, threshold in zip(outputs, thresholds, strict=True):
        refine_predictions(predictions=gathered, output=output, logits=[logits], **threshold)
    assert rows(outputs[0]) == rows(outputs[1])
    recorded = metadata(outputs[0])["refinement"]
    assert recorded["threshold"] == 0.3
    assert (recorded["tuned"]["split"], recorded["tuned"]["score"]) == ("val", "dice")
    assert recorded["tuned"]["file"]["sha256"] == sha256_of_file(file)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"split": "test"}, "tuned on the split test itself"),
        ({"model": "0" * 64}, "tuned for another model"),
        ({"dataset": "0" * 64}, "tuned for another dataset"),
        ({"flips": True}, "tuned for another flips"),
    ],
)
def test_a_threshold_of_the_same_split_or_another_model_is_refused(
    gathered, logits, tmp_path, changes, sentence
):
    file = tuned(gathered, tmp_path / "tuned.json", **changes)
    with pytest.raises(UserError, match=sentence):
        refine_predictions(
            predictions=gathered, output=tmp_path / "r.parquet", logits=[logits], tuned_threshold=file
        )


def test_a_table_that_is_none_is_named(tmp_path, segmented):
    shutil.copy(segmented, tmp_path / "no.parquet")
    with pytest.raises(UserError, match=r"no\.parquet is not a readable Parquet file"):
        refine_predictions(predictions=tmp_path / "no.parquet", output=tmp_path / "r.parquet")
