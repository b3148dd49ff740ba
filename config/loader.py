"""Reads `environments/*.toml` and reports all errors in them together."""

import difflib
import json
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, cast, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from config.model import Environment
from config.positions import line_of_keys
from config.problems import InvalidEnvironments, Problem, shown
from config.rules import BETWEEN_ENVIRONMENTS, RULES, Contradiction, Neighbours

OWN = Path(__file__).resolve().parent.parent / "environments"
# This process and its children read these files. The tests set the variable to tests/environments.
ENVIRONMENTS = Path(os.environ.get("INFRA_ENVIRONMENTS") or OWN).resolve()


def available(directory: Path = ENVIRONMENTS) -> tuple[str, ...]:
    """Names of the environments, which are the names of their files."""
    return tuple(sorted(path.stem for path in directory.glob("*.toml")))


def load(
    names: Sequence[str] = (), *, directory: Path = ENVIRONMENTS, is_deployed: bool = False
) -> dict[str, Environment]:
    """The environments with these names, or all of them when no name is given.

    Reads the others too, for rules between environments, but ignores errors that are only theirs. With `is_deployed`,
    also ignores conflicts with other files, which may be drafts: the next deployment reports them.

    Raises `InvalidEnvironments` with all problems of the requested files.
    """
    known = available(directory)
    wanted = tuple(dict.fromkeys(names)) or known
    problems: list[Problem] = []
    if not known:
        raise InvalidEnvironments([_without_line(directory, "environments", None, "at least one NAME.toml in here")])
    for name in wanted:
        if name not in known:
            hint = _nearest(name, known)
            problems.append(
                _without_line(directory, "environment", shown("", name), f"one of {', '.join(known)}", hint)
            )

    files = {name: _File(directory / f"{name}.toml") for name in known}
    for name in wanted:
        problems += files[name].problems if name in files else []
    problems += [] if is_deployed else [problem for name, problem in _between(files) if name in wanted]
    if problems:
        raise InvalidEnvironments(problems)
    return {name: file.environment for name in wanted if (file := files[name]).environment is not None}


def clashes(name: str, *, directory: Path = ENVIRONMENTS) -> list[Problem]:
    """Conflicts with other environments, which stop the next deployment."""
    files = {each: _File(directory / f"{each}.toml") for each in available(directory)}
    return [problem for of, problem in _between(files) if of == name]


def _between(files: "Mapping[str, _File]") -> Iterator[tuple[str, Problem]]:
    """(environment, problem). A conflict yields one problem for each environment involved."""
    valid = {name: file.environment for name, file in files.items() if file.environment is not None}
    for rule in BETWEEN_ENVIRONMENTS:
        for name, contradiction in rule(Neighbours(valid, files.keys() - valid.keys())):
            yield name, files[name].problem(contradiction)


def neighbours(name: str, *, directory: Path = ENVIRONMENTS) -> list[Environment]:
    """The other environments in the account and region of this one, which share its quotas; those that are valid."""
    files = {each: _File(directory / f"{each}.toml").environment for each in available(directory)}
    own = files.pop(name)
    return [each for each in files.values() if own is not None and each is not None and each.aws == own.aws]


