"""Public vessel data sets as they are unpacked: the format and the options that read them.

`root` is the folder that holds the named ones. Where a data set says nothing of patients, each image is its own.
"""

from typing import Any

_HALF = 128  # of 255: some published masks have soft edges

LAYOUTS: dict[str, tuple[str, dict[str, Any]]] = {
    # training/images/21_training.tif, training/1st_manual/21_manual1.gif, training/mask/21_training_mask.gif
    "drive": (
        "masks",
        {
            "images": "{split}/images/{name}_{split}.tif",
            "masks": "{split}/1st_manual/{name}_manual1.gif",
            "field_of_view": "{split}/mask/{name}_{split}_mask.gif",
            "patient": "{name}",
            "splits": {"training": "train", "test": "test"},
            "threshold": _HALF,
        },
    ),
    # stare-images/im0001.ppm, labels-ah/im0001.ah.ppm (unpacked from .gz)
    "stare": (
        "masks",
        {
            "images": "stare-images/{name}.ppm",
            "masks": "labels-ah/{name}.ah.ppm",
            "patient": "{name}",
            "threshold": _HALF,
        },
    ),
    # Image_01L.jpg, Image_01L_1stHO.png: both eyes of a child
    "chase_db1": (
        "masks",
        {
            "images": r"Image_{child:\d+}{eye:[LR]}.jpg",
            "masks": r"Image_{child:\d+}{eye:[LR]}_1stHO.png",
            "patient": "{child}",
            "threshold": _HALF,
        },
    ),
    # images/01_dr.JPG, manual1/01_dr.tif, mask/01_dr_mask.tif
    "hrf": (
        "masks",
        {
            "images": "images/{name}.jpg",
            "masks": "manual1/{name}.tif",
            "field_of_view": "mask/{name}_mask.tif",
            "patient": "{name}",
            "threshold": _HALF,
        },
    ),
    # train/Original/1_A.png, train/Ground truth/1_A.png; numbers begin anew in test
    "fives": (
        "masks",
        {
            "images": "{split}/Original/{name}.png",
            "masks": "{split}/Ground truth/{name}.png",
            "patient": "{split}/{name}",
            "threshold": _HALF,
        },
    ),
    # Database_134_Angiograms/1.pgm, Database_134_Angiograms/1_gt.pgm
    "dca1": (
        "masks",
        {
            "images": r"Database_134_Angiograms/{name:\d+}.pgm",
            "masks": "Database_134_Angiograms/{name}_gt.pgm",
            "patient": "{name}",
            "threshold": _HALF,
        },
    ),
    # test/img/00018_33.png, test/gt/00018_33.png: sequence and frame; the training images
    # (train/img/000_PPA_44_PSA_00_8.png) have no masks
    "xcad": (
        "masks",
        {
            "images": r"{split}/img/{sequence}_{frame:\d+}.png",
            "masks": "{split}/gt/{sequence}_{frame}.png",
            "patient": "{sequence}",
            "threshold": _HALF,
        },
    ),
    # syntax/ or stenosis/: train/images/1.png, train/annotations/train.json; numbers begin anew in val and test
    "arcade": (
        "coco",
        {
            "annotations": "{split}/annotations/{split}.json",
            "images": "{split}/images",
            "patient": "{split}/{name}",
        },
    ),
}
