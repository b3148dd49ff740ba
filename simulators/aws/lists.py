"""Lists as AWS answers them: in pages, and in no reliable order.

What is a list is known from botocore's paginators, and from its service models where it has none. CloudFormation's own
resource types are AWS's, and read all pages: their calls are answered whole.
"""

import json
import random
import re
import uuid
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import parse_qs
from xml.etree import ElementTree

import botocore.session
from botocore.exceptions import UnknownServiceError
from ministack import app

from simulators.aws.conditions import Condition, is_on
from simulators.aws.resource_type import OWN

# MiniStack's name of a service, and botocore's.
_SERVICES = {
    "amplify": "amplify",
    "application-autoscaling": "application-autoscaling",
    "chatbot": "chatbot",
    "cloudformation": "cloudformation",
    "ec2": "ec2",
    "ecr": "ecr",
    "ecs": "ecs",
    "elasticache": "elasticache",
    "elasticloadbalancing": "elbv2",
    "events": "events",
    "iam": "iam",
    "lambda": "lambda",
    "logs": "logs",
    "monitoring": "cloudwatch",
    "rds": "rds",
    "secretsmanager": "secretsmanager",
    "servicequotas": "service-quotas",
    "sns": "sns",
    "ssm": "ssm",
}
# Lists whose order AWS promises: newest event first, log events by time, parameters and definitions by version.
_ORDERED = {
    "DescribeStackEvents", "FilterLogEvents", "GetLogEvents", "DescribeLogStreams", "GetParameterHistory",
    "ListTaskDefinitions", "DescribeScalingActivities", "ListSecretVersionIds",
}  # fmt: skip
# AWS's are larger, and so are its accounts. Progress is followed by events and resources, hundreds of them.
_PAGE, _LONG_PAGE = 4, 40
_LONG = {"DescribeStackEvents", "ListStackResources", "FilterLogEvents", "GetLogEvents", "ListExports"}
_KEPT = 2000
_shuffle = random.Random(14)
_rests: OrderedDict[str, Any] = OrderedDict()
"""Rest of a list, by its token."""


@dataclass(frozen=True)
class _List:
    operation: str
    asks: str
    """Name of the token in a request."""
    tells: str
    """Name of the token in an answer."""
    wire_tells: str
    wire_items: tuple[str, ...]
    """Names of the lists, which share a page: alarms and composite alarms do."""
    path: str
    """Path of a request, where the protocol is REST."""


@cache
def _session() -> botocore.session.Session:
    """One for all services: each session registers hundreds of handlers."""
    return botocore.session.get_session()


@cache
def lists_of(service: str) -> dict[str, _List]:
    """A service's lists by operation. Read at its first call: models of all services take a third of the start-up."""
    session = _session()
    model = session.get_service_model(service)
    try:
        pages = session.get_component("data_loader").load_service_model(service, "paginators-1")["pagination"]
    except UnknownServiceError:
        return {}
    found = {}
    for operation in model.operation_names:
        shape = model.operation_model(operation).output_shape
        page = pages.get(operation) or _unknown_to_paginators(model.operation_model(operation))
        if page is None:
            continue
        asks, tells, keys = page["input_token"], page["output_token"], page["result_key"]
        items = [keys] if isinstance(keys, str) else keys
        if not isinstance(asks, str) or not isinstance(tells, str) or tells not in shape.members:
            continue
        if any(each not in shape.members or shape.members[each].type_name != "list" for each in items):
            continue
        found[operation] = _List(
            operation, asks, tells, _wire(shape, tells), tuple(_wire(shape, each) for each in items),
            model.operation_model(operation).http["requestUri"].rstrip("/"),
        )  # fmt: skip
    return found


def _unknown_to_paginators(operation: Any) -> dict[str, str] | None:
    """What a paginator would know of a list that has pages all the same, such as ECS's ListServiceDeployments."""
    asked, answered = operation.input_shape, operation.output_shape
    if asked is None or answered is None:
        return None
    tokens = [each for each in answered.members if each.lower() == "nexttoken" and each in asked.members]
    lists = [name for name, shape in answered.members.items() if shape.type_name == "list"]
    if len(tokens) != 1 or len(lists) != 1:
        return None
    return {"input_token": tokens[0], "output_token": tokens[0], "result_key": lists[0]}


def _wire(shape: Any, member: str) -> str:
    return str(shape.members[member].serialization.get("name", member))


def install() -> None:
    """Installs paging. Call it after every other handler."""
    if not (is_on(Condition.PAGINATION) or is_on(Condition.REORDERING)):
        return
    for name, service in _SERVICES.items():
        app.SERVICE_HANDLERS[name] = _paged(app.SERVICE_HANDLERS[name], service)
    if is_on(Condition.PAGINATION):
        app.SERVICE_HANDLERS["s3"] = _with_query(app.SERVICE_HANDLERS["s3"])
        app.SERVICE_HANDLERS["dynamodb"] = _with_limit(app.SERVICE_HANDLERS["dynamodb"])


