"""`python -m refvessel.cli`"""

from refvessel.cli import main

main()
