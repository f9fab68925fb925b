"""What is rebuilt when, and what a wrong configuration says."""

import re
import stat

import pytest

from refvessel.demo.annotations import write_labelme_folder

NOTHING = "Nothing to be done"


def planned_rules(workflow, *arguments: str) -> dict[str, int]:
    """Rule -> number of jobs that would run."""
    dry = workflow.run("--dry-run", "--quiet", "host", *arguments)
    assert dry.returncode == 0, dry.stderr
    table = re.findall(r"^(\w+)\s+(\d+)$", dry.stdout + dry.stderr, re.MULTILINE)
    return {rule: int(count) for rule, count in table if rule not in ("total", "all")}


@pytest.fixture(scope="module")
def again(demo):
    """The finished demo, run once more."""
    return demo.run()


def test_a_finished_run_has_nothing_to_do(again):
    assert NOTHING in again.stdout + again.stderr


def test_settings_that_change_no_answer_rerun_nothing(demo):
    """All at once: if a rule depended on one of them, it would run."""
    settings = "max_failures: 2, batch_size: 3, threads: 2, compiled: true, draft: null"
    dry = demo.run("--dry-run", "--config", f"inference={{{settings}}}")
    assert NOTHING in dry.stdout + dry.stderr


def test_a_run_tells_at_its_end_what_it_came_to_even_where_it_did_nothing(demo, again):
    lines = again.stderr.splitlines()
    told = r"demo on demo, test: \d+ expressions of \d+ patients, 0 failed; Dice, .*"
    (first,) = [number for number, line in enumerate(lines) if re.fullmatch(told, line)]
    assert [re.sub(r"0\.\d{3}", "x", line) for line in lines[first + 1 : first + 4]] == [
        "  all           x (x to x)",
        "  blood vessel  x (x to x)",
        "  catheter      x (x to x)",
    ]
    assert lines[-1] == f"Report: {demo.results.resolve()}/report/index.html"


def test_a_deleted_shard_is_rebuilt_with_what_follows_and_nothing_before(demo):
    shard = demo.results / "predictions/demo/demo/test/shards/1-of-2.jsonl"
    content = shard.read_bytes()
    shard.unlink()
    try:
        assert planned_rules(demo) == {
            "segment_shard": 1,
            "gather_predictions": 1,
            "score_cases": 1,
            "compare_models": 1,
            "render_report": 1,
        }
    finally:
        shard.write_bytes(content)


def test_runs_are_compared_after_models_whose_comparison_removes_the_earlier_one(demo):
    assert planned_rules(demo, "--forcerun", "compare_models") == {
        "compare_models": 2,  # on angiograms and on films
        "compare_sequences": 1,
        "render_report": 1,
    }


def test_a_threshold_is_tuned_on_val_and_the_refined_masks_are_scored(start, tmp_path):
    def change(config):
        config["inference"].update(save_logits=True, shards=1)
        config["refinement"].update(threshold="dice", smallest_hole=9)

    planned = planned_rules(start(tmp_path / "run", change))
    assert planned["segment_shard"] == planned["gather_predictions"] == 2  # val and test
    assert planned["tune_threshold"] == planned["refine_predictions"] == planned["score_cases"] == 1


def test_masks_of_another_model_are_imported_and_compared_and_nothing_is_run_for_them(start, tmp_path):
    """With stored logits, too, which the other model has and this one has not."""

    def change(config):
        config["models"]["unet"] = {"predictions": "<results>/unet", "format": "masks"}
        config["evaluations"].append(config["evaluations"][0] | {"model": "unet"})
        config["inference"].update(save_logits=True, shards=1)

    workflow = start(tmp_path / "run", change)
    (workflow.results / "unet").mkdir(parents=True)
    planned = planned_rules(workflow)
    assert planned["import_predictions"] == planned["score_imported"] == planned["compare_models"] == 1
    alone = ("convert_checkpoint", "segment_shard", "gather_predictions", "score_cases")
    assert [planned[rule] for rule in alone] == [1, 1, 1, 1]


