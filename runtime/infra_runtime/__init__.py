"""Everything that runs in Lambda. Imports nothing of the rest of the repository, and no aws_cdk."""
