"""Messages of AWS Budgets and Cost Anomaly Detection to a topic: neither is an alarm, and neither reports its end."""

# Documented nowhere. Several public repositories hold recorded ones, from 2020 to 2026, and all are alike.
BUDGET_SUBJECT = "AWS Budgets: production-monthly has exceeded your alert threshold"
BUDGET = """AWS Budget Notification September 26, 2026
AWS Account 111122223333

Dear AWS Customer,

You requested that we alert you when the FORECASTED Cost associated with your production-monthly budget is greater \
than $1,500.00 for the current month. The FORECASTED Cost associated with this budget is $1,720.13. You can find \
additional details below and by accessing the AWS Budgets dashboard [1].

Budget Name: production-monthly
Budget Type: Cost
Budgeted Amount: $1,500.00
Alert Type: FORECASTED
Alert Threshold: > $1,500.00
FORECASTED Amount: $1,720.13

[1] https://console.aws.amazon.com/billing/home#/budgets
"""
# AWS Cost Management user guide, "Getting started with AWS Cost Anomaly Detection": the message of a topic.
ANOMALY = """{
  "accountId": "123456789012",
  "anomalyDetailsLink": "https://console.aws.amazon.com/cost-management/home#/anomaly-detection/monitors/abcdef12/anomalies/12345678",
  "anomalyEndDate": "2021-05-25T00:00:00Z",
  "anomalyId": "12345678-abcd-ef12-3456-987654321a12",
  "anomalyScore": {"currentScore": 0.47, "maxScore": 0.47},
  "anomalyStartDate": "2021-05-25T00:00:00Z",
  "dimensionalValue": "ServiceName",
  "impact": {
    "maxImpact": 151,
    "totalActualSpend": 1301,
    "totalExpectedSpend": 300,
    "totalImpact": 1001,
    "totalImpactPercentage": 333.67
  },
  "monitorArn": "arn:aws:ce::123456789012:anomalymonitor/abcdef12-1234-4ea0-84cc-918a97d736ef",
  "rootCauses": [
    {
      "linkedAccount": "AnomalousLinkedAccount",
      "linkedAccountName": "AnomalousLinkedAccountName",
      "region": "AnomalousRegionName",
      "service": "AnomalousServiceName",
      "usageType": "AnomalousUsageType",
      "impact": {"contribution": 601}
    }
  ],
  "subscriptionId": "874c100c-59a6-4abb-a10a-4682cc3f2d69",
  "subscriptionName": "alertSubscription"
}"""
