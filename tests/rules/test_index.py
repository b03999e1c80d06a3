"""The index of a long chain leaves out no rule that a packet may match, and keeps their order."""

from __future__ import annotations

import random
from ipaddress import ip_address

from netdash.bundle.recording import Recording
from netdash.model.packet import Packet
from netdash.rules.match import Answer, applies
from netdash.rules.rule_index import Indexed
from netdash.rules.ruleset import read_ruleset

SPANS = ((32768, 60999), (1024, 40000), (50000, 50010))


def _ports(choice: random.Random) -> str:
    low = choice.randrange(1, 65000)
    span = f"{low}:{low + choice.randrange(500)}"
    wide = f"{low // 2}:{low // 2 + 8192 + choice.randrange(20000)}"
    return choice.choice(
        (
            f"--dport {low}",
            f"--sport {low}",
            f"--dport {span}",
            f"--sport {span}",
            f"-m multiport --dports {low},40000,{span}",
            f"--dport {wide}",
            f"--sport {wide}",
            f"-m multiport --dports {low},{wide},{span}",
            f"-m mark --mark {choice.randrange(4)}",
            f"-m mark --mark {choice.randrange(4)}/{choice.choice((1, 2, 255))}",
            f"-m connmark --mark {choice.randrange(4)}",
        )
    )


def _packet(choice: random.Random) -> Packet:
    to, back = (choice.choice((None, choice.randrange(1, 65536))) for _ in range(2))
    spans = {"ephemeral_dport": choice.choice(SPANS) if to is None else None}
    spans["ephemeral"] = choice.choice(SPANS) if back is None else None
    src, dst = (ip_address(f"10.0.0.{choice.randrange(1, 9)}") for _ in range(2))
    marks = {name: choice.choice((None, 0, choice.randrange(300))) for name in ("mark", "connmark")}
    return Packet(4, choice.choice(("tcp", "udp")), src, dst, back, to, **spans, **marks)


def test_every_rule_that_may_match_is_a_candidate() -> None:
    choice = random.Random(11)
    lines = [
        f"-A FORWARD {choice.choice(('', '! -s 10.0.0.1 ', '-s 10.0.0.2 '))}-p tcp -m tcp {_ports(choice)} -j DROP"
        for _ in range(300)
    ]
    text = "\n".join(["*filter", ":FORWARD ACCEPT [0:0]", *lines, "COMMIT", ""])
    ruleset = read_ruleset(Recording({"rules/iptables-save.txt": text}))
    assert ruleset is not None
    rules = ruleset.chains[0].rules
    assert len(rules) == len(lines)
    indexed = Indexed(rules)
    for _ in range(300):
        packet = _packet(choice)
        start = choice.choice((0, choice.randrange(300)))
        found = [rule.position for _, rule in indexed.candidates(packet, start)]
        needed = {rule.position for rule in rules[start:] if applies(rule, packet) is not Answer.NO}
        assert needed <= set(found)
        assert found == sorted(set(found))


def test_of_an_answer_only_rules_of_client_ports_are_candidates() -> None:
    lines = [f"-A FORWARD -p tcp -m tcp --dport {port} -j DROP" for port in range(1000, 1100)]
    text = "\n".join(["*filter", ":FORWARD ACCEPT [0:0]", *lines, "COMMIT", ""])
    ruleset = read_ruleset(Recording({"rules/iptables-save.txt": text}))
    assert ruleset is not None
    packet = Packet(4, "tcp", ip_address("10.0.0.1"), ip_address("10.0.0.2"), 80, ephemeral_dport=(32768, 60999))
    assert list(Indexed(ruleset.chains[0].rules).candidates(packet)) == []
