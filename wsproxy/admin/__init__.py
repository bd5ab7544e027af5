"""The admin listener: API, metrics endpoint and live dashboard, with who may use them."""
