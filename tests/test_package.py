"""What a user meets before the first line of code: metadata, types, command, import time."""

import os
import re
import subprocess
import sys
import tomllib
from importlib import import_module, metadata, resources
from pathlib import Path

import pytest

import fusedelta

ROOT = Path(__file__).parents[1]
IMPORT_BUDGET = 0.060  # seconds more than NumPy alone; about 40 ms were measured
OPTIONAL = {"matplotlib", "safetensors", "sklearn", "scipy", "torch", "psutil"}


def run_python(code, **environment):
    """Run the code in a fresh interpreter and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    return done.stdout


def test_version_is_written_in_one_place():
    assert fusedelta.__version__ == metadata.version("fusedelta")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "version" in project["dynamic"]
    written = [
        path.name
        for path in [ROOT / "setup.py", *(ROOT / "src").rglob("*.py")]
        if f'"{fusedelta.__version__}"' in path.read_text(encoding="utf-8")
    ]
    assert written == ["_version.py"]


def test_changelog_tells_of_this_version():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(
        rf"^## \[{re.escape(fusedelta.__version__)}\] - \d{{4}}-\d\d-\d\d$", text, re.M
    )


def test_numpy_is_all_that_running_needs():
    needed = [line for line in metadata.requires("fusedelta") if "extra ==" not in line]
    assert [re.match(r"[\w-]+", line)[0] for line in needed] == ["numpy"]


def test_types_are_shipped():
    assert (resources.files("fusedelta") / "py.typed").is_file()


def test_command_is_installed():
    (command,) = metadata.entry_points(group="console_scripts", name="fusedelta")
    assert callable(command.load())


@pytest.mark.parametrize(
    "pyx", sorted((ROOT / "src/fusedelta").glob("*.pyx")), ids=lambda p: p.stem
)
def test_every_cython_source_is_built_for_this_python(pyx):
    module = import_module(f"fusedelta.{pyx.stem}")
    assert Path(module.__file__).suffix in {".so", ".pyd"}


def test_public_names_exist_and_are_documented():
    for name in fusedelta.__all__:
        value = getattr(fusedelta, name)
        assert name == "__version__" or value.__doc__, f"{name} has no docstring"


def test_import_loads_no_optional_package():
    loaded = run_python("import sys, fusedelta; print(*{m.partition('.')[0] for m in sys.modules})")
    assert not OPTIONAL & set(loaded.split())


def test_import_costs_little_more_than_numpy(tmp_path):
    code = (
        "import numpy, time; start = time.process_time(); import fusedelta; "
        "print(time.process_time() - start)"
    )
    # An installed package has its bytecode (here the first run writes it), and the threads of
    # NumPy's BLAS, which spin after its import, are not ours to count. On a busy machine it may
    # take some tries to see the real cost.
    environment = {
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "",
        "PYTHONPYCACHEPREFIX": str(tmp_path),
    }
    assert any(float(run_python(code, **environment)) < IMPORT_BUDGET for _ in range(20))
