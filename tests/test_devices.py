"""Several processes give the numbers of one: evaluate, predict, training. In groups of processes
that go through tables of cases; how they are launched is the matter of `test_devices_launch`."""

import itertools
import sys
import warnings

import numpy as np
import pytest
import torch
import torchmetrics
from _group import on_group
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import lightkeras as lk
from lightkeras import _ranks, layers, losses, metrics

WORLDS = (1, 2, 3, 4)
BATCHES = (1, 7, 32)


class Largest(metrics.Metric):
    """The largest output: a state that does not add up."""

    def __init__(self, name="largest"):
        super().__init__(name=name)
        self.value = self.add_variable((), aggregation="max", name="value")

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.value.assign(torch.maximum(self.value, y_pred.max()))

    def result(self):
        return self.value


class Weighed(metrics.Metric):
    """Two sums, one in a metric inside, as users write them."""

    def __init__(self, name="weighed"):
        super().__init__(name=name)
        self.total = self.add_weight(name="total", initializer="zeros")
        self.rows = metrics.Sum()

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.total.assign_add((y_pred.flatten() * (y_true.flatten() + 1)).sum())
        self.rows.update_state(torch.ones(len(y_pred)))

    def result(self):
        return self.total / self.rows.result()


def spread(y_true, y_pred):
    """One number for a whole batch: it depends on how the rows are cut into batches."""
    return (y_pred.max() - y_pred.min()) * torch.ones(())


def of_states():
    """Metrics that count, collect, or both."""
    found = ["accuracy", metrics.AUC(), metrics.Precision(), metrics.F1Score(threshold=0.5)]
    found += [metrics.BinaryIoU([0, 1], 0.5), metrics.R2Score()]
    return [*found, torchmetrics.classification.BinaryAUROC(), torchmetrics.MeanSquaredError()]


def judged(*more):
    """A model of two outcomes with metrics of every kind of state."""
    lk.utils.clear_session(free_memory=False)  # or the metrics are counted in their names
    lk.utils.set_random_seed(1)
    model = lk.Sequential(
        [lk.Input((4,)), layers.Dense(5, activation="tanh"), layers.Dense(1, activation="sigmoid")]
    )
    states = [*of_states(), Largest(), Weighed(), spread, *more]
    loss = losses.BinaryCrossentropy(reduction="mean_with_sample_weight")
    model.compile("sgd", loss, metrics=states, weighted_metrics=["mae"])
    return model


def rows(n, seed=0):
    r = np.random.RandomState(1000 * seed + n)
    x = r.randn(n, 4).astype("float32")
    y = (r.rand(n, 1) > 0.4).astype("float32")
    return x, y, r.rand(n).astype("float32")


def loader(n, batch, **options):
    return DataLoader(TensorDataset(*map(torch.tensor, rows(n))), batch_size=batch, **options)


# ---- R6: evaluate and predict -----------------------------------------------------------------


def measured(cells):
    """What evaluate and predict give, for arrays and for a DataLoader, in each cell."""
    warnings.simplefilter("ignore")  # torchmetrics on one row: no correlation, no curve
    model, found = judged(), []
    for n, batch in cells:
        x, y, w = rows(n)
        options = {"verbose": 0, "batch_size": batch}
        found.append(
            (
                model.evaluate(x, y, sample_weight=w, return_dict=True, **options),
                model.evaluate(loader(n, batch, shuffle=n % 2 == 0), verbose=0, return_dict=True),
                model.predict(x, **options),
                model.predict(loader(n, batch), verbose=0),
            )
        )
    return found


def compare(cells, found, wanted):
    for cell, mine, alone in zip(cells, found, wanted, strict=True):
        for logs, logs_alone in zip(mine[:2], alone[:2], strict=True):
            drawn = logs is mine[1] and cell[0] % 2 == 0  # other rows make up the batches
            for name in logs_alone:
                if not (drawn and name in ("spread", "loss")):
                    a, b = logs[name], logs_alone[name]
                    assert a == pytest.approx(b, rel=1e-5, abs=1e-6, nan_ok=True), (cell, name)
        for p, p_alone in zip(mine[2:], alone[2:], strict=True):
            assert p.shape == p_alone.shape and p.dtype == p_alone.dtype, cell
            assert np.array_equal(p, p_alone), cell


