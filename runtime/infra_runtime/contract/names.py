"""Names that a deployment gives and that operators and functions look up."""


def full_name(product: str, environment: str) -> str:
    """Of an environment: of its dashboard, and the beginning of the other names."""
    return f"{product}-{environment}"


def stack_name(product: str, environment: str, stack: str) -> str:
    """As CloudFormation has it. With an empty `stack`, the prefix of all stacks of the environment."""
    return f"{full_name(product, environment)}-{stack}"


def upstash_database(product: str, environment: str, instance: str) -> str:
    """Of an instance of Redis, at Upstash."""
    return f"{full_name(product, environment)}-{instance}"


def parameters(product: str, environment: str, about: str) -> str:
    """Prefix of the Systems Manager parameters about one thing, without the slash that follows."""
    return f"/{product}/{environment}/{about}"


def image_parameter(product: str, environment: str, service: str) -> str:
    """Of the Systems Manager parameter with the image of a service."""
    return f"{parameters(product, environment, service)}/image"
