"""Loads what most functions load, for the process that `forking` forks: boto3, and what its clients read first."""

import gc
import sys
from functools import cache

import boto3
import botocore.session

# Workers of a function share its bytecode (`unpacking`), however the emulator's interpreter was started.
sys.dont_write_bytecode = False
# Kept in the forked processes, whose sessions would each parse the models again.
botocore.session.create_loader = cache(botocore.session.create_loader)
_session = boto3.Session(aws_access_key_id="none", aws_secret_access_key="none", region_name="us-east-1")
for _service in ("cloudformation", "ecs", "rds", "secretsmanager", "ssm"):
    _session.client(_service)
# The forked processes share these pages, which a collection of garbage would write to.
gc.freeze()
