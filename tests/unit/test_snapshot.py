"""The snapshot's own format. The fence is tested on a real server, in tests/integration."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_apps.snapshot import HEADER, pack, unpack


@given(st.integers(0, 2**63 - 1), st.binary(max_size=200))
def test_what_is_packed_is_unpacked(offset: int, state: bytes) -> None:
    assert unpack(pack(offset, state)) == (offset, state)


@pytest.mark.parametrize("value", [b"", b"12", b"x" * HEADER, b"-" + b"1" * (HEADER - 1) + b"state"])
def test_what_is_no_snapshot_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="not a snapshot"):
        unpack(value)
