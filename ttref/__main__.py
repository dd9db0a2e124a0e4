"""``python -m ttref`` is the command ``ttref``."""

import sys

from ttref.cli import main

sys.exit(main())
