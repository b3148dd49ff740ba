"""ECR's scan findings of an image: by its own scanner, or by Inspector (enhanced scanning)."""

import json
from typing import Any

from ministack import app
from ministack.services import ecr

from simulators.aws.conditions import Condition, is_on

# Copied for each answer: MiniStack adds its length.
_CONTENT = {"Content-Type": "application/x-amz-json-1.1"}


def install() -> None:
    own = app.SERVICE_HANDLERS["ecr"]

    async def handle(method: str, path: str, headers: dict[str, str], body: bytes, query: dict[str, Any]) -> Any:
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        if operation == "DescribeImageScanFindings":
            return _findings(json.loads(body))
        status, answer_headers, document = await own(method, path, headers, body, query)
        if operation == "DescribeImages" and status == 200 and is_on(Condition.ENHANCED_SCANNING):
            decoded = json.loads(document)
            for image in decoded["imageDetails"]:
                for key in ("imageScanStatus", "imageScanFindingsSummary"):
                    image.pop(key, None)
            document = json.dumps(decoded).encode()
        return status, answer_headers, document

    app.SERVICE_HANDLERS["ecr"] = handle


def _findings(request: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
    """The scan's result, which is in the manifest of a rehearsal's image."""
    image = ecr._find_image(request["repositoryName"], request["imageId"])
    if not image:
        wrong = {"__type": "ImageNotFoundException", "message": "The image does not exist in the repository"}
        return 400, dict(_CONTENT), json.dumps(wrong).encode()
    scan = json.loads(image["imageManifest"]).get("annotations", {})
    status = scan.get("scan", "COMPLETE")
    is_enhanced = is_on(Condition.ENHANCED_SCANNING)
    counts = {"CRITICAL": int(scan.get("critical", 0))}
    found = {
        "repositoryName": request["repositoryName"],
        "imageId": request["imageId"],
        "imageScanStatus": {"status": "ACTIVE" if is_enhanced and status == "COMPLETE" else status},
        "imageScanFindings": {"findingSeverityCounts": counts, "enhancedFindings" if is_enhanced else "findings": []},
    }
    return 200, dict(_CONTENT), json.dumps(found).encode()
