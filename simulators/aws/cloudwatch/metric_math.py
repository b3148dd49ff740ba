"""Metric math over series of numbers, one a period; a period without data is NaN.

The part of the language that this project's alarms and dashboards use (AWS documentation, "Using math expressions with
CloudWatch metrics"; read 2026-11). Anything else raises `NotImplementedError`, so that no alarm is judged by a guess.
"""

import ast
from collections.abc import Callable, Mapping
from typing import cast

import numpy as np
from numpy.typing import NDArray

Series = NDArray[np.float64]

_ARITHMETIC: dict[type[ast.operator], Callable[[Series, Series], Series]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: np.divide,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Series, Series], NDArray[np.bool_]]] = {
    ast.Lt: np.less,
    ast.LtE: np.less_equal,
    ast.Gt: np.greater,
    ast.GtE: np.greater_equal,
    ast.Eq: np.equal,
    ast.NotEq: np.not_equal,
}


def evaluate(expression: str, known: Mapping[str, Series]) -> Series:
    """`known` by the ids of the queries, all of one length."""
    (length,) = {len(each) for each in known.values()}
    return _value(ast.parse(expression, mode="eval").body, known, length)


def _value(node: ast.expr, known: Mapping[str, Series], length: int) -> Series:
    match node:
        case ast.Name(name):
            return known[name]
        case ast.Constant(int() | float() as number):
            return np.full(length, float(number))
        case ast.BinOp(left, operator, right):
            both = _value(left, known, length), _value(right, known, length)
            with np.errstate(divide="ignore", invalid="ignore"):
                result = _ARITHMETIC[type(operator)](*both)
            # A division by zero gives no data point.
            return np.where(np.isfinite(result), result, np.nan)
        case ast.UnaryOp(ast.USub(), operand):
            return -_value(operand, known, length)
        case ast.Compare(left, [operator], [right]):
            both = _value(left, known, length), _value(right, known, length)
            missing = np.isnan(both[0]) | np.isnan(both[1])
            return np.where(missing, np.nan, _COMPARISONS[type(operator)](*both).astype(float))
        case ast.Call(ast.Name(function), arguments):
            return _called(function, arguments, known, length)
    raise NotImplementedError(ast.unparse(node))


def _called(function: str, arguments: list[ast.expr], known: Mapping[str, Series], length: int) -> Series:
    match function, arguments:
        case "FILL", [what, by]:
            values = _value(what, known, length)
            return np.where(np.isnan(values), _value(by, known, length), values)
        case "IF", [condition, then, *otherwise] if len(otherwise) < 2:
            asked = _value(condition, known, length)
            # The same page, "Using IF expressions": 0 where the condition holds and the value is missing; without a
            # third argument, no data point where it does not hold.
            chosen = np.where(
                asked != 0,
                np.nan_to_num(_value(then, known, length)),
                _value(otherwise[0], known, length) if otherwise else np.nan,
            )
            return np.where(np.isnan(asked), np.nan, chosen)
        case ("MAX" | "MIN" | "SUM") as name, [ast.List(elements)]:
            rows = np.vstack([_value(each, known, length) for each in elements])
            together = {"MAX": np.fmax, "MIN": np.fmin, "SUM": np.add}[name]
            if name == "SUM":
                rows = np.where(np.all(np.isnan(rows), axis=0), np.nan, np.nan_to_num(rows))
            return cast("Series", together.reduce(rows))
    raise NotImplementedError(f"{function} of {len(arguments)}")