def r6(world, sizes):
    cells = [(n, batch) for n in sizes for batch in BATCHES]
    with warnings.catch_warnings():
        wanted = measured(cells)
    for found in on_group(world, measured, cells, timeout=3000):
        compare(cells, found, wanted)
    return len(cells)


@pytest.mark.parametrize("world", WORLDS)
def test_R6_every_row_counts_once(world):
    assert r6(world, [*range(1, 11), 13, 21, 31, 32, 33, 64, 65]) == 51


@pytest.mark.campaign
@pytest.mark.timeout(0)
def test_R6_full():
    cells = sum(r6(world, range(1, 66)) for world in WORLDS)
    print(f"\nR6: {cells} cells equal, arrays and DataLoaders in each")
    assert cells == 780


# ---- R7: last batches of fewer rows -----------------------------------------------------------


def by_numpy(n, weighted):
    """Loss and error over all rows at once, of a model with weights 0.5 and bias 0.1."""
    x, y, w = rows(n)
    x, y, w = x.astype("float64"), y.astype("float64"), w.astype("float64")
    error = 0.5 * x.sum(1) + 0.1 - y[:, 0]
    w = w if weighted else np.ones(n)
    return {
        "loss": (w * error**2).mean(),
        "mse": (error**2).mean(),
        "mae": (w * abs(error)).sum() / w.sum(),
    }


def linear():
    model = lk.Sequential([lk.Input((4,)), layers.Dense(1)])
    optimizer = lk.optimizers.SGD(1e-30)  # training that stands still
    model.compile(optimizer, "mse", metrics=["mse"], weighted_metrics=["mae"])
    model.set_weights([np.full((4, 1), 0.5), np.full(1, 0.1)])
    return model


def last_batches(cells):
    model, found = linear(), []
    for n, batch, weighted in cells:
        x, y, w = rows(n)
        data = {"x": x, "y": y, "sample_weight": w if weighted else None, "batch_size": batch}
        history = model.fit(**data, verbose=0, accelerator="cpu").history
        found.append((model.evaluate(**data, verbose=0, return_dict=True), history))
    return found


def r7(world, sizes):
    cells = [(n, b, w) for n in sizes for b in (1, 7, 32, 64) for w in (False, True)]
    every = on_group(world, last_batches, cells, timeout=3000)
    for found in every:
        for (n, batch, weighted), (evaluated, trained) in zip(cells, found, strict=True):
            wanted = by_numpy(n, weighted)
            assert evaluated == pytest.approx(wanted, rel=2e-6), (n, batch, weighted)
            trained = {name: values[0] for name, values in trained.items()}
            assert trained == pytest.approx(wanted, rel=2e-6), (n, batch, weighted)
    return len(cells)


@pytest.mark.parametrize("world, sizes", [(1, range(1, 131, 17)), (2, (1, 9, 33, 65))])
def test_R7_last_batches_of_fewer_rows(world, sizes):
    assert r7(world, sizes) == 8 * len(sizes)


@pytest.mark.campaign
@pytest.mark.timeout(0)
@pytest.mark.parametrize("world", [1, 2])
def test_R7_full(world):
    cells = r7(world, range(1, 131))
    print(f"\nR7: {cells} cells equal on {world} process{'es' * (world > 1)}")
    assert cells == 1040


# ---- other kinds of data ----------------------------------------------------------------------

X, Y, W = rows(29)


# Python 3.10 may hang in a fork while another thread ends (_PyThreadState_DeleteExcept).
FORKS = int(sys.version_info >= (3, 11))


class Rows(Dataset):
    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        return X[i], Y[i]


class Stream(IterableDataset):
    def __iter__(self):
        return zip(X, Y, strict=True)


class Batches(lk.utils.PyDataset):
    def __len__(self):
        return 8

    def __getitem__(self, i):
        return X[4 * i : 4 * i + 4], Y[4 * i : 4 * i + 4]


def generator():
    for i in range(0, 29, 4):
        yield X[i : i + 4], Y[i : i + 4]


KINDS = {
    "Dataset": (Rows, {"batch_size": 4}),
    "IterableDataset": (Stream, {"batch_size": 4}),
    "PyDataset": (Batches, {}),
    "PyDataset by threads": (lambda: Batches(workers=2), {}),
    "generator": (generator, {}),
    "generator, some steps": (generator, {"steps": 5}),
    "two arrays at a time": (lambda: loader(29, 4, num_workers=FORKS), {}),
    "two batches of eight": (lambda: loader(29, 4), {"steps": 2}),
}


