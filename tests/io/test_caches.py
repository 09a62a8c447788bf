"""What libraries compile has a place to stay, also where the environment and HOME are read-only."""

import os
import shutil
import stat
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest
from machines import python, without_privileges

from innerear.io import caches

# librosa's own decorators ask for a cache when it is imported, as UMAP's do.
COMPILES = """
import os, sys
import innerear.acoustics
import librosa.util.utils
print(librosa.__file__.startswith(sys.argv[1]), os.environ.get("NUMBA_CACHE_DIR", ""))
"""


@pytest.fixture
def read_only(tmp_path):
    """The environment of a process with a librosa and a HOME that it cannot write."""
    place = Path(find_spec("librosa").submodule_search_locations[0])
    site, home = tmp_path / "site", tmp_path / "home"
    shutil.copytree(place, site / "librosa", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tmp").mkdir()
    home.mkdir()
    folders = [home, *(path for path in (site, *site.rglob("*")) if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    source = Path(caches.__file__).parents[2]
    unset = ("NUMBA_CACHE_DIR", "MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    path = os.pathsep.join(map(str, (site, source)))
    yield kept | {"HOME": str(home), "TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": path}
    for folder in folders:
        folder.chmod(0o755)


def test_numba_has_a_cache_where_nothing_else_can_be_written(read_only, tmp_path):
    done = python(COMPILES, tmp_path, env=read_only, preexec_fn=without_privileges)
    assert done.returncode == 0, done.stderr[-500:]
    copied, cache = done.stdout.split()
    assert copied == "True"
    assert cache == str(tmp_path / f"tmp/innerear-cache-{os.getuid()}/numba-0")
    assert stat.S_IMODE(Path(cache).parent.stat().st_mode) == 0o700


def test_without_the_cache_numba_refuses(read_only, tmp_path):
    """Else the test above shows nothing."""
    code = COMPILES.replace("import innerear.acoustics", "")
    done = python(code, tmp_path, env=read_only, preexec_fn=without_privileges)
    assert "no locator available" in done.stderr


def test_matplotlib_has_a_cache_where_home_cannot_be_written(read_only, tmp_path):
    code = "import os, innerear.figures.drawing.style as style; print(os.environ['MPLCONFIGDIR'])"
    done = python(code, env=read_only, preexec_fn=without_privileges)
    assert done.stdout.strip() == str(tmp_path / f"tmp/innerear-cache-{os.getuid()}/matplotlib")
    assert done.stderr == ""


def test_processes_at_once_have_numba_caches_of_their_own(read_only, tmp_path):
    read_only["NUMBA_CACHE_DIR"] = str(tmp_path / "home/none")
    code = "import os; import innerear.acoustics; print(os.environ['NUMBA_CACHE_DIR'][-1]); {more}"
    again = "import subprocess, sys; print(subprocess.run([sys.executable, '-c', sys.argv[1]], text=True, "
    again += "capture_output=True, env=os.environ | {'NUMBA_CACHE_DIR': os.environ['HOME'] + '/none'})"
    again += ".stdout.strip())"
    done = python(code.format(more=again), code.format(more=""), env=read_only, preexec_fn=without_privileges)
    assert done.stdout.split() == ["0", "1"], done.stderr
    done = python(code.format(more=""), env=read_only, preexec_fn=without_privileges)
    assert done.stdout.split() == ["0"]


def test_make_gives_snakemake_a_cache_where_home_cannot_be_written(read_only):
    command = ["make", "--silent", "--eval", "shown:; @echo $$XDG_CACHE_HOME", "shown"]
    root = Path(caches.__file__).parents[3]
    options = {"cwd": root, "capture_output": True, "text": True, "check": True}
    home = Path(read_only["HOME"])
    done = subprocess.run(command, env=read_only, preexec_fn=without_privileges, **options)
    assert done.stdout.strip() == str(root / ".snakemake/cache")
    home.chmod(0o755)
    assert subprocess.run(command, env=read_only, **options).stdout.strip() == ""
    assert (home / ".cache").is_dir()


def test_a_cache_that_another_user_may_have_filled_is_not_used(tmp_path, monkeypatch):
    monkeypatch.setattr(caches.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(caches.tempfile, "mkdtemp", lambda prefix: str(tmp_path / "fresh"))
    expected = tmp_path / f"innerear-cache-{os.getuid()}"
    assert caches.own_cache() == expected
    expected.chmod(0o777)
    assert caches.own_cache() == tmp_path / "fresh"
    expected.rmdir()
    (tmp_path / "elsewhere").mkdir()
    expected.symlink_to("elsewhere")
    assert caches.own_cache() == tmp_path / "fresh"


def test_nothing_is_set_where_libraries_find_a_place(monkeypatch, tmp_path):
    for name in ("NUMBA_CACHE_DIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    caches.provide_numba_cache("librosa")
    caches.provide_matplotlib_cache()
    assert not {"NUMBA_CACHE_DIR", "MPLCONFIGDIR"} & set(os.environ)