def _paged(own: Any, service: str) -> Any:
    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Any:
        if OWN in headers.get("user-agent", ""):
            return await own(method, path, headers, body, query)
        request, which = _request(_Call(method, path, headers, body, query), lists_of(service))
        if which is None:
            return await own(method, path, headers, body, query)
        token = str(request.get(which.asks))
        if token in _rests:
            status, answer_headers, document, rest = _rests[token]
        else:
            status, answer_headers, document = await own(method, path, headers, body, query)
            if status != 200:
                return status, answer_headers, document
            rest = None
        return status, dict(answer_headers), _cut(which, status, answer_headers, document, rest)

    return handle


@dataclass(frozen=True)
class _Call:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    query: Mapping[str, Any]


def _request(call: _Call, lists: Mapping[str, _List]) -> tuple[dict[str, Any], _List | None]:
    """The request's parameters and its list; None if the operation has no pages."""
    if target := call.headers.get("x-amz-target"):
        return json.loads(call.body or b"{}"), lists.get(target.rpartition(".")[2])
    form = parse_qs(call.body.decode(errors="replace")) or call.query
    plain = {key: value[0] if isinstance(value, list) else value for key, value in form.items()}
    if "Action" in plain:
        return plain, lists.get(plain["Action"])
    rest = call.path.rstrip("/") if call.method == "GET" else None
    return plain, next((each for each in lists.values() if each.path and each.path == rest), None)


_Items = list[tuple[str, Any]]
"""Items, each with the name of its list."""


def _cut(which: _List, status: int, headers: Mapping[str, str], document: bytes, rest: _Items | None) -> bytes:
    """The answer with the first page of the list, or of its rest."""
    size = _LONG_PAGE if which.operation in _LONG else _PAGE
    shown = _Json(which, document) if document.lstrip()[:1] == b"{" else _Xml(which, document)
    items = shown.items() if rest is None else rest
    if shown.has_token() and rest is None:
        return document
    if rest is None and is_on(Condition.REORDERING) and which.operation not in _ORDERED:
        _shuffle.shuffle(items)
    if not is_on(Condition.PAGINATION) or len(items) <= size:
        return shown.with_items(items, None)
    token = uuid.uuid4().hex
    _rests[token] = (status, headers, document, items[size:])
    while len(_rests) > _KEPT:
        _rests.popitem(last=False)
    return shown.with_items(items[:size], token)


def _named(items: _Items, name: str) -> list[Any]:
    return [each for of, each in items if of == name]


class _Json:
    def __init__(self, which: _List, document: bytes) -> None:
        self._which, self._whole = which, json.loads(document)

    def items(self) -> _Items:
        return [(name, each) for name in self._which.wire_items for each in self._whole.get(name) or []]

    def has_token(self) -> bool:
        return bool(self._whole.get(self._which.wire_tells))

    def with_items(self, items: _Items, token: str | None) -> bytes:
        lists = {name: _named(items, name) for name in self._which.wire_items if name in self._whole}
        whole = {**self._whole, **lists}
        return json.dumps(whole | ({self._which.wire_tells: token} if token else {})).encode()


class _Xml:
    def __init__(self, which: _List, document: bytes) -> None:
        self._which, self._root = which, ElementTree.fromstring(document)  # noqa: S314
        self._namespace = match[0] if (match := re.match(r"\{.*\}", self._root.tag)) else ""
        if self._namespace:
            ElementTree.register_namespace("", self._namespace[1:-1])
        self._result = next((each for each in self._root if each.tag.endswith("Result")), self._root)

    def _element(self, name: str) -> Any:
        return self._result.find(f"{self._namespace}{name}")

    def items(self) -> _Items:
        lists = [(name, self._element(name)) for name in self._which.wire_items]
        return [(name, each) for name, found in lists if found is not None for each in found]

    def has_token(self) -> bool:
        found = self._element(self._which.wire_tells)
        return found is not None and bool(found.text)

    def with_items(self, items: _Items, token: str | None) -> bytes:
        for name in self._which.wire_items:
            element = self._element(name)
            if element is not None:
                element[:] = _named(items, name)
        if token:
            element = self._element(self._which.wire_tells)
            if element is None:
                element = ElementTree.SubElement(self._result, f"{self._namespace}{self._which.wire_tells}")
            element.text = token
            # IAM says so besides, and its clients believe that alone.
            truncated = self._element("IsTruncated")
            if truncated is not None:
                truncated.text = "true"
        return bytes(ElementTree.tostring(self._root, encoding="utf-8", xml_declaration=True))


def _with_query(own: Any) -> Any:
    """S3 has its own counter, and lists in alphabetical order."""

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Any:
        is_list = method == "GET" and ("list-type" in query or "versions" in query)
        if is_list and "max-keys" not in query and OWN not in headers.get("user-agent", ""):
            query = {**query, "max-keys": [str(_PAGE)]}
        return await own(method, path, headers, body, query)

    return handle


def _with_limit(own: Any) -> Any:
    """A page of DynamoDB's is a megabyte: as many items as that may be few."""

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Any:
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        if operation in ("Query", "Scan"):
            request = json.loads(body)
            if "Limit" not in request:
                body = json.dumps({**request, "Limit": _PAGE}).encode()
        return await own(method, path, headers, body, query)

    return handle