class Own(lk.Sequential):
    """Steps of the user's own, with a value that is no metric."""

    def test_step(self, data):
        x, y, w = lk.utils.unpack_x_y_sample_weight(data)
        y_pred = self(x)
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(self.compute_loss(x, y, y_pred, w))
            else:
                metric.update_state(y, y_pred)
        logs = {m.name: m.result() for m in self.metrics if m.name != "compile_metrics"}
        return {**logs, "under_another_name": self.metrics[0].result(), "of_the_batch": y.sum()}

    def predict_step(self, data):
        return {"twice": 2 * self(lk.utils.unpack_x_y_sample_weight(data)[0])}


def of_other_kinds():
    # torchmetrics combines correlations only of parts of two rows and more.
    model, found = judged(torchmetrics.PearsonCorrCoef()), []
    for make, options in KINDS.values():
        found.append(model.evaluate(make(), verbose=0, return_dict=True, **options))
        found.append(model.predict(make(), verbose=0, **options))
    own = Own(judged().layers)
    own.compile("sgd", "mse", metrics=["mae"])
    found.append(own.evaluate(X, Y, batch_size=4, verbose=0, return_dict=True))
    found.append(own.predict(X, batch_size=4, verbose=0)["twice"])
    return found


@pytest.mark.parametrize("world", [2, 3])
def test_every_kind_of_data_is_shared(world):
    wanted = of_other_kinds()
    for found in on_group(world, of_other_kinds):
        for a, b in zip(found, wanted, strict=True):
            if isinstance(b, dict):
                assert a == pytest.approx(b, rel=1e-5, abs=1e-6)
            else:
                assert np.array_equal(a, b)


def counted():
    """Rows that a process reads of a DataLoader and of a Dataset."""
    reads = []

    class Counting(Rows):
        def __getitem__(self, i):
            reads.append(i)
            return super().__getitem__(i)

    model = judged()
    model.evaluate(DataLoader(Counting(), batch_size=4), verbose=0)
    of_loader = sorted(reads[4:])  # the first batch is looked at by everyone
    reads.clear()
    model.predict(Counting(), batch_size=4, verbose=0)
    return of_loader, sorted(reads[4:])


def test_reading_is_shared_too():
    for parts in zip(*on_group(3, counted), strict=True):
        assert sorted(itertools.chain(*parts)) == list(range(29))


def different():
    model, mine = judged(), len(X) - _ranks.rank()
    with pytest.raises(ValueError) as size:
        model.evaluate(X[:mine], Y[:mine], verbose=0)
    with pytest.raises(ValueError) as method:
        model.predict(X, verbose=0) if _ranks.rank() else model.evaluate(X, Y, verbose=0)
    return str(size.value), str(method.value)


def test_processes_that_do_different_things_are_told():
    first, second = on_group(2, different)
    assert first == second
    assert "evaluate() of 29 rows, 1 batches, evaluate() of 28 rows" in first[0]
    assert "evaluate() of 29 rows, 1 batches, predict() of 29 rows" in first[1]
    assert "Leave out what divides it by rank" in first[0]


def alone_in_the_middle():
    class Fails(lk.callbacks.Callback):
        def on_test_batch_begin(self, batch, logs=None):
            if _ranks.rank() == 1:
                raise ZeroDivisionError("in the second process")

    try:
        judged().evaluate(X, Y, batch_size=4, verbose=0, callbacks=[Fails()])
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def test_a_process_that_ends_in_evaluate_is_told_to_the_others():
    first, second = on_group(2, alone_in_the_middle, timeout=100)
    assert second == "ZeroDivisionError: in the second process"
    assert first.startswith("RuntimeError: Process 0 of 2 could not go on: process 1 failed first")
    assert first.endswith("with ZeroDivisionError: in the second process")


class Branch(lk.Model):
    """A model with weights that no loss depends on."""

    def __init__(self):
        super().__init__()
        self.head, self.unused = lk.layers.Dense(1), lk.layers.Dense(2)

    def call(self, x):
        self.unused(x)
        return self.head(x)


def unused(strategy):
    lk.utils.set_random_seed(1)
    model = Branch()
    model.compile("adam", "mse")
    flags = {"devices": 2, "accelerator": "cpu", "strategy": strategy} if strategy else {}
    try:
        model.fit(X, X[:, :1], batch_size=8, verbose=0, shuffle=False, **flags)
    except ValueError as error:
        return str(error)
    return model.get_weights()


