"""``python -m citrus_grade.cli``."""

import sys

from citrus_grade.cli.main import main

sys.exit(main())
