"""`python -m gateway` is `dragoman`."""

import sys

from gateway.cli import main

sys.exit(main())
