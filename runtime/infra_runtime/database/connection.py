"""A connection with the login that a secret holds."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg

from infra_runtime import contract
from infra_runtime.contract.database_names import URL

_CONNECT_SECONDS = 10
# Amazon's certificate authorities for RDS, one for each region (tools/rds_authorities.mjs).
_AUTHORITIES = Path(contract.__file__).with_name("rds-authorities.pem")

Connection = psycopg.Connection[tuple[Any, ...]]


@dataclass(frozen=True)
class Login:
    username: str
    password: str = field(repr=False)

    @classmethod
    def of(cls, secret: str, *, username: str | None = None) -> "Login":
        """Reads a secret's JSON; `username` replaces the one in it. Raises `ValueError` when it holds no login."""
        try:
            values = json.loads(secret)
            return cls(username or values["username"], values["password"])
        except (ValueError, KeyError, TypeError):
            raise ValueError("the secret holds no JSON with username and password") from None

    def secret(self, variables: Mapping[str, str] = os.environ) -> str:
        """The JSON that `of` reads, with the URL added."""
        return json.dumps({"username": self.username, "password": self.password, URL: self.url(variables)})

    def url(self, variables: Mapping[str, str] = os.environ) -> str:
        """URL of the database that PGHOST, PGPORT and PGDATABASE name, for drivers that expect a URL."""
        user, password, name = (
            quote(each, safe="") for each in (self.username, self.password, variables["PGDATABASE"])
        )
        host, port = variables["PGHOST"], variables["PGPORT"]
        # Without `sslrootcert`: paths differ where the URL is used. libpq reads PGSSLROOTCERT, Node.js and Bun
        # NODE_EXTRA_CA_CERTS.
        return f"postgresql://{user}:{password}@{host}:{port}/{name}?sslmode=verify-full"


def connect(login: Login, variables: Mapping[str, str] = os.environ) -> Connection:
    """Connects to the database that PGHOST, PGPORT and PGDATABASE name, over verified TLS. Every statement commits."""
    return psycopg.connect(
        host=variables["PGHOST"],
        port=variables["PGPORT"],
        dbname=variables["PGDATABASE"],
        user=login.username,
        password=login.password,
        sslmode="verify-full",
        sslrootcert=variables.get("SSL_CERT_FILE", str(_AUTHORITIES)),
        connect_timeout=_CONNECT_SECONDS,
        application_name="infra",
        autocommit=True,
    )
