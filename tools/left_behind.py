"""What a notebook writes and doesn't delete, found in its code without running it.

A notebook writes into a temporary folder that goes when it ends:

    scratch = tempfile.TemporaryDirectory()  # is deleted when the notebook ends
    work = Path(scratch.name)

It reads names and not values. What counts is where a path begins: `work / "runs"` begins with
`work`, `f"{split}.csv"` with a name that may be any, `Path("runs") / "a"` with a folder that stays.
A path that begins with an unknown name, such as a function's argument, passes; so does what a
library writes without being told where.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator

from nbformat import NotebookNode

from tools.held_out import MAGIC

WRITES_ITSELF = {"write_text", "write_bytes", "mkdir", "touch"}  # of a path
WRITES_TO_FIRST = {
    "save_model",
    "save_pretrained",
    "save_to_disk",
    "savefig",
    "to_csv",
    "to_json",
    "to_parquet",
    "to_pickle",
}
WRITES_TO_SECOND = {"copy", "copy2", "copyfile", "copytree", "move"}  # of shutil
FOLDERS = {"output_dir", "checkpoint_dir"}  # of a call, or of a dictionary of settings
SETTINGS = re.compile(r"TrainingArguments$|^(SFT|DPO)Config$")  # their first argument is a folder
GOES_ON = {"joinpath", "with_suffix", "with_name", "absolute", "resolve"}


def findings(notebook: NotebookNode) -> list[str]:
    """Say of each cell (from 1) what it writes where nothing deletes it."""
    cells = {
        number: ast.parse(MAGIC.sub(r"\1pass", cell.source))
        for number, cell in enumerate(notebook.cells, start=1)
        if cell.cell_type == "code"
    }
    nodes = [node for tree in cells.values() for node in ast.walk(tree)]
    values = _values(nodes)
    deleted = [value for name in _removed(nodes) for value in values.pop(name, ())]
    goes = {node for value in deleted for node in ast.walk(value)}
    return [
        f"cell {number} leaves behind what it writes: {text}"
        for number, tree in cells.items()
        for text in dict.fromkeys(
            ast.unparse(place)
            for node in ast.walk(tree)
            for place in _written(node)
            if place not in goes and _stays(place, values)
        )
    ]


def _called(call: ast.Call) -> str:
    """The last name of what is called: `mkdtemp` of `tempfile.mkdtemp()`."""
    return getattr(call.func, "attr", None) or getattr(call.func, "id", "")


def _argument(call: ast.Call, place: int, name: str = "") -> ast.expr | None:
    """An argument by its place or its name."""
    for keyword in call.keywords:
        if keyword.arg == name:
            return keyword.value
    return call.args[place] if place < len(call.args) else None


def _values(nodes: list[ast.AST]) -> dict[str, list[ast.expr]]:
    """Everything that each name is given anywhere in the notebook."""
    values = defaultdict(list)
    for node in nodes:
        if isinstance(node, ast.Assign):
            pairs = [(target, node.value) for target in node.targets]
        elif isinstance(node, ast.withitem) and node.optional_vars:
            pairs = [(node.optional_vars, node.context_expr)]
        else:
            continue
        for target, value in pairs:
            if isinstance(target, ast.Name):
                values[target.id].append(value)
    return values


def _removed(nodes: list[ast.AST]) -> set[str]:
    """The names of folders that `shutil.rmtree` deletes as a whole."""
    return {
        node.args[0].id
        for node in nodes
        if isinstance(node, ast.Call)
        and _called(node) == "rmtree"
        and node.args
        and isinstance(node.args[0], ast.Name)
    }


def _written(node: ast.AST) -> Iterator[ast.expr]:
    """The paths that a node writes to."""
    if isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and key.value in FOLDERS:
                yield value
    if isinstance(node, ast.Call):
        yield from _written_by(node)


def _written_by(call: ast.Call) -> Iterator[ast.expr]:
    name, receiver = _called(call), getattr(call.func, "value", None)
    places: list[ast.expr | None] = [k.value for k in call.keywords if k.arg in FOLDERS]
    if name in WRITES_ITSELF:
        places.append(receiver)
    elif name in WRITES_TO_FIRST:
        places.append(_argument(call, 0))
    elif name in WRITES_TO_SECOND and getattr(receiver, "id", "") == "shutil":
        places.append(_argument(call, 1))
    elif name == "mkdtemp":
        places.append(call)
    elif name == "save":  # torch takes the path last, numpy and others first
        places += call.args
    elif name == "open":
        of_path = isinstance(call.func, ast.Attribute)  # path.open(mode), not open(path, mode)
        mode = _argument(call, 0 if of_path else 1, "mode")
        if isinstance(mode, ast.Constant) and re.search("[wax+]", str(mode.value)):
            places.append(receiver if of_path else _argument(call, 0, "file"))
    elif SETTINGS.search(name) and not places:
        places.append(_argument(call, 0))
    yield from (place for place in places if place is not None)


def _stays(
    place: ast.expr, values: dict[str, list[ast.expr]], seen: frozenset[str] = frozenset()
) -> bool:
    """Whether a path surely begins where nothing is deleted."""
    if isinstance(place, ast.Constant):
        return isinstance(place.value, str)
    if isinstance(place, ast.Name):
        given = () if place.id in seen else values.get(place.id, ())
        return bool(given) and all(_stays(v, values, seen | {place.id}) for v in given)
    before = _before(place)
    if before is not None:
        return _stays(before, values, seen)
    return isinstance(place, ast.Call) and _called(place) in {"mkdtemp", "cwd", "home"}


def _before(place: ast.expr) -> ast.expr | None:
    """What a path begins with, one step further to its left."""
    match place:
        case ast.Call() if _called(place) == "mkdtemp":
            return _argument(place, 2, "dir")
        case ast.Call(args=[before, *_]) if _called(place) in {"Path", "str"}:
            return before
        case ast.Call(func=ast.Attribute(value=before)) if _called(place) in GOES_ON:
            return before
        case (
            ast.BinOp(left=before, op=ast.Div() | ast.Add())
            | ast.JoinedStr(values=[before, *_])
            | ast.FormattedValue(value=before)
            | ast.Attribute(value=before)  # scratch.name
        ):
            return before
    return None
