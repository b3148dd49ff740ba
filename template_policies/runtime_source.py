"""What the functions of `runtime/` need, read from their source: nothing of it is imported."""

import ast
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = "infra_runtime"
_ROOT = Path(__file__).resolve().parents[1] / "runtime"
# Lambda's Python runtime includes it.
_PROVIDED = {*sys.stdlib_module_names, "boto3", "botocore"}


def module_of(handler: str) -> str | None:
    """The module of a function's handler, if it is ours; otherwise None."""
    name = handler.removesuffix(".handler")
    return name if name != handler and _file(name) is not None else None


@cache
def variables_read(module: str) -> frozenset[str]:
    """Environment variables without which the module raises `KeyError`.

    Not those that Lambda sets, nor those that it asks for first: `"NAME" in os.environ`.
    """
    read, asked_for = set[str](), set[str]()
    for node in ast.walk(_tree(module)):
        match node:
            case ast.Subscript(value=value, slice=ast.Constant(value=str(name))) if _is_environ(value):
                read.add(name)
            case ast.Compare(left=ast.Constant(value=str(name)), ops=[ast.In()], comparators=[of]) if _is_environ(of):
                asked_for.add(name)
    return frozenset(each for each in read - asked_for if not each.startswith("AWS_"))


def _is_environ(node: ast.expr) -> bool:
    match node:
        case ast.Attribute(value=ast.Name(id="os"), attr="environ"):
            return True
    return False


@cache
def needs_libraries(module: str) -> bool:
    """Whether the module, directly or indirectly, imports a library that Lambda's runtime lacks."""
    seen: set[str] = set()
    left = [module]
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        for each in _imports(_tree(name)):
            if each.partition(".")[0] == PACKAGE:
                left += [found for found in (each, each.rpartition(".")[0]) if _file(found) is not None]
            elif each.partition(".")[0] not in _PROVIDED:
                return True
    return False


def _imports(tree: ast.Module) -> Iterator[str]:
    """Modules that are imported at the top level."""
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from (f"{node.module}.{each.name}" for each in node.names)


@cache
def _tree(module: str) -> ast.Module:
    path = _file(module)
    return ast.parse(path.read_text() if path is not None else "")


def _file(module: str) -> Path | None:
    base = _ROOT.joinpath(*module.split("."))
    return next((each for each in (base.with_suffix(".py"), base / "__init__.py") if each.is_file()), None)
