"""Which ports are those of a database or a queue, which seldom asks everybody for a password: the form publishes them
for this host only, unless another address is chosen. Pure."""

from __future__ import annotations

from netdash.model.addresses import Spec
from netdash.publish.request import last_word

_PORTS = {
    1433: "SQL Server",
    1521: "Oracle",
    2379: "etcd",
    3306: "MySQL",
    5432: "PostgreSQL",
    5672: "RabbitMQ",
    5984: "CouchDB",
    6379: "Redis",
    7687: "Neo4j",
    8086: "InfluxDB",
    9042: "Cassandra",
    9200: "Elasticsearch",
    9300: "Elasticsearch",
    11211: "Memcached",
    15672: "RabbitMQ",
    27017: "MongoDB",
}
_IMAGES = frozenset(
    "postgres postgresql postgis timescaledb mysql mysql-server mariadb percona redis redis-stack valkey keydb mongo "
    "mongodb memcached elasticsearch opensearch rabbitmq cassandra scylla couchdb neo4j influxdb clickhouse-server "
    "cockroach etcd".split()
)


def why(image: str | None, spec: Spec) -> str:
    """The reason for people: "5432 is PostgreSQL's port"; "" where neither port nor image is known as a database's."""
    known = next((port.container_port for port in spec.ports if port.container_port in _PORTS), None)
    if known is not None:
        return f"{known} is {_PORTS[known]}'s port"
    name = last_word(image or "")
    return f"{name} is a database" if name in _IMAGES else ""
