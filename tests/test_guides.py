"""The guides, which are docstrings of modules: the README leads to them, and their examples run."""

import doctest
import pkgutil
import re
from importlib import import_module
from pathlib import Path

import pytest

import fusedelta

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODULES = [
    module.name for module in pkgutil.iter_modules(fusedelta.__path__) if module.name != "__main__"
]
LINKED = re.findall(r"\]\(src/fusedelta/(\w+)\.py\)", README)


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name):
    module = import_module(f"fusedelta.{name}")
    results = doctest.testmod(module)
    assert results.failed == 0
    assert results.attempted or ">>>" not in (module.__doc__ or "")


def test_the_readme_leads_to_every_guide():
    guides = {
        name for name in MODULES if ">>>" in (import_module(f"fusedelta.{name}").__doc__ or "")
    }
    assert set(LINKED) == guides
    assert len(LINKED) == len(guides)


def test_links_of_the_readme_lead_somewhere():
    for link in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / link).exists(), link


def test_names_in_the_readme_exist():
    for name in set(re.findall(r"`fd\.([A-Za-z_]+)", README)):
        assert getattr(fusedelta, name) is not None
