"""Which file a case's image is, in trees that spread images over folders."""

import json

import numpy as np
from PIL import Image
from stages import render_report

from refvessel.dataset.tree.layout import IMAGES, INSTANCES, REFS
from refvessel.dataset.tree.refs import write_refs
from refvessel.files import sha256_of_file, write_json
from refvessel.report.sections import read_artifacts


def test_images_in_folders_are_found_though_another_split_has_one_of_the_same_name(workspace, make_cases):
    cases = make_cases()
    workspace.add(cases, described=False)
    tree = workspace.datasets["demo"]
    for split in ("test", "train"):
        (tree / IMAGES / split).mkdir()
    listed = []
    for number, case in enumerate(cases[::2]):  # two phrases an image
        name = f"{case['image_id']}.png"
        (tree / IMAGES / name).rename(tree / IMAGES / "test" / name)
        Image.fromarray(np.zeros((48, 48), np.uint8)).save(tree / IMAGES / "train" / name)
        for at, split in enumerate(("test", "train")):
            listed.append({"id": 2 * number + at, "file_name": f"{split}/{name}", "width": 48, "height": 48})
    write_json(tree / INSTANCES, {"images": listed})
    write_refs(
        tree / REFS,
        [{"ref_id": 1 + number, "image_id": 2 * (number // 2)} for number in range(len(cases))]
        + [{"ref_id": 100 + number, "image_id": 2 * number + 1} for number in range(5)],
    )
    summary = workspace.evaluations[0].scores_dir / "summary.json"
    content = json.loads(summary.read_text("utf-8"))
    content["provenance"]["dataset"]["sha256"] = sha256_of_file(tree / INSTANCES)
    write_json(summary, content)

    images = read_artifacts(
        workspace.evaluations[0], checkpoint=workspace.checkpoints["demo"], dataset=tree
    ).images
    assert images == {f"image{n}": tree / IMAGES / f"test/image{n}.png" for n in range(5)}
    render_report(**workspace.inputs, output=workspace.root / "report")
    outputs = json.loads((workspace.root / "report/manifest.json").read_text("utf-8"))["outputs"]
    sources = outputs["figures/demo.demo.test.overlays_1.svg"]["sources"]
    assert "demo/test/image0.png" in sources
