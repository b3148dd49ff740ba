"""SSM's public parameters: MiniStack has Amazon Linux for x86 only, and its image id never changes."""

import itertools
from typing import Any

from ministack.services import ssm

from simulators.aws.conditions import Condition, is_on

_X86 = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
_ARM = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"


class _Published(dict[str, str]):
    """Parameters whose value is a newer image at each read."""

    _number = itertools.count()

    def get(self, name: str, default: Any = None) -> Any:
        return f"ami-{next(self._number):017x}" if name in self else default


def install() -> None:
    ssm._PUBLIC_AMI_PARAMETERS[_ARM] = ssm._PUBLIC_AMI_PARAMETERS[_X86]
    if is_on(Condition.AMI_CHANGES):
        ssm._PUBLIC_AMI_PARAMETERS = _Published(ssm._PUBLIC_AMI_PARAMETERS)
