"""Which published ports are a database's: by the port, or by the image."""

from __future__ import annotations

import pytest

from netdash.model.addresses import parse_spec
from netdash.view import form_choices


@pytest.mark.parametrize(
    ("image", "port", "why"),
    [
        ("app", "5432", "5432 is PostgreSQL's port"),
        ("app", "8000-8090", "8086 is InfluxDB's port"),
        ("app", "11211/udp", "11211 is Memcached's port"),
        ("docker.io/bitnami/postgresql:16@sha256:00", "5433", "postgresql is a database"),
        ("localhost:5000/mysql", "33060", "mysql is a database"),
        ("mongo-express", "8081", ""),
        ("phpmyadmin/phpmyadmin", "80", ""),
        (None, "80", ""),
    ],
)
def test_the_reason_names_port_or_image(image: str | None, port: str, why: str) -> None:
    assert form_choices.database_or_queue(image, parse_spec(port)) == why
