"""A deployed function, as `fc.deploy` returns it and `fclocal deploy --json` prints it."""

from dataclasses import dataclass, field
from typing import Any

from fclocal.core.errors import FcError


@dataclass(frozen=True, slots=True)
class App:
    """A deployed function.

    `urls` maps trigger names to URLs, `domains` custom domains to URLs. `warnings` name the fields of s.yaml that a
    loose deployment left out; `notices` say what other fields do on the service that fclocal runs without.
    """

    name: str
    urls: dict[str, str] = field(default_factory=dict)
    domains: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """The URL of its (first) HTTP trigger. Raises FcError TriggerNotFound if it has none."""
        for url in self.urls.values():
            return url
        raise FcError("TriggerNotFound", name="http")

    def __str__(self) -> str:
        return f"{self.name} at {self.url if self.urls else '(no trigger)'}"

    def wire(self) -> dict[str, Any]:
        """Return the JSON of `fclocal deploy --json`."""
        return {
            "functionName": self.name,
            "triggers": [{"triggerName": name, "url": url} for name, url in self.urls.items()],
            "customDomains": [{"domainName": name, "url": url} for name, url in self.domains.items()],
        }
