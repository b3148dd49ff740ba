"""Reports exceptions of functions to Sentry: type, message and place, without local values or events.

Only where SENTRY_DSN is set; the library is imported there and nowhere else.
"""

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

from infra_runtime.contract.secret_values import redact as redact_everything

_FLUSH_SECONDS = 2.0

Handler = Callable[[Any, Any], Any]


def reported(handler: Handler) -> Handler:
    """Decorates a handler: its exceptions are reported to Sentry and raised again."""

    @functools.wraps(handler)
    def reporting(event: Any, context: Any) -> Any:
        try:
            return handler(event, context)
        except Exception as error:
            report(error)
            raise

    return reporting


def report(error: BaseException, *, redact: Callable[[str], str] = redact_everything) -> None:
    """Never raises, and never takes longer than two seconds: reporting must not cause a second failure."""
    if not os.environ.get("SENTRY_DSN"):
        return
    try:
        _sent(error, redact)
    except Exception as failure:  # of Sentry's library, or on the way to it
        print(f"Sentry did not get the exception: {type(failure).__name__}")  # noqa: T201


def _sent(error: BaseException, redact: Callable[[str], str]) -> None:
    import sentry_sdk  # noqa: PLC0415  (half a second that environments without Sentry save)

    _started()
    with sentry_sdk.new_scope() as scope:
        scope.add_event_processor(lambda event, _: _redacted(event, redact))
        sentry_sdk.capture_exception(error)
    sentry_sdk.flush(_FLUSH_SECONDS)


@functools.cache
def _started() -> None:
    import sentry_sdk  # noqa: PLC0415

    # DSN and environment are read from variables by the library itself.
    sentry_sdk.init(
        # Tokens, passwords and documents are in locals.
        include_local_variables=False,
        data_collection={"user_info": False, "http_bodies": [], "stack_frame_variables": False},
        max_breadcrumbs=0,
        auto_enabling_integrations=False,
        traces_sample_rate=0.0,
        server_name=os.environ.get("AWS_LAMBDA_FUNCTION_NAME"),
    )


def _redacted(event: Any, redact: Callable[[str], str]) -> Any:
    """Every text in it."""
    if isinstance(event, str):
        return redact(event)
    if isinstance(event, Mapping):
        return {key: _redacted(value, redact) for key, value in event.items()}
    if isinstance(event, list):
        return [_redacted(value, redact) for value in event]
    return event
