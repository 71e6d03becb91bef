"""What schemathesis sends in the place of any bytes: images, and fields that the bundled models take."""

from base64 import b64encode
from typing import Any

import schemathesis
from hypothesis import strategies

from tests.integration.images import leaf
from tests.unit.images import encode, quadrants

IMAGES = strategies.sampled_from([leaf(), encode(quadrants(), "PNG"), encode(quadrants(), "WEBP"), b"no image"])
OF_OTHER_TASKS = ("iou", "normalize", "outputs", "tile")
# A receiver that is made up would be looked for in the network.
NOT_SENT = ("webhook", "webhook_events_filter", "timeout", *OF_OTHER_TASKS)

for kind in ("image/*", "application/octet-stream"):
    schemathesis.openapi.media_type(kind, IMAGES)
schemathesis.openapi.format("binary", IMAGES)
schemathesis.openapi.format("byte", IMAGES.map(lambda image: b64encode(image).decode()))


@schemathesis.hook
def map_query(context: Any, query: dict[str, Any] | None) -> dict[str, Any] | None:
    """Without what would be refused for another reason than the one that is tried."""
    return query and {name: value for name, value in query.items() if name not in NOT_SENT}
