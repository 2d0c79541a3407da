"""Logs for people and programs: one line of JSON per event."""

import json
import traceback

from websockets.asyncio.server import ServerConnection


def log(event: str, connection: ServerConnection | None = None, **facts: object) -> None:
    """Print one line of JSON. The service's own log lines about this connection have the same requestId."""
    request_id = connection.request.headers.get("x-fc-request-id") if connection and connection.request else None
    print(json.dumps({"event": event, "requestId": request_id, **facts}), flush=True)


def log_error(event: str, error: BaseException, **facts: object) -> None:
    """Log an error in this program, with its traceback."""
    log(event, level="ERROR", error=str(error), **facts, traceback="".join(traceback.format_exception(error)))
