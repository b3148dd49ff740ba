"""SSM's public parameters: MiniStack knows Amazon Linux for x86 only."""

from ministack.services import ssm

_X86 = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
_ARM = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-6.1-arm64"


def install() -> None:
    ssm._PUBLIC_AMI_PARAMETERS[_ARM] = ssm._PUBLIC_AMI_PARAMETERS[_X86]
