"""Which rooms of helpers know which: arrows go one way, and one module puts all together."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MEETING = "helpers.pretrain"  # composes data, models and training
OLD_PLACE = "helpers.training.pretrain"  # its old name, which still works
FOR_ALL = ("helpers.data.assets", "helpers.data.disk", "helpers.hardware")
BELOW = {"training": ("helpers.data.", "helpers.models.")}


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
def test_a_room_imports_only_those_below_it(name):
    room = name.split(".")[1]
    may = (f"helpers.{room}.", *BELOW.get(room, ()), *FOR_ALL)
    for other in imported(name):
        if not other.startswith("helpers.") or other.startswith(may):
            continue
        raise AssertionError(f"{name} imports {other}")


def test_nothing_builds_on_the_module_where_rooms_meet():
    assert MEETING in list(modules())
    for name in set(modules()) - {OLD_PLACE}:
        assert not any(other.startswith(MEETING) for other in imported(name)), name
