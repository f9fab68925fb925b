"""Rule segment_sequences: the runs of one shard, frame by frame in the light of those before."""

from pathlib import Path

from refvessel import artifacts
from refvessel.inference.sequence_tasks import tasks_of_split
from refvessel.jobs.ending import end_at_once
from refvessel.model.library import load_by_parts
from refvessel.predictions.chosen_question import read_chosen_question
from refvessel.settings.inference_section import Inference
from refvessel.settings.video_section import Video
from refvessel.workflow import logged

# Of the whole configuration: what changes no answer is not among the rule's parameters, which would rerun it.
settings = Inference.model_validate(snakemake.config["inference"] | {"threads": snakemake.threads})
shard, sam2 = Path(snakemake.output.shard), snakemake.input.get("sam2")
chosen = snakemake.input.get("question")
question = read_chosen_question(Path(chosen)) if chosen else snakemake.params.question
dataset, split = Path(snakemake.input.dataset), snakemake.wildcards.split
load_by_parts()
with logged(snakemake.log[0]):
    from refvessel.inference.sequence_run import segment_sequences  # loads the library

    segment_sequences(
        model=Path(snakemake.input.model),
        tasks=tasks_of_split(dataset, split),
        name=f"{dataset.name}.{split}",
        split=split,
        output=shard,
        shard=snakemake.wildcards.part.replace("-of-", "/"),
        answers=shard.parents[len(Path(artifacts.OF_SHARDS).parts)] / artifacts.ANSWERS,
        sam2=Path(sam2) if sam2 else None,
        settings=settings,
        video=Video.model_validate(snakemake.config["video"]).asking(question),
    )
end_at_once()
