"""`python -m wsproxy proxy.ini`."""

import sys

from wsproxy.cli import main

sys.exit(main())
