"""A second platform leaves the first one and the environment as they were."""

import os

from workshop.labs.http_requests import http_request
from workshop.labs.separate_platform import separate_platform


def test_separate_platform(fc):
    trusted = os.environ["SSL_CERT_FILE"]
    app = fc.deploy("functions/02-trigger")
    with separate_platform(propagation=600.0) as other:
        assert other.at.pid != fc.at.pid and os.environ["SSL_CERT_FILE"] != trusted
        status, words = http_request(other.deploy("functions/02-trigger").url)
        assert (status, "does not exist" in words) == (404, True)
    assert os.environ["SSL_CERT_FILE"] == trusted
    assert http_request(app.url)[0] == 200
