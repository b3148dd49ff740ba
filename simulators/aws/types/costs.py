"""Budgets and cost anomalies, kept and never computed: MiniStack has no bill."""

import json
from uuid import uuid4

from ministack.core.responses import AccountRegionScopedDict, get_account_id

from simulators.aws import cost_explorer
from simulators.aws.resource_type import Properties, Provisioned, ResourceRefused, client, register

_budgets = AccountRegionScopedDict()
_monitors = AccountRegionScopedDict()


class _Budget:
    name = "AWS::Budgets::Budget"

    def create(self, properties: Properties) -> Provisioned:
        name = properties["Budget"]["BudgetName"]
        if name in _budgets:
            raise ResourceRefused(f"Unable to create budget as a budget with the name {name} already exists.")
        for each in properties.get("NotificationsWithSubscribers", []):
            for subscriber in each["Subscribers"]:
                client("sns").get_topic_attributes(TopicArn=subscriber["Address"])
        _budgets[name] = dict(properties)
        return Provisioned(name)

    def update(self, physical_id: str, old: Properties, new: Properties) -> Provisioned:
        _budgets[physical_id] = dict(new)
        return Provisioned(physical_id)

    def delete(self, physical_id: str, properties: Properties) -> None:
        _budgets.pop(physical_id, None)


class _Monitor:
    name = "AWS::CE::AnomalyMonitor"

    def create(self, properties: Properties) -> Provisioned:
        if refused := cost_explorer.refusal():
            raise ResourceRefused(refused)
        if properties["MonitorType"] == "CUSTOM":
            json.loads(properties["MonitorSpecification"])
        arn = f"arn:aws:ce::{get_account_id()}:anomalymonitor/{uuid4()}"
        _monitors[arn] = dict(properties)
        return Provisioned(arn, {"MonitorArn": arn})

    def update(self, physical_id: str, old: Properties, new: Properties) -> Provisioned:
        _monitors[physical_id] = dict(new)
        return Provisioned(physical_id, {"MonitorArn": physical_id})

    def delete(self, physical_id: str, properties: Properties) -> None:
        _monitors.pop(physical_id, None)


class _Subscription:
    name = "AWS::CE::AnomalySubscription"

    def create(self, properties: Properties) -> Provisioned:
        if unknown := [each for each in properties["MonitorArnList"] if each not in _monitors]:
            raise ResourceRefused(f"Unknown monitors: {unknown}")
        if properties["Frequency"] != "IMMEDIATE" and any(each["Type"] == "SNS" for each in properties["Subscribers"]):
            raise ResourceRefused("SNS subscribers need the frequency IMMEDIATE")
        arn = f"arn:aws:ce::{get_account_id()}:anomalysubscription/{uuid4()}"
        return Provisioned(arn, {"SubscriptionArn": arn})

    def update(self, physical_id: str, old: Properties, new: Properties) -> Provisioned:
        return Provisioned(physical_id, {"SubscriptionArn": physical_id})

    def delete(self, physical_id: str, properties: Properties) -> None:
        """Does nothing: no other part of the emulator knows the subscription."""


def install() -> None:
    for each in (_Budget(), _Monitor(), _Subscription()):
        register(each)
