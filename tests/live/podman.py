"""A lab whose engine is Podman behind its Docker-compatible socket, of a folder of `make engines`."""

from __future__ import annotations

import contextlib
import json

from engines import Folder
from lab import IMAGE, Lab, LabError, run

SUITE = "forky"
_SETTINGS = """[network]
firewall_driver = "{driver}"
[engine]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "file"
[containers]
log_driver = "k8s-file"
"""


def why_not() -> str | None:
    """What keeps Podman from running here, in one line."""
    return Folder(SUITE).why_not("podman")


class PodmanLab(Lab):
    """`with PodmanLab("nftables") as lab`, or "iptables": the firewall driver of netavark."""

    def __init__(self, driver: str) -> None:
        super().__init__(suite=SUITE)
        self.driver = driver

    def _engine_argv(self) -> list[str]:
        folder = self.folder
        settings, policy = folder / "containers.conf", folder / "policy.json"
        settings.write_text(_SETTINGS.format(driver=self.driver))
        policy.write_text(json.dumps({"default": [{"type": "insecureAcceptAnything"}]}))
        script = f'mkdir -p /etc/containers && cp {policy} /etc/containers/ && exec "$@"'
        variables = ["env", f"CONTAINERS_CONF={folder}/containers.conf", "PODMAN_IGNORE_CGROUPSV1_WARNING=1"]
        places = [f"--root={folder}/data", f"--runroot={folder}/run", f"--network-config-dir={folder}/networks"]
        service = ["podman", *places, "system", "service", "--time=0", f"unix://{self.socket}"]
        return ["sh", "-c", script, "sh", *variables, *service]

    def remove_containers(self) -> None:
        for identity in self.docker("ps", "-aq").split():
            with contextlib.suppress(LabError):  # gone with one that it depended on
                self.libpod(f"containers/{identity}?force=true&depend=true&timeout=0", verb="DELETE")

    def libpod(self, path: str, body: dict[str, object] | None = None, verb: str = "POST") -> None:
        """Ask for what only Podman's own API can do: pods."""
        words = ["curl", "-sS", "--fail-with-body", "--unix-socket", str(self.socket), "-X", verb]
        kind = ["-H", "Content-Type: application/json", "-d", json.dumps(body or {})]
        run(*words, *kind, f"http://d/v5.0.0/libpod/{path}")

    def pod(self, name: str, container: str, port: str) -> None:
        """A pod that publishes its port 80 on `port`, with one web server in it."""
        mapping = {"container_port": 80, "host_port": int(port), "protocol": "tcp"}
        infra: dict[str, object] = {"infra_image": IMAGE, "infra_command": ["sleep", "99999"]}
        self.libpod("pods/create", {"name": name, "portmappings": [mapping], **infra})
        script = f"echo {container} >/www/index.html; exec httpd -f -p 80 -h /www"
        made: dict[str, object] = {"name": container, "image": IMAGE, "pod": name, "command": ["sh", "-c", script]}
        self.libpod("containers/create", made)
        self.libpod(f"containers/{container}/start")
