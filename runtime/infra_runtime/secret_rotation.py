"""Secrets Manager's rotation in four steps, as far as it is the same for every secret."""

from abc import ABC, abstractmethod
from typing import Any


class NotInPlace(Exception):
    """The new value is not in use everywhere yet, so it must not become current; the old one stays."""


class Rotation(ABC):
    """One rotation of one secret: `version` is the pending version (AWSPENDING)."""

    def __init__(self, manager: Any, *, secret: str, version: str) -> None:
        self._manager, self._secret, self._version = manager, secret, version

    @abstractmethod
    def new_value(self) -> str:
        """The secret's next value."""

    @abstractmethod
    def set(self, pending: str) -> None:
        """Makes the new value valid beside the old one."""

    @abstractmethod
    def test(self, pending: str) -> None:
        """Raises `NotInPlace`, or what using the new value raises."""

    def step(self, name: str) -> None:
        """Runs one step, which may be repeated. Raises when the step did not have its effect."""
        if name == "createSecret":
            self._create()
        elif name == "setSecret":
            self.set(self._pending())
        elif name == "testSecret":
            self._test()
        elif name == "finishSecret":
            self._finish()
        else:
            raise ValueError(f"{name!r} is no step of a rotation")

    def current(self) -> str:
        found: str = self._manager.get_secret_value(SecretId=self._secret)["SecretString"]
        return found

    def random(self, letters: int) -> str:
        found: str = self._manager.get_random_password(PasswordLength=letters, ExcludePunctuation=True)[
            "RandomPassword"
        ]
        return found

    def _stages(self) -> dict[str, str]:
        """Version by stage."""
        # CDK lets a rotation function describe its secret, and not list its versions.
        versions = self._manager.describe_secret(SecretId=self._secret)["VersionIdsToStages"]
        return {stage: version for version, stages in versions.items() for stage in stages}

    def _create(self) -> None:
        if self._stages().get("AWSPENDING") == self._version and self._has_value():
            return
        self._manager.put_secret_value(
            SecretId=self._secret,
            ClientRequestToken=self._version,
            SecretString=self.new_value(),
            VersionStages=["AWSPENDING"],
        )

    def _test(self) -> None:
        """Secrets Manager also runs this step alone, to try a schedule that was made or changed. What the version then
        holds is not documented (API Reference, RotateSecret): the current value, or none.
        """
        if self._has_value():
            self.test(self._pending())

    def _has_value(self) -> bool:
        try:
            return bool(self._pending())
        except self._manager.exceptions.ResourceNotFoundException:
            return False

    def _pending(self) -> str:
        found: str = self._manager.get_secret_value(
            SecretId=self._secret, VersionId=self._version, VersionStage="AWSPENDING"
        )["SecretString"]
        return found

    def _finish(self) -> None:
        current = self._stages()["AWSCURRENT"]
        if current != self._version:
            self._pending()  # Raises where there is none: what is current must have a value.
            self._manager.update_secret_version_stage(
                SecretId=self._secret,
                VersionStage="AWSCURRENT",
                MoveToVersionId=self._version,
                RemoveFromVersionId=current,
            )
