"""Training of a model that FSDP splits over processes, against one process."""

import re
import warnings

import numpy as np
import pytest
import torch
import torchmetrics
from _fsdp_on_cpu import OnCpu, allow
from _group import ends, on_group
from torch.utils.data import DataLoader, TensorDataset

import lightkeras as lk

pytestmark = pytest.mark.skipif(not torch.distributed.is_available(), reason="no processes")

OPTIMIZERS = {
    "adam": lambda: lk.optimizers.Adam(0.01),
    "sgd": lambda: lk.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
    "rmsprop": lambda: lk.optimizers.RMSprop(0.01, centered=True, momentum=0.5),
    "adamw": lambda: undecayed(lk.optimizers.AdamW(0.01, weight_decay=0.1, clipvalue=0.05)),
    "nadam": lambda: lk.optimizers.Nadam(0.01),
    "adagrad": lambda: lk.optimizers.Adagrad(0.05),
    "adadelta": lambda: lk.optimizers.Adadelta(0.5),
    "adamax": lambda: lk.optimizers.Adamax(0.01),
    "ftrl": lambda: lk.optimizers.Ftrl(0.05),
    "lion": lambda: lk.optimizers.Lion(0.003),
}
EVEN, UNEVEN = 16, 9  # rows of a batch; there are 47


def undecayed(optimizer):
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


def rows(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(47, 8)).astype("float32")
    return x, (x.sum(1) > 0).astype("float32")


def dense(optimizer, seed=0, **options):
    lk.utils.set_random_seed(seed)
    layers = lk.layers
    model = lk.Sequential(
        [
            layers.Dense(7, "relu", kernel_regularizer="l2", activity_regularizer="l2"),
            layers.Dense(5, "tanh", use_bias=False),
            layers.Dense(1, "sigmoid", bias_regularizer=lk.regularizers.L1(0.1)),
        ]
    )
    model.build((None, 8))
    model.layers[1].trainable = options.pop("trainable", True)
    model.compile(optimizer, "binary_crossentropy", metrics=["accuracy", "mse"], **options)
    return model


def recurrent(optimizer):
    """Weights in several layouts: an embedding, gates, a convolution in torch's channels_last."""
    lk.utils.set_random_seed(0)
    x = inputs = lk.Input((8,))
    x = lk.layers.Reshape((4, 2, 1))(x)
    x = lk.layers.Conv2D(3, (2, 1), activation="relu")(x)
    x = lk.layers.LSTM(4)(lk.layers.Reshape((3, 6))(x))
    x = lk.layers.LayerNormalization()(x)
    model = lk.Model(inputs, lk.layers.Dense(1, "sigmoid", kernel_regularizer="l1")(x))
    model.compile(optimizer, "binary_crossentropy", metrics=["accuracy"])
    return model


def split():
    """Flags of fit: none in one process."""
    if not torch.distributed.is_initialized():
        return {}
    allow()
    return {"accelerator": "cpu", "strategy": OnCpu()}


def trained(model, batch_size=EVEN, **options):
    x, y = rows()
    options = {"epochs": 2, "validation_data": (x[:21], y[:21]), **options}
    history = model.fit(x, y, batch_size=batch_size, verbose=0, **split(), **options)
    return history.history


