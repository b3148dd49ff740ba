"""Purges deleted and replaced media from Cloudflare's cache, which would keep it for a month.

S3's events come by EventBridge and a queue, many at once. Browsers keep what they have for up to a week.
"""

import json
import logging
import os
from collections.abc import Mapping
from typing import Any

from infra_runtime.aws import client
from infra_runtime.cloudflare import zone as zones
from infra_runtime.cloudflare.credentials import api_from
from infra_runtime.cloudflare.purge import prefixes, purge
from infra_runtime.contract.secret_values import Secrets, deadline_of
from infra_runtime.reporting import reported

logger = logging.getLogger(__name__)
# Ids by name: they stay as long as the zone, and a batch every two seconds would ask Cloudflare for them each time.
_ZONES: dict[str, str] = {}


@reported
def handler(event: Mapping[str, Any], context: Any) -> None:
    """Handles a batch of SQS. Raises what `purge` raises; SQS then delivers the batch again, which is harmless."""
    keys = [json.loads(record["body"])["detail"]["object"]["key"] for record in event["Records"]]
    wanted = [each for key in keys for each in prefixes(os.environ["HOST"], key)]
    secrets = Secrets(client("secretsmanager"))
    api = api_from(secrets, os.environ["TOKEN_SECRET"], deadline=deadline_of(context))
    name = os.environ["ZONE"]
    if name not in _ZONES:
        _ZONES[name] = zones.find(api, name).id
    purge(api, _ZONES[name], wanted)
    logger.info("purged %d objects", len(set(keys)))
