"""Check what is in the sdist and in the wheels of a folder: ``python .ci/check_dist.py dist``."""

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

WHEEL_LIMIT = 1_600_000  # bytes
IN_WHEEL = re.compile(
    r"fusedelta/(py\.typed|\w+\.(py|pyi|pxd)|_\w+\.[\w.-]+\.(so|pyd))"
    r"|fusedelta-[\w.]+\.dist-info/.+"
)


def check_sdist(path):
    """Every file under version control is there, and nothing that was compiled."""
    with tarfile.open(path) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    listing = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True)
    missing = set(listing.stdout.split("\n")) - {""} - held
    assert not missing, f"{path.name} lacks {sorted(missing)}"
    compiled = [name for name in held if name.endswith((".so", ".pyd", ".o", ".pyc"))]
    assert not compiled, f"{path.name} holds {compiled}"
    return held


def check_wheel(path, modules):
    """Only the package: Python, types, pxd and every compiled module, in less than the limit."""
    size = path.stat().st_size
    assert size < WHEEL_LIMIT, f"{path.name} has {size:,} bytes, the limit is {WHEEL_LIMIT:,}"
    names = zipfile.ZipFile(path).namelist()
    strangers = [name for name in names if not IN_WHEEL.fullmatch(name)]
    assert not strangers, f"{path.name} holds {strangers}"
    built = {Path(name).name.partition(".")[0] for name in names if name.endswith((".so", ".pyd"))}
    assert built == modules, f"{path.name} holds the modules {built}, not {modules}"
    assert "fusedelta/py.typed" in names, f"{path.name} lacks py.typed"
    return size


def main(folder):
    """Check one sdist and all wheels."""
    (sdist,) = folder.glob("*.tar.gz")
    held = check_sdist(sdist)
    modules = {Path(name).stem for name in held if name.endswith(".pyx")}
    print(f"{sdist.name}: {len(held)} entries")
    for wheel in folder.glob("*.whl"):
        print(f"{wheel.name}: {check_wheel(wheel, modules):,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
