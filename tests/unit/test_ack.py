from hypothesis import given
from hypothesis import strategies as st

from stream_apps.ack import AckWindow


@given(st.permutations(range(30)))
def test_acknowledgements_leave_in_the_order_of_receipt_whatever_finishes_first(order: list[int]) -> None:
    window = AckWindow()
    tokens = [window.received(mid) for mid in range(1000, 1030)]
    sent = [mid for place in order for mid in window.finished([tokens[place]])]
    assert sent == list(range(1000, 1030))
    assert len(window) == 0


@given(st.lists(st.sampled_from(["receive", "finish", "reconnect"]), max_size=80), st.randoms())
def test_a_message_is_acknowledged_only_after_it_and_all_before_it_finished(steps: list[str], random) -> None:
    window = AckWindow()
    generation = 0
    received: list[int] = []
    finished: set[int] = set()
    acknowledged: list[int] = []
    tokens = {}
    every_token = []
    for mid, step in enumerate(steps):
        if step == "receive":
            received.append(mid)
            tokens[mid] = window.received(mid)
            every_token.append(tokens[mid])
        elif step == "reconnect":
            generation += 1
            window.reconnected(generation)
            received, finished, acknowledged, tokens = [], set(), [], {}
        elif every_token:
            token = random.choice(every_token)
            for known, mine in tokens.items():
                if mine == token:
                    finished.add(known)
            acknowledged += window.finished([token])
        assert acknowledged == received[: len(acknowledged)]
        assert set(acknowledged) <= finished
        due = next((i for i, one in enumerate(received) if one not in finished), len(received))
        assert len(acknowledged) == due


def test_a_token_of_an_older_connection_acknowledges_nothing() -> None:
    window = AckWindow()
    old = window.received(1)
    window.reconnected(1)
    window.received(1)
    assert window.finished([old]) == []


def test_a_token_finished_twice_is_acknowledged_once() -> None:
    window = AckWindow()
    token = window.received(7)
    assert window.finished([token]) == [7]
    assert window.finished([token]) == []