def test_questions_share_a_job_and_the_one_chosen_on_val_is_asked_alone(start, tmp_path):
    questions = {"a": "<image> {phrase}", "b": "{phrase} <image>"}

    def change(config):
        config["inference"]["shards"] = 1
        alone = config["evaluations"][0]
        asked = alone | {"questions": questions}
        config["evaluations"] = [alone, asked | {"words": {"absent": ["bone"]}}, asked | {"choose": "val"}]

    planned = planned_rules(start(tmp_path / "run", change))
    assert planned["convert_checkpoint"] == 1
    assert planned["segment_questions_1"] == planned["segment_questions_2"] == 1  # on test and on val
    assert planned["segment_shard"] == planned["choose_question"] == 1
    assert planned["gather_predictions"] == 4 + 2
    assert planned["score_cases"] == 4  # demo, demo-a, demo-b, demo-chosen


def test_checkpoints_that_are_asked_together_share_a_job_and_nothing_else(start, tmp_path):
    def change(config):
        config["inference"].update(shards=1, together=True)
        config["models"]["later"] = config["models"]["demo"] | {"group": "demo"}
        config["evaluations"].append(config["evaluations"][0] | {"model": "later"})

    planned = planned_rules(start(tmp_path / "run", change))
    assert planned["segment_questions_1"] == 1
    assert "segment_shard" not in planned
    each = ("convert_checkpoint", "gather_predictions", "score_cases")
    assert [planned[rule] for rule in each] == [2, 2, 2]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda config: config.update(modells={}), "unknown key 'modells'"),
        (lambda config: config["inference"].update(shards="two"), "inference.shards: 'two' is not of type"),
        (lambda config: config["models"]["demo"].update(sam2="nowhere.pt"), "nowhere.pt"),
    ],
)
def test_a_wrong_configuration_is_named_before_anything_runs(start, tmp_path, change, sentence):
    workflow = start(tmp_path / "run", change)
    failed = workflow.run()
    assert failed.returncode != 0
    assert sentence in failed.stdout + failed.stderr
    assert not workflow.results.exists()


def test_an_annotation_edited_in_place_is_converted_again(start, tmp_path):
    """The folder's own time of change stays, which is all that Snakemake sees of it."""
    frames = tmp_path / "frames"
    write_labelme_folder(output=frames, patients=range(2), frames=1)

    def change(config):
        config["datasets"]["demo"].update(root=str(frames), splits=None, single_split="test")

    workflow, tree = start(tmp_path / "run", change), "results/datasets/demo"
    assert workflow.run(tree).returncode == 0
    again = workflow.run("--dry-run", tree)
    assert NOTHING in again.stdout + again.stderr
    before = frames.stat().st_mtime_ns
    annotation = min(frames.glob("*.json"))
    annotation.write_text(annotation.read_text().replace('"catheter"', '"vessel"'))
    assert frames.stat().st_mtime_ns == before
    again = workflow.run("--dry-run", tree)
    assert "rule convert_dataset" in again.stdout + again.stderr


def test_data_that_cannot_be_converted_stop_the_run_with_one_sentence(start, tmp_path):
    (tmp_path / "frames").mkdir()
    (tmp_path / "frames" / "Zhang_1.json").write_text("{")

    def change(config):
        config["datasets"]["demo"]["root"] = str(tmp_path / "frames")

    workflow = start(tmp_path / "run", change)
    failed = workflow.run()
    assert failed.returncode != 0
    assert "Zhang" not in failed.stdout + failed.stderr
    assert "1 problem was found in the data" in failed.stderr
    assert ".refvessel/logs/annotate/demo.log" in failed.stderr
    assert not (workflow.results / "datasets/demo").exists()
    log = workflow.directory / ".refvessel/logs/annotate/demo.log"
    assert "Zhang_1.json is not valid JSON" in log.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    for folder in (log.parent, log.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for path in (*workflow.results.rglob("*"), *(workflow.directory / ".snakemake").rglob("*")):
        assert "Zhang" not in path.name
        assert path.is_dir() or b"Zhang" not in path.read_bytes()
