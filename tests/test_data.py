"""The data path: every kind of data as the same batches, and a sentence for every wrong one."""

import itertools
import sys
import time
import warnings

import keras
import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from lightkeras import config
from lightkeras._data import _batches as batches_module
from lightkeras._data import batches, split
from lightkeras._tree import flatten, map_structure
from lightkeras.utils.dataset import PyDataset

N = 10
X = np.arange(N * 3, dtype="float32").reshape(N, 3)
Y = np.arange(N) % 3
W = np.linspace(0.5, 2.0, N).astype("float32")


# ---- the installed Keras as oracle --------------------------------------------------------------


class Recorder(keras.Model):
    """Keras's own fit and evaluate, keeping the batches that they make."""

    def __init__(self):
        super().__init__()
        self.built = True
        self.epochs = []
        self.compile()

    def call(self, x):
        return x

    def train_step(self, data):
        self.epochs[-1].append(keras.utils.unpack_x_y_sample_weight(data))
        return {"loss": 0.0}

    test_step = train_step


def keras_epochs(x, y=None, w=None, epochs=1, **kwargs):
    model = Recorder()
    begin = keras.callbacks.LambdaCallback(on_epoch_begin=lambda *a: model.epochs.append([]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x, y, sample_weight=w, epochs=epochs, verbose=0, callbacks=[begin], **kwargs)
    return model.epochs


def same(ours, theirs):
    """Equal in structure, dtype and values."""
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        keras.tree.assert_same_structure(tuple(mine), tuple(other))
        for a, b in zip(keras.tree.flatten(mine), keras.tree.flatten(other), strict=True):
            if a is None or b is None:
                assert a is b
                continue
            assert a.dtype == b.dtype and a.shape == b.shape
            torch.testing.assert_close(a, b.cpu())


FRAME = pd.DataFrame({"a": np.arange(N), "b": np.linspace(0, 1, N)})
KERAS_KINDS = {
    "float32": (X, Y, None),
    "float64": (X.astype("float64"), Y.astype("float64"), None),
    "float16": (X.astype("float16"), None, None),
    "uint8": (np.arange(N * 4, dtype="uint8").reshape(N, 2, 2), Y.astype("uint8"), None),
    "int32 and bool": (X.astype("int32"), Y == 1, None),
    "tensors": (torch.tensor(X), torch.tensor(Y), torch.tensor(W)),
    "double tensor": (torch.tensor(X, dtype=torch.float64), torch.tensor(Y), None),
    "bfloat16 tensor": (torch.tensor(X, dtype=torch.bfloat16), None, None),
    "list of inputs": ([X, X * 2], Y, None),
    "nested": ({"a": X, "b": [X * 2, X * 3]}, {"p": Y, "q": Y + 1}, None),
    "weights per output": (X, [Y, Y + 1], [W, W * 2]),
    "weights for all outputs": (X, [Y, Y + 1], W),
    "weights": (X, Y, W.astype("float64")),
    "frame": (FRAME, FRAME["b"], None),
    "frame of integers": (FRAME[["a"]], FRAME["a"], None),
    "transposed": (np.ascontiguousarray(X.T).T, Y[:, None], None),
    "read only, broadcast": (np.broadcast_to(X[:1], X.shape), Y, None),
}


@pytest.mark.parametrize("kind", KERAS_KINDS)
def test_arrays_as_keras(kind):
    x, y, w = KERAS_KINDS[kind]
    (theirs,) = keras_epochs(x, y, w, batch_size=4, shuffle=False)
    same(list(batches(x, y, w, batch_size=4)), theirs)


@pytest.mark.parametrize(
    "steps, size", [(1, 4), (2, 4), (3, 4), (5, 4), (2, None), (3, None), (4, None), (20, 3)]
)
def test_steps_per_epoch_as_keras(steps, size):
    ours = batches(X, Y, batch_size=size, steps=steps)
    theirs = keras_epochs(X, Y, epochs=5, batch_size=size, steps_per_epoch=steps, shuffle=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for epoch in theirs:
            same(list(ours), epoch)


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.3, 0.5, 0.77])
@pytest.mark.parametrize("n", [4, 9, 10])
def test_validation_split_as_keras(fraction, n):
    x, y, w = X[:n], Y[:n], W[:n]
    options = {"validation_split": fraction, "batch_size": 99, "shuffle": False}
    try:
        (theirs,) = keras_epochs(x, y, w, **options)
    except ValueError:
        with pytest.raises(ValueError, match=f"of {n} samples leaves none to"):
            split(x, y, w, fraction)
        return
    train, val = split(x, y, w, fraction)
    same([train, val], theirs)


