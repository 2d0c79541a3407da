"""Answers every handshake with 101 and then sends every byte back: the least a function can do."""

import asyncio
import base64
import hashlib
import os
import re

import uvloop

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = re.compile(rb"sec-websocket-key: *([^\r]+)\r\n", re.IGNORECASE)


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.head = transport, b""

    def data_received(self, data):
        if self.head is None:
            self.transport.write(data)
            return
        self.head += data
        if b"\r\n\r\n" in self.head:
            key = base64.b64encode(hashlib.sha1(KEY.search(self.head)[1] + GUID).digest())
            self.transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + key + b"\r\n\r\n"
            )
            self.head = None

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


async def main():
    port = int(os.environ["FC_CUSTOM_LISTEN_PORT"])
    server = await asyncio.get_running_loop().create_server(Echo, "0.0.0.0", port, backlog=4096)
    await server.serve_forever()


uvloop.run(main())
