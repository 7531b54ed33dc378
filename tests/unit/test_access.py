"""Who may enter, as pure functions: limits, addresses, tokens, who may write."""

from __future__ import annotations

from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from web.access import bearer
from web.access.addresses import login_for, safe_next, without_token
from web.access.limiter import Limiter
from web.security import host_allowed, write_allowed
from weir.access import ACCOUNT, Role, fits, new_token, split_token

OWN = "http://127.0.0.1:8050"


def as_browsers_read(address: str) -> str:
    """Browsers strip blanks at the ends, skip tabs and line ends, and take a backslash for a slash."""
    kept = "".join(sign for sign in address.strip("".join(map(chr, range(33)))) if sign not in "\t\r\n")
    return urljoin(f"{OWN}/login", kept.replace("\\", "/"))


@given(st.one_of(st.text(), st.text(alphabet="/\\:@.?#%\t\n ehtpx").map(lambda text: "/" + text)))
def test_no_address_leads_to_another_server_after_the_log_in(target: str) -> None:
    assert urlsplit(as_browsers_read(safe_next(target))).netloc == "127.0.0.1:8050"


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "/\\evil.example", "/\t/evil.example", "https://evil.example", "javascript:alert(1)", "evil",
     "", "/" + "a" * 3000, "/login?next=/", "/logout", "/ /evil.example", "///evil.example"],
)  # fmt: skip
def test_what_is_not_a_page_of_this_server_leads_home(target: str) -> None:
    assert safe_next(target) == "/"


def test_a_page_keeps_its_parameters_but_not_the_token() -> None:
    assert safe_next("/sensor?site=a&token=secret&status=ok,alert") == "/sensor?site=a&status=ok,alert"
    assert without_token("/", "token=secret") == "/"
    assert parse_qs(urlsplit(login_for("/alerts", "a=1&token=x")).query) == {"next": ["/alerts?a=1"]}


@given(st.floats(0.01, 100), st.integers(1, 50), st.lists(st.floats(0, 100), max_size=200))
def test_no_more_tries_pass_than_the_burst_and_what_was_refilled(rate: float, burst: int, steps: list[float]) -> None:
    limiter, now, passed = Limiter(rate, burst), 0.0, 0
    for step in steps:
        now += step
        passed += limiter.take("a", now) == 0
    assert passed <= burst + rate * now + 1e-6


@given(st.floats(0.01, 100), st.integers(1, 10))
def test_whoever_waits_as_long_as_told_may_try_again(rate: float, burst: int) -> None:
    limiter = Limiter(rate, burst)
    while not (wait := limiter.take("a", 5.0)):
        pass
    assert limiter.wait("a", 5.0) == wait > 0
    assert limiter.take("a", 5.0 + wait * 1.0001) == 0


def test_one_key_does_not_use_up_the_tries_of_another_and_memory_is_bounded() -> None:
    limiter = Limiter(1, 1, most=100)
    assert limiter.take("a", 0) == 0 < limiter.take("a", 0)
    assert all(limiter.take(f"other {n}", 0) == 0 for n in range(1000))
    assert len(limiter) == 100


def test_what_costs_more_takes_more_and_never_waits_for_ever() -> None:
    limiter = Limiter(1, 6)
    assert (limiter.take("a", 0, 5), limiter.take("a", 0, 5), limiter.take("a", 4, 5)) == (0, 4, 0)
    assert Limiter(1, 2).take("b", 0, 5) == 0


@given(st.integers(0, 2**40), st.sampled_from(Role))
def test_a_token_opens_until_it_ends_and_only_whole(now: int, role: Role) -> None:
    text, kept = new_token("bot", role, now, now + 10)
    number, secret = split_token(text) or ("", "")
    assert number == kept.id
    assert fits(kept, secret, now + 9)
    assert not fits(kept, secret, now + 10)
    assert not fits(kept, secret[:-1] + ("A" if secret[-1] != "A" else "B"), now)
    assert secret not in str(kept)


@given(st.text())
def test_no_other_text_is_a_token(text: str) -> None:
    assert split_token(text) is None
    assert bearer.identify(text, 0) is None
    assert bearer.identify(f"Bearer {text}", 0) is None


@pytest.mark.parametrize("name", ["", "Anna", "a b", "a\n", "../a", "<b>", "a" * 61, "-a", "ä"])
def test_an_account_cannot_have_a_hostile_name(name: str) -> None:
    assert ACCOUNT.match(name) is None


@pytest.mark.parametrize(
    ("origin", "site", "bearer_sent", "allowed"),
    [
        (OWN, "same-origin", False, True),
        (OWN, None, False, True),
        (None, "same-origin", False, True),
        (None, "none", False, True),
        ("http://127.0.0.1:9999", "same-site", False, False),
        ("http://127.0.0.1:9999", None, False, False),
        (OWN, "cross-site", False, False),
        ("null", None, False, False),
        ("null", "same-origin", True, False),
        (None, None, False, False),
        (None, None, True, True),
        ("https://evil.example", "cross-site", True, False),
    ],
)
def test_only_a_page_of_this_server_or_a_program_with_a_token_may_write(
    origin: str | None, site: str | None, bearer_sent: bool, allowed: bool
) -> None:
    assert write_allowed(origin, site, OWN, bearer_sent) is allowed


def test_a_proxys_name_is_one_of_the_servers_own() -> None:
    assert host_allowed("weir.example", "127.0.0.1", "weir.example")
    assert not host_allowed("evil.example", "127.0.0.1", "weir.example")
    assert not host_allowed("", "127.0.0.1", "")
