"""`python -m wsproxy.supervisor END TURNS COUNTS`: the fork server, which only a proxy's parent process starts."""

import sys

from wsproxy.supervisor.fork_server import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
