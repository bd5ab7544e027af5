"""Load on the proxy: `locustfile` for a quick look, `compare` for figures beside nginx, HAProxy and aiohttp."""
