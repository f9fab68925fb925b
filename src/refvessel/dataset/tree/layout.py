"""Where the files of an official tree lie, below its root.

ref_seg/refcoco/instances.json                COCO: images, annotations, categories (see `entries`)
ref_seg/refcoco/refs(unc).p                   one ref per phrase per image (see `entries`)
glamm_data/images/coco2014/train2014/         images, by the `file_name` of instances.json
ref_seg/grefcoco/                             the same of gRefCOCO, in trees of others: `grefs(unc).p` or .json
dataset.json                                  ours: see `dataset_record`
outlines.npz                                  ours: see `outlines`
ref_vos/{split}/                              runs, where data have them, in the official Ref-VOS layout
"""

from pathlib import Path

from refvessel import artifacts

INSTANCES = Path("ref_seg/refcoco/instances.json")
REFS = Path("ref_seg/refcoco/refs(unc).p")
GREF_INSTANCES = Path("ref_seg/grefcoco/instances.json")
GREFS = Path("ref_seg/grefcoco/grefs(unc).p")
IMAGES = Path("glamm_data/images/coco2014/train2014")
DATASET = Path(artifacts.DATASET)
OUTLINES = Path("outlines.npz")
REF_VOS = Path("ref_vos")

TOP_LEVEL = frozenset(path.parts[0] for path in (INSTANCES, REFS, IMAGES, DATASET, OUTLINES, REF_VOS))


def description(root: Path) -> Path:
    """The file that describes a tree: dataset.json, or instances.json for a tree of others, which has none."""
    described = Path(root) / DATASET
    return described if described.is_file() else Path(root) / INSTANCES
