"""The programs of others that tests run: where one is, and what becomes of a test where it is missing."""

from __future__ import annotations

import os
import shutil

import pytest

ALSO_IN = ":/usr/sbin:/usr/local/sbin"
"""Where servers are, which is not on the PATH of ordinary users."""


def program(*names: str, package: str | None = None) -> str:
    """The path of the first of these that is there. Without any the test is skipped; in CI, which installs, it fails.

    package: Debian's, where its name is not that of the program.
    """
    path = os.environ.get("PATH", os.defpath) + ALSO_IN
    for name in names:
        if found := shutil.which(name, path=path):
            return found
    lack = f"needs {names[0]} (apt-get install {package or names[0]})"
    if os.environ.get("CI"):
        pytest.fail(lack)
    pytest.skip(lack)
