"""fclocal: Alibaba Cloud Function Compute on your own machine.

    import fclocal
    fc = fclocal.start()
    app = fc.deploy("functions/01-echo")
    print(app.url)
    fc.stop()
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fclocal.client.app import App
    from fclocal.client.platform import Bill, Platform, attach, start
    from fclocal.client.signing import sign
    from fclocal.core.errors import FcError
    from fclocal.core.records import Record

__all__ = ["App", "Bill", "FcError", "Platform", "Record", "attach", "sign", "start"]

# Resolved on first use: the platform's own processes import this package too and need none of the client.
_HOMES = {"App": "fclocal.client.app", "FcError": "fclocal.core.errors", "Record": "fclocal.core.records",
          "sign": "fclocal.client.signing"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'fclocal' has no attribute '{name}'")
    return getattr(import_module(_HOMES.get(name, "fclocal.client.platform")), name)
