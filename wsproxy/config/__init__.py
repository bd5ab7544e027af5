"""PURE: the ini file: reading, checking and the frozen settings that everything else is built from."""
