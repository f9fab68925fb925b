"""Data and results on an S3 store behind a bad network: all is as on the disk."""

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cutting_proxy import Proxy, cutting_proxy
from run_differences import differences
from small_demo import SNAKEMAKE, write_small_demo

# `make test-slurm` puts the plugin and a server there, where no other test's Snakemake finds and loads them.
PLACE = Path(sys.prefix) / "store"
BUCKET, PREFIX = "study", "first"
KEYS = {"ACCESS_KEY": "anybody", "SECRET_KEY": "anything"}
SECONDS = 900  # that a run may take on a busy machine


@pytest.fixture(scope="module")
def store() -> Iterator[tuple[Any, int]]:
    """The bucket of an S3 server on loopback, and the server's port."""
    if not (PLACE / "moto").is_dir():
        pytest.skip("no S3 server is installed (`make test-slurm` installs it)")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(PLACE)
        server = importlib.import_module("moto.server").ThreadedMotoServer("127.0.0.1", 0)
        server.start()
        _, port = server.get_host_and_port()
        s3 = importlib.import_module("boto3").resource(
            "s3",
            endpoint_url=f"http://127.0.0.1:{port}",
            aws_access_key_id=KEYS["ACCESS_KEY"],
            aws_secret_access_key=KEYS["SECRET_KEY"],
            region_name="us-east-1",
        )
        yield s3.create_bucket(Bucket=BUCKET), port
        server.stop()


def run(folder: Path, proxy: Proxy) -> str:
    """Run the workflow; returns what its console says."""
    command = [*SNAKEMAKE, "--cores", "1", "--default-storage-provider", "s3"]
    command += ["--default-storage-prefix", f"s3://{BUCKET}/{PREFIX}"]
    settings = KEYS | {"ENDPOINT_URL": f"http://127.0.0.1:{proxy.port}"}
    environment = os.environ | {f"SNAKEMAKE_STORAGE_S3_{name}": told for name, told in settings.items()}
    environment["PYTHONPATH"] = os.pathsep.join([str(PLACE), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def fetch(bucket: Any, folder: Path) -> Path:
    """Copy all that the run left in the bucket; returns the folder of results."""
    for each in bucket.objects.filter(Prefix=f"{PREFIX}/results/"):
        path = folder / each.key
        path.parent.mkdir(parents=True, exist_ok=True)
        each.Object().download_file(path)
    return folder / PREFIX / "results"


def test_a_run_on_a_store_is_the_run_on_the_disk_though_connections_are_cut(store, plain_run, tmp_path, tell):
    bucket, port = store
    plain, its_folder = plain_run
    assert plain.wait(timeout=SECONDS) == 0, (its_folder / "console.txt").read_text()
    for path in (its_folder / "results/demo/angiograms").iterdir():
        bucket.upload_file(path, f"{PREFIX}/results/data/{path.name}")
    folder = write_small_demo(tmp_path / "run", root="results/data")

    with cutting_proxy(port, every=60) as proxy:
        told = run(folder, proxy)
    assert proxy.cut
    assert "Dice, mean over patients" in told
    assert f"Report: s3://{BUCKET}/{PREFIX}/results/report/index.html" in told
    assert not (folder / "results").exists()

    compared = differences(fetch(bucket, tmp_path), its_folder / "results")
    tell(compared.summary(), f"{proxy.cut} of {proxy.passed} pieces of answers were cut off.")
    assert compared.different == []
    # Answers of a job that is interrupted are kept beside it; the data were made here and brought there.
    assert {Path(name).parts[0] for name in compared.absent} == {"answers", "demo", "data"}

    with cutting_proxy(port, every=1_000_000) as good:
        assert "Nothing to be done" in run(folder, good)
