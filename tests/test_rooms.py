"""The rooms of helpers don't know each other, but for one module that puts them together."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MEETING = "helpers.pretrain"  # composes data, models and training
OLD_PLACE = "helpers.training.pretrain"  # its old name, which still works
FOR_ALL = ("helpers.data.assets", "helpers.data.disk", "helpers.hardware")


def modules():
    for path in sorted((ROOT / "helpers").rglob("*.py")):
        yield ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imported(name):
    """Names of helpers' modules that a module imports, wherever in it the import stands."""
    path = ROOT.joinpath(*name.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import; write it in full"
            # `from helpers.data import assets` names the module in its second half.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("name", [m for m in modules() if m.count(".") > 1 and m != OLD_PLACE])
def test_a_room_imports_no_other(name):
    room = ".".join(name.split(".")[:2]) + "."
    for other in imported(name):
        if not other.startswith("helpers.") or other.startswith((room, *FOR_ALL)):
            continue
        raise AssertionError(f"{name} imports {other}")


def test_nothing_builds_on_the_module_where_rooms_meet():
    assert MEETING in list(modules())
    for name in set(modules()) - {OLD_PLACE}:
        assert not any(other.startswith(MEETING) for other in imported(name)), name
