"""Budget and cost anomalies, by the tag `environment`, which has to be activated for the account once."""

import json

import aws_cdk as cdk
from aws_cdk import aws_budgets as budgets
from aws_cdk import aws_ce as ce
from aws_cdk import aws_sns as sns
from constructs import Construct

_TAG = "environment"
# An anomaly below this share of the month's budget is not worth a person's time.
_ANOMALY_SHARE = 0.05
_RUNBOOK = ("runbook", "docs/runbooks/cost.md")


class Costs(Construct):
    """Notifies of a month that will exceed its budget, and of a day with unusual costs."""

    def __init__(self, scope: Construct, id_: str, *, environment: str, monthly_usd: int, topic: sns.ITopic) -> None:
        super().__init__(scope, id_)
        name = f"{cdk.Stack.of(self).stack_name}-monthly"
        subscriber = budgets.CfnBudget.SubscriberProperty(subscription_type="SNS", address=topic.topic_arn)
        budget = budgets.CfnBudget(
            self,
            "Budget",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_name=name,
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=monthly_usd, unit="USD"),
                cost_filters={"TagKeyValue": [f"user:{_TAG}${environment}"]},
            ),
            notifications_with_subscribers=[
                budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=budgets.CfnBudget.NotificationProperty(
                        comparison_operator="GREATER_THAN",
                        notification_type=kind,
                        threshold=100,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=[subscriber],
                )
                for kind in ("FORECASTED", "ACTUAL")
            ],
        )
        budget.add_metadata(*_RUNBOOK)
        monitor = ce.CfnAnomalyMonitor(
            self,
            "Monitor",
            monitor_name=name,
            monitor_type="CUSTOM",
            # The plain key; `user:` is Budgets' form alone (API_GetTags and CreateAnomalyMonitor of Cost Explorer).
            monitor_specification=json.dumps({"Tags": {"Key": _TAG, "Values": [environment]}}),
        )
        subscription = ce.CfnAnomalySubscription(
            self,
            "Anomalies",
            subscription_name=name,
            monitor_arn_list=[monitor.attr_monitor_arn],
            frequency="IMMEDIATE",  # the only one that SNS supports
            subscribers=[ce.CfnAnomalySubscription.SubscriberProperty(type="SNS", address=topic.topic_arn)],
            threshold_expression=json.dumps(
                {
                    "Dimensions": {
                        "Key": "ANOMALY_TOTAL_IMPACT_ABSOLUTE",
                        "MatchOptions": ["GREATER_THAN_OR_EQUAL"],
                        "Values": [f"{max(10, round(monthly_usd * _ANOMALY_SHARE))}"],
                    }
                }
            ),
        )
        subscription.add_metadata(*_RUNBOOK)
