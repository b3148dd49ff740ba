"""The first day in a new AWS account, with `infra doctor` and `infra doctor --fix`."""

import os
from dataclasses import dataclass
from pathlib import Path

from ops import doctor
from ops.doctor.finding import Finding
from ops.effects.template import Templates
from ops.review import Review, deployed
from ops.templates import read
from rehearsal.account import Account
from rehearsal.progress import Progress


@dataclass(frozen=True)
class FirstDay:
    account: Account
    assembly: Path
    progress: Progress

    def gaps_are_reported(self) -> None:
        """Doctor in an empty account."""
        found = self._examine()
        fixable = [each for each in found if each.repair is not None]
        summary = f"{len(found)} findings before the first deployment, {len(fixable)} of them for doctor --fix"
        about = {each.where.partition(" ")[0] for each in found}
        self.progress.check("Doctor reports what a new account lacks", {"account", "secret"} <= about, summary)

    def nothing_is_left(self) -> None:
        """After `cdk bootstrap`, `doctor --fix`, and the manual steps of docs/first-deployment.md."""
        left = [each for each in self._examine() if each.stops]
        summary = "; ".join(f"{each.where}: {each.what}" for each in left) or "nothing is missing any more"
        self.progress.check("Doctor's own fixes and docs/first-deployment.md are enough", not left, summary)

    def nothing_stops_the_pipeline(self) -> None:
        """Later, with the credentials of the deploy role."""
        stopping = [f"{each.where}: {each.what}" for each in self._examine() if each.stops]
        self.progress.check("Doctor lets the pipeline deploy", not stopping, "; ".join(stopping) or "nothing stops it")

    def plan(self) -> Review:
        """What a deployment would do, as a workflow with this account's credentials reports it."""
        return deployed(self.account.name, self.account.environment, self.account, self._templates())

    def _examine(self) -> list[Finding]:
        os.environ["CLOUDFLARE_BASE_URL"] = self.account.cloudflare_url
        os.environ["GITHUB_API_URL"] = self.account.github_url
        return list(doctor.examine(self.account.name, self.account.environment, self.account, self._templates()))

    def _templates(self) -> Templates:
        return dict(read(self.assembly / f"assembly-{self.account.name}"))
