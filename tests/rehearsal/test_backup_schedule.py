"""A restore drill that the plan's schedule starts; AWS Backup deletes the restored instance."""

import time
from datetime import UTC, datetime, timedelta

from ops.restores.drills import Drills
from rehearsal.account import Account
from rehearsal.checks.assertions import wait_until
from rehearsal.checks.releases import first_release


def test_a_drill_by_the_plans_schedule_is_verified_and_removed(production: Account) -> None:
    backup, place = production.client("backup"), Drills("production", production.environment, production)
    plan = production.resource("Data", "AWS::Backup::RestoreTestingPlan")
    first_release(production)
    before = production.client("rds").describe_db_instances()["DBInstances"]
    known = {each.job for each in place.results()}
    schedule = backup.get_restore_testing_plan(RestoreTestingPlanName=plan)["RestoreTestingPlan"]["ScheduleExpression"]
    at = datetime.now(UTC) + timedelta(minutes=1)
    once = f"cron({at.minute} {at.hour} {at.day} {at.month} ? {at.year})"
    # A person can start a plan no other way either (AWS Backup API reference: nothing runs one).
    backup.update_restore_testing_plan(RestoreTestingPlanName=plan, RestoreTestingPlan={"ScheduleExpression": once})
    wait_until(lambda: bool({each.job for each in place.results()} - known), lambda: "no drill has ended", seconds=180)
    backup.update_restore_testing_plan(RestoreTestingPlanName=plan, RestoreTestingPlan={"ScheduleExpression": schedule})
    (drill,) = [each for each in place.results() if each.job not in known]
    assert drill.problems == []
    deadline = time.monotonic() + 60
    while (job := backup.describe_restore_job(RestoreJobId=drill.job)).get("DeletionStatus") != "SUCCESSFUL":
        assert time.monotonic() < deadline, job
        time.sleep(0.2)
    assert job["CreatedBy"]["RestoreTestingPlanArn"].partition(plan)[1] == plan
    assert job["ValidationStatus"] == "SUCCESSFUL"
    now = production.client("rds").describe_db_instances()["DBInstances"]
    assert [each["DBInstanceIdentifier"] for each in now] == [each["DBInstanceIdentifier"] for each in before]
