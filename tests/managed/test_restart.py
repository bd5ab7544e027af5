"""How the delay before a restart grows, and what resets it."""

from __future__ import annotations

from wsproxy.managed.restart import RestartState


def test_each_short_life_doubles_the_delay_up_to_half_a_minute() -> None:
    state = RestartState()
    assert [state.delay_s(0.1) for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_ten_short_lives_in_a_row_are_a_crash_loop() -> None:
    state = RestartState()
    hopeless = []
    for lived_s in (0, 0, 0, 40, *[0.1] * 9, 0.1):
        state.delay_s(lived_s)
        hopeless.append(state.is_hopeless)
    assert hopeless == [False] * 12 + [True, True]
    state.start_over()
    assert (state.is_hopeless, state.delay_s(0)) == (False, 0.5)


def test_a_sound_life_starts_over() -> None:
    state = RestartState()
    assert [state.delay_s(lived) for lived in (1, 29.9, 30, 0, 600, 0)] == [0.5, 1, 0.5, 1, 0.5, 1]


def test_where_there_is_a_reason_to_hurry_the_first_time_is_at_once() -> None:
    state = RestartState(first_delay_s=0.0)
    assert [state.delay_s(lived) for lived in (1, 1, 1, 30, 1)] == [0, 0.5, 1, 0, 0.5]
