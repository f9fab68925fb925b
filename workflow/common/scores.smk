# What is refined, scored, compared and reported.
from pathlib import Path

from refvessel import artifacts


def of_evaluations(pattern, entries=None):
    """One path per entrant and split, of all or of these; the pattern has {model}, {dataset} and {split}."""
    entries = settings.entries() if entries is None else entries
    return [pattern.format(**entry.places) for entry in entries]


def of_videos(pattern):
    """One path per split on which frames are segmented as videos."""
    videos = [entry for entry in settings.entries() if entry.entrant.kind == "video"]
    return [pattern.format(**entry.places) for entry in videos]


def of_sequences(pattern):
    """One path per entrant and split whose data set has runs; the pattern as in `of_evaluations`."""
    return [
        pattern.format(**entry.places)
        for entry in settings.scored_entries()
        if settings.datasets[entry.dataset].runs
    ]


def refinement_of(wildcards):
    """What becomes of an entrant's masks before they are scored."""
    imported = wildcards.model in entrants_by("imported")
    return settings.refinement.of_imports() if imported else settings.refinement


def tuned_threshold(wildcards):
    """The file of the tuned threshold, where it is tuned."""
    tuned = isinstance(refinement_of(wildcards).threshold, str)
    return {"threshold": at(artifacts.TUNED)} if tuned else {}


def scored_predictions():
    """The table that is scored: the refined one where anything is refined."""
    return at(artifacts.OF_PREDICTIONS, settings.scored_table())


def scoring_settings(*names):
    """Some of the settings under `scores`; a rule that has only those it uses is not rerun by others."""
    return {name: settings.scores.canonical()[name] for name in names}


def comparisons(pattern):
    """One path per split on which several are compared; the pattern has {dataset} and {split}."""
    return [
        pattern.format(dataset=dataset, split=split)
        for dataset, split in settings.compared_splits()
    ]


def sequence_comparisons(pattern):
    """The same of splits on which several are compared; the pattern has {dataset} and {split}."""
    return [
        pattern.format(dataset=dataset, split=split)
        for dataset, split in settings.compared_splits()
        if settings.datasets[dataset].runs
    ]


def external_comparison():
    """The file of models on other data sets than their own; none where there is none such."""
    return [at(artifacts.EXTERNAL)] if settings.away_from_home() else []


def scores_file(name):
    """A file of an entrant's scores, as reports of Snakemake show it."""
    kind = Path(name).stem
    places = {key: f"{{{key}}}" for key in ("model", "dataset", "split")}
    return report(
        at(artifacts.OF_SCORES, name),
        caption=f"../report/{kind}.rst",
        category="Scores",
        labels={**places, "file": kind},
    )


def labels_of_figure(wildcards):
    """How Snakemake's report lists a figure: `MODEL.DATASET.SPLIT.FIGURE`, and those of several models."""
    places = wildcards.figure.split(".", 3)
    if len(places) < 4 or places[0] == "compared":
        return {"model": "", "dataset": "", "split": "", "figure": wildcards.figure}
    return dict(zip(("model", "dataset", "split", "figure"), places, strict=True))
