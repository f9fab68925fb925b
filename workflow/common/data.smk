# Data sets.
from refvessel.provenance import state_of_data


def dataset_settings(wildcards):
    return settings.datasets[wildcards.dataset]


def made_by_the_workflow(wildcards):
    """The folder of the data where the workflow makes it, else none: Snakemake prints and keeps what it is given."""
    root = dataset_settings(wildcards).root
    return [str(root)] if below_results(root) else []


def dataset_state(wildcards):
    """A hash that changes where a setting or a file of the data does; paths do not show."""
    made = made_by_the_workflow(wildcards)
    return state_of_data(dataset_settings(wildcards).canonical(), with_root=not made)


def key_files():
    """Data set -> key, of those with pseudonyms; beside the key lie the names, none of which a report may hold."""
    return {
        name: str(settings.datasets[name].key_file)
        for name in settings.evaluated("dataset")
        if settings.datasets[name].pseudonymise
    }
