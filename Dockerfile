# All of it: commands, workflow, profiles and the demo. `docker build --tag refvessel .` makes it for NVIDIA GPUs,
#   docker build --tag refvessel --build-arg PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu .
# for machines without. refvessel.def makes the same for Apptainer.
FROM python:3.11-slim

# Compiled models (`inference.compiled`) need the compiler, too.
RUN apt-get update && apt-get install --yes --no-install-recommends gcc g++ make

WORKDIR /opt/refvessel
COPY LICENSE Makefile README.md Snakefile config.yaml constraints.txt pyproject.toml ./
COPY data/demo data/demo
COPY envs envs
COPY profiles profiles
COPY src src
COPY workflow workflow

ARG PIP_EXTRA_INDEX_URL
RUN make .venv/.ready EXTRAS=

ENV PATH=/opt/refvessel/.venv/bin:$PATH
WORKDIR /work
CMD ["refvessel", "--help"]
