"""What must hold when a training goes wrong, and when many follow one another: R9, R10 and R12."""

import json
import sys

import _endurance as endurance
import _restart as restart
import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.mark.parametrize("method", endurance.METHODS)
def test_r9_a_callback_raises_in_a_hook(method, tmp_path):
    for i, case in enumerate(endurance.cases([method])):
        folder = tmp_path / str(i)
        folder.mkdir()
        assert endurance.callback_raises(folder, *case) == []


@pytest.mark.parametrize(
    "method, hook, who",
    [
        ("fit", "on_train_batch_end", 1),
        ("fit", "on_train_end", 1),
        ("evaluate", "on_test_end", 1),
        ("evaluate", "on_test_begin", 2),
        ("predict", "on_predict_batch_end", 0),
    ],
)
def test_r9_a_callback_raises_in_one_of_two_processes(method, hook, who, tmp_path):
    assert endurance.raises_in_a_group(tmp_path, method, hook, 1, True, who) == []
    assert list(tmp_path.glob("raised*"))


@pytest.mark.parametrize("where, step, value", list(endurance.numbers(8, seed=1)))
def test_r10_training_stops_at_what_is_no_number(where, step, value, tmp_path, capsys):
    def said():
        return capsys.readouterr().out

    assert endurance.not_a_number(tmp_path, where, step, value, said) == []


def test_r12_nothing_piles_up(tmp_path):
    runs = restart.Runs()
    try:
        assert runs.apart(endurance.pile_up, tmp_path, 50, 15) == 0
    finally:
        runs.close()
    assert endurance.too_much(json.loads((tmp_path / "leak.json").read_text())) == []