@pytest.mark.parametrize(
    "y",
    [Y, Y[:, None], Y.astype("float32") - 0.1, np.eye(3, dtype="float32")[Y]],
    ids=["ids", "column", "floats", "one-hot"],
)
def test_class_weight_as_keras(y):
    weights = {0: 0.5, 1: 2.0, 2: 3.0}
    (theirs,) = keras_epochs(X, y, class_weight=weights, batch_size=4, shuffle=False)
    same(list(batches(X, y, class_weight=weights, batch_size=4)), theirs)
    loader = DataLoader(TensorDataset(torch.tensor(X), torch.tensor(y)), batch_size=4)
    same(list(batches(loader, class_weight=weights)), theirs)


# ---- all kinds give the same rows ---------------------------------------------------------------


class Pairs(Dataset):
    def __len__(self):
        return N

    def __getitem__(self, i):
        return X[i], Y[i]


class Whole(Pairs):
    """Reads a batch at once, as torch's fetcher allows."""

    def __getitem__(self, i):
        raise AssertionError("a whole batch was asked for")

    def __getitems__(self, picks):
        return X[picks], Y[picks]


class Endless(IterableDataset):
    def __iter__(self):
        return zip(X, Y, strict=True)


class Cut(PyDataset):
    """Batches of 4 with a record of the hooks."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.log = []

    def __len__(self):
        return 3

    def __getitem__(self, i):
        time.sleep(0.02 if i == 0 else 0)  # a first batch that comes last, where order is lost
        return X[4 * i : 4 * i + 4], Y[4 * i : 4 * i + 4]

    def on_epoch_begin(self):
        self.log.append("begin")

    def on_epoch_end(self):
        self.log.append("end")


class KerasCut(keras.utils.PyDataset):
    __len__ = Cut.__len__
    __getitem__ = Cut.__getitem__


class Batched:
    """Any object that can be iterated again and again."""

    def __iter__(self):
        return iter(Cut())


class Module:
    """Looks like a LightningDataModule."""

    def __init__(self):
        self.log = []

    def prepare_data(self):
        self.log.append("prepare")

    def setup(self, stage):
        self.log.append(stage)

    def train_dataloader(self):
        return loader()

    def val_dataloader(self):
        return [loader()]


def loader(**kwargs):
    return DataLoader(TensorDataset(torch.tensor(X), torch.tensor(Y)), batch_size=4, **kwargs)


KINDS = {
    "arrays": lambda: (X, Y),
    "lists": lambda: (X.tolist(), Y.tolist()),
    "tuple of tuples": lambda: (tuple(map(tuple, X.tolist())), tuple(Y.tolist())),
    "objects": lambda: (X.astype(object), Y.astype(object)),
    "array of arrays": lambda: (rows_as_objects(), Y),
    "mixed frame": lambda: (pd.DataFrame(X).astype({0: "Float64", 1: "float64"}), Y),
    "big-endian": lambda: (X.astype(">f4"), Y.astype(">i8")),
    "negative strides": lambda: (X[::-1].copy()[::-1], Y[::-1].copy()[::-1]),
    "unaligned": lambda: (unaligned(), Y),
    "wide": lambda: (X.astype(np.longdouble), Y.astype("uint64").astype("int64")),
    "memory map": lambda: (np.memmap("/dev/zero", "float32", "r", 0, (N, 3)) + X, Y),
    "scalars": lambda: (X, [np.int64(v) for v in Y]),
    "DataLoader": lambda: (loader(), None),
    "TensorDataset": lambda: (TensorDataset(torch.tensor(X), torch.tensor(Y)), None),
    "Dataset": lambda: (Pairs(), None),
    "Dataset of whole batches": lambda: (Whole(), None),
    "Subset": lambda: (torch.utils.data.Subset(Pairs(), range(N)), None),
    "IterableDataset": lambda: (Endless(), None),
    "PyDataset": lambda: (Cut(), None),
    "threads": lambda: (Cut(workers=3), None),
    "few threads": lambda: (Cut(workers=2, max_queue_size=1), None),
    "Keras's PyDataset": lambda: (KerasCut(), None),
    "iterable": lambda: (Batched(), None),
    "generator": lambda: ((b for b in Cut()), None),
    "generator of lists": lambda: ((list(b) for b in Cut()), None),
    "data module": lambda: (Module(), None),
}
SIZED_ELSEWHERE = {
    "DataLoader",
    "PyDataset",
    "threads",
    "few threads",
    "Keras's PyDataset",
    "iterable",
    "generator",
    "generator of lists",
    "data module",
}


def rows_as_objects():
    out = np.empty(N, dtype=object)
    out[:] = [list(row) for row in X.tolist()]
    return out


def unaligned():
    raw = np.zeros(X.nbytes + 1, dtype="uint8")
    raw[1:] = np.frombuffer(X.tobytes(), "uint8")
    return np.frombuffer(raw.data, "float32", X.size, offset=1).reshape(X.shape)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_the_same_rows(kind):
    x, y = KINDS[kind]()
    size = None if kind in SIZED_ELSEWHERE else 4
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = batches(x, y, batch_size=size, caller="fit")
        first = made.peek()
        got = list(made)
    assert [len(b[0]) for b in got] == [4, 4, 2] and len(first[0]) == 4
    assert torch.equal(torch.cat([b[0] for b in got]), torch.tensor(X))
    assert torch.equal(torch.cat([b[1] for b in got]), torch.tensor(Y))
    assert torch.equal(first[0], got[0][0]) and all(b[2] is None for b in got)
    assert all(b[0].dtype == torch.float32 for b in got)
    assert [made.global_rows(i) for i in range(3)] == [4, 4, 2]


@pytest.mark.parametrize("kind", [k for k in KINDS if "generator" not in k])
def test_every_pass_is_fresh_and_sized(kind):
    x, y = KINDS[kind]()
    made = batches(x, y, batch_size=None if kind in SIZED_ELSEWHERE else 4)
    next(iter(made))  # a pass that is left at once
    for _ in range(2):
        assert torch.equal(torch.cat([b[0] for b in made]), torch.tensor(X))
    if kind in ("IterableDataset", "iterable"):
        assert made.steps is None and bool(made)
        with pytest.raises(TypeError, match="known at the end"):
            len(made)
    else:
        assert len(made) == made.steps == 3


def test_processes_make_batches_in_order():
    made = batches(Cut(workers=2, use_multiprocessing=True))
    before = torch.get_rng_state()
    for _ in range(2):
        assert torch.equal(torch.cat([b[0] for b in made]), torch.tensor(X))
    assert torch.equal(before, torch.get_rng_state())


class Noisy(Cut):
    def __getitem__(self, i):
        return (torch.rand(2), {"a": np.random.rand(2)}), np.array([i, i])


def test_processes_draw_anew_in_every_pass():
    def passes():
        torch.manual_seed(3)
        made = batches(Noisy(workers=2, use_multiprocessing=True))
        return [torch.cat([torch.cat(flatten(b[0])) for b in made]) for _ in range(2)]

    one, two = passes(), passes()
    assert not torch.equal(one[0], one[1]) and all(map(torch.equal, one, two))
    x, _, _ = next(iter(batches(Noisy(workers=1, use_multiprocessing=True))))
    assert type(x) is tuple and type(x[1]) is dict


@pytest.mark.parametrize("n", range(1, 21))
def test_rows_and_batch_sizes(n):
    x = torch.arange(n)
    for size in (1, 2, 3, 7, 16, 32):
        made = batches(x, batch_size=size)
        got = [b[0] for b in made]
        assert len(got) == len(made) == -(-n // size) and made.rows == n
        assert torch.equal(torch.cat(got), x)
        assert [len(b) for b in got] == [made.global_rows(i) for i in range(len(made))]


def test_default_batch_size_is_32():
    assert [len(b[0]) for b in batches(np.zeros(70))] == [32, 32, 6]


STRUCTURES = {
    "tuple": (X, X + 1),
    "dict": {"b": X, "a": X + 1},
    "nested": [{"a": X, "b": (X + 1,)}, X + 2],
    "list with a list": [X, Y.tolist()],
    "missing part": [X, None],
}


@pytest.mark.parametrize("kind", STRUCTURES)
@pytest.mark.parametrize("shuffle", [False, True])
def test_structures_stay(kind, shuffle):
    x = STRUCTURES[kind]
    made = batches(x, Y, batch_size=4, shuffle=shuffle)
    x = [X, Y] if kind == "list with a list" else x
    got = list(made)
    keras.tree.assert_same_structure(got[0][0], map_structure(lambda _: 0, x))
    if isinstance(x, dict):
        assert list(got[0][0]) == list(x)
    for i, leaf in enumerate(flatten(x)):
        rows = [flatten(b[0])[i] for b in got]
        if leaf is None:
            assert rows == [None] * 3
            continue
        order = torch.cat([flatten(b[0])[0][:, 0] for b in got]) / 3  # X numbers its rows
        order = (order - order.min()).round().long()
        assert torch.equal(torch.cat(rows), torch.as_tensor(np.asarray(leaf))[order])


# ---- order --------------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["arrays", "Dataset", "PyDataset", "threads"])
def test_shuffle_is_a_permutation_by_seed_and_epoch(source):
    def passes(count=3):
        torch.manual_seed(5)
        x, y = KINDS[source]()
        made = batches(
            x, y, batch_size=2 if source in ("arrays", "Dataset") else None, shuffle=True
        )
        return made, [[b[0][:, 0].tolist() for b in made] for _ in range(count)]

    made, orders = passes()
    assert [sorted(itertools.chain(*o)) for o in orders] == [X[:, 0].tolist()] * 3
    assert passes()[1] == orders
    assert len({str(o) for o in orders}) > 1
    made.set_epoch(1)
    assert [b[0][:, 0].tolist() for b in made] == orders[1]


def test_shuffles_differ_between_epochs_and_seeds():
    x = torch.arange(100)
    one, two = (batches(x, shuffle=True) for _ in range(2))
    orders = [tuple(torch.cat([b[0] for b in made]).tolist()) for made in (one, two) * 20]
    assert len(set(orders)) == 40
    two.seed = one.seed
    one.set_epoch(3), two.set_epoch(3)
    assert torch.equal(next(iter(one))[0], next(iter(two))[0])


def test_shuffling_leaves_the_global_generator_alone():
    made = batches(X, Y, shuffle=True)
    state = torch.get_rng_state()
    list(made), list(made), made.peek()
    batches(X, Y, shuffle=False)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("n", [7, 8])
def test_shuffle_batch_moves_whole_batches(n):
    made = batches(torch.arange(n), batch_size=2, shuffle="batch")
    passes = [[b[0].tolist() for b in made] for _ in range(20)]
    assert all(sorted(p) == [t.tolist() for t in torch.arange(n).split(2)] for p in passes)
    assert len({str(p) for p in passes}) > 5
    assert n == 8 or all(p[-1] == [6] for p in passes)


@pytest.mark.parametrize("source", ["arrays", "Dataset", "PyDataset", "DataLoader", "generator"])
@pytest.mark.parametrize("step", range(4))
def test_start_in_the_middle(source, step):
    x, y = KINDS[source]()
    size = None if source in SIZED_ELSEWHERE else 4
    shuffle = source in ("arrays", "Dataset")
    made = batches(x, y, batch_size=size, shuffle=shuffle)
    whole = [b[1].tolist() for b in made]
    if source == "generator":
        made = batches(*KINDS[source](), batch_size=size)
    made.set_epoch(0)
    made.start_at(step)
    assert [b[1].tolist() for b in made] == whole[step:]
    if step < 3:
        assert made.global_rows(2) == 2
    if source != "generator":
        assert len(list(made)) == 3  # the next pass is a whole one


@pytest.mark.parametrize("source", ["arrays", "Dataset", "PyDataset", "DataLoader", "iterable"])
def test_steps_restart_outside_fit(source):
    x, y = KINDS[source]()
    size = None if source in SIZED_ELSEWHERE else 4
    first = [b[1].tolist() for b in batches(x, y, batch_size=size)][:2]
    evaluated = batches(x, y, batch_size=size, steps=2, caller="validate")
    assert len(evaluated) == 2
    for _ in range(2):
        assert [b[1].tolist() for b in evaluated] == first


@pytest.mark.parametrize("source", ["arrays", "DataLoader", "PyDataset", "generator"])
@pytest.mark.parametrize("most", [2, 5])
def test_max_steps_per_epoch(source, most):
    config.set_max_steps_per_epoch(most)
    try:
        made = batches(*KINDS[source](), batch_size=4 if source == "arrays" else None)
    finally:
        config.set_max_steps_per_epoch(None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [len(b[0]) for b in made] == [4, 4, 2][:most]


@pytest.mark.parametrize("source", ["DataLoader", "PyDataset", "iterable"])
def test_steps_go_on_in_fit(source):
    made = batches(*KINDS[source](), steps=2)
    with pytest.warns(UserWarning, match=r"1 (of|steps)|after 1 of 2 steps"):
        got = [[len(b[0]) for b in made] for _ in range(4)]
    assert got == [[4, 4], [2], [4, 4], [2]]


# ---- memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8", "bool", "int8"])
def test_batches_in_order_are_views(dtype):
    x = np.zeros((10, 4), dtype)
    for i, (a, b, _) in enumerate(batches(x, {"y": x}, batch_size=4)):
        assert a.data_ptr() == b["y"].data_ptr() == x.ctypes.data + 4 * i * x.strides[0]
    (train, _, _), (val, _, _) = split(x, None, None, 0.5)
    assert train.data_ptr() == x.ctypes.data and val.data_ptr() == x[5:].ctypes.data


def test_shuffling_holds_no_second_copy():
    x = np.zeros((1000, 500), "float32")
    made = batches(x, x[:, 0], batch_size=10, shuffle=True)
    assert made.x.data_ptr() == x.ctypes.data
    tracked = [b[0].nbytes for b in itertools.islice(made, 3)]
    assert tracked == [10 * 500 * 4] * 3


def test_read_only_and_frozen_arrays_are_shared_without_a_warning():
    x = np.zeros((4, 2), "float32")
    x.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert next(iter(batches(x)))[0].data_ptr() == x.ctypes.data


def test_the_same_array_is_converted_once():
    x = np.random.rand(10, 2)  # float64: an autoencoder's x and y
    made = batches(x, x, batch_size=4)
    assert made.x is made.y and made.x.dtype == torch.float32


def test_floatx_is_followed():
    config.set_floatx("float64")
    try:
        x, _, w = next(iter(batches(X, Y, np.ones(N, dtype="int64"))))
        assert x.dtype == w.dtype == torch.float64
    finally:
        config.set_floatx("float32")


@pytest.mark.parametrize("given, held", [("uint16", "int32"), ("uint32", "int64")])
def test_types_that_torch_cannot_compute_with(given, held):
    x = np.array([1, np.iinfo(given).max], given)
    (got,) = [b[0] for b in batches(x)]
    assert got.dtype == getattr(torch, held) and got.tolist() == x.tolist()


# ---- many processes -----------------------------------------------------------------------------


@pytest.mark.parametrize("world", [1, 2, 3, 4])
@pytest.mark.parametrize("source", ["arrays", "Dataset", "PyDataset", "generator", "iterable"])
def test_every_row_is_in_one_share(source, world):
    size = None if source in SIZED_ELSEWHERE else 4
    shards = [batches(*KINDS[source](), batch_size=size).shard(r, world) for r in range(world)]
    for step, parts in enumerate(zip(*shards, strict=True)):
        rows = torch.cat([p[0] for p in parts])
        assert torch.equal(rows, torch.tensor(X[4 * step : 4 * step + 4]))
        assert max(len(p[0]) for p in parts) - min(len(p[0]) for p in parts) <= 1
        assert {s.global_rows(step) for s in shards} == {len(rows)}


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 9, 65])
@pytest.mark.parametrize("world", [2, 3, 4])
def test_shares_of_shuffled_arrays(n, world):
    x = torch.arange(n)
    alone = batches(x, batch_size=7, shuffle=True)
    shards = [batches(x, batch_size=7, shuffle=True).shard(r, world) for r in range(world)]
    for shard in shards:
        shard.seed = alone.seed
    for _ in range(2):
        together = [torch.cat([p[0] for p in parts]) for parts in zip(*shards, strict=True)]
        assert all(map(torch.equal, together, [b[0] for b in alone]))


def test_a_loader_keeps_its_own_way_to_share():
    given = loader()
    made = batches(given).shard(1, 2)
    assert made.loader is given and [len(b[0]) for b in made] == [4, 4, 2]


def test_sampler_learns_the_epoch():
    class Sampler(torch.utils.data.SequentialSampler):
        def set_epoch(self, epoch):
            self.epoch = epoch

    data = TensorDataset(torch.tensor(X))
    sampler = Sampler(data)
    made = batches(DataLoader(data, sampler=sampler))
    list(made)
    assert sampler.epoch == 0
    made.set_epoch(7)
    list(made)
    assert sampler.epoch == 7


# ---- devices ------------------------------------------------------------------------------------


@pytest.mark.parametrize("free", [0, 10**9])
@pytest.mark.parametrize("shuffle", [False, True])
def test_arrays_move_whole_where_they_fit(monkeypatch, free, shuffle):
    monkeypatch.setattr(batches_module, "_free_memory", lambda device: free)
    made = batches([X, X], {"y": Y}, W, batch_size=4, shuffle=shuffle)
    made.on("meta")  # stands for an accelerator
    assert {t.device.type for t in flatten((made.x, made.y, made.w))} == {"meta" if free else "cpu"}
    assert made.x[0] is made.x[1]
    got = list(made)
    assert {t.device.type for t in flatten(got)} == {"meta"}
    assert [len(b[2]["y"]) for b in got] == [4, 4, 2]
    assert {t.device.type for t in flatten(made.peek())} == {"meta"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("shuffle", [False, True])
def test_arrays_on_a_gpu(monkeypatch, resident, shuffle):
    if not resident:
        monkeypatch.setattr(batches_module, "_free_memory", lambda device: 0)
    here = batches(X, Y, batch_size=4, shuffle=shuffle)
    there = batches(X, Y, batch_size=4, shuffle=shuffle).on("cuda")
    there.seed = here.seed
    assert there.x.is_cuda == resident
    for (a, b, _), (c, d, _) in zip(here, there, strict=True):
        assert c.is_cuda and torch.equal(a, c.cpu()) and torch.equal(b, d.cpu())
    mixed = batches(torch.tensor(X, device="cuda"), Y)
    assert mixed.y.is_cuda and not next(iter(mixed.on("cpu")))[0].is_cuda


@pytest.mark.parametrize("source", ["DataLoader", "PyDataset", "Dataset", "generator"])
def test_streams_arrive_on_the_device(source):
    made = batches(*KINDS[source]()).on("meta")
    assert {b[0].device.type for b in made} == {"meta"}


def test_the_cpu_costs_nothing():
    made = batches(X, Y, batch_size=4).on("cpu")
    assert next(iter(made))[0].data_ptr() == X.ctypes.data


def calls(iterator):
    """Python and C calls that Python code makes while an iterator runs."""
    count = [0]

    def watch(frame, event, arg):
        count[0] += event in ("call", "c_call")

    sys.setprofile(watch)
    for _ in iterator:
        pass
    sys.setprofile(None)
    return count[0]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("w", [None, "one each"])
@pytest.mark.parametrize("form", [lambda x: x, lambda x: {"a": [x, x]}])
def test_no_calls_per_batch(shuffle, w, form):
    def made(n):
        x = np.zeros((n, 3), "float32")
        return iter(batches(form(x), x[:, 0], w and x[:, 0] + 1, batch_size=1, shuffle=shuffle))

    assert calls(made(200)) == calls(made(20))  # map and zip run the pass, in C
    assert calls(b for b in made(200)) >= 200  # the counter counts


@pytest.mark.parametrize("source", ["DataLoader", "Dataset", "PyDataset", "generator"])
def test_calls_per_batch_of_others(source):
    x, y = KINDS[source]()
    made = batches(x, y, batch_size=4 if source == "Dataset" else None)
    raw = [made.convert(((X[:4]), Y[:4])) for _ in range(2)]
    assert calls(made.convert(raw[0]) for _ in range(100)) <= 100 * 40
