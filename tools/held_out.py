"""Find code in which test data choose or train: `python -m tools.held_out [file …]`.

What a model is told about a test set, directly or by whoever picks the best of its scores, it will
seem to have learned. The code of a notebook or a script is followed from top to bottom: a value is
*held out* if it is taken from `…["test"]`, asked for with `split="test"`, called `test` (`test_x`,
`x_test`), or computed from such a value. A held-out value may be scored, counted, printed, drawn
and asserted. It may not

- fit: `.fit(…)`, `.fit_transform(…)`, or `train(model, …)`;
- watch a training: `Trainer(eval_dataset=…)`, `train(…, evaluate=…)`;
- pick the best: `max(…, key=…)`, `min(…, key=…)`, `idxmax`, `idxmin`, `argmax` and `argmin` over
  everything (along an axis, or of logits, they make predictions), or `if score > best` in a loop.

A line that is right all the same says why: `# test data: …`.

It reads names and not values. It doesn't see test data under another name, a column of a stored
result, what goes through a file or an attribute, or a person who looks at the scores and then
writes a setting down. For those there are the table that an experiment declares, and the reader.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import nbformat

from tools.set_address import ROOT

NAMED = re.compile(r"(^|_)test(_|$)", re.IGNORECASE)
ALLOWED = re.compile(r"#\s*test data: \w")
FITS = {"fit", "fit_transform", "partial_fit"}
WATCHES = {"eval_dataset", "evaluate", "validation"}
BEST = {"argmax", "argmin", "idxmax", "idxmin"}
ORDER = (ast.Gt, ast.GtE, ast.Lt, ast.LtE)
MAGIC = re.compile(r"^([ \t]*)[%!].*$", re.MULTILINE)


def code_of(path: Path) -> str:
    """The code of a script, or of a notebook's cells one after the other, without magics."""
    if path.suffix != ".ipynb":
        return path.read_text("utf-8")
    cells = nbformat.read(path, as_version=4).cells
    return MAGIC.sub(
        r"\1pass", "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    )


def findings(code: str) -> list[str]:
    """Say of each line in which test data fit, watch or choose what they do there."""
    lines = code.splitlines()
    found = dict.fromkeys(_statements(ast.parse(code).body, set(), in_loop=False))
    return [
        f"{why}: {lines[line - 1].strip()}"
        for line, why in sorted(found)
        if not ALLOWED.search(lines[line - 1])
    ]


def _statements(
    body: list[ast.stmt], held: set[str], *, in_loop: bool
) -> Iterator[tuple[int, str]]:
    """Follow statements in their order; `held` grows with the names that become held out."""
    for statement in body:
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            arguments = [n.arg for n in ast.walk(statement) if isinstance(n, ast.arg)]
            inner = held - {name for name in arguments if not NAMED.search(name)}
            yield from _statements(statement.body, inner, in_loop=False)
            returned = [n.value for n in ast.walk(statement) if isinstance(n, ast.Return)]
            if any(value is not None and _is_held(value, inner) for value in returned):
                held.add(statement.name)
            continue
        for expression in () if isinstance(statement, ast.Assert) else _expressions(statement):
            yield from _sinks(expression, held)
        _bind(statement, held)
        if in_loop and isinstance(statement, ast.If) and _compares(statement.test, held):
            yield statement.lineno, "test data choose"
        loop = in_loop or isinstance(statement, (ast.For, ast.While))
        for part in ("body", "orelse", "finalbody"):
            if inside := getattr(statement, part, None):
                yield from _statements(inside, held, in_loop=loop)
                if loop and not in_loop:  # what the end of a pass holds, the next one begins with
                    yield from _statements(inside, held, in_loop=loop)
        for handler in getattr(statement, "handlers", ()):
            yield from _statements(handler.body, held, in_loop=loop)


def _expressions(statement: ast.stmt) -> Iterator[ast.expr]:
    """The expressions of a statement, without the statements in it."""
    for child in ast.iter_child_nodes(statement):
        if isinstance(child, ast.expr):
            yield child
        elif isinstance(child, ast.withitem):
            yield child.context_expr


def _bind(statement: ast.stmt, held: set[str]) -> None:
    """Note which names a statement gives held-out values, and which it gives others."""
    if isinstance(statement, ast.For):
        _name(statement.target, _is_held(statement.iter, held), held)
    elif isinstance(statement, ast.Assign):
        for target in statement.targets:
            pairs = [(target, statement.value)]
            if isinstance(target, ast.Tuple) and isinstance(statement.value, ast.Tuple):
                pairs = list(zip(target.elts, statement.value.elts, strict=False))
            for one, value in pairs:
                _name(one, _is_held(value, held), held)
    elif isinstance(statement, (ast.AugAssign, ast.AnnAssign)) and statement.value:
        if _is_held(statement.value, held):
            _name(statement.target, True, held)
    elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        call = statement.value  # scores.append(…)
        grows = isinstance(call.func, ast.Attribute) and call.func.attr in ("append", "extend")
        if grows and any(_is_held(argument, held) for argument in call.args):
            _name(call.func.value, True, held)


def _name(target: ast.expr, is_held: bool, held: set[str]) -> None:
    for node in ast.walk(target) if isinstance(target, (ast.Tuple, ast.List)) else [target]:
        if isinstance(node, ast.Name):
            (held.add if is_held else held.discard)(node.id)
    while is_held and isinstance(target, (ast.Subscript, ast.Attribute)):
        target = target.value  # what holds it is held out as a whole
        if isinstance(target, ast.Name):
            held.add(target.id)


def _is_held(expression: ast.AST, held: set[str]) -> bool:
    """Whether an expression is computed from a held-out value."""
    if isinstance(expression, ast.Call):
        return _gives_held(expression, held)
    if isinstance(expression, ast.Subscript) and _says_test(expression.slice):
        return True
    if isinstance(expression, ast.Name):
        return expression.id in held or NAMED.search(expression.id) is not None
    if isinstance(expression, ast.UnaryOp) and isinstance(expression.op, ast.Invert):
        return False  # a mask of all that isn't held out
    parts = ast.iter_child_nodes(expression)
    if isinstance(expression, ast.Dict):  # a part for each split will be asked for by its name
        pairs = zip(expression.keys, expression.values, strict=True)
        parts = (value for key, value in pairs if key is None or not _says_test(key))
    return any(_is_held(part, held) for part in parts)


def _gives_held(call: ast.Call, held: set[str]) -> bool:
    """Whether a call's result is computed from a held-out value."""
    if getattr(call.func, "id", "") == "len":
        return False
    if any(k.arg == "split" and _says_test(k.value) for k in call.keywords):
        return True
    # Not by a function's name alone: `train_test_split` holds nothing out.
    own = call.func.id in held if isinstance(call.func, ast.Name) else _is_held(call.func, held)
    arguments = [*call.args, *(k.value for k in call.keywords)]
    return own or any(_is_held(argument, held) for argument in arguments)


def _says_test(expression: ast.AST) -> bool:
    return isinstance(expression, ast.Constant) and expression.value == "test"


def _compares(test: ast.expr, held: set[str]) -> bool:
    return any(
        isinstance(node, ast.Compare)
        and any(isinstance(operator, ORDER) for operator in node.ops)
        and _is_held(node, held)
        for node in ast.walk(test)
    )


def _sinks(expression: ast.expr, held: set[str]) -> Iterator[tuple[int, str]]:
    """The calls in an expression by which held-out values fit, watch or choose."""
    for call in ast.walk(expression):
        if isinstance(call, ast.Call) and (why := _sink(call, held)):
            yield call.lineno, f"test data {why}"


def _sink(call: ast.Call, held: set[str]) -> str:
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    receiver = getattr(call.func, "value", None)  # of a method
    given = any(_is_held(argument, held) for argument in call.args)
    keywords = {k.arg for k in call.keywords if _is_held(k.value, held)}
    trains = name == "train" or name.endswith("Trainer") or (name in FITS and receiver is not None)
    if trains and keywords & WATCHES:
        return "watch a training"
    if trains and (given or keywords & {"X", "train_dataset"}):
        return "fit"
    picks = name in ("max", "min") and any(k.arg == "key" for k in call.keywords)
    if picks and (given or "key" in keywords):
        return "choose"
    of_value = receiver is not None and _is_held(receiver, held)
    if name in BEST and (given or of_value) and not _predicts(call):
        return "choose"
    return ""


def _predicts(call: ast.Call) -> bool:
    """Whether an argmax is a row's class: along an axis, or of logits."""
    module = getattr(getattr(call.func, "value", None), "id", "")
    named = {n.id for n in ast.walk(call) if isinstance(n, ast.Name)}
    by_axis = {"axis", "dim"} & {k.arg for k in call.keywords}
    positional = len(call.args) - (module in ("np", "torch"))
    return bool(by_axis) or positional > 0 or any("logit" in name for name in named)


def files() -> list[Path]:
    """The notebooks and the experiments of the book."""
    notebooks, scripts = (ROOT / "notebooks").glob("*.ipynb"), (ROOT / "experiments").glob("*.py")
    return sorted(notebooks) + sorted(scripts)


def main() -> int:
    found = {path: findings(code_of(path)) for path in map(Path, sys.argv[1:] or map(str, files()))}
    for path, lines in found.items():
        for line in lines:
            print(f"{path.name}: {line}")
    return int(any(found.values()))


if __name__ == "__main__":
    sys.exit(main())
