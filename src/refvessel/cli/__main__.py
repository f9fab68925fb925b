"""`python -m refvessel.cli`"""

from refvessel.cli import run

run()