def test_weights_without_a_gradient_are_named():
    for text in on_group(2, unused, "ddp"):
        assert text.startswith("The loss of a batch does not depend on unused.weight, unused.bias,")
        assert "Type strategy='ddp_find_unused_parameters_true', or set trainable=False" in text
    found, alone = on_group(2, unused, "ddp_find_unused_parameters_true")[0], unused(None)
    for here, there in zip(found, alone, strict=True):
        np.testing.assert_allclose(here, there, rtol=1e-5, atol=1e-6)


# ---- training ---------------------------------------------------------------------------------


def classes(own=False, normalize=False, penalized=False):
    penalty = {"kernel_regularizer": "l2", "activity_regularizer": "l1"} if penalized else {}
    stack = [lk.Input((4,)), layers.Dense(8, activation="tanh", **penalty)]
    stack += [layers.BatchNormalization()] if normalize else []
    return (OwnTraining if own else lk.Sequential)([*stack, layers.Dense(3, activation="softmax")])


class OwnTraining(lk.Sequential):
    def train_step(self, data):
        x, y, w = lk.utils.unpack_x_y_sample_weight(data)
        y_pred = self(x, training=True)
        loss = self.compute_loss(x, y, y_pred, w)
        self.zero_grad()
        loss.backward()
        with torch.no_grad():
            weights = self.trainable_weights
            self.optimizer.apply([v.value.grad for v in weights], weights)
        for metric in self.metrics:
            metric.update_state(loss) if metric.name == "loss" else metric.update_state(y, y_pred)
        return {**{m.name: m.result() for m in self.metrics}, "of_the_batch": loss.detach()}


class OwnLoss(lk.Sequential):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return torch.nn.functional.mse_loss(y_pred[:, 0], y.to(y_pred.dtype))


class Nearer(layers.Layer):
    """Adds a loss that is a mean over rows."""

    def call(self, x):
        self.add_loss(0.1 * (x**2).mean())
        return x


def with_own_loss():
    return OwnLoss(classes().layers)


def with_added_loss():
    return lk.Sequential([lk.Input((4,)), Nearer(), layers.Dense(3, activation="softmax")])


def yes_or_no():
    return lk.Sequential([lk.Input((4,)), layers.Dense(1, activation="sigmoid")])


def several_outputs():
    x = lk.Input((4,))
    h = layers.Dense(6, activation="tanh")(x)
    return lk.Model(x, {"a": layers.Dense(3, activation="softmax", name="a")(h),
                        "b": layers.Dense(1, name="b")(h)})  # fmt: skip


def masked():
    """Steps of sequences that are padding count neither in the loss nor in metrics."""
    x = lk.Input((4, 1))
    h = layers.LSTM(4, return_sequences=True)(layers.Masking()(x))
    return lk.Model(x, layers.Dense(3, activation="softmax")(h))


