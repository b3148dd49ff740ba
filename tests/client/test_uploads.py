"""The code in docs/uploads.md, as it stands there, against an S3 that checks signatures."""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest

from simulators.aws.process import emulator
from simulators.redis.authority import Authority

ROOT = Path(__file__).resolve().parents[2]
CODE = "\n".join(re.findall(r"^```js\n(.*?)^```", (ROOT / "docs" / "uploads.md").read_text(), re.MULTILINE | re.DOTALL))
ROOT_KEYS = {"aws_access_key_id": "111122223333", "aws_secret_access_key": "test", "region_name": "eu-central-1"}
BUCKET, LARGEST = "media-of-the-tests", 10 * 1024 * 1024
# Signs for one file and uploads another one, as a user could who changes the page's script.
USE = """
for (const { signed, sent } of JSON.parse(process.argv[1])) {
  const file = new Blob(['a'.repeat(sent.size)], { type: sent.type })
  const outcome = await signUpload(signed, 'avatars/7')
    .then(async (answer) => ({ key: answer.key, address: await upload(file, answer) }))
    .catch((error) => ({ error: `${error.name}: ${error.message}` }))
  console.log(JSON.stringify(outcome))
}
"""
File = Mapping[str, Any]
AVIF = {"type": "image/avif", "size": 1000}


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    nowhere, folder = "http://127.0.0.1:9", tmp_path_factory.mktemp("emulator")
    with emulator(folder, cloudflare=nowhere, upstash=nowhere, authority=Authority()) as running:
        root = boto3.client("iam", endpoint_url=running.url, **ROOT_KEYS)
        boto3.client("s3", endpoint_url=running.url, **ROOT_KEYS).create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )
        root.create_user(UserName="api")
        # Permissions of a service (infra_constructs.media.grant_application).
        actions = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
        statement = {"Effect": "Allow", "Action": actions, "Resource": f"arn:aws:s3:::{BUCKET}/*"}
        policy = json.dumps({"Version": "2012-10-17", "Statement": statement})
        root.put_user_policy(UserName="api", PolicyName="media", PolicyDocument=policy)
        made = root.create_access_key(UserName="api")["AccessKey"]
        yield {
            **os.environ,
            "AWS_ENDPOINT_URL": running.url,
            "AWS_REGION": "eu-central-1",
            "AWS_ACCESS_KEY_ID": made["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"],
            "MEDIA_BUCKET": BUCKET,
            "MEDIA_URL": "https://media.example.com",
        }


def use(variables: Mapping[str, str], *files: tuple[File, File]) -> list[dict[str, str]]:
    """Signs a URL for the first file of each pair and uploads the second with it."""
    given = json.dumps([{"signed": signed, "sent": sent} for signed, sent in files])
    done = subprocess.run(
        ["node", "--input-type=module", "-e", CODE + USE, given],
        cwd=ROOT, env=dict(variables), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_file_of_the_type_and_size_that_were_signed_is_uploaded_and_no_other(variables: Mapping[str, str]) -> None:
    output, another_type, another_size = use(
        variables, (AVIF, AVIF), (AVIF, {**AVIF, "type": "text/html"}), (AVIF, {**AVIF, "size": 1001})
    )
    assert re.fullmatch(r"https://media\.example\.com/avatars/7/[0-9a-f-]{36}\.avif", output["address"]), output
    s3 = boto3.client("s3", endpoint_url=variables["AWS_ENDPOINT_URL"], **ROOT_KEYS)
    found = s3.head_object(Bucket=BUCKET, Key=output["key"])
    assert (found["ContentType"], found["ContentLength"]) == ("image/avif", 1000)
    for refused in (another_type, another_size):
        assert refused.get("error", "").startswith("Error: upload: 403"), refused
        assert "SignatureDoesNotMatch" in refused["error"]


def test_nothing_is_signed_for_other_types_and_sizes(variables: Mapping[str, str]) -> None:
    refused: dict[str, File] = {
        "RangeError: type text/html: expected one of image/avif, image/jpeg": {"type": "text/html", "size": 1},
        "RangeError: type constructor": {"type": "constructor", "size": 1},
        f"RangeError: size {LARGEST + 1}: expected 1 to {LARGEST}": {"type": "image/png", "size": LARGEST + 1},
        "RangeError: size 0": {"type": "image/png", "size": 0},
        "RangeError: size 5": {"type": "image/png", "size": "5"},
    }
    output = use(variables, *((signed, AVIF) for signed in refused.values()))
    for expected, found in zip(refused, output, strict=True):
        assert found.get("error", "").startswith(expected), found
