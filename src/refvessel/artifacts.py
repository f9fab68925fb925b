"""The names of the files that one step leaves for the next, and where they lie below the folder of results.

Each name stands here once; what is in a file is its owner's to say. `{dataset}` and `{split}` are keys of the
configuration; `{model}` is one, too, of a checkpoint, and elsewhere the name of an entrant, a model asked in a
way; `{part}` is one of a split's shards, such as `1-of-2`.
"""

from pathlib import Path

CONVERSION = "conversion.json"  # in a model's folder
DATASET = "dataset.json"  # in a data set's tree
PREDICTIONS = "predictions.parquet"
REFINED = "refined.parquet"
VIDEO_RESULTS = "results.json"  # masks of runs, as the official inference writes them
CASES = "cases.parquet"
BREAKS = "breaks.parquet"  # where predictions break the truth's tree
SUMMARY = "summary.json"
THRESHOLDS = "thresholds.csv"
WORDS = "words.json"
COCO_RESULTS = "coco_results.json"
COCO_TRUTH = "coco_truth.json"
PAIRS = "pairs.jsonl"  # of better and worse masks, for preference training
PAIRS_SUMMARY = "pairs.json"
COMPARISON = "comparison.json"
RANKING = "ranking.csv"
MASK_TABLE = "masks.csv"
VIDEO = "video.json"  # scores of runs
VIDEO_CASES = "video_cases.parquet"
VIDEO_COMPARISON = "video_comparison.json"

# Of the files of one shard, which differ in nothing else.
SHARD_SUFFIX = ".jsonl"
RUN_SUFFIX = ".run.json"
LOGITS_SUFFIX = ".logits.npz"
PROGRESS_SUFFIX = ".progress.json"
OF_FOLDER = f"shards/{{part}}{SHARD_SUFFIX}"  # of a folder of images, below the folder of what is predicted

# Folders and files below the folder of results.
OF_CHECKPOINT = "checkpoints/{model}"
OF_DATASET = "datasets/{dataset}"
EXPRESSIONS = "expressions/{dataset}/{split}.json"  # what is asked
SEQUENCES = "sequences/{dataset}/{split}.json"  # what is asked of runs
OF_PREDICTIONS = "predictions/{model}/{dataset}/{split}"
OF_SHARDS = f"{OF_PREDICTIONS}/shards"
OF_WORDS = f"{OF_PREDICTIONS}/words"  # shards of what is asked besides
OF_SCORES = "scores/{model}/{dataset}/{split}"
OF_MASKS = "masks/{model}/{dataset}/{split}"  # of data without truth
OF_COMPARISON = "comparisons/{dataset}/{split}"
EXTERNAL = "comparisons/external.json"  # models on other data sets than the one that each was trained for
TUNED = "thresholds/{model}/{dataset}.json"
CHOSEN = "questions/{model}/{dataset}.json"  # of an entrant whose question is chosen
ANSWERS = "answers"
KERNELS = ".kernels"  # that compilers made for a GPU, in the folder of answers or beside a shard
OF_REPORT = "report"
OF_WATCH = "watch/{model}/{dataset}"  # a training's learning curve
DEMO_ANGIOGRAMS = "demo/angiograms"
DEMO_FILMS = "demo/films"
DEMO_SECOND_ANNOTATION = "demo/second_annotation"
DEMO_VESSELNESS = "demo/vesselness"  # masks of the baseline

# What the folder of a learning curve holds, besides a page.
WATCHED = "checkpoints.json"  # which are scored, and what they were
WATCH_CONFIG = "evaluated.yaml"  # of the run that scored the latest
CURVE = "learning_curve.svg"
CURVE_TABLE = "learning_curve.csv"

# What a report's folder holds.
PAGE = "index.html"
CASES_PAGE = "cases.html"
METHODS = "methods.md"  # paragraphs for a paper
PICTURES = "pictures"  # images of the cases page, where they are too many to stand in it
MANIFEST = "manifest.json"
TABLES = "tables"
FIGURES = "figures"
REPORT = f"{OF_REPORT}/{PAGE}"

# Logs that may name somebody, below the folder of private logs.
PRIVATE_LOG_OF_REPORT = "report.log"
PRIVATE_LOG_OF_CRATE = "crate.log"
PRIVATE_LOG_OF_DATASET = "annotate/{dataset}.log"
PRIVATE_LOG_OF_IMPORT = "import/{model}.{dataset}.{split}.log"


def beside(shard: Path, suffix: str) -> Path:
    """The file of a shard with another suffix; `shard` is its JSON lines."""
    return Path(shard).with_suffix(suffix)
