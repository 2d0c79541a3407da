"""A second platform leaves the first one and the environment as they were."""

import os

from workshop.asking import ask
from workshop.second import second


def test_second(fc):
    trusted = os.environ["SSL_CERT_FILE"]
    app = fc.deploy("functions/02-trigger")
    with second(propagation=600.0) as other:
        assert other.at.pid != fc.at.pid and os.environ["SSL_CERT_FILE"] != trusted
        status, words = ask(other.deploy("functions/02-trigger").url)
        assert (status, "does not exist" in words) == (404, True)
    assert os.environ["SSL_CERT_FILE"] == trusted
    assert ask(app.url)[0] == 200
