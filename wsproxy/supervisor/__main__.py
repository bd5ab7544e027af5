"""`python -m wsproxy.supervisor CHANNEL TURNS COUNTS`: a data plane process, which only its parent starts."""

import sys

from wsproxy.supervisor.dataplane_process import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
