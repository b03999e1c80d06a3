"""What an iptables rule does with a packet: the words after -j."""

from __future__ import annotations

from functools import lru_cache

from netdash.core.decode import address
from netdash.core.model import Target, Verb

CONTINUE = Target(Verb.CONTINUE)
_FINAL = {"ACCEPT": Target(Verb.ACCEPT), "DROP": Target(Verb.DROP), "RETURN": Target(Verb.RETURN)}
_GO_ON = frozenset(
    "AUDIT CHECKSUM CLASSIFY CONNMARK CONNSECMARK CT DSCP ECN HL HMARK LED LOG MARK NFLOG NOTRACK RATEEST SECMARK SET"
    " TCPMSS TCPOPTSTRIP TOS TRACE TTL ULOG".split()
)
"""Targets after which the next rule is tried (man iptables-extensions)."""
_OTHERS = frozenset("CLUSTERIP DNPT IDLETIMER NETMAP NFQUEUE QUEUE SNPT STEAL SYNPROXY TARPIT TEE TPROXY".split())
XT_TARGETS = _GO_ON | _OTHERS | {"DNAT", "SNAT", "MASQUERADE", "REDIRECT", "REJECT"}
_ALONE = frozenset(("--random", "--random-fully", "--persistent"))


def read_target(option: str, name: str, args: list[str]) -> tuple[Target, str]:
    """(target, what of it is not understood) of `-j NAME ARGS` or `-g NAME`."""
    if option == "-g":
        return Target(Verb.GOTO, chain=name), ""
    final = _FINAL.get(name)
    if final:
        return final, ""
    if name in _NAT:
        return _nat(_NAT[name], args)
    if name == "REJECT":
        return Target(Verb.REJECT, detail=args[1] if args[:1] == ["--reject-with"] and len(args) > 1 else ""), ""
    if name in _GO_ON:
        return Target(Verb.CONTINUE, detail=" ".join((name, *args))), ""
    if name in _OTHERS:
        return Target(Verb.OTHER, detail=name), " ".join(("-j", name, *args))
    return _jump(name), " ".join(args)


@lru_cache(maxsize=4096)
def _jump(chain: str) -> Target:
    return Target(Verb.JUMP, chain=chain)


_NAT = {"DNAT": Verb.DNAT, "SNAT": Verb.SNAT, "MASQUERADE": Verb.MASQUERADE, "REDIRECT": Verb.REDIRECT}


def _nat(verb: Verb, args: list[str]) -> tuple[Target, str]:
    flags = " ".join([arg[2:] for arg in args if arg in _ALONE])
    rest = [arg for arg in args if arg not in _ALONE]
    if not rest:
        return Target(verb, detail=flags), ""
    made = translation(verb, rest[1], flags) if len(rest) == 2 and rest[0].startswith("--to-") else None
    return (made, "") if made else (Target(verb, detail=flags), " ".join(rest))


@lru_cache(maxsize=65536)
def translation(verb: Verb, to: str, detail: str = "") -> Target | None:
    """`to` of --to-destination, --to-source or --to-ports: A, A:P, A-B:P-Q, :P, [A6]:P, A:P-Q/BASE. None: not so."""
    if verb in (Verb.MASQUERADE, Verb.REDIRECT):
        ips, ports = "", to
    elif to.startswith("[") and "]" in to:
        ips, _, ports = to[1:].partition("]")
        second, _, after = ports.partition("[")[2].partition("]")
        ips, ports = (f"{ips}-{second}", after) if second else (ips, ports)
        ports = ports.removeprefix(":")
    elif to.count(":") > 1:
        ips, ports = to, ""
    else:
        ips, _, ports = to.partition(":")
    first, _, last = ips.partition("-")
    low, high = address(first), address(last)
    span, base = _span(ports)
    if (first and low is None) or (last and high is None) or (ports and span is None) or not (first or ports):
        return None
    return Target(verb, address=low, address_to=high, ports=span, base_port=base, detail=detail)


def _span(ports: str) -> tuple[tuple[int, int] | None, int | None]:
    span, _, base = ports.partition("/")
    low, dash, high = span.partition("-")
    try:
        pair = (int(low), int(high) if dash else int(low))
        start = int(base) if base else None
    except ValueError:
        return None, None
    return (pair, start) if 0 <= pair[0] <= pair[1] <= 65535 else (None, None)
