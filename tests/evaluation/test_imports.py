import subprocess
import sys


def test_scoring_and_comparing_never_import_torch():
    program = (
        "import pkgutil, sys, refvessel.metrics as metrics\n"
        "for module in pkgutil.iter_modules(metrics.__path__, 'refvessel.metrics.'): __import__(module.name)\n"
        "import refvessel.evaluation.split_scoring\n"
        "print('torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False"]
