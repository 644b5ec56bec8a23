"""Workers of DataLoaders that fail, and the user's own objects in them."""

import gc
import sys

import numpy as np
import pytest
from _group import on_group
from _workers import Bad, call, fail_at_random, halves, linear, still_there, worker_fails
from torch.utils.data import DataLoader, get_worker_info

import lightkeras as lk
from lightkeras import _data

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="kills by signals"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of fork beside threads
]


@pytest.mark.parametrize(
    "how, method",
    [
        ("raise", "fit"),
        ("raise", "predict"),
        ("kill", "validation"),
        ("kill", "evaluate"),
        ("hang", "fit"),
    ],
)
def test_R8_the_sample_is_named_and_no_worker_is_left(how, method):
    assert worker_fails(how, method, at=37) == []


@pytest.mark.campaign
@pytest.mark.timeout(0)
def test_R8_full():
    failures, counts = fail_at_random(150, seed=0)
    print(f"\nR8: {counts}")
    assert sum(counts.values()) == 150 and failures == []


@pytest.mark.parametrize("number", [2, 37])
def test_the_first_batch_and_workers_that_persist(number):
    assert worker_fails("raise", "fit", number, persistent_workers=True, shuffle=True) == []


def test_what_is_said():
    with pytest.raises(ValueError, match=r"^Sample 37 of x could not be read in DataLoader worker"):
        call(linear(), "predict", DataLoader(Bad("raise", 37), batch_size=8, num_workers=1))
    with pytest.raises(RuntimeError, match=r"Sample 5 of validation_data was being .*\(DataLoader"):
        call(linear(), "validation", DataLoader(Bad("kill", 5), batch_size=8, num_workers=1))
    with pytest.raises(ValueError, match="Sample 3 of x could not be read"):
        call(linear(), "predict", halves())
    assert still_there() == []


@pytest.mark.skipif(sys.version_info < (3, 11), reason="errors have no notes")
def test_a_dataset_without_workers_names_it_too():
    with pytest.raises(ValueError, match="a damaged file") as caught:
        linear().predict(Bad("raise", 37), batch_size=8, verbose=0)
    assert caught.value.__notes__ == ["Sample 37 of x could not be read. Look at it: dataset[37]."]


class OfBatches(lk.utils.PyDataset):
    def __len__(self):
        return 6

    def __getitem__(self, i):
        if i == 4:
            raise KeyError("no such file")
        return np.ones((8, 4)), np.ones((8, 1))


def test_a_PyDataset_names_the_batch():
    with pytest.raises(KeyError, match="Batch 4 of x could not be read"):
        linear().evaluate(OfBatches(workers=2, use_multiprocessing=True), verbose=0)
    assert still_there() == []


class Looks(Bad):
    """Asks in the worker for what is the user's."""

    def __getitem__(self, i):
        dataset = get_worker_info().dataset
        assert isinstance(dataset, Looks) and dataset is self and type(self).__name__ == "Looks"
        return np.full(4, self.added, "float32"), np.ones(1, "float32")


def _begin(worker):
    get_worker_info().dataset.added = 7 + worker


def test_the_users_loader_is_left_as_it_is():
    dataset = Looks("never", 0)
    loader = DataLoader(dataset, batch_size=8, num_workers=2, worker_init_fn=_begin)
    x = [x[0, 0].item() for x, _, _ in _data.batches(loader)]
    assert x == [7.0, 8.0] * 4
    assert loader.worker_init_fn is _begin and type(dataset) is Looks


def test_only_workers_errors_are_told_otherwise():
    batches = _data.batches(DataLoader(Bad("never", 0), batch_size=8, num_workers=2))
    for error in (RuntimeError("a step failed"), KeyError("DataLoader"), ZeroDivisionError()):
        with pytest.raises(type(error)) as caught, _data.telling(batches, None):
            raise error
        assert caught.value is error


def of_a_group(how):
    with pytest.raises((ValueError, RuntimeError, SystemExit)) as caught:
        call(linear(), "fit", DataLoader(Bad(how, 37), batch_size=8, num_workers=1))
    said = str(caught.value)
    del caught  # the process that was left alone still reads
    gc.collect()
    return said, len(still_there())


def test_workers_of_several_processes():
    (first, left), (second, left_too) = on_group(2, of_a_group, "kill", timeout=100)
    assert left == left_too == 0
    assert "Sample 37 of x" in first and "Sample 37 of x" in second
    assert ("failed first" in first) != ("failed first" in second)
