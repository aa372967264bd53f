"""Progress: silent by default, a bar on a terminal, lines in a log file, nothing about work that is soon over."""

import time

import pytest

from invlearn_jax import progress as module
from invlearn_jax.progress import announce, progress, show_progress


@pytest.fixture
def shown(monkeypatch):
    """Progress switched on, for impatient people."""
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    monkeypatch.setattr(module, "_LINES", 0.04)
    show_progress()
    yield
    show_progress(False)


def slow(count, seconds=0.03):
    for index in range(count):
        time.sleep(seconds)
        yield index


def test_a_library_is_silent(capfd):
    assert list(progress(slow(3), "work", total=3)) == [0, 1, 2]
    with announce("compiling", after=0.0):
        time.sleep(0.02)
    assert capfd.readouterr() == ("", "")


def test_a_log_file_gets_lines_with_rate_and_time_left(shown, capsys):
    assert list(progress(slow(8), "evaluation", total=8, unit="plan")) == list(range(8))
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert 2 <= len(lines) < 8  # not one for each item
    for line in lines:
        assert line.startswith("evaluation: ")
        assert "/8 plans, " in line
        assert line.endswith(" left")
        assert "plan/s" in line or "s/plan" in line
    assert "\r" not in err


def test_without_a_total_the_line_has_none(shown, capsys):
    list(progress(slow(4), "reading", unit="file"))
    line = capsys.readouterr().err.splitlines()[0]
    assert "files, " in line
    assert "left" not in line
    assert "/" not in line.split(",")[0]


def test_a_terminal_gets_a_bar(shown, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    list(progress(slow(8), "evaluation", total=8, unit="plan"))
    err = capsys.readouterr().err
    assert "8/8" in err
    assert "\r" in err
    assert "left" not in err


def test_short_work_says_nothing(shown, capsys):
    list(progress(range(1000), "work"))
    with announce("compiling", after=0.5):
        pass
    assert capsys.readouterr().err == ""


def test_long_work_is_announced_while_it_lasts(shown, capsys):
    with announce("compiling the plan", after=0.01):
        time.sleep(0.1)
        assert capsys.readouterr().err == "compiling the plan ...\n"
    assert capsys.readouterr().err == "compiling the plan: 0 s\n"


def test_a_slow_first_item_is_announced(shown, capsys):
    for item in progress(range(2), "evaluation", unit="plan"):
        time.sleep(0.15 if item == 0 else 0)
    assert capsys.readouterr().err.startswith("evaluation: the first plan, with compiling ...\n")


def test_a_loop_that_is_left_early_ends_its_bar(shown, capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    with pytest.raises(KeyError):
        for _ in progress(slow(8), "evaluation", total=8):
            raise KeyError
    assert list(progress(range(3), "next")) == [0, 1, 2]
