"""A config source ``thinned://``, with the groups of ``conf/`` below the prefix ``thinned/``.

A user writes ``- thinned/schedule@schedule: cosine``. Their own groups of the same names stay
theirs, and their ``--help`` and completion show nothing of ours: the source says that it has no
group, and answers only where it is asked for one by name. Hydra imports this file in every
application on the machine, so nothing of ours is imported before a path begins with ``thinned/``.
"""

from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin

PREFIX = "thinned/"

# What composes in somebody else's application; the others hold our own top-level nodes.
SHARED = ("callbacks", "schedule", "variant")


class ThinnedConfigSource(ConfigSource):
    """Answers for paths below ``thinned/`` from the folder ``conf/``."""

    @staticmethod
    def scheme() -> str:
        """Return the scheme of the search path's entry."""
        return "thinned"

    def available(self) -> bool:
        """Return True: whether there is a file is decided when one is asked for."""
        return True

    def is_group(self, config_path: str) -> bool:
        """Say whether a path is a group; never of the top, which keeps other apps' help clean."""
        return self._shared(config_path) and self._files().is_group(_inside(config_path))

    def is_config(self, config_path: str) -> bool:
        """Say whether a path is a file."""
        return self._shared(config_path) and self._files().is_config(_inside(config_path))

    def load_config(self, config_path: str) -> ConfigResult:
        """Load a file, as if it lay below ``thinned/``."""
        if not self._shared(config_path):
            msg = f"Config not found : {config_path}"
            raise ConfigLoadError(msg)
        return self._files().load_config(_inside(config_path))

    def list(self, config_path: str, results_filter: ObjectType | None) -> Any:
        """List what a group holds."""
        if not self._shared(config_path):
            return []
        return self._files().list(_inside(config_path), results_filter)

    def _files(self) -> FileConfigSource:
        from thinned.app import _resolvers
        from thinned.app._conf import conf_dir

        _resolvers.register()  # what the files' interpolations mean
        return FileConfigSource(self.provider, f"file://{conf_dir()}")

    @staticmethod
    def _shared(config_path: str) -> bool:
        inside = config_path.startswith(PREFIX)
        return inside and Path(_inside(config_path)).parts[:1] in {(name,) for name in SHARED}


def _inside(config_path: str) -> str:
    return config_path.removeprefix(PREFIX)


class ThinnedSearchPath(SearchPathPlugin):
    """Adds the source to every application's search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append our entry, behind the application's own."""
        search_path.append(provider="thinned", path="thinned://")
