"""The limit of open files: raised as far as the system allows, and never a reason not to start."""

import resource

import pytest

from fclocal.edge.server import raise_descriptor_limit

UNLIMITED = resource.RLIM_INFINITY


@pytest.mark.parametrize(("soft", "hard", "kernel", "expected"), [
    (1024, 524_288, 1_000_000, 524_288),  # Linux
    (256, UNLIMITED, 1_000_000, 65_536),  # macOS with a large kern.maxfilesperproc
    (256, UNLIMITED, 24_576, 10_240),  # macOS: the kernel refuses more than kern.maxfilesperproc
    (256, 1_000_000, 24_576, 10_240),
    (256, UNLIMITED, 5_000, 256),  # even OPEN_MAX is refused: stay as it is
    (65_536, UNLIMITED, 24_576, 65_536),  # never lower it
    (4096, 4096, 24_576, 4096),
])
def test_the_limit_is_raised_as_far_as_the_kernel_allows(soft: int, hard: int, kernel: int, expected: int,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [soft, hard]

    def setrlimit(_: int, wanted: tuple[int, int]) -> None:
        if wanted[0] > kernel:
            raise ValueError("current limit exceeds maximum limit")
        limits[:] = wanted

    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(limits))
    monkeypatch.setattr(resource, "setrlimit", setrlimit)
    raise_descriptor_limit()
    assert limits == [expected, hard]
