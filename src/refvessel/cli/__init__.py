"""The command line: each command names its inputs and calls one function of the package.

Heavy packages are imported inside the commands, so that `refvessel --help` answers at once.
"""

import sys
from pathlib import Path

from refvessel.cli import (  # noqa: F401  (their commands join the application)
    caption_command,
    checkpoint_commands,
    crate_command,
    data_commands,
    doctor_command,
    gcg_command,
    import_command,
    official_commands,
    pairs_command,
    power_command,
    predict_command,
    prediction_commands,
    report_command,
    run_command,
    score_commands,
    video_commands,
    watch_command,
)
from refvessel.cli.app import app
from refvessel.errors import UserError
from refvessel.files import full_disk_is_a_user_error
from refvessel.jobs.ending import end_at_once
from refvessel.model.library import load_by_parts


def main() -> None:
    """Run the command line; a user's mistake is one sentence and status 1."""
    load_by_parts()
    try:
        with full_disk_is_a_user_error(Path("What this command writes")):
            app()
    except UserError as error:
        print(f"refvessel: {error}", file=sys.stderr)
        sys.exit(1)


def run() -> None:
    """As `main`, of a process that has nothing else to do."""
    try:
        main()
    except SystemExit as ended:
        if ended.code:
            raise
    end_at_once()
