"""The obvious chat with Django Channels and the pub/sub layer of channels_redis, under uvicorn with uvloop."""

import os

import django
import uvicorn
from django.conf import settings

settings.configure(
    SECRET_KEY="benchmark",  # noqa: S106 - signs nothing
    CHANNEL_LAYERS={"default": {"BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
                                "CONFIG": {"hosts": [os.environ["REDIS_URL"]]}}})
django.setup()

from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402 - needs the settings


class Member(AsyncWebsocketConsumer):
    """One member of the room "tea"."""

    async def connect(self) -> None:
        await self.channel_layer.group_add("tea", self.channel_name)
        await self.accept()

    async def receive(self, text_data: str = "", bytes_data: bytes = b"") -> None:
        await self.channel_layer.group_send("tea", {"type": "chat.message", "text": text_data})

    async def chat_message(self, event: dict[str, str]) -> None:
        await self.send(text_data=event["text"])


if __name__ == "__main__":
    uvicorn.run(Member.as_asgi(), host="127.0.0.1", port=int(os.environ["FC_SERVER_PORT"]), log_level="warning",
                lifespan="off", ws="websockets-sansio", ws_per_message_deflate=False)
