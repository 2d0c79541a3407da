"""Broken on purpose: find out why, from what the client and the log say."""

import asyncio
import os

from websocket_tools import serve_echo

PORT = int(os.environ.get("FC_CUSTOM_LISTEN_PORT") or 9000)

if __name__ == "__main__":
    asyncio.run(serve_echo("0.0.0.0", PORT))