def close(found, expected):
    """The same numbers in the same lists and dicts."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, list):
        for mine, theirs in zip(found, expected, strict=True):
            close(mine, theirs)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def numbers(model):
    """Everything that fit leaves behind, as Keras shows it."""
    weights = [np.asarray(w) for w in model.get_weights()]
    return weights + [np.asarray(v.numpy()) for v in model.optimizer.variables]


def twice(build, name, batch_size):
    """Two calls of fit, and the ways to use the model after each."""
    x, y = rows()
    model = build(OPTIMIZERS[name]())
    found = [trained(model, batch_size), numbers(model)]
    found += [model.evaluate(x, y, verbose=0), model.predict(x, verbose=0)]
    return [*found, trained(model, batch_size), numbers(model)]


GRID = [
    *((dense, name, size) for name in ("adam", "sgd", "rmsprop") for size in (EVEN, UNEVEN)),
    *((dense, name, UNEVEN) for name in [*OPTIMIZERS][3:]),
    (recurrent, "adam", UNEVEN),
]


def twice_each(grid=GRID):
    return [twice(*row) for row in grid]


@pytest.fixture(scope="module")
def in_one_process():
    return dict(zip(GRID, twice_each(), strict=True))


@pytest.mark.parametrize(
    "world, grid", [(1, GRID[:6]), (2, GRID), (3, GRID[-3:])], ids=["1", "2", "3"]
)
def test_a_split_model_walks_the_path_of_one_process(world, grid, in_one_process):
    for results in on_group(world, twice_each, grid):
        for row, found in zip(grid, results, strict=True):
            try:
                close(found, in_one_process[row])
            except AssertionError as error:
                raise AssertionError(f"{row[0].__name__}, {row[1:]}: {error}") from None


def root(y, p):
    """A loss that is no mean over rows."""
    return ((y - p) ** 2).mean().sqrt()


def of_states():
    """Metrics that keep much: counts at many thresholds, all outputs, what torchmetrics keeps."""
    metrics, theirs = lk.metrics, torchmetrics.classification
    found = [metrics.AUC(), metrics.AUC(curve="PR", name="pr"), metrics.PrecisionAtRecall(0.5)]
    found += [metrics.SensitivityAtSpecificity(0.5), metrics.Precision([0.2, 0.7]), root]
    found += [metrics.F1Score(threshold=0.5), metrics.R2Score(), torchmetrics.MeanSquaredError()]
    return [*found, theirs.BinaryAUROC(), theirs.BinaryAUROC(thresholds=50, validate_args=False)]


def with_states(size):
    """AUC and its like; a last batch may have fewer rows than there are processes."""
    (x, y), weights = rows(), np.random.default_rng(1).uniform(size=47)
    lk.utils.clear_session(free_memory=False)  # or the metrics are counted in their names
    model = recurrent("adam")
    model.compile("adam", root, metrics=of_states(), weighted_metrics=[lk.metrics.AUC(name="w")])
    flags = {
        "epochs": 2,
        "batch_size": size,
        "verbose": 0,
        "validation_data": (x[:21], y[:21, None]),
    }
    history = model.fit(x, y[:, None], sample_weight=weights, **flags, **split()).history
    return [history, model.evaluate(x, y[:, None], verbose=0, return_dict=True), numbers(model)]


def compiled(jit):
    """Steps that were to be compiled run as they are, and that is said once."""
    several = torch.distributed.is_initialized()
    model = dense("adam", jit_compile=jit if several else None)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = [trained(model), trained(model), numbers(model)]
    if several:
        said = [str(w.message) for w in told if "is not compiled" in str(w.message)]
        assert len(said) == (jit is True), said
    return found


def slowed():
    """The learning rate changes between epochs, by two callbacks and by a schedule."""
    callbacks, found = lk.callbacks, []
    plateau = callbacks.ReduceLROnPlateau("val_loss", 0.5, patience=1, min_delta=10.0)
    given = callbacks.LearningRateScheduler(lambda epoch, rate: 0.01 * (epoch + 1))
    decay = lk.optimizers.schedules.ExponentialDecay(0.05, 3, 0.7)
    for rate, more in ((0.02, [plateau]), (0.02, [given]), (decay, [])):
        model = dense(lk.optimizers.Adam(rate))
        found += [trained(model, UNEVEN, epochs=4, callbacks=more), numbers(model)]
    return found


def in_parts():
    """Epochs of some steps, from a later one on, validated now and then, by classes."""
    (x, y), model = rows(), dense("adam")
    options = {"steps_per_epoch": 2, "class_weight": {0: 1.0, 1: 2.0}, "validation_split": 0.2}
    options |= {"initial_epoch": 2, "epochs": 6, "validation_freq": 2, "batch_size": UNEVEN}
    history = model.fit(x, y, verbose=0, **options, **split()).history
    return [history, numbers(model), model.train_on_batch(x, y), numbers(model)]


OTHERS = {
    "states": lambda: with_states(UNEVEN),
    "states, few rows": lambda: with_states(15),
    "jit_compile": lambda: compiled(True),
    "jit_compile='auto'": lambda: compiled("auto"),
    "learning rates": slowed,
    "in parts": in_parts,
}


def all_others(names):
    return {name: OTHERS[name]() for name in names}


@pytest.mark.filterwarnings("ignore:Epoch 5 has")
def test_other_ways_walk_the_path_of_one_process():
    expected = all_others(OTHERS)
    for world, names in ((2, [*OTHERS]), (3, [*OTHERS][:2])):
        for results in on_group(world, all_others, names):
            for name, found in results.items():
                try:
                    close(found, expected[name])
                except AssertionError as error:
                    raise AssertionError(f"{name}: {error}") from None


class Looks(lk.callbacks.Callback):
    """Reads weights and slots at every hook, and changes them in one."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def look(self, *_):
        self.seen.append(numbers(self.model))

    on_train_begin = on_epoch_begin = on_train_batch_begin = on_train_batch_end = look
    on_test_begin = on_train_end = look

    def on_epoch_end(self, epoch, logs=None):
        self.look()
        self.model.set_weights([w * 0.9 for w in self.model.get_weights()])


