"""The reach matrix as lines."""

from __future__ import annotations

from collections.abc import Callable

from netdash.model.host import Host
from netdash.view import reachability
from netdash.view.text import width
from tests.conftest import matrix

FULL = "docker28.5-nft-full"


def test_senders_of_whom_the_same_is_said_share_a_line(host: Callable[[str], Host]) -> None:
    given = host(FULL)
    told = ["".join(span.text for span in line) for line in reachability.lines(given, matrix(FULL), 200)]
    at = next(at for at, line in enumerate(told) if line.startswith("c-lo  127.0.0.1:8082/tcp"))
    (said,) = [line for line in told[at + 1 : at + 5] if "nothing listens" in line]
    assert "c-paused, c-none, c-mac" in said
    assert said.endswith("nothing listens on 127.0.0.1:8082/tcp inside the sender")


def test_one_sender_alone_is_named_and_a_deciding_rule_is_a_link(host: Callable[[str], Host]) -> None:
    given = host(FULL)
    lines = list(reachability.lines(given, matrix(FULL), 120))
    assert max(sum(width(span.text) for span in line) for line in lines) <= 120
    links = [span for line in lines for span in line if span.ref is not None]
    assert {span.ref.kind for span in links if span.ref} == {"container", "rule"}
    assert any("DOCKER-ISOLATION-STAGE-2 #" in span.text for span in links)