SPARSE = "sparse_categorical_crossentropy"
SUM = losses.SparseCategoricalCrossentropy(reduction="sum")
WEIGHTS = losses.SparseCategoricalCrossentropy(reduction="mean_with_sample_weight")
CASES = {
    "even batches": {"n": 48},
    "uneven last batch": {},
    "one row": {"n": 1},
    "last batch of one row": {"n": 17},
    "fewer rows than processes": {"n": 3, "batch": 2},
    "batches smaller than the processes": {"n": 7, "batch": 3},
    "in order": {"fit": {"shuffle": False}},
    "batches shuffled": {"fit": {"shuffle": "batch"}},
    "some steps": {"fit": {"steps_per_epoch": 2}},
    "some steps, fewer at the end of the data": {"fit": {"steps_per_epoch": 3}},
    "some steps, from a later epoch on": {
        "n": 69, "fit": {"initial_epoch": 4, "epochs": 6, "steps_per_epoch": 2}
    },
    "float32": {"floatx": "float32"},
    "adam": {"optimizer": lambda: lk.optimizers.Adam(0.01)},
    "torch's adam": {"optimizer": torch.optim.Adam},
    "moving average of weights": {"optimizer": lambda: lk.optimizers.Adam(0.01, use_ema=True)},
    "clipped by the optimizer": {"optimizer": lambda: lk.optimizers.Adam(0.01, clipnorm=0.01)},
    "clipped by Lightning": {"flags": {"gradient_clip_val": 0.1}},
    "accumulated by Lightning": {"flags": {"accumulate_grad_batches": 3}},
    "accumulated by the optimizer": {
        "optimizer": lambda: lk.optimizers.Adam(0.01, gradient_accumulation_steps=2)
    },
    "clipped by value, accumulated": {
        "flags": {"gradient_clip_val": 0.01, "gradient_clip_algorithm": "value",
                  "accumulate_grad_batches": 2}
    },
    "a fast run": {"flags": {"fast_dev_run": 2}},
    "half of the batches": {"flags": {"limit_train_batches": 0.5, "limit_val_batches": 2}},
    "the same batches": {"flags": {"overfit_batches": 2}},
    "so many steps": {"flags": {"max_steps": 5}},
    "sample_weight": {"weighted": True},
    "class_weight": {"fit": {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}}},
    "weights of weights": {"weighted": True, "loss": WEIGHTS},
    "sum": {"loss": SUM, "rate": 0.01},
    "a loss of torch": {"loss": torch.nn.NLLLoss(), "floatx": "float32"},
    "a sum of torch": {"loss": torch.nn.NLLLoss(reduction="sum"), "floatx": "float32",
                       "rate": 0.01},
    "overlap": {"model": yes_or_no, "loss": "dice"},
    "overlap, fewer rows than processes": {
        "model": yes_or_no, "loss": "dice", "n": 3, "batch": 2
    },
    "overlap, weights": {"model": yes_or_no, "loss": losses.Tversky(0.3, 0.7), "weighted": True},
    "overlap of columns": {"model": yes_or_no, "loss": losses.Dice(axis=0)},
    "overlap of columns, sum": {"model": yes_or_no, "loss": losses.Dice("sum", axis=0)},
    "overlap of rows, sum": {"model": yes_or_no, "loss": losses.Tversky(reduction="sum", axis=-1)},
    "metrics of states": {
        "model": yes_or_no, "loss": "binary_crossentropy", "floatx": "float32", "n": 17,
        "metrics": lambda: [*of_states(), metrics.Precision([0.3, 0.5]), Weighed(), spread],
    },
    "penalties": {"model": lambda: classes(penalized=True)},
    "add_loss": {"model": with_added_loss},
    "compute_loss": {"model": with_own_loss},
    "train_step": {"model": lambda: classes(own=True)},
    "train_step, one row": {"model": lambda: classes(own=True), "n": 17},
    "train_step, sum": {"model": lambda: classes(own=True), "loss": SUM, "rate": 0.01},
    "train_step, penalties": {"model": lambda: classes(own=True, penalized=True)},
    "several outputs": {"model": several_outputs, "loss": {"a": SPARSE, "b": "mae"}},
    "masks": {"model": masked},
    "masks and weights": {"model": masked, "loss": WEIGHTS, "weighted": True},
    "batch normalization, shared": {
        "model": lambda: classes(normalize=True), "flags": {"sync_batchnorm": True}
    },
    "batch normalization, one row": {
        "model": lambda: classes(normalize=True), "flags": {"sync_batchnorm": True}, "n": 17
    },
    "stops early": {"callbacks": lambda: [lk.callbacks.EarlyStopping("loss", min_delta=10.0)]},
    "slower on a plateau": {
        "callbacks": lambda: [lk.callbacks.ReduceLROnPlateau("val_loss", 0.5, 1, min_delta=10.0)]
    },
    "validated twice an epoch": {"flags": {"val_check_interval": 2}},
    "in single steps": {"callbacks": lambda: [Counter()]},
}  # fmt: skip


class Counter(lk.callbacks.Callback):
    """Sees every batch, and stops training in the second epoch."""

    def on_train_batch_end(self, batch, logs=None):
        self.model.stop_training = self.params["steps"] == batch + 1 and self.model.seen
        self.model.seen = True

    def on_train_begin(self, logs=None):
        self.model.seen = False


USUAL = {"n": 53, "batch": 16, "loss": SPARSE, "floatx": "float64", "rate": 0.1, "model": classes}


def data_of(case):
    """x, y, sample_weight, as the case's model takes them."""
    r, n = np.random.RandomState(case["n"]), case["n"]
    x, y = r.rand(n, 4).astype(case["floatx"]), r.randint(3, size=n)
    w = r.rand(n).astype(case["floatx"]) if case.get("weighted") else None
    if case["model"] is masked:
        x, y = x[..., None] * (r.rand(n, 4, 1) > 0.3), np.tile(y[:, None], (1, 4))
    if case["model"] is yes_or_no:
        y = (y % 2)[:, None]
    if case["model"] is several_outputs:
        y = {"a": y, "b": x.sum(1)}
    return x, y, w


