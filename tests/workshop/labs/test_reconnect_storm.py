"""A storm of clients on a real platform, and the picture of it."""

import asyncio
import xml.etree.ElementTree as ET

from workshop.labs.reconnect_storm import Storm, Wave, pause, reconnect_storm


def test_without_jitter_the_wave_is_throttled_and_with_it_far_less():
    storm = asyncio.run(reconnect_storm(clients=60))
    together, spread = storm.waves
    assert together.throttled >= 25
    assert spread.throttled <= together.throttled / 4
    for wave in storm.waves:
        assert sum(status == 101 for _, status in wave.tries) == 60
        assert {status for _, status in wave.tries} <= {101, 429}


def test_waits():
    assert [pause(failures, 0.9, False) for failures in range(4)] == [0.0, 0.2, 0.4, 0.8]
    assert pause(0, 0.0, True) == 0 and pause(1, 0.5, True) == 1.4


def test_it_reads_and_shows_the_same():
    storm = Storm((Wave(False, 3, ((0.0, 101), (0.01, 429), (0.21, 101))), Wave(True, 3, ((0.1, 101), (0.5, 101)))))
    assert "Without jitter: 1 of 3 attempts rejected, all 3 back after 0.2 s" in str(storm)
    assert str(storm).isascii() and max(map(len, str(storm).splitlines())) <= 76
    tree = ET.fromstring(storm.svg())
    titles = [e.text for e in tree.iter("{http://www.w3.org/2000/svg}title")]
    assert "0.00 s: 1 x 429" in titles


def test_text_and_picture_have_one_scale_for_both_waves():
    """A wave of 100 attempts at once and one of 10: its bar is a tenth, in words and in the picture."""
    storm = Storm((Wave(False, 100, ((0.0, 101),) * 100), Wave(True, 10, ((0.0, 101),) * 10)))
    bars = [line.count("=") for line in str(storm).splitlines() if line.startswith("   0.00 s")]
    assert bars == [50, 5]
    tall = [float(e.get("height", "")) for e in ET.fromstring(storm.svg()).iter("{http://www.w3.org/2000/svg}rect")
            if e.find("{*}title") is not None]
    assert tall[0] == 10 * tall[1]
    assert {"0", "50", "100"} <= {e.text for e in ET.fromstring(storm.svg()).iter("{http://www.w3.org/2000/svg}text")}
