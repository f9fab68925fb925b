"""A data set: where it lies, how it is read, what is asked of it, and who is in which split."""

from typing import TYPE_CHECKING, Literal, Self

from pydantic import model_validator

from refvessel.settings.public_layouts import LAYOUTS
from refvessel.settings.section import Location, Number, Section, Stated, setting

if TYPE_CHECKING:
    Layout = str
else:
    Layout = Literal[tuple(sorted(LAYOUTS))]
Target = Literal["phrase", "region"]
CrossingOutlines = Literal["refuse", "draw"]
BY_FOLDER, BY_DATA = "folder", "data"  # how runs are recognised, beside a pattern
HASH_BITS = 256  # of a perceptual hash
WITHOUT_TRUTH = "images"  # the format in which nothing is annotated
DEFAULT_RATIOS = {"train": 0.7, "val": 0.1, "test": 0.2}


class Options(Stated):
    """What a format must know beside the folder."""

    layout: Layout = setting(
        None, "A public data set as it is unpacked; stands for the options that read it."
    )
    images: str = setting(
        None,
        "Of masks, the path template of the images; of coco and labelme, their folder, of labelme where it is "
        "neither the annotations' nor beside it.",
    )
    masks: str = setting(None, "Of masks, the path template of the masks.")
    field_of_view: str | None = setting(None, "Of masks, the path template of the masks of what counts.")
    labels: dict[int | str, str] = setting(None, "Of masks, value of a pixel -> label; excludes threshold.")
    threshold: Number = setting(
        None, "Of masks, the grey level from which on a pixel is foreground.", unit="grey level"
    )
    annotations: str = setting(None, "Of coco, the path template of the annotation files.")
    patient: str = setting(
        None, "Of masks and coco, the template of the patient's name from the fields of paths."
    )
    splits: dict[str, str] = setting(
        None, "Of masks, coco and refvos, value of the field {split}, or name of a split's folder -> split."
    )
    line_width: Number = setting(None, "Of labelme and dicom, the width of linestrips.", unit="pixels")


class Dataset(Section):
    """A data set."""

    format: str = setting(..., "Form of the data; see data/README.md for each.")
    root: Location = setting(..., "Folder of the data.")
    options: Options = setting(
        Options(), "What the format must know beside the folder, e.g. {layout: drive}; see data/README.md."
    )
    phrases: dict[int | str, str | None] | None = setting(
        None,
        "Label -> phrase that the model is asked for, or null to leave the label out; null instead of the "
        "mapping makes each label its own phrase.",
    )
    target: Target = setting(
        "phrase", "What an expression asks for: a phrase, with all its regions, or a region."
    )
    patient_pattern: str | None = setting(
        None,
        "Regular expression on file names without suffix, with a group `patient`, perhaps `frame` and `split`; "
        "null takes the patients from the data or, where everything is in one split, guesses them from the "
        "names, with a warning.",
    )
    patients: Location | None = setting(
        None,
        "CSV file with the columns image, patient and, if wanted, frame and split; excludes the pattern.",
    )
    sequences: str | None = setting(
        None,
        f"How runs are recognised, to be segmented as videos: `{BY_FOLDER}`, the images of a folder in the "
        f"natural order of their names; `{BY_DATA}`, a DICOM file of several frames, a DICOM series of single ones, a "
        "video of refvos, the fields {sequence} and {frame} of masks; or a regular expression on file names "
        "without suffix, with a group `sequence` and perhaps `frame`. Null makes every image its own, but for "
        f"refvos, where it is `{BY_DATA}`.",
        min_length=1,
    )
    splits: dict[str, Number] | None = setting(
        None,
        "Split -> share of the patients, each of whom is in one split only; null keeps the splits that the "
        "data have, else is "
        + ", ".join(f"{split} {share}" for split, share in DEFAULT_RATIOS.items())
        + ".",
    )
    single_split: str | None = setting(None, "Put every patient into this split.")
    split_seed: int = setting(1, "Seed of the patients' order: another seed, another division.")
    split_by_frames: bool = setting(
        False, "Let the shares count frames instead of patients; a new patient can then move a few others."
    )
    near_duplicates: int | None = setting(
        56,
        f"Bits of {HASH_BITS} in which the perceptual hashes of two images of different splits may differ for "
        "their vessels to be compared; where these agree too, the images count as the same, which is an error. "
        "Null compares nothing.",
        unit="bits",
        ge=0,
        lt=HASH_BITS,
    )
    trained_on: Location | None = setting(
        None,
        "Text file of training images, one path or SHA-256 of pixels per line; none may be evaluated on.",
    )
    limit: int | None = setting(
        None,
        "A first look: how many patients of each split are converted and evaluated, which the report's first page "
        "says; null takes them all.",
        unit="patients",
        ge=1,
    )
    include_empty: bool = setting(
        False, "Ask every phrase of every image, with an empty ground truth where it is absent."
    )
    crossing_outlines: CrossingOutlines = setting(
        "refuse",
        "Outlines that cross themselves are an error (refuse), or drawn as COCO draws them (draw): what they "
        "enclose twice is outside.",
    )
    pseudonymise: bool = setting(True, "Replace names by pseudonyms; false publishes the file names.")
    key_file: Location = setting(
        ".refvessel/pseudonym.key",
        "Secret key of the pseudonyms, made where it does not exist; keep it, never publish it.",
        validate_default=True,
    )

    @property
    def has_truth(self) -> bool:
        """False where nothing is annotated: what is predicted can be looked at, and not be scored."""
        return self.format != WITHOUT_TRUTH

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if not self.has_truth and (self.phrases is None or self.target != "phrase"):
            raise ValueError(
                f"format is {self.format!r}, in which nothing is annotated; state in phrases what to ask for, and "
                "leave target out"
            )
        return self

    @property
    def runs(self) -> str | None:
        """How runs are recognised; None where every image is its own."""
        return BY_DATA if self.sequences is None and self.format == "refvos" else self.sequences

    @model_validator(mode="after")
    def _asks_whole_runs(self) -> Self:
        if self.runs is not None and self.target != "phrase":
            raise ValueError(
                f"target is {self.target!r}, but runs are asked for phrases: nothing tells which region of one "
                "frame is which of the next; set target to phrase or leave sequences out"
            )
        return self