@dataclass
class _File:
    """One environment file: its environment when it is valid, otherwise its problems."""

    path: Path
    environment: Environment | None = None
    problems: list[Problem] = field(default_factory=list)
    _raw: dict[str, Any] = field(default_factory=dict)
    _lines: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        try:
            text = self.path.read_bytes().decode()
            self._raw = tomllib.loads(text)
        except OSError as error:
            self.problems = [_without_line(self.path, "file", None, "a readable file", str(error.strerror))]
            return
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            self.problems = [Problem(file=self.path, line=line, key="file", found=None, expected="UTF-8 text")]
            return
        except tomllib.TOMLDecodeError as error:
            self.problems = [_syntax_problem(self.path, text, str(error))]
            return
        self._lines = line_of_keys(text)
        partial = self._check_table(Environment, self._raw, prefix="")
        for rule in RULES:
            try:
                contradictions = list(rule(cast(Environment, partial)))
            except AttributeError:
                # The rule reads a missing or invalid value. If there is none, the rule itself is wrong.
                if not self.problems:
                    raise
                continue
            self.problems += map(self.problem, contradictions)
        if not self.problems:
            self.environment = Environment.model_validate_json(json.dumps(self._raw))

    def problem(self, contradiction: Contradiction) -> Problem:
        return self._problem(contradiction.key, contradiction.expected, contradiction.hint)

    def _problem(self, key: str, expected: str, hint: str | None = None) -> Problem:
        """A problem with the value at this dotted key, or with its absence."""
        value: Any = self._raw
        for part in key.split("."):
            value = value[part] if isinstance(value, Mapping) and part in value else None
        closest = key
        while closest and closest not in self._lines:
            closest = closest.rpartition(".")[0]
        return Problem(
            file=_relative(self.path),
            line=self._lines.get(closest, 1),
            key=key,
            found=None if value is None else shown(key, value),
            expected=expected,
            hint=hint,
        )

    def _check_table(self, model: type[BaseModel], raw: Mapping[str, Any], prefix: str) -> SimpleNamespace:
        """Checks each key by itself, so that one bad value hides no other, and returns the good ones."""
        good = SimpleNamespace()
        for key in raw.keys() - model.model_fields.keys():
            known = tuple(model.model_fields)
            where = prefix.rstrip(".") or "the file"
            self.problems.append(
                self._problem(prefix + key, f"a key of {where}: {', '.join(known)}", _nearest(key, known))
            )
        for key, info in model.model_fields.items():
            dotted = prefix + key
            table = _table_model(info)
            if key not in raw:
                if info.is_required():
                    self.problems.append(self._problem(dotted, f"this key; it is missing ({_allowed(model, key)})"))
                else:
                    setattr(good, key, info.default)
            elif (named := _named(info)) is not None:
                if isinstance(raw[key], Mapping) and (raw[key] or not info.is_required()):
                    setattr(good, key, self._check_named(model, key, raw[key], dotted))
                else:
                    self.problems.append(
                        self._problem(
                            dotted,
                            f"at least one table, [{dotted}.NAME]" if _is_table(named[1]) else f"a table, [{dotted}]",
                        )
                    )
            elif table is not None:
                if isinstance(raw[key], Mapping):
                    setattr(good, key, self._check_table(table, raw[key], dotted + "."))
                else:
                    self.problems.append(self._problem(dotted, f"a table, [{dotted}]"))
            else:
                self._check_value(good, model, dotted, raw[key])
        return good

    def _check_named(self, model: type[BaseModel], key: str, raw: Mapping[str, Any], dotted: str) -> dict[str, Any]:
        """Tables or values with names that the file chooses."""
        adapter, value, of = _named_adapters(model, key)
        good: dict[str, Any] = {}
        for name, each in raw.items():
            where = f"{dotted}.{name}"
            try:
                adapter.validate_python(name)
            except ValidationError:
                self.problems.append(self._problem(where, f"a name that is {_in_words(adapter.json_schema())}"))
                continue
            if not _is_table(of):
                try:
                    good[name] = value.validate_python(each, strict=True)
                except ValidationError as error:
                    expected = _own_words(error) or _allowed_by_name(value.json_schema())
                    self.problems.append(self._problem(where, expected))
            elif isinstance(each, Mapping):
                good[name] = self._check_table(of, each, where + ".")
            else:
                self.problems.append(self._problem(where, f"a table, [{where}]"))
        return good

    def _check_value(self, good: SimpleNamespace, model: type[BaseModel], dotted: str, value: object) -> None:
        key = dotted.rpartition(".")[2]
        try:
            # JSON's strictness is TOML's: an array is a tuple, but a string is never a number.
            setattr(good, key, _adapter(model, key).validate_json(json.dumps(value), strict=True))
        except TypeError:
            self.problems.append(self._problem(dotted, _allowed(model, key) + ", not a date or time"))
        except ValidationError as error:
            items = sorted({str(part) for e in error.errors() for part in e["loc"][:1] if isinstance(part, int)})
            hint = f"wrong at position {', '.join(str(int(item) + 1) for item in items)}" if items else None
            self.problems.append(self._problem(dotted, _own_words(error) or _allowed(model, key), hint))


