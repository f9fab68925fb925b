"""Rule import_predictions: masks of another model or annotator as the predictions of a split."""

from pathlib import Path

from refvessel.imports.importing import import_predictions
from refvessel.privacy.name_tables import table_of_tree
from refvessel.settings.dataset_section import Dataset
from refvessel.settings.model_section import Model
from refvessel.workflow import logged_in_private

# Neither inputs nor parameters: Snakemake keeps those, and prints them, and a path may name somebody.
config, wildcards = snakemake.config, snakemake.wildcards
settings = Model.model_validate(config["models"][wildcards.model])
# Where a storage holds what another rule made, the input is a copy of it.
if made := snakemake.input.get("made"):
    settings = settings.model_copy(update={"predictions": Path(made[0])})
data = Dataset.model_validate(config["datasets"][wildcards.dataset])
tree = Path(snakemake.input.dataset)
on_screen = config["privacy"]["names_on_screen"] or not data.pseudonymise
with logged_in_private(snakemake.log[0], snakemake.params.private_log, names_on_screen=on_screen):
    import_predictions(
        dataset=tree,
        split=wildcards.split,
        settings=settings,
        output=Path(snakemake.output[0]),
        names=table_of_tree(tree, data.key_file) if data.pseudonymise else None,
    )
