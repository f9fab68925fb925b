"""What a script says on the console and in its public log, where what it prints may name somebody."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from refvessel.errors import UserError
from refvessel.jobs.runs import refusals
from refvessel.workflow import logged_in_private

NAME = "Oyelaran"


@pytest.fixture
def logs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where the run tells at its end why jobs ended
    (tmp_path / "logs").mkdir()
    old = tmp_path / "private" / "logs"
    old.mkdir(parents=True, mode=0o755)
    return str(tmp_path / "logs" / "a.log"), str(old / "annotate" / "a.log")


def ended(logs, work, **options):
    with pytest.raises(SystemExit) as ending, logged_in_private(*logs, **options):
        work()
    assert ending.value.code == 1


def refuse():
    raise UserError(f"2 problems were found:\n- {NAME}_1.json is broken.\n- {NAME}_2.json is broken.")


def break_down():
    print(f"reading {NAME}")
    os.write(2, f"a library says {NAME}\n".encode())
    subprocess.run([sys.executable, "-c", f"print('a child says {NAME}')"], check=True)
    raise KeyError(NAME)


@pytest.mark.parametrize(
    ("work", "told"), [(refuse, "2 problems were found in the data"), (break_down, "an unexpected KeyError")]
)
def test_the_console_has_one_sentence_and_the_path_of_the_private_log(logs, work, told, capfd):
    ended(logs, work)
    console = "".join([*capfd.readouterr(), *refusals()])
    public, private = (Path(path).read_text() for path in logs)
    assert told in console
    assert told in public
    assert logs[1] in console
    assert len(console.splitlines()) == 1
    assert NAME not in console + public
    assert NAME in private


def test_all_that_is_printed_is_private(logs, capfd):
    ended(logs, break_down)
    private = Path(logs[1]).read_text()
    for said in ("reading", "a library says", "a child says", "KeyError:"):
        assert said in private
    assert NAME not in "".join([*capfd.readouterr(), *refusals()])


def test_private_logs_and_their_folders_are_closed_to_others_also_older_ones(logs, tmp_path):
    ended(logs, refuse)
    log = Path(logs[1])
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    for folder in (log.parent, tmp_path / "private" / "logs"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_names_are_told_on_the_console_where_that_is_asked_for(logs):
    ended(logs, refuse, names_on_screen=True)
    assert f"{NAME}_1.json is broken" in refusals()[0]
    assert NAME not in Path(logs[0]).read_text()


def test_a_success_leaves_the_console_as_it_was(logs, capfd):
    with logged_in_private(*logs):
        print("within")
    print("behind")
    assert capfd.readouterr().out == "behind\n"
    assert Path(logs[1]).read_text() == "within\n"