def compiled(case):
    """The case's model and its optimizer."""
    model = case["model"]()
    make = case.get("optimizer", lambda: lk.optimizers.SGD(case["rate"], momentum=0.9))
    if make is torch.optim.Adam:
        model.build((None, 4))
    optimizer = make(model.parameters(), 0.01) if make is torch.optim.Adam else make()
    plain, several = case["model"] is classes, case["model"] is several_outputs
    model.compile(
        optimizer,
        case["loss"],
        metrics={"a": "accuracy"} if several else case.get("metrics", lambda: ["accuracy"])(),
        weighted_metrics=["accuracy", metrics.SparseTopKCategoricalAccuracy(2)] if plain else None,
    )
    return model, optimizer


def trained(case):
    """History, weights and optimizer's variables after training."""
    case = {**USUAL, **case}
    lk.utils.clear_session(free_memory=False)
    lk.utils.set_random_seed(1)
    lk.config.set_floatx(case["floatx"])
    x, y, w = data_of(case)
    model, optimizer = compiled(case)
    history = model.fit(
        x,
        y,
        sample_weight=w,
        batch_size=case["batch"],
        validation_data=(x, y),
        callbacks=case.get("callbacks", list)(),
        verbose=0,
        accelerator="cpu",
        **{"epochs": 2, **case.get("fit", {})},
        **case.get("flags", {}),
    )
    slots = [np.asarray(v) for v in getattr(optimizer, "variables", ())]
    return history.history, [*map(np.asarray, model.get_weights())], slots


def all_trained(names):
    return [trained(CASES[name]) for name in names]


@pytest.fixture(scope="module")
def alone():
    floatx = lk.config.floatx()
    try:
        return all_trained(CASES)
    finally:
        lk.config.set_floatx(floatx)


@pytest.mark.filterwarnings("ignore:Epoch 2 has")
@pytest.mark.parametrize("world", [2, 4])
def test_training_walks_the_path_of_one_process(world, alone):
    every = on_group(world, all_trained, list(CASES))
    for found in every:
        for (name, case), mine, wanted in zip(CASES.items(), found, alone, strict=True):
            near = 1e-5 if case.get("floatx") == "float32" else 1e-6
            assert mine[0].keys() == wanted[0].keys(), name
            for key, values in wanted[0].items():
                told = f"{name}, {key}"
                np.testing.assert_allclose(mine[0][key], values, rtol=near, atol=near, err_msg=told)
            for part in (1, 2):
                for a, b in zip(mine[part], wanted[part], strict=True):
                    np.testing.assert_allclose(a, b, rtol=near, atol=near, err_msg=name)


# ---- training on other data, and in other ways --------------------------------------------------


class Sized(lk.utils.PyDataset):
    """47 rows in batches of 12."""

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return tuple(part[12 * i : 12 * i + 12] for part in _rows47())


class Read(Dataset):
    def __len__(self):
        return 47

    def __getitem__(self, i):
        return tuple(part[i] for part in _rows47())


def _rows47():
    r = np.random.RandomState(0)
    return r.rand(47, 4), r.randint(3, size=47)


def endless():
    x, y = _rows47()
    while True:
        for i in range(0, 47, 13):
            yield x[i : i + 13], y[i : i + 13]


class Rivals(lk.Model):
    """Two models with an optimizer each, trained in turn."""

    def __init__(self):
        super().__init__()
        self.makes = lk.Sequential([lk.Input((4,)), layers.Dense(5, "tanh"), layers.Dense(4)])
        self.judges = lk.Sequential([lk.Input((4,)), layers.Dense(5, "tanh"), layers.Dense(1)])
        self.sums = [metrics.Mean("makes"), metrics.Mean("judges")]
        self.optimizers = [lk.optimizers.Adam(0.02), lk.optimizers.Adam(0.01)]

    @property
    def metrics(self):
        return self.sums

    def call(self, x):
        return self.judges(self.makes(x))

    def train_step(self, data):
        x, noise = data, 2 * data.flip(1)
        judged = self.judges(torch.cat([self.makes(noise).detach(), x]))
        truth = torch.cat([torch.zeros(len(x), 1), torch.ones(len(x), 1)]).to(x)
        self._follow(1, losses.binary_crossentropy(truth, judged, from_logits=True).mean())
        judged = self.judges(self.makes(noise))
        aim = torch.ones(len(x), 1).to(x)
        self._follow(0, losses.binary_crossentropy(aim, judged, from_logits=True).mean())
        return {metric.name: metric.result() for metric in self.sums}

    def _follow(self, which, loss):
        self.zero_grad()
        loss.backward()
        weights = (self.makes, self.judges)[which].trainable_weights
        with torch.no_grad():
            self.optimizers[which].apply([v.value.grad for v in weights], weights)
        self.sums[which].update_state(loss)


