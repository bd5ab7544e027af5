"""An ini file as it was read at one moment, so that every process builds its settings of the same text."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from wsproxy.check import check_files
from wsproxy.config.build import load
from wsproxy.config.errors import ConfigError
from wsproxy.config.model import Config
from wsproxy.reload import ReloadError


@dataclass(frozen=True, slots=True)
class Source:
    """The text of an ini file. path: as the user wrote it. directory: that relative paths begin at.

    The text is bytes read as latin-1, which any bytes are: what is wrong with them is for the reader to say.
    """

    text: str
    path: str
    directory: str

    @classmethod
    def read(cls, path: str) -> Self:
        """The file as it is now. Raises ConfigError for one that cannot be read."""
        try:
            text = Path(path).read_bytes()
        except OSError as error:
            raise ConfigError.unreadable(path, error.strerror or str(error)) from None
        return cls(text.decode("latin-1"), path, str(Path(path).resolve().parent))

    def load(self) -> Config:
        """Check it and build its settings. Raises ConfigError."""
        return load(self.text.encode("latin-1"), self.path, os.environ, self.directory)

    def reload(self) -> Config:
        """The same with a look at the files that it names. Raises ConfigError, ReloadError."""
        config = self.load()
        fatal = [str(finding) for finding in check_files(config) if finding.is_fatal]
        if fatal:
            raise ReloadError("\n".join(fatal))
        return config
