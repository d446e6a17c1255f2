"""``python -m hessbit`` is the command line."""

import sys

from hessbit.cli import main

sys.exit(main())
