"""No list of AWS's is read by its first page only."""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import botocore.session
from botocore import xform_name
from botocore.exceptions import UnknownServiceError

from simulators.aws.lists import lists_of

_ROOT = Path(__file__).resolve().parents[2]
# A parameter that names the wanted items, so that one page holds them all.
_BOUNDED_BY = {
    "describe_db_instances": "DBInstanceIdentifier",
    "describe_images": "imageIds",
    "describe_load_balancers": "LoadBalancerArns",
    "describe_managed_prefix_lists": "PrefixListIds",
    "describe_replication_groups": "ReplicationGroupId",
    "describe_rules": "RuleArns",
    "describe_stacks": "StackName",
    "describe_target_groups": "TargetGroupArns",
    # A user has two at most (IAM's quotas).
    "list_access_keys": "UserName",
    # Only the first ones are wanted.
    "describe_image_scan_findings": "maxResults",
    "get_log_events": "limit",
    "list_objects_v2": "MaxKeys",
    "query": "Limit",
    # Redis's, not DynamoDB's.
    "scan": "cursor",
}


def _sources() -> Iterator[tuple[str, str]]:
    for folder in ("ops", "runtime"):
        for path in sorted((_ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(_ROOT)), path.read_text()


@cache
def _tokens() -> Mapping[str, set[str]]:
    """boto3's name of each paginated operation, and the parameters that request the next page."""
    loader = botocore.session.get_session().get_component("data_loader")
    services = {name for _, text in _sources() for name in re.findall(r'\bclient\("([a-z0-9-]+)"', text)}
    found: dict[str, set[str]] = {}
    for service in services:
        try:
            pages = loader.load_service_model(service, "paginators-1")["pagination"]
        except UnknownServiceError:
            pages = {}
        asked = {name: page["input_token"] for name, page in pages.items()}
        asked |= {name: each.asks for name, each in lists_of(service).items()}
        for name, token in asked.items():
            found.setdefault(xform_name(name), set()).update([token] if isinstance(token, str) else token)
    return found


def first_pages_only(text: str) -> Iterator[tuple[int, str]]:
    """(line, operation) of each call that may have a second page and does not request it."""
    tree = ast.parse(text)
    for function in (each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef)):
        texts = {node.value for node in ast.walk(function) if isinstance(node, ast.Constant)}
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            if not isinstance(call.func, ast.Attribute) or call.func.attr not in _tokens():
                continue
            named = {each.arg for each in call.keywords}
            tokens = _tokens()[call.func.attr]
            goes_on = tokens & named or (None in named and tokens & texts)
            if not goes_on and _BOUNDED_BY.get(call.func.attr) not in named - {None}:
                yield call.lineno, call.func.attr


def test_every_list_is_read_to_its_end() -> None:
    found = [f"{path}:{line}: {name}" for path, text in _sources() for line, name in first_pages_only(text)]
    assert found == []


def test_a_first_page_is_found_out() -> None:
    paged = "def f(c, **page):\n    while token := c.list_stacks(**page).get('x'):\n        page['NextToken'] = token"
    assert list(first_pages_only(paged)) == []
    assert list(first_pages_only("def f(c):\n    return c.describe_stacks(StackName='a')")) == []
    assert list(first_pages_only("def f(c):\n    return c.describe_stacks()")) == [(2, "describe_stacks")]
    assert list(first_pages_only("def f(c, **g):\n    return c.list_stacks(**g)")) == [(2, "list_stacks")]
