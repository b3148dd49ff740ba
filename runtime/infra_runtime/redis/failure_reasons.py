"""Why Redis cannot be used, derived from the client library's errors and the server's behaviour."""

import socket
import ssl
from collections.abc import Iterator
from enum import StrEnum

import redis
from redis import exceptions


class Reason(StrEnum):
    """Each has a row in docs/runbooks/redis-connection-failure.md."""

    BAD_URL = "bad-url"
    NO_SECRET = "no-secret"  # noqa: S105
    DNS = "dns"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    SILENT = "silent"
    CLOSED = "closed"
    NOT_REDIS = "not-redis"
    TLS_UNTRUSTED = "tls-untrusted"
    TLS_WRONG_HOST = "tls-wrong-host"
    TLS_EXPIRED = "tls-expired"
    TLS_FAILED = "tls-failed"
    PLAIN_SERVER = "server-has-no-tls"
    TLS_SERVER = "server-wants-tls"
    WRONG_CREDENTIALS = "wrong-credentials"
    NO_PERMISSION = "no-permission"
    TOO_MANY_CLIENTS = "too-many-clients"
    QUOTA = "quota"
    LOADING = "loading"
    MASTER_DOWN = "master-down"
    READ_ONLY = "read-only"
    OUT_OF_MEMORY = "out-of-memory"
    EVICTS = "evicts"
    WRITE_REFUSED = "write-refused"
    NO_DATABASE = "no-database"
    UNSUPPORTED = "unsupported-server"
    TOO_SLOW = "too-slow"
    IS_A_CLUSTER = "is-a-cluster"
    CLUSTER_HIDDEN = "cluster-hidden"
    NOT_A_CLUSTER = "not-a-cluster"
    CLUSTER_INCOMPLETE = "cluster-incomplete"
    NO_SENTINEL = "no-sentinel"
    UNKNOWN_MASTER = "unknown-master"
    OUT_OF_TIME = "out-of-time"
    SERVICE_DISCONNECTED = "service-disconnected"
    UNKNOWN = "unknown"


EXPLANATIONS: dict[Reason, str] = {
    Reason.BAD_URL: "REDIS_URL is not a URL of the contract",
    Reason.NO_SECRET: "the secret with REDIS_URL cannot be read",
    Reason.DNS: "the hostname does not resolve",
    Reason.REFUSED: "nothing listens on the port",
    Reason.UNREACHABLE: "no connection within the time",
    Reason.SILENT: "it accepts connections and does not answer",
    Reason.CLOSED: "it closes the connection",
    Reason.NOT_REDIS: "what answers is not Redis",
    Reason.TLS_UNTRUSTED: "its certificate is signed by an untrusted authority",
    Reason.TLS_WRONG_HOST: "its certificate is for another hostname",
    Reason.TLS_EXPIRED: "its certificate has expired",
    Reason.TLS_FAILED: "TLS could not be agreed on",
    Reason.PLAIN_SERVER: "REDIS_URL asks for TLS, the server has none",
    Reason.TLS_SERVER: "the server wants TLS, REDIS_URL does not",
    Reason.WRONG_CREDENTIALS: "username or password is wrong",
    Reason.NO_PERMISSION: "the user may not do this",
    Reason.TOO_MANY_CLIENTS: "its limit of connections is reached",
    Reason.QUOTA: "its plan's limit of requests or bandwidth is reached",
    Reason.LOADING: "it is loading its data",
    Reason.MASTER_DOWN: "a replica that has lost its master",
    Reason.READ_ONLY: "a replica: it takes no writes",
    Reason.OUT_OF_MEMORY: "its memory is full and nothing may be evicted",
    Reason.EVICTS: "its maxmemory-policy is not noeviction: when memory is full, jobs of the queue are lost",
    Reason.WRITE_REFUSED: "a write was not kept",
    Reason.NO_DATABASE: "the server has no database with the number in REDIS_URL or REDIS_DB",
    Reason.UNSUPPORTED: "the server lacks a command that the application needs; Redis 6 and later have them all",
    Reason.TOO_SLOW: "a ping takes more than 200 ms: requests give up before Redis has counted them",
    Reason.IS_A_CLUSTER: "a node of a cluster, and REDIS_URL names no cluster",
    Reason.CLUSTER_HIDDEN: "the cluster announces no addresses that a client could connect to",
    Reason.NOT_A_CLUSTER: "REDIS_URL names a cluster, the server is none",
    Reason.CLUSTER_INCOMPLETE: "a part of the cluster has no primary that answers",
    Reason.NO_SENTINEL: "no Sentinel answers",
    Reason.UNKNOWN_MASTER: "the Sentinels know no master of that name",
    Reason.OUT_OF_TIME: "no result within the round's time",
    Reason.SERVICE_DISCONNECTED: "the service says that it is not connected",
    Reason.UNKNOWN: "an error of a kind that is not known here",
}

