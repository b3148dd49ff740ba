"""The steps of `infra change`, done one by one in an account with users: fewer zones, other NAT, no previews."""

import shutil
from pathlib import Path
from typing import Any

from config import ENVIRONMENTS, load
from ops.change import steps
from ops.effects import effects
from ops.effects.template import Templates
from ops.stacks import stacks, templates
from ops.templates import read
from rehearsal.account import Account, opened
from rehearsal.checks.releases import first_release
from rehearsal.traffic import traffic

NAME = "dev"
BEFORE = {
    '["eu-central-1a", "eu-central-1b"]': '["eu-central-1a", "eu-central-1b", "eu-central-1c"]',
    'nat = "instance"': 'nat = "single"',
}
AFTER = {"[previews]\nslots = 2\nhours = 72 # over a weekend\n": ""}


def edited(edits: dict[str, str]) -> str:
    text = (ENVIRONMENTS / f"{NAME}.toml").read_text()
    for old, new in edits.items():
        assert old in text
        text = text.replace(old, new)
    return text


def assembly(text: str, context: dict[str, Any], folder: Path) -> Path:
    import aws_cdk as cdk

    import app

    shutil.copytree(ENVIRONMENTS, folder)
    (folder / f"{NAME}.toml").write_text(text)
    root = cdk.App(context=context, outdir=str(folder / "cdk.out"))
    app.build(root, load([NAME], directory=folder))
    return Path(root.synth().directory)


def deployed(account: Account, wanted: Templates) -> Templates:
    return templates(account, list(stacks(account, NAME)), wanted)


def deploy(account: Account, app: Path, *stacks: str) -> None:
    account.cdk.deploy(app, *(stacks or (f"{NAME}/*",)), options=["--exclusively"] if stacks else [])


def test_a_change_that_cloudformation_would_refuse_is_made_in_steps_without_losing_a_request(
    context: dict[str, Any], tmp_path: Path
) -> None:
    with opened(NAME, load([NAME])[NAME], tmp_path / "account") as account:
        first, second = (
            assembly(text, context, tmp_path / each) for each, text in (("1", edited(BEFORE)), ("2", edited(AFTER)))
        )
        account.cdk.bootstrap(first)
        account.prepare()
        deploy(account, first)
        first_release(account)
        (folder,) = second.glob("assembly-*")
        wanted, done = dict(read(folder)), []
        assert {each.kind for each in effects(deployed(account, wanted), wanted)} >= {"in-use", "left-behind"}
        with traffic(account).flowing() as users:
            while left := steps(NAME, account.environment.product, deployed(account, wanted), wanted, account):
                command = left[0].command
                assert command not in done
                done.append(command)
                words = command.split()
                if words[0] == "aws":
                    account.client("cloudformation").delete_stack(StackName=words[4])
                    account.client("cloudformation").get_waiter("stack_delete_complete").wait(
                        StackName=words[4], WaiterConfig={"Delay": 1}
                    )
                else:
                    deploy(account, second, *words[words.index("--exclusively") + 1 :] if words[0] == "npx" else ())
        assert users.requests > 100
        assert users.failures == []
        # What needs nothing of the previews, both of them, what imports the third zone, and then everything.
        assert [each.split()[0] for each in done] == ["npx", "aws", "aws", "npx", "make"]