class Fails(lk.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        raise KeyError("of the user's")


def seen(folder):
    """What callbacks see, and what files hold."""
    callbacks = lk.callbacks
    looks, model = Looks(), dense(OPTIMIZERS["adam"](), trainable=False)
    saved = [
        callbacks.ModelCheckpoint(folder + "/{epoch}.keras"),
        callbacks.ModelCheckpoint(folder + "/{epoch}.weights.h5", save_weights_only=True),
    ]
    stop = callbacks.EarlyStopping("loss", min_delta=9.0, patience=1, restore_best_weights=True)
    found = [trained(model, UNEVEN, epochs=3, callbacks=[looks, *saved, stop]), looks.seen]
    found.append(numbers(model))
    if torch.distributed.is_initialized():
        torch.distributed.barrier()  # the first process has written
    read = lk.models.load_model(f"{folder}/2.keras")
    found += [numbers(read), trained(read), numbers(read)]
    read.load_weights(f"{folder}/1.weights.h5")
    return [*found, numbers(read)]


def test_callbacks_and_files_have_whole_weights(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    expected = seen(str(one))
    for found in on_group(2, seen, str(two)):
        close(found, expected)


def failed():
    """An error in all processes: they join what they have."""
    model = dense(OPTIMIZERS["sgd"]())
    with pytest.raises(KeyError, match="of the user's"):
        trained(model, UNEVEN, callbacks=[Fails()])
    return [numbers(model), model(torch.as_tensor(rows()[0])).detach().numpy()]


def test_an_error_leaves_whole_weights():
    expected = failed()
    for found in on_group(2, failed):
        close(found, expected)


def beside_ddp(precision):
    """What batch normalization and autocast give, split and not."""
    found, (x, y) = [], rows()
    for strategy in ("ddp", split()["strategy"]):
        lk.utils.set_random_seed(0)
        model = model_of(lk.layers.Dense(9), lk.layers.BatchNormalization(), lk.layers.Dense(1))
        flags = {"accelerator": "cpu", "precision": precision, "strategy": strategy}
        history = model.fit(x, y, verbose=0, epochs=2, validation_data=(x, y), **flags).history
        loader = DataLoader(TensorDataset(*map(torch.as_tensor, (x, y[:, None]))), batch_size=5)
        flags["strategy"] = strategy if strategy == "ddp" else OnCpu()
        model.fit(loader, verbose=0, validation_data=loader, **flags)
        dtypes = {t.dtype for t in (*model.parameters(), *model.buffers())}
        assert dtypes == {torch.float32}  # nothing that stays is rounded
        found.append([history, numbers(model)])
    return found


@pytest.mark.parametrize("precision", ("32-true", "bf16-mixed"))
def test_batch_normalization_and_autocast_are_those_of_ddp(precision):
    for ddp, fsdp in on_group(2, beside_ddp, precision):
        close(fsdp, ddp)


class OwnStep(lk.Sequential):
    def train_step(self, data):
        return super().train_step(data)


def model_of(*layers, width=8, kind=lk.Sequential):
    model = kind(layers)
    model.build((None, width))
    model.compile("sgd", "mse")
    return model


def with_adam():
    return dense("adam")


# model, flags of fit, arguments of the strategy, what is said
REFUSED = {
    "clipnorm": (lambda: dense(lk.optimizers.SGD(0.1, clipnorm=1.0)), {}, {},
                 r"got SGD\(clipnorm=\)\. .*Leave clipnorm out, or use strategy='ddp'"),
    "global_clipnorm": (lambda: dense(lk.optimizers.SGD(0.1, global_clipnorm=1.0)), {}, {},
                        r"SGD\(global_clipnorm=\)"),
    "use_ema": (lambda: dense(lk.optimizers.Adam(use_ema=True)), {}, {}, r"Adam\(use_ema=\)"),
    "accumulation": (lambda: dense(lk.optimizers.Adam(gradient_accumulation_steps=2)), {}, {},
                     r"gradient_accumulation_steps="),
    "lamb": (lambda: dense("lamb"), {}, {}, "the optimizer Lamb. .*Use one of them"),
    "muon": (lambda: dense("muon"), {}, {}, "the optimizer Muon"),
    "constraint": (lambda: model_of(lk.layers.Dense(1, kernel_constraint="non_neg")), {}, {},
                   "a constraint on .*kernel"),
    "train_step": (lambda: model_of(lk.layers.Dense(1), kind=OwnStep), {}, {},
                   r"OwnStep, which has a train_step\(\) of its own"),
    "clipping by Lightning": (with_adam, {"gradient_clip_val": 1.0}, {},
                              "the flag gradient_clip_val"),
    "accumulation by Lightning": (with_adam, {"accumulate_grad_batches": 2}, {},
                                  "the flag accumulate_grad_batches"),
    "precision": (with_adam, {"precision": "bf16-true"}, {},
                  "precision='bf16-true'. .*Type precision='bf16-mixed'"),
    "another way to split": (with_adam, {}, {"sharding_strategy": "SHARD_GRAD_OP"},
                             "sharding_strategy='SHARD_GRAD_OP'"),
    "a policy": (with_adam, {}, {"auto_wrap_policy": {lk.layers.Dense}},
                 r"FSDPStrategy\(auto_wrap_policy\)"),
    "ckpt": (with_adam, {"callbacks": [lk.callbacks.ModelCheckpoint("x.ckpt")]}, {},
             "a ModelCheckpoint that saves .*best.keras"),
    "Lightning's files": (with_adam, {"enable_checkpointing": True}, {},
                          "a ModelCheckpoint that saves"),
    "resume": (with_adam, {"resume": "x.ckpt"}, {}, "a .ckpt file to go on from"),
    "backup": (with_adam, {"resume": "auto"}, {}, "BackupAndRestore cannot save"),
    "tiny": (lambda: model_of(lk.layers.Dense(1, use_bias=False), width=1), {}, {},
             "1 trained numbers for 2 processes"),
}  # fmt: skip


def refusals():
    x, y = rows()
    allow()
    said = {}
    for name, (make, flags, options, _) in REFUSED.items():
        lk.utils.set_random_seed(0)
        model = make()
        before = [np.array(w) for w in model.get_weights()]
        data = x[:, : before[0].shape[0]]
        try:
            model.fit(data, y, verbose=0, accelerator="cpu", strategy=OnCpu(**options), **flags)
        except ValueError as error:
            said[name] = str(error)
        close([np.array(w) for w in model.get_weights()], before)  # nothing has happened
    return said


def test_what_needs_whole_weights_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.ckpt").touch()
    for said in on_group(2, refusals):
        for name, (*_, expected) in REFUSED.items():
            assert re.search(expected, said.get(name, "nothing")), (name, said.get(name))


class FailsInOne(lk.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if torch.distributed.get_rank() == 1:
            raise KeyError("of one process")


def failed_in_one():
    model = dense(OPTIMIZERS["adam"]())
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            trained(model, callbacks=[FailsInOne()])
        finally:
            print("lost:", all(np.isnan(w).all() for w in model.get_weights()))
            print(*(warning.message for warning in told))


def test_an_error_in_one_process_ends_all_and_says_that_weights_are_lost(tmp_path):
    (status, first), (_, second) = ends(2, tmp_path, failed_in_one)
    assert status == 1 and "process 1 failed first" in first and "of one process" in second
    for said in (first, second):
        assert "lost: True" in said and "this model's weights are NaN" in said
