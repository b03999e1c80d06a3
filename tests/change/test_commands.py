"""Commands as people type them: what they change, and what is refused."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from netdash.change.difference import read_command
from netdash.change.model import (
    AttachmentChange,
    ChainChange,
    ChainEdit,
    ChainPlace,
    Change,
    ContainerChange,
    ContainerEdit,
    EngineRestart,
    LinkChange,
    PolicyChange,
    PolicyRuleChange,
    RouteChange,
    RuleChange,
    RuleEdit,
    SysctlChange,
)
from netdash.change.rules import meaning
from netdash.model.errors import Exit, NetdashError
from netdash.rules.iptables_rule import parse_line
from tests.support.trace_hosts import IDS, NETWORK, PUBLISHED, host

HOST = host(PUBLISHED)
FORWARD = ChainPlace("ip", "filter", "FORWARD", "iptables-legacy")


def _one(command: str) -> Change:
    (change,) = read_command(HOST, command)
    return change


def _rule(command: str) -> RuleChange:
    change = _one(command)
    assert isinstance(change, RuleChange)
    return change


# --- iptables ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "saved"),
    [
        ("iptables -A FORWARD -p tcp --dport 80 -j DROP", "-p tcp -m tcp --dport 80 -j DROP"),
        (
            "iptables --append FORWARD --protocol=tcp --destination-port 80 --jump DROP",
            "-p tcp -m tcp --dport 80 -j DROP",
        ),
        ("iptables -w 5 -A FORWARD -s 10.1.2.3/8 -j ACCEPT", "-s 10.0.0.0/8 -j ACCEPT"),
        ("iptables -A FORWARD -s 0.0.0.0/0 -p all -j ACCEPT", "-j ACCEPT"),
        ("iptables -A FORWARD ! -i eth0 -j REJECT", "! -i eth0 -j REJECT --reject-with icmp-port-unreachable"),
        ("iptables -A FORWARD -ieth0 -jDROP", "-i eth0 -j DROP"),
        ("iptables -A FORWARD -p tcp --syn -j DROP", "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -j DROP"),
        (
            "iptables -A FORWARD -m conntrack --ctstate new,related -j DROP",
            "-m conntrack --ctstate NEW,RELATED -j DROP",
        ),
        (
            "iptables -A FORWARD -m multiport -p tcp --dports 80,443 -m comment --comment 'a \"b\" c' -j ACCEPT",
            '-p tcp -m multiport --dports 80,443 -m comment --comment "a \\"b\\" c" -j ACCEPT',
        ),
        (
            "/usr/sbin/iptables -t filter -s 10.0.0.1 -A FORWARD -j LOG --log-prefix 'x '",
            '-s 10.0.0.1/32 -j LOG --log-prefix "x "',
        ),
        ("sudo iptables -A FORWARD -j MARK --set-mark 1", "-j MARK --set-xmark 0x1/0xffffffff"),
        ("iptables -A FORWARD -j DROP -p tcp --dport 80", "-p tcp -m tcp --dport 80 -j DROP"),
        (
            "iptables -A FORWARD -j REJECT --reject-with tcp-reset -p tcp ! -i eth0",
            "-p tcp ! -i eth0 -j REJECT --reject-with tcp-reset",
        ),
    ],
)
def test_a_rule_means_what_iptables_save_would_print(command: str, saved: str) -> None:
    change = _rule(command)
    assert (change.chain, change.edit, change.position) == (FORWARD, RuleEdit.APPEND, None)
    body = parse_line(f"-A FORWARD {saved}")
    assert change.rule is not None
    wanted = type(change.rule)("ip", "filter", "FORWARD", 1, "", body.matches, body.target, 0, 0, "", body.comment)
    assert meaning(change.rule) == meaning(wanted)


def test_where_a_rule_goes() -> None:
    assert _rule("iptables -I FORWARD -j DROP").position is None
    assert _rule("iptables -I FORWARD 3 -j DROP").position == 3
    assert (_rule("iptables -D FORWARD 2").position, _rule("iptables -D FORWARD 2").rule) == (2, None)
    assert _rule("iptables -R FORWARD 1 -j DROP").edit is RuleEdit.REPLACE
    assert _rule("ip6tables -t raw -A PREROUTING -j DROP").chain.family == "ip6"


def test_several_addresses_are_a_rule_each() -> None:
    changes = read_command(HOST, "iptables -A FORWARD -s 10.0.0.1,10.0.0.2 -d 10.1.0.0/16 -j DROP")
    rules = [change.rule for change in changes if isinstance(change, RuleChange)]
    assert [rule.text.split()[3] for rule in rules if rule] == ["10.0.0.1/32", "10.0.0.2/32"]


def test_chains_and_policies() -> None:
    assert _one("iptables -P FORWARD DROP") == PolicyChange(FORWARD, "drop")
    assert _one("iptables -N MINE") == ChainChange(ChainPlace("ip", "filter", "MINE", "iptables-legacy"), ChainEdit.NEW)
    assert _one("iptables -t nat -F") == ChainChange(ChainPlace("ip", "nat", "", "iptables-legacy"), ChainEdit.FLUSH)
    assert read_command(HOST, "iptables -X") == ()
    assert read_command(HOST, "iptables -nvL FORWARD".replace("-nvL", "-L")) == ()


def test_which_iptables_it_is() -> None:
    assert _rule("iptables -A FORWARD -j DROP").chain.backend == "iptables-legacy"
    assert _rule("iptables-nft -A FORWARD -j DROP").chain.backend == "iptables-nft"
    (change,) = read_command(host(), "iptables -A FORWARD -j DROP")
    assert isinstance(change, RuleChange)
    assert change.chain.backend == "iptables-nft"


# --- nft --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("nft add rule ip t c tcp dport 80 drop", "tcp dport 80 drop"),
        ("nft insert rule inet t c ip saddr 10.0.0.0/8 counter accept", "ip saddr 10.0.0.0/8 counter accept"),
        ("nft 'add rule t c iifname \"eth0\" tcp dport { 80, 443 } drop'", 'iifname "eth0" tcp dport { 80, 443 } drop'),
        ("nft add rule ip t c ct state established,related accept", "ct state established,related accept"),
        ("nft add rule ip t c ct state != new,untracked drop", "ct state != new | untracked drop"),
        ("nft add rule ip t c ip daddr != 10.0.0.1-10.0.0.9 drop", "ip daddr != 10.0.0.1-10.0.0.9 drop"),
        ("nft add rule ip t c tcp dport 80 dnat to 10.0.0.1:8080", "tcp dport 80 dnat to 10.0.0.1:8080"),
        ("nft add rule ip t c oifname != docker0 masquerade", 'oifname != "docker0" masquerade'),
        ("nft add rule ip t c ct mark set 7 redirect to :81", "ct mark set 7 redirect to :81"),
        ("nft add rule inet t c ct mark 1 dnat ip6 to [fd00::1]:80-90", "ct mark 1 dnat ip6 to [fd00::1]:80-90"),
        ("nft add rule ip6 t c snat to fd00::1", "snat to fd00::1"),
        ("nft add rule ip t c fib daddr type local jump other", "fib daddr type local jump other"),
        ("nft add rule ip t c reject with icmp type host-unreachable", "reject with icmp host-unreachable"),
        (
            "nft add rule ip t c log prefix '\"x y\"' meta mark set 0x10 continue",
            'log prefix "x y" meta mark set 16 continue',
        ),
        ("nft add rule ip t c udp dport 53 comment '\"dns\"'", 'udp dport 53 comment "dns"'),
    ],
)
def test_rules_that_people_type_for_nft(command: str, text: str) -> None:
    change = _rule(command)
    assert change.rule is not None
    assert (change.rule.text, change.rule.not_understood) == (text, ())
    assert change.edit is (RuleEdit.INSERT if "insert" in command else RuleEdit.APPEND)


def test_the_same_in_json() -> None:
    written = (
        '{"nftables": [{"add": {"rule": {"family": "ip", "table": "t", "chain": "c", "expr": [{"drop": null}]}}}]}'
    )
    change = _rule(f"nft -j '{written}'")
    assert change.chain == ChainPlace("ip", "t", "c", "nft")
    assert change.rule is not None
    assert change.rule.text == "drop"
    assert _one("""nft -j '{"nftables": [{"flush": {"ruleset": null}}]}'""") == _one("nft flush ruleset")


def test_tables_and_chains_of_nft() -> None:
    assert _one("nft flush ruleset") == ChainChange(ChainPlace("", "", "", "nft"), ChainEdit.REMOVE)
    assert _one("nft flush ruleset ip6") == ChainChange(ChainPlace("ip6", "", "", "nft"), ChainEdit.REMOVE)
    assert _one("nft flush chain inet t c") == ChainChange(ChainPlace("inet", "t", "c", "nft"), ChainEdit.FLUSH)
    assert _one("nft delete table bridge t") == ChainChange(ChainPlace("bridge", "t", "", "nft"), ChainEdit.REMOVE)
    made = _one("nft 'add chain bridge t c { type filter hook forward priority filter - 5; policy drop; }'")
    assert isinstance(made, ChainChange)
    assert made.base is not None
    assert (made.base.hook, made.base.priority, made.base.policy) == ("forward", -205, "drop")


def test_several_commands_of_nft() -> None:
    changes = read_command(HOST, "nft 'add table ip t; add chain ip t c; add rule ip t c drop'")
    assert [type(change) for change in changes] == [ChainChange, RuleChange]


# --- ip, sysctl, docker -----------------------------------------------------------------------------------------------


def test_routes() -> None:
    net = ip_network("192.0.2.0/24")
    assert _one("ip route del default") == RouteChange(add=False, family=4, destination=None)
    assert _one("ip r a blackhole 192.0.2.0/24") == RouteChange(True, 4, net, kind="blackhole")
    found = _one("ip route replace default via 203.0.113.1 dev eth0 metric 50 table 254 proto static")
    gateway = ip_address("203.0.113.1")
    assert found == RouteChange(True, 4, None, gateway, "eth0", metric=50, table="main", replace=True)
    found = _one("ip -6 route add 2001:db8::/32 via fe80::1 dev eth0 src 2001:db8::1")
    assert isinstance(found, RouteChange)
    assert (found.family, found.source) == (6, ip_address("2001:db8::1"))


def test_policy_rules() -> None:
    found = _one("ip rule add from 172.17.0.0/16 lookup 52 pref 5270")
    assert isinstance(found, PolicyRuleChange)
    rule = found.rule
    assert (rule.priority, rule.table, rule.selectors) == (5270, "52", (("src", "172.17.0.0/16"),))
    found = _one("ip rule del fwmark 1/0xff iif eth0")
    assert isinstance(found, PolicyRuleChange)
    assert not found.named
    assert found.rule.selectors == (("iif", "eth0"), ("fwmark", "0x1/0xff"))


def test_devices_and_sysctls() -> None:
    assert _one("ip link set dev eth0 down") == LinkChange("eth0", up=False)
    assert _one("ip l set eth0 up") == LinkChange("eth0", up=True)
    assert _one("sysctl -qw net.ipv4.ip_forward=0") == SysctlChange("net.ipv4.ip_forward", "0")
    assert _one("sysctl -w net/ipv4/conf/eth0.1/rp_filter=1") == SysctlChange("net.ipv4.conf.eth0/1.rp_filter", "1")


def test_within_a_container() -> None:
    assert _one("docker exec -u root web ip link set eth0 down") == LinkChange("eth0", False, IDS["web"])
    assert _one("nsenter -t 11 -a ip link set eth0 down") == LinkChange("eth0", False, IDS["web"])
    assert _one("nsenter -t 11 -n ip link set eth0 down") == LinkChange("eth0", False, IDS["web"])
    assert _one("nsenter --net=/proc/12/ns/net ip link set eth0 down") == LinkChange("eth0", False, IDS["db"])


def test_the_engine() -> None:
    assert _one("docker stop -t 0 web") == ContainerChange(IDS["web"], ContainerEdit.STOP)
    assert _one("docker kill -s KILL web") == _one("docker kill --signal=9 web") == _one("docker stop web")
    assert (
        _one("docker rm -vf web") == _one("docker rm --force web") == ContainerChange(IDS["web"], ContainerEdit.REMOVE)
    )
    assert len(read_command(HOST, "docker restart web db")) == 2
    assert _one("docker network connect bridge web") == AttachmentChange(NETWORK, IDS["web"], connect=True)
    assert _one("systemctl restart docker") == EngineRestart()
    (run,) = read_command(HOST, "docker run -d -p 127.0.0.1:8080-8081:80-81/udp --name new -e A=b nginx:1 sleep 9")
    ports = [(one.proto, one.container_port, one.host_port, str(one.host_ip)) for one in run.bindings]  # type: ignore[union-attr]
    assert ports == [("udp", 80, 8080, "127.0.0.1"), ("udp", 81, 8081, "127.0.0.1")]


@pytest.mark.parametrize(
    "command",
    [
        "",
        "rm -rf /",
        "iptables -A FORWARD -j DROP; reboot",
        "iptables -A FORWARD -s $(hostname -i) -j DROP",
        "iptables 'unbalanced",
        "iptables -L -F",
        "iptables -A FORWARD -p tcp --dport http -j DROP",
        "iptables -A FORWARD -m nonsense --foo 1 -j DROP",
        "iptables -A FORWARD -s example.org -j DROP",
        "iptables -A FORWARD -s 2001:db8::1 -j DROP",
        "iptables -A FORWARD -j DNAT --to-destination 10.0.0.1",
        "iptables -t nat -A PREROUTING -j MASQUERADE",
        "iptables -t nat -A PREROUTING -j DROP",
        "iptables -A INPUT -o eth0 -j DROP",
        "iptables -t nowhere -A INPUT -j DROP",
        "iptables -P FORWARD REJECT",
        "iptables -t nat -P PREROUTING DROP",
        "iptables -I FORWARD 0 -j DROP",
        "iptables -I FORWARD -p tcp -j DROP --dport 99999",
        "iptables -I FORWARD -j DROP # for now",
        "iptables -I FORWARD -j ACCEPT 2>/dev/null",
        "iptables -I FORWARD -j REJECT --reject-wiht tcp-reset",
        "iptables -I FORWARD -j",
        "iptables -I FORWARD --dport 80 -j DROP",
        "iptables -I FORWARD -p icmp --dport 80 -j DROP",
        "iptables -I FORWARD ! -p tcp --sport 80 -j DROP",
        "iptables -I FORWARD -p tpc -j DROP",
        "nft -f /etc/nftables.conf",
        "nft delete rule ip t c handle 7",
        "nft add rule ip t c tcp flags & (fin | syn) == syn drop",
        "nft add rule ip t c ip saddr @set drop",
        "nft add rule ip t c iifname . ip saddr { eth0 . 10.0.0.1 } drop",
        "nft add rule ip t c tcp dport { 80 443 } drop",
        "nft add rule ip t c ip saddr vmap { 10.0.0.1 : drop }",
        "nft add rule ip t c frobnicate",
        "nft add rule ip t c tcp dport",
        "nft add rule ip t c tcp dport { 80",
        "nft -j '{'",
        "ip addr flush dev eth0",
        "ip -n other route del default",
        "ip route add 10.0.0.1/8 dev eth0",
        "ip route add default nexthop via 10.0.0.1",
        "ip rule add frob 1 lookup 5",
        "ip link del eth0",
        "sysctl net.ipv4.ip_forward",
        "sysctl -p",
        "docker run --privileged -p 8080:80 nginx",
        "docker run -p 80 nginx",
        "docker compose up",
        "docker exec",
        "docker stop nobody",
        "docker rm web",
        "docker kill -s HUP web",
        "docker kill --signal=USR1 web",
        "docker network connect nowhere web",
        "systemctl restart nginx",
        "nsenter -t 4242 -n ip link set eth0 down",
        "nsenter -t 11 -m ip link set eth0 down",
    ],
)
def test_what_cannot_be_read_with_certainty_is_refused_in_one_line(command: str) -> None:
    with pytest.raises(NetdashError) as refused:
        read_command(HOST, command)
    assert "\n" not in refused.value.message
    assert refused.value.code is Exit.USAGE
