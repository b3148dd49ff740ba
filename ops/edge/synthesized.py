"""Declarations of this working tree; values that only AWS knows are filled in from the deployed stacks."""

import json
from collections.abc import Iterator
from typing import Any

import boto3

from ops.templates import synthesized


class NotDeployedYet(Exception):
    """A reference to something that the last deployment has not made."""


def declarations(name: str, session: boto3.Session) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """(kind/name, document) of each; None where it refers to what is not deployed yet."""
    for stack, template in synthesized(name).items():
        known = _Known(session, stack)
        for resource in template["Resources"].values():
            if resource["Type"] != "Custom::Cloudflare":
                continue
            raw = resource["Properties"]["Document"]
            try:
                document = json.loads(known.resolve(raw))
            except NotDeployedYet:
                # Its kind and name can be read all the same: only some values are unknown.
                open_document = json.loads(text_of(raw, unknown="?"))
                yield f"{open_document['kind']}/{open_document['name']}", None
                continue
            if document["kind"] != "preflight":
                yield f"{document['kind']}/{document['name']}", document


def text_of(document: Any, *, unknown: str) -> str:
    """A declaration as a template contains it, with `unknown` for what only AWS knows."""
    parts = document["Fn::Join"][1] if isinstance(document, dict) else [document]
    return "".join(part if isinstance(part, str) else unknown for part in parts)


class _Known:
    """Resolves the few intrinsic functions that declarations contain."""

    def __init__(self, session: boto3.Session, stack: str) -> None:
        self._cloudformation = session.client("cloudformation")
        self._stack = stack
        self._exports: dict[str, str] | None = None

    def resolve(self, node: Any) -> str:
        match node:
            case str():
                return node
            case {"Fn::Join": [separator, parts]}:
                return str(separator).join(self.resolve(part) for part in parts)
            case {"Fn::ImportValue": export}:
                return self._export(export)
            case {"Ref": "AWS::Partition"}:
                return "aws"
            case {"Ref": logical_id}:
                return self._physical_id(logical_id)
            case _:
                raise NotDeployedYet(str(node))

    def _export(self, name: str) -> str:
        if self._exports is None:
            pages = self._cloudformation.get_paginator("list_exports").paginate()
            self._exports = {each["Name"]: each["Value"] for page in pages for each in page["Exports"]}
        if name not in self._exports:
            raise NotDeployedYet(name)
        return self._exports[name]

    def _physical_id(self, logical_id: str) -> str:
        try:
            found = self._cloudformation.describe_stack_resource(StackName=self._stack, LogicalResourceId=logical_id)
        except self._cloudformation.exceptions.ClientError as error:
            raise NotDeployedYet(logical_id) from error
        physical_id: str = found["StackResourceDetail"]["PhysicalResourceId"]
        return physical_id