# Pydantic takes a fifth of a second to compile schemas and adapters for all tables: once in a process is enough.
@cache
def _schema(model: type[BaseModel]) -> Mapping[str, Any]:
    return model.model_json_schema()


@cache
def _adapter(model: type[BaseModel], key: str) -> TypeAdapter[Any]:
    info = model.model_fields[key]
    constrained: Any = Annotated[info.annotation, info]
    return TypeAdapter(constrained)


@cache
def _named_adapters(model: type[BaseModel], key: str) -> tuple[TypeAdapter[Any], TypeAdapter[Any], Any]:
    """Adapters of the names and of each value, and the type of each value."""
    name_type, of = cast(tuple[Any, Any], _named(model.model_fields[key]))
    return TypeAdapter(name_type), TypeAdapter(of), of


def _table_model(info: FieldInfo) -> type[BaseModel] | None:
    for candidate in (info.annotation, *get_args(info.annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None


def _named(info: FieldInfo) -> tuple[Any, Any] | None:
    """(type of the names, type of each) of a field that is tables or values by name."""
    if get_origin(info.annotation) is not dict:
        return None
    name_type, of = get_args(info.annotation)
    return name_type, of


def _is_table(of: Any) -> bool:
    return isinstance(of, type) and issubclass(of, BaseModel)


def _own_words(error: ValidationError) -> str | None:
    """The expected value, from the error of one of our validators."""
    words = [each["msg"].removeprefix("Value error, ") for each in error.errors() if each["type"] == "value_error"]
    return words[0] if words else None


def _allowed(model: type[BaseModel], key: str) -> str:
    """What the model's JSON Schema allows for this key, in words."""
    return _in_words(_schema(model)["properties"][key])


def _allowed_by_name(part: Mapping[str, Any]) -> str:
    return "a string, in quotes" if part.get("type") == "string" else _in_words(part)


def _in_words(part: Mapping[str, Any]) -> str:
    match part:
        case {"anyOf": options}:
            words = " or ".join(_in_words(option) for option in options if option.get("type") != "null")
        case {"const": value}:
            words = json.dumps(value)
        case {"enum": values}:
            words = "one of " + ", ".join(map(json.dumps, values))
        case {"type": "integer", "minimum": least, "maximum": most}:
            words = f"an integer from {least} to {most}"
        case {"type": "boolean"}:
            words = "true or false"
        case {"type": "number", "minimum": least, "maximum": most}:
            words = f"a number from {least:g} to {most:g}"
        case {"type": "array", "items": items, "minItems": least, "maxItems": most}:
            words = f"an array of {least} to {most} items, each {_in_words(items)}"
        case {"type": "array", "items": items}:
            words = f"an array of items, each {_in_words(items)}"
        case {"type": "string", "examples": examples}:
            words = f"a string like {' or '.join(map(json.dumps, examples))}"
        case {"type": "string", "minLength": least}:
            words = f"a string of at least {least} characters"
        case {"type": "string", "pattern": pattern}:
            words = f"a string that matches {pattern}"
        case _:
            words = "a table"
    return words


def _nearest(value: str, known: Sequence[str]) -> str | None:
    matches = difflib.get_close_matches(value, known, n=1, cutoff=0.5)
    return f"did you mean {matches[0]}?" if matches else None


def _syntax_problem(path: Path, text: str, message: str) -> Problem:
    """tomllib ends its messages in "(at line 3, column 7)" or "(at end of document)"."""
    what, _, position = message.rpartition(" (at ")
    digits = "".join(char for char in position.partition(",")[0] if char.isdigit())
    line = int(digits) if digits else len(text.splitlines()) or 1
    return Problem(file=_relative(path), line=line, key="file", found=None, expected="valid TOML", hint=what)


def _without_line(path: Path, key: str, found: str | None, expected: str, hint: str | None = None) -> Problem:
    return Problem(file=_relative(path), line=1, key=key, found=found, expected=expected, hint=hint)


def _relative(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
