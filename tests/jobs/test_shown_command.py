"""A run's command on its page: what was asked for, and nothing that names somebody."""

import pytest

from refvessel.jobs.shown_command import shown_command


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["/home/her/.venv/bin/snakemake", "--cores", "2"], "snakemake --cores 2"),
        (["/opt/snakemake/__main__.py", "-c", "all", "--keep-going"], "snakemake -c all --keep-going"),
        (["snakemake", "--configfile", "/data/her/mine.yaml"], "snakemake --configfile …"),
        (["snakemake", "--storage-s3-secret-key=S3CR3T", "-j=8"], "snakemake --storage-s3-secret-key=… -j=8"),
        (
            ["snakemake", "--executor", "slurm", "--profile", "slurm"],
            "snakemake --executor slurm --profile …",
        ),
        (["snakemake", "--config", "models={her: x}", "<b>", "all"], "snakemake --config … … all"),
        (["snakemake", "12345678"], "snakemake …"),  # somebody's number, perhaps
    ],
)
def test_options_and_numbers_are_shown_and_paths_names_and_secrets_are_not(arguments, shown):
    assert shown_command(arguments) == shown