# OpenSSL's X509_V_ERR_*: what a handshake says about a certificate.
_EXPIRED = frozenset({10})
_WRONG_HOST = frozenset({62, 64})
_DIAGNOSIS_SECONDS = 1.0
_PLAIN_ANSWERS = (b"+PONG", b"-NOAUTH", b"-NOPERM", b"-LOADING", b"-DENIED")
# The more special before what it is derived from.
_BY_TYPE: tuple[tuple[type[exceptions.RedisError], Reason], ...] = (
    (exceptions.NoPermissionError, Reason.NO_PERMISSION),
    (exceptions.AuthenticationError, Reason.WRONG_CREDENTIALS),
    (exceptions.InvalidResponse, Reason.NOT_REDIS),
    (exceptions.BusyLoadingError, Reason.LOADING),
    (exceptions.MasterDownError, Reason.MASTER_DOWN),
    (exceptions.ReadOnlyError, Reason.READ_ONLY),
    (exceptions.OutOfMemoryError, Reason.OUT_OF_MEMORY),
    (exceptions.ClusterDownError, Reason.CLUSTER_INCOMPLETE),
    (exceptions.MovedError, Reason.IS_A_CLUSTER),
    (exceptions.AskError, Reason.IS_A_CLUSTER),
)
_BY_TEXT = (
    # Upstash's own ("Troubleshooting" in its documentation).
    ("requests limit exceeded", Reason.QUOTA),
    ("request limit exceeded", Reason.QUOTA),
    ("bandwidth limit exceeded", Reason.QUOTA),
    ("max concurrent connections exceeded", Reason.TOO_MANY_CLIENTS),
    ("max database size exceeded", Reason.OUT_OF_MEMORY),
    ("max number of clients", Reason.TOO_MANY_CLIENTS),
    ("cluster support disabled", Reason.NOT_A_CLUSTER),
    # Redis 5 and later, Redis before, and Upstash, which has database 0 only.
    ("DB index is out of range", Reason.NO_DATABASE),
    ("invalid DB index", Reason.NO_DATABASE),
    ("Only 0th database is supported", Reason.NO_DATABASE),
    ("SELECT is not allowed in cluster mode", Reason.IS_A_CLUSTER),
    ("unknown command", Reason.UNSUPPORTED),
    ("wrong number of arguments", Reason.UNSUPPORTED),
    ("syntax error", Reason.UNSUPPORTED),
    ("discarded because of: NOPERM", Reason.NO_PERMISSION),
    ("WRONGPASS", Reason.WRONG_CREDENTIALS),
    ("invalid username-password", Reason.WRONG_CREDENTIALS),
)


def reason_of(error: BaseException) -> Reason:
    """The most specific reason: the library wraps an operating system's error in its own."""
    for each in _chain(error):
        match each:
            case ssl.SSLCertVerificationError():
                if each.verify_code in _EXPIRED:
                    return Reason.TLS_EXPIRED
                return Reason.TLS_WRONG_HOST if each.verify_code in _WRONG_HOST else Reason.TLS_UNTRUSTED
            case socket.gaierror():
                return Reason.DNS
            case ConnectionRefusedError():
                return Reason.REFUSED
            case _ if (found := _reported_by_server(each)) is not None:
                return found
    for each in _chain(error):
        match each:
            case exceptions.TimeoutError() | TimeoutError():
                return Reason.UNREACHABLE if "connecting" in str(error) else Reason.SILENT
            case ssl.SSLError():
                return Reason.TLS_FAILED
            case exceptions.ConnectionError() | ConnectionError():
                return Reason.CLOSED
            case OSError():
                return Reason.UNREACHABLE
    return Reason.UNKNOWN


def _reported_by_server(error: BaseException) -> Reason | None:
    if not isinstance(error, exceptions.RedisError):
        return None
    by_type = next((reason for kind, reason in _BY_TYPE if isinstance(error, kind)), None)
    if by_type is not None:
        return by_type
    by_text = next((reason for words, reason in _BY_TEXT if words in str(error)), None)
    return by_text or (Reason.WRITE_REFUSED if isinstance(error, exceptions.ResponseError) else None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def refined(found: Reason, *, host: str, port: int, tls: bool) -> Reason:
    """The reason; or that only one side uses TLS, which shows as silence or a closed connection: it tries the other."""
    if tls and found in (Reason.SILENT, Reason.UNREACHABLE, Reason.CLOSED, Reason.TLS_FAILED):
        plain = _answer_in_plain(host, port)
        if plain is None:
            return found
        # It took the connection, and not the handshake.
        silent = Reason.SILENT if found is Reason.UNREACHABLE else found
        return Reason.PLAIN_SERVER if plain.startswith(_PLAIN_ANSWERS) else silent
    if not tls and found in (Reason.SILENT, Reason.CLOSED, Reason.NOT_REDIS):
        return Reason.TLS_SERVER if _shakes_hands(host, port) else found
    return found


def _answer_in_plain(host: str, port: int) -> bytes | None:
    """None when there is no connection; empty when there is one and nothing comes."""
    try:
        with socket.create_connection((host, port), timeout=_DIAGNOSIS_SECONDS) as plain:
            try:
                plain.sendall(b"PING\r\n")
                return plain.recv(16)
            except OSError:
                return b""
    except OSError:
        return None


def _shakes_hands(host: str, port: int) -> bool:
    context = ssl.create_default_context()
    # Nothing is sent over it: it only shows whether the server speaks TLS, with any certificate.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), timeout=_DIAGNOSIS_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=host),
        ):
            return True
    except OSError:
        return False


class UnusableRedis(Exception):
    """A reason for which the library has no exception."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(EXPLANATIONS[reason])
        self.reason = reason


def reason_for(error: BaseException) -> Reason:
    return error.reason if isinstance(error, UnusableRedis) else reason_of(error)


ERRORS = (redis.RedisError, OSError, UnusableRedis)
