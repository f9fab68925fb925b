"""What README, the guides and `docs/` say is so: commands parse, configurations are valid, links lead somewhere.

A command or configuration that needs more than a plain machine says so in a comment before its block, such as
`<!-- needs: gpu -->`. It is checked all the same, as far as it can be without.
"""

import ast
import json
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import commands
import errors
import pytest
import typer
import yaml
from PIL import Image
from snakemake.cli import parse_args
from snakemakes import run_snakemake

import refvessel
from refvessel.cli.app import app
from refvessel.settings.checked import checked_config
from refvessel.yaml_text import parse_yaml

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md")),
    *sorted(DOCS.glob("*.md")),
]
OF_TODAY = [page for page in PAGES if page.name != "CHANGELOG.md"]
NEEDS = {"gpu", "own data"}
MOST_WORDS = 700


@dataclass(frozen=True)
class Block:
    """A piece of code on a page."""

    page: Path
    language: str
    text: str
    needs: str = ""
    inline: bool = False

    def __str__(self) -> str:
        return f"{self.page.name}: {' '.join(self.text.split())[:60]}"


@cache
def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    fenced = re.compile(
        r"(?:<!-- needs: (?P<needs>[^>]*) -->\n)?"
        r"^(?P<indent> *)```(?P<language>\S*)\n(?P<text>.*?)^(?P=indent)```$",
        re.DOTALL | re.MULTILINE,
    )
    return [
        Block(page, each["language"], each["text"], each["needs"] or "")
        for each in fenced.finditer(page.read_text("utf-8"))
    ]


@cache
def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^( *)```.*?^\1```$", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def spans(page: Path, pattern: str) -> list[str]:
    """The pieces of code within a page's lines that match from their beginning."""
    return [span for span in re.findall(r"`([^`\n]+)`", prose(page)) if re.match(pattern, span)]


def command_lines() -> list[Block]:
    """Every command, those in the text among them."""
    lines = []
    for page in OF_TODAY:
        for block in blocks(page):
            if block.language == "bash":
                texts = block.text.replace("\\\n", " ").splitlines()
                lines += [Block(page, "bash", text.strip(), block.needs) for text in texts if text.strip()]
        inline = spans(page, r"(refvessel|snakemake|make) [a-z-]")
        lines += [Block(page, "bash", text, inline=True) for text in inline]
    return lines


def configurations() -> list[Block]:
    """Every configuration or part of one, those in the text among them."""
    sections = r"(models|datasets|evaluations|inference|refinement|scores|privacy): [\[{]"
    return [block for page in OF_TODAY for block in blocks(page) if block.language in ("yaml", "yml")] + [
        Block(page, "yaml", text, inline=True) for page in OF_TODAY for text in spans(page, sections)
    ]


# Commands


def run_refvessel(arguments: list[str], inline: bool) -> None:
    """Parse as the application does, and call nothing."""
    group = command = typer.main.get_command(app)
    for word in arguments:  # a command may have commands of its own
        command = getattr(command, "commands", {}).get(word, command)
    if inline or command is group:  # named, perhaps without all that it needs
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        assert {each for each in arguments if each.startswith("--")} <= known
        assert command is not group or arguments[0] in known
        return
    command.callback = lambda **_: None
    group.main(arguments, prog_name="refvessel", standalone_mode=False)


