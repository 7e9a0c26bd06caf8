"""What a user meets before the first line of code: metadata, names, types, command, import."""

import ast
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
IMPORT_BUDGET = 0.030  # seconds more than NumPy alone; about 3 ms were measured
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


def test_type_checkers_are_told_of_the_same_names():
    stub = ast.parse((ROOT / "src/fusedelta/__init__.pyi").read_text(encoding="utf-8"))
    told = {(line.module, name.name, name.asname) for line in stub.body for name in line.names}
    modules = {("fusedelta", name, name) for name in fusedelta._NAMES}
    names = {(f"fusedelta.{home}", name, name) for name, home in fusedelta._HOMES.items()}
    assert told == {*modules, *names, ("fusedelta._version", "__version__", "__version__")}


def test_no_name_is_hidden_by_the_module_of_that_name():
    modules = {path.stem for path in (ROOT / "src/fusedelta").glob("*.py")}
    assert not modules & set(fusedelta._HOMES)


def test_all_names_can_be_imported_at_once():
    names = run_python("from fusedelta import *; print(*dir())").split()
    assert set(names) >= set(fusedelta.__all__)


def test_names_are_listed_before_they_are_imported():
    listed = run_python("import fusedelta; print(*dir(fusedelta))").split()
    assert set(listed) > {*fusedelta.__all__, "layers", "losses", "optimizers", "__doc__"}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'fusedelta' has no attribute 'Conv2D'"):
        fusedelta.Conv2D  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Conv2D'"):
        from fusedelta import Conv2D  # noqa: F401


# ------------------------------------------------------------------------------------- the import


def loaded_by(code):
    """The modules that the code loads."""
    return set(run_python(f"{code}; import sys; print(*sys.modules)").split())


def test_import_loads_only_what_chooses_the_kernels():
    ours = {name for name in loaded_by("import fusedelta") if name.startswith("fusedelta.")}
    assert ours == {f"fusedelta.{name}" for name in ("_cpu", "_start", "_threads", "_version")}


def test_a_network_loads_only_what_it_needs():
    build = "fd.Sequential([fd.Dense(1)], 'mean_squared_error').fit([[1]], [[1]], verbose=0)"
    loaded = loaded_by(f"import fusedelta as fd; {build}")
    assert not OPTIONAL & {name.partition(".")[0] for name in loaded}
    unneeded = {
        "normalization",
        "reference",
        "comparison",
        "saving",
        "cli",
        "plots",
        "config",
    }
    assert not loaded & {f"fusedelta.{name}" for name in unneeded}


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