class Idle(lk.Model):
    """Has a layer that no loss depends on."""

    def __init__(self):
        super().__init__()
        self.used, self.idle = layers.Dense(3, activation="softmax"), layers.Dense(2)
        self.idle.build((None, 4))

    def call(self, x):
        return self.used(x)


def by_name():
    a, b = lk.Input((4,), name="a"), lk.Input((2,), name="b")
    return lk.Model({"a": a, "b": b}, layers.Dense(3, "softmax")(layers.Concatenate()([a, b])))


def fitted(make, x, y=None, **options):
    """What training a fresh model gives; the strategy is for several processes only."""
    lk.utils.clear_session(free_memory=False)
    lk.config.set_floatx("float64")
    lk.utils.set_random_seed(1)
    model = make()
    model.compile(lk.optimizers.Adam(0.01), SPARSE)
    strategy = options.pop("strategy", "auto")
    if _ranks.world() > 1:
        options["strategy"] = strategy
    history = model.fit(x, y, verbose=0, accelerator="cpu", **options).history
    return history, [*map(np.asarray, model.get_weights())]


def trained_otherwise():
    x, y = _rows47()
    named = {"a": x, "b": x[:, :2]}
    options = {"epochs": 2, "batch_size": 16}
    return {
        "generator": fitted(classes, endless(), steps_per_epoch=4, epochs=2),
        "PyDataset": fitted(classes, Sized(workers=2), epochs=2),
        "Dataset": fitted(classes, Read(), **options),
        "validation_split": fitted(classes, x, y, validation_split=0.3, **options),
        "validated now and then": fitted(
            classes, x, y, validation_data=endless(), validation_steps=3, validation_freq=[2],
            **options,
        ),
        "validated by a loader": fitted(
            classes, x, y, validation_data=DataLoader(Read(), batch_size=7), **options
        ),
        "inputs by name": fitted(by_name, named, y, **options),
        "two optimizers": fitted(Rivals, x, **options),
        "weights of no use": fitted(
            Idle, x, y, strategy="ddp_find_unused_parameters_true", **options
        ),
        "fsdp": _refused(lambda: fitted(classes, x, y, strategy="fsdp", **options)),
    }  # fmt: skip


def _refused(call):
    """What is said of a strategy for accelerators; one process does not need it."""
    if _ranks.world() == 1:
        return {}, []
    with pytest.raises(ValueError, match="`fsdp` requires a GPU accelerator"):
        call()
    return {}, []


@pytest.mark.filterwarnings("error:batch_size")
def test_other_data_and_other_ways_walk_the_path_of_one_process():
    floatx = lk.config.floatx()
    try:
        alone = trained_otherwise()
    finally:
        lk.config.set_floatx(floatx)
    for found in on_group(2, trained_otherwise):
        for name, (history, weights) in alone.items():
            assert found[name][0].keys() == history.keys(), name
            for key, values in history.items():
                assert found[name][0][key] == pytest.approx(values, rel=1e-6), (name, key)
            for a, b in zip(found[name][1], weights, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6, err_msg=name)


def by_a_loader():
    """The rows that a DataLoader gives in this process, epoch by epoch."""

    class Seen(lk.Sequential):
        def train_step(self, data):
            rows.extend(data[0][:, 0].int().tolist())
            return super().train_step(data)

    rows, x = [], torch.arange(48.0).repeat(4, 1).T.contiguous()
    model = Seen([lk.Input((4,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    loader = DataLoader(TensorDataset(x, x[:, :1]), batch_size=8)
    model.fit(loader, epochs=2, verbose=0, accelerator="cpu")
    return rows[:24], rows[24:]


def test_a_loader_is_spread_as_lightning_does():
    for parts in zip(*on_group(2, by_a_loader), strict=True):
        assert sorted(itertools.chain(*parts)) == list(range(48))  # every row once in an epoch
