"""Whatever else is installed, audiocraft imports quickly and the real packages can be imported after it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_SCRIPT = """
import sys
from innerear.models.imports import _StandIn, import_audiocraft, import_transformers_musicgen
import_audiocraft()
import_transformers_musicgen()
assert not [name for name, module in sys.modules.items() if isinstance(module, _StandIn)]
import torch._dynamo
import torch._dynamo.utils
assert torch._dynamo.utils is sys.modules["torch._dynamo.utils"]
from transformers import MusicgenForConditionalGeneration, MusicgenMelodyForConditionalGeneration
assert issubclass(MusicgenForConditionalGeneration, sys.modules["transformers"].PreTrainedModel)
print("real" if torch._dynamo.utils.is_compile_supported("cpu") in (True, False) else "")
"""


def imported(path):
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([*path, str(root / "src")])}
    return subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, env=environment)


@pytest.fixture
def torchvision(tmp_path):
    """A folder with what transformers asks of torchvision, which imports from torch's compiler."""
    package = tmp_path / "torchvision"
    (package / "transforms" / "v2").mkdir(parents=True)
    names = "NEAREST NEAREST_EXACT BILINEAR BICUBIC BOX HAMMING LANCZOS"
    files = {
        "torchvision/__init__.py": "from torch._dynamo.utils import is_compile_supported\n",
        "torchvision/io.py": "",
        "torchvision/transforms/__init__.py": f"import enum\nInterpolationMode = enum.Enum('M', '{names}')\n",
        "torchvision/transforms/functional.py": "",
        "torchvision/transforms/v2/__init__.py": "",
        "torchvision/transforms/v2/functional.py": "",
        "torchvision-0.dist-info/METADATA": "Metadata-Version: 2.1\nName: torchvision\nVersion: 0\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_real_packages_follow_the_stand_ins():
    done = imported([])
    assert done.stdout == "real\n", done.stderr


def test_a_package_that_needs_what_is_stood_in_for_gets_the_real_one(torchvision):
    done = imported([str(torchvision)])
    assert done.stdout == "real\n", done.stderr


NO_XFORMERS = """
import sys
class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "xformers":
            raise ModuleNotFoundError("No module named 'xformers'", name="xformers")
sys.meta_path.insert(0, Without())
"""


@pytest.mark.parametrize(
    "before",
    [
        "from innerear.models.imports import *\nimport_audiocraft()\nimport audiocraft",
        "try:\n    import audiocraft\nexcept ModuleNotFoundError:\n    print('none')",
    ],
)
def test_audiocraft_is_imported_without_xformers_before_or_after_innerear(before):
    code = f"{NO_XFORMERS}{before}\nimport innerear\nprint(innerear.load_model('nano').name)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split()[-1:] == ["nano"], done.stderr
    assert ("none" in done.stdout) == ("try" in before)
