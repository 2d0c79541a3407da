"""separate_platform(): another fclocal beside the lesson's own, for behaviour that only a new platform shows."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from workshop.views.progress_line import working

_TRUST_VARIABLES = ("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS")


@contextmanager
def separate_platform(**options: Any) -> Iterator[Any]:
    """Start a platform with `options` of its own (see fclocal.start) and an empty state; remove it after the block.

    Within the block this process trusts its certificates; afterwards those that it trusted before. Raises FcError.
    """
    import fclocal

    before = {name: os.environ.get(name) for name in _TRUST_VARIABLES}
    with tempfile.TemporaryDirectory(prefix="fclocal-") as folder:
        try:
            with working("Starting another platform ..."):
                platform = fclocal.start(Path(folder), **options)
            with platform:
                yield platform
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
