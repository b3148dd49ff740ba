"""Names that a deployment gives and that operators and functions look up."""

GITHUB_ISSUER = "token.actions.githubusercontent.com"
"""Of the tokens of GitHub's workflows; the account's OIDC provider is named after it."""


def words(name: str) -> str:
    """A name as a template has it in ids and parameters: SignUp for `sign-up`."""
    return "".join(part.capitalize() for part in name.split("-"))


def full_name(product: str, environment: str) -> str:
    """Name of an environment's dashboard; the other names begin with it."""
    return f"{product}-{environment}"


def stack_name(product: str, environment: str, stack: str) -> str:
    """Name of a stack. With an empty `stack`, the prefix of all stacks of the environment."""
    return f"{full_name(product, environment)}-{stack}"


def upstash_database(product: str, environment: str, instance: str) -> str:
    """Name of a Redis instance's database at Upstash."""
    return f"{full_name(product, environment)}-{instance}"


def parameters(product: str, environment: str, about: str) -> str:
    """Prefix of the Systems Manager parameters about one thing, without the slash that follows."""
    return f"/{product}/{environment}/{about}"


def image_parameter(product: str, environment: str, service: str) -> str:
    """Name of the SSM parameter that holds a service's image."""
    return f"{parameters(product, environment, service)}/image"
