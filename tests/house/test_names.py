"""The house is in order: public names, docstrings, sizes, one stem a feature."""

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import pellucid

SOURCE = Path(pellucid.__file__).parent
MODULES = [name for _, name, _ in pkgutil.walk_packages(pellucid.__path__, "pellucid.") if "__main__" not in name]
LONGEST_MODULE = 400
"""Code lines past which a module is no longer one reading; 250 is the aim."""


def code_lines(path: Path) -> int:
    """Lines that are neither blank, comment nor docstring."""
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    prose: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            prose.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(text.splitlines(), start=1)
    return sum(1 for number, line in lines if line.strip() and not line.strip().startswith("#") and number not in prose)


@pytest.mark.parametrize("name", MODULES)
def test_public_names_are_those_listed(name):
    module = importlib.import_module(name)
    assert module.__doc__, "a module says what it is for"
    defined = {
        key
        for key, value in vars(module).items()
        if not key.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == module.__name__
    }
    listed = set(getattr(module, "__all__", []))
    assert defined <= listed, f"public but not in __all__: {sorted(defined - listed)}"
    missing = [key for key in listed if not hasattr(module, key)]
    assert not missing, f"in __all__ but not there: {missing}"


def test_the_package_offers_what_it_lists():
    for key in pellucid.__all__:
        assert getattr(pellucid, key) is not None
    assert set(pellucid.__all__) <= set(dir(pellucid))


def test_modules_fit_one_reading():
    long = {
        str(path.relative_to(SOURCE)): n for path in SOURCE.rglob("*.py") if (n := code_lines(path)) > LONGEST_MODULE
    }
    assert not long


def test_every_result_is_drawn_and_shown_by_its_own_name():
    results = {
        path.stem
        for path in (SOURCE / "results").glob("*.py")
        if f'schema: ClassVar[str] = "{path.stem}/' in path.read_text(encoding="utf-8")
    }
    assert {"data_report", "classification_evaluation", "network_outline"} <= results
    views = Path(__file__).resolve().parents[2] / "web" / "views"
    for stem in results:
        assert (SOURCE / "render" / f"{stem}.py").is_file(), f"nothing draws {stem}"
        camel = "".join(word.capitalize() for word in stem.split("_"))
        assert (views / f"{camel}.svelte").is_file(), f"no view shows {stem}"
