"""REDIS_URL: a text in, an address or one line out, which shows no password."""

from pathlib import Path
from typing import Any

import pytest

from app.config.redis_url import RedisAddress, parse_redis_url
from app.errors import ConfigError

HERE = (("127.0.0.1", 6379),)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("redis://127.0.0.1", RedisAddress(HERE)),
        ("redis://127.0.0.1:6379/", RedisAddress(HERE)),
        ("redis://127.0.0.1/0", RedisAddress(HERE)),
        ("redis://127.0.0.1/7", RedisAddress(HERE, options={"db": 7})),
        ("redis://127.0.0.1?db=7", RedisAddress(HERE, options={"db": 7})),
        ("redis://[::1]:7000/1", RedisAddress((("::1", 7000),), options={"db": 1})),
        (
            "redis://ann:p%40ss%2Fword@h:1",
            RedisAddress((("h", 1),), options={"username": "ann", "password": "p@ss/word"}),
        ),
        ("redis://:secret@h", RedisAddress((("h", 6379),), options={"password": "secret"})),
        ("rediss://h", RedisAddress((("h", 6379),), tls=True)),
        (
            "rediss://h?ssl_cert_reqs=CERT_NONE&ssl_check_hostname=false",
            RedisAddress(
                (("h", 6379),),
                tls=True,
                options={"ssl_cert_reqs": "none", "ssl_check_hostname": False},
            ),
        ),
        ("unix:///run/redis.sock", RedisAddress((), "/run/redis.sock")),
        (
            "unix://ann:secret@/run/redis.sock?db=2",
            RedisAddress(
                (), "/run/redis.sock", options={"username": "ann", "password": "secret", "db": 2}
            ),
        ),
        (
            "redis+sentinel://:secret@a,b:7000/main/3?sentinel_password=other",
            RedisAddress(
                (("a", 26379), ("b", 7000)),
                service="main",
                options={"password": "secret", "db": 3},
                sentinel_options={"password": "other"},
            ),
        ),
        (
            "rediss+sentinel://a/main",
            RedisAddress((("a", 26379),), service="main", tls=True),
        ),
    ],
)
def test_a_url_is_taken_apart(text: str, expected: RedisAddress) -> None:
    assert parse_redis_url(text) == expected


def test_the_files_of_tls_have_to_exist(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    with pytest.raises(ConfigError, match="ssl_ca_certs to be the path of a file that exists"):
        parse_redis_url(f"rediss://h?ssl_ca_certs={file}")
    file.touch()
    options: Any = parse_redis_url(f"rediss://h?ssl_ca_certs={file}").options
    assert options == {"ssl_ca_certs": str(file)}


@pytest.mark.parametrize(
    "text",
    [
        "localhost:6379",
        "http://h",
        "redis://",
        "redis:///0",
        "redis://:hush@h:0",
        "redis://:hush@h:70000",
        "redis://:hush@h:port",
        "redis://:hu@sh@h",
        "redis://:hu#sh@h",
        "redis://:hu/sh@h",
        "redis://:hu sh@h",
        "redis://:hush@a,b",
        "redis://:hush@h/0/1",
        "redis://:hush@[::1/0",
        "redis://:hush@h?db",
        "unix://:hush@",
        "unix://hush/run/redis.sock",
        "redis+sentinel://:hush@a,b",
        "redis+sentinel://:hush@a,,b/main",
        "redis+sentinel://:hush@a/main/0/1",
    ],
)
def test_a_url_that_names_no_server_is_a_fault_that_shows_what_is_expected(text: str) -> None:
    with pytest.raises(ConfigError, match="^REDIS_URL: expected redis://user:") as caught:
        parse_redis_url(text)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("redis://h/zero", "the number of a database"),
        ("redis://h?db=zero", "the number of a database"),
        ("redis://h?family=6", "no 'family' after the [?]; remove it"),
        ("rediss://h?ssl_cert_reqs=no", "ssl_cert_reqs to be none or optional or required"),
        ("redis://h?ssl_cert_reqs=none", "rediss:// with the ssl_… parameters"),
    ],
)
def test_a_parameter_that_is_wrong_is_named(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=f"^REDIS_URL: expected {said}"):
        parse_redis_url(text)


def test_no_text_of_an_address_shows_its_password() -> None:
    address = parse_redis_url("redis+sentinel://ann:hush@a,b/main?sentinel_password=hush")
    assert "hush" not in repr(address) + str(address) + address.shown
    assert address.shown == "a:26379, b:26379"
