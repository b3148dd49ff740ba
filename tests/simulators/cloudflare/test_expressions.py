"""Rules of the zone, evaluated for a request."""

import pytest

from simulators.cloudflare.expressions import EdgeRequest, NotUnderstood, matches, text

REQUEST = EdgeRequest(
    "GET", "dev.example.com", "/WP-admin/x", "a=1", "203.0.113.7", {"x-pass": "s", "user-agent": "curl"}
)


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("true", True),
        ('http.host eq "dev.example.com"', True),
        ('http.host ne "dev.example.com"', False),
        ('(http.host in {"a" "dev.example.com"}) and (lower(http.request.uri.path) contains "/wp-admin")', True),
        ('not (http.request.method in {"GET" "HEAD"})', False),
        ('http.host eq "a" or http.host eq "b" or starts_with(http.request.uri.path, "/WP")', True),
        ('http.host eq "a" and true or true', True),
        ('any(http.request.headers["x-pass"][*] eq "s")', True),
        ('any(http.request.headers["other"][*] eq "s")', False),
        ('http.host == "dev.example.com" && !(ip.src eq "1.2.3.4")', True),
    ],
)
def test_functions_and_operators_used_in_rules_are_evaluated(expression: str, holds: bool) -> None:
    assert matches(expression, REQUEST) is holds


@pytest.mark.parametrize(
    "expression", ["cf.bot_management.score lt 30", 'sha256("a") eq "b"', 'http.host eq "a" xor true', "(true", "~"]
)
def test_anything_else_is_not_guessed(expression: str) -> None:
    with pytest.raises(NotUnderstood):
        matches(expression, REQUEST)


def test_a_redirects_target_is_put_together() -> None:
    assert text('concat("https://example.com", http.request.uri.path)', REQUEST) == "https://example.com/WP-admin/x"