def run_make(arguments: list[str]) -> None:
    done = subprocess.run(
        ["make", "--dry-run", "--silent", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def run_python(arguments: list[str]) -> None:
    """Scripts and files exist, and a script knows its options."""
    files = [each for each in arguments if "/" in each]
    assert not [each for each in files if not (ROOT / each).exists()]
    if files and files[0] == arguments[0]:
        known = (ROOT / files[0]).read_text("utf-8")
        assert not [each for each in arguments if each.startswith("--") and f'"{each}"' not in known]
    else:
        assert arguments[:2] in (["-m", "pytest"], ["-m", "pip"], ["-m", "venv"])


def without_profile(arguments: list[str]) -> list[str]:
    """Arguments of Snakemake without a profile, which exists; its executor is perhaps not installed here."""
    if "--workflow-profile" not in arguments:
        return arguments
    place = arguments.index("--workflow-profile")
    assert (ROOT / arguments[place + 1]).is_dir()
    return [*arguments[:place], *arguments[place + 2 :]]


@pytest.mark.parametrize("line", command_lines(), ids=str)
def test_a_command_is_one(line, tmp_path, monkeypatch):
    program, *arguments = shlex.split(line.text, comments=True)
    name = Path(program).name.removesuffix("3")
    if name == "refvessel":
        run_refvessel(arguments, line.inline)
    elif name == "snakemake":
        monkeypatch.chdir(tmp_path)
        Path("my.yaml").write_text("{}")
        parse_args(without_profile(arguments))
    elif name == "make":
        run_make(arguments)
    else:
        assert name == "python", f"{program} is no program that this test knows"
        run_python(arguments)


def test_a_command_that_is_none_is_told():
    misspelt = shlex.split("gather a --dataset d --split test --outptu o")
    with pytest.raises(Exception, match="--outptu"):
        run_refvessel(misspelt, inline=False)
    unknown = shlex.split("segment --model m --dataset d --split test --output o --language-weights int4")
    with pytest.raises(Exception, match="'int4'"):
        run_refvessel(unknown, inline=False)


def test_what_needs_more_than_a_plain_machine_says_what():
    stated = {need for page in PAGES for block in blocks(page) for need in block.needs.split(", ") if need}
    assert stated <= NEEDS


# Configurations

BASE = {
    "models": {"mine": {"folder": "model"}},
    "datasets": {"mine": {"format": "labelme", "root": "data", "single_split": "test"}},
    "evaluations": [{"model": "mine", "dataset": "mine", "split": "test"}],
}


@pytest.mark.parametrize("block", configurations(), ids=str)
def test_a_configuration_is_one(block):
    stated = parse_yaml(block.text, block.page.name)
    complete = {key: stated.get(key, BASE[key]) for key in BASE}
    if not {"evaluations", "models"} <= stated.keys():
        complete |= {key: BASE[key] | stated.get(key, {}) for key in ("models", "datasets")}
    if isinstance(stated.get("refinement", {}).get("threshold"), str):
        assert stated["inference"]["save_logits"]
    checked_config(stated | complete)


@pytest.fixture
def readme_example(tmp_path):
    """README's configuration and command as they stand, but for where the data lie, and small data."""
    (configuration,) = (block for block in blocks(ROOT / "README.md") if block.language == "yaml")
    (command,) = (
        line for line in command_lines() if line.page.name == "README.md" and "my.yaml" in line.text
    )
    data = tmp_path / "data"
    (data / "InternVL3-8B").mkdir(parents=True)
    (data / "angiograms").mkdir()
    (data / "InternVL3-8B/config.json").write_text("{}")
    for name in ("sam2_hiera_large.pt", "iter_3672.pth"):
        (data / name).touch()
    for number in ("07_1", "07_2", "12_1"):
        image = data / f"angiograms/{number}.png"
        Image.linear_gradient("L").rotate(int(number[-1])).crop((0, 0, 60, 50)).save(image)
        shape = {"label": "vessel", "shape_type": "polygon", "points": [[5, 5], [40, 8], [20, 30]]}
        page = {"imagePath": image.name, "imageHeight": 50, "imageWidth": 60, "shapes": [shape]}
        image.with_suffix(".json").write_text(json.dumps(page))
    (tmp_path / "my.yaml").write_text(configuration.text.replace("/data/", f"{data}/"))
    _, *arguments = shlex.split(command.text)

    def run(*more):
        done = run_snakemake(["--snakefile", str(ROOT / "Snakefile"), *more, *arguments], tmp_path)
        return done.returncode, done.stdout + done.stderr

    return run


def test_the_example_of_readme_runs_as_it_is_written(readme_example, tmp_path):
    code, told = readme_example("--dry-run")
    assert code == 0, told
    rules = ("convert_checkpoint", "convert_dataset", "gather_predictions", "score_cases", "render_report")
    assert not [rule for rule in rules if rule not in told]
    code, told = readme_example("my_results/datasets/hospital")
    assert code == 0, told
    made = json.loads((tmp_path / "my_results/datasets/hospital/dataset.json").read_text())
    assert made["phrases"] == {"blood vessel": 3}
    assert made["counts"]["patients"] == 2


# Text


def slugs(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and MkDocs make them of plain ones."""
    found: dict[str, int] = {}
    anchors = set()
    for heading in re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE):
        slug = re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading.lower()).strip())
        found[slug] = found.get(slug, -1) + 1
        anchors.add(f"{slug}_{found[slug]}" if found[slug] else slug)
    return anchors


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    dead = []
    for target in re.findall(r"(?<!\\)\]\(([^)\s]+)\)", prose(page)):
        path, _, anchor = target.partition("#")
        if re.match(r"https?://", target):
            continue
        file = page if not path else (page.parent / path).resolve()
        if not file.exists() or (anchor and anchor not in slugs(file)):
            dead.append(target)
        if page.parent == DOCS and not file.is_relative_to(DOCS):
            dead.append(f"{target} (outside the pages that are built)")
    assert not dead


def test_every_path_of_the_project_exists():
    pattern = r"(src|tests|docs|benchmarks|tools|workflow|envs|profiles|\.github)/[\w./-]+$"
    stated = {(page.name, path) for page in OF_TODAY for path in spans(page, pattern) if "NAME" not in path}
    assert sorted((page, path) for page, path in stated if not (ROOT / path).exists()) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_says_its_language_and_is_written_in_it(page):
    for block in blocks(page):
        assert block.language in ("bash", "json", "python", "text", "yaml"), block
        if block.language == "json":
            json.loads(block.text)
        elif block.language == "python":
            ast.parse(block.text)


def test_readme_is_short():
    words = [word for word in (ROOT / "README.md").read_text("utf-8").split() if re.search(r"\w", word)]
    assert len(words) <= MOST_WORDS


@cache
def texts_of_the_sources() -> str:
    """Every text in the package, one per line, with `…` for what is filled in."""
    trees = (ast.parse(path.read_bytes()) for path in sorted(Path(refvessel.__file__).parent.rglob("*.py")))
    nodes = (
        node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.JoinedStr | ast.Constant)
    )
    return "\n".join(" ".join(errors.text_of(node).split()) for node in nodes)


def quoted_messages() -> list[str]:
    """What stands in the first column of the tables of messages and warnings."""
    tables = re.findall(
        r"^\| (?:message|warning) \|.*?(?=\n\n|\Z)", prose(DOCS / "troubleshooting.md"), re.DOTALL | re.M
    )
    return [message for table in tables for message in re.findall(r"^\| `(.*?)` \|", table, re.MULTILINE)]


def said(message: str) -> bool:
    pieces = [piece for piece in (each.strip(" .:;,()") for each in message.split("…")) if len(piece) > 3]
    return bool(re.search(".*".join(map(re.escape, pieces)), texts_of_the_sources()))


def test_a_message_that_is_explained_is_said_somewhere():
    assert [message for message in quoted_messages() if not said(message)] == []


# What is made


@pytest.mark.parametrize(
    ("page", "made"), [(commands.PAGE, commands.commands_page), (errors.PAGE, errors.errors_page)]
)
def test_a_page_made_from_the_code_is_not_stale(page, made):
    assert page.read_text("utf-8") == made(), f"run python tools/{page.stem}.py"


def test_the_version_stands_in_one_place():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"] == {"path": "src/refvessel/__init__.py"}
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))["version"] == refvessel.__version__
    versions = re.findall(r"^## (\d\S*) \(\d{4}-\d\d-\d\d\)$", prose(ROOT / "CHANGELOG.md"), re.MULTILINE)
    assert versions[0] == refvessel.__version__


def test_the_site_builds_strictly_and_loads_nothing_from_a_network(tmp_path):
    pytest.importorskip("mkdocs", reason="the extra docs is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pages = list((tmp_path / "site").glob("*.html"))
    assert len(pages) > len(list(DOCS.glob("*.md")))
    loaded = re.compile(r"<(?:script|img|iframe|link)[^>]*\b(?:src|href)=\"?(?:https?:)?//[^>]*>")
    assert not [tag for page in pages for tag in loaded.findall(page.read_text("utf-8"))]
