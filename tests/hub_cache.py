"""The cache of a hub that is not there: folders in its layout, and downloads that bring them."""

import shutil
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path

from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError


def store(cache: Path, repo: str, files: Path, revision: str, patterns: list[str] | None = None) -> Path:
    """Copy the files of a repository into a cache, as revision main, and return their folder."""
    entry = cache / f"models--{repo.replace('/', '--')}"
    snapshot = entry / "snapshots" / revision
    snapshot.mkdir(parents=True, exist_ok=True)
    for path in files.iterdir():
        if path.is_file() and any(fnmatch(path.name, pattern) for pattern in patterns or ["*"]):
            shutil.copy(path, snapshot / path.name)
    (entry / "refs").mkdir(exist_ok=True)
    (entry / "refs" / "main").write_text(revision)
    return snapshot


class Hub:
    """Stands in for `huggingface_hub.snapshot_download`, with folders as repositories.

    Attributes
    ----------
    downloads : repositories that were asked for over the network, in order.
    """

    def __init__(self, cache: Path, repositories: Mapping[str, Path], revision: str, real) -> None:
        self.cache, self.repositories, self.revision, self._real = cache, repositories, revision, real
        self.downloads: list[str] = []

    def snapshot_download(self, repo_id, *, revision=None, local_files_only=False, **options):
        """Bring the matching files of a repository into the cache; look there alone where that is asked."""
        if local_files_only:
            return self._real(repo_id, revision=revision, local_files_only=True, **options)
        self.downloads.append(repo_id)
        if repo_id not in self.repositories:
            raise RepositoryNotFoundError(f"404: no repository {repo_id}", response=_Response())
        if revision not in (None, "main", self.revision):
            raise RevisionNotFoundError(f"404: no revision {revision}", response=_Response())
        files = self.repositories[repo_id]
        return str(store(self.cache, repo_id, files, self.revision, options.get("allow_patterns")))


class _Response:
    """As much of an answer as the hub's errors read."""

    headers: Mapping[str, str] = {}
    request = None
