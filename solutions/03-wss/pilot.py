"""The pilots' client: one question, one answer, over TLS."""

import ssl

from websockets.asyncio.client import connect


async def ask(url: str, ca_file: str, question: str) -> str:
    """The harbour's answer to one question.

    Trusts the certificate authority in `ca_file` and no other, and only the host that `url` names.
    """
    # 3.2: make the context. ssl.create_default_context() trusts all the usual authorities; which of its
    # arguments makes it trust one file only?
    context = ssl.create_default_context(cafile=ca_file)
    async with connect(url, ssl=context, proxy=None) as ws:
        await ws.send(question)
        return str(await ws.recv())
