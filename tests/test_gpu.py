"""What only a GPU can show; left out where there is none.

On a machine with one: `pytest -n 0 tests/test_gpu.py`.
"""

import gc
import subprocess
import sys
import warnings
from collections import Counter
from contextlib import contextmanager

import numpy as np
import pytest
import torch

import lightkeras as lk
from lightkeras import layers
from lightkeras.models import _jit, _replay

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA GPU here")
CPU = {"accelerator": "cpu"}


@pytest.fixture(autouse=True)
def exact(monkeypatch):
    """Multiply in float32, not in TF32, so that a CPU can be compared with."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    lk.utils.set_random_seed(1)
    yield
    gc.collect()
    torch.cuda.empty_cache()


def images(n=96):
    rng = np.random.default_rng(0)
    x = rng.random((n, 12, 12, 3), dtype="float32")
    return x, (x.mean((1, 2)).argmax(1)).astype("int64")


def rows(n=256):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 20)).astype("float32")
    return x, (x[:, :3].argmax(1)).astype("int64")


def words(n=96):
    rng = np.random.default_rng(0)
    x = rng.integers(1, 50, (n, 16))
    return x, (x.sum(1) % 3).astype("int64")


def mlp(rate=0.0):
    hidden = [layers.Dense(32, "relu"), layers.Dropout(rate), layers.Dense(32, "tanh")]
    return [layers.Input((20,)), *hidden, layers.Dense(3, "softmax")]


def cnn(rate=0.0):
    start = [layers.Input((12, 12, 3)), layers.Conv2D(8, 3, activation="relu", padding="same")]
    more = [layers.BatchNormalization(), layers.MaxPooling2D(), layers.Conv2D(16, 3)]
    return [*start, *more, layers.Flatten(), layers.Dropout(rate), layers.Dense(3, "softmax")]


def lstm(rate=0.0):
    body = [layers.Embedding(50, 8), layers.LSTM(16), layers.Dropout(rate)]
    return [layers.Input((16,)), *body, layers.Dense(3, "softmax")]


def gru(rate=0.0):
    body = [layers.Embedding(50, 8, mask_zero=True), layers.Bidirectional(layers.GRU(8))]
    return [layers.Input((16,)), *body, layers.Dropout(rate), layers.Dense(3, "softmax")]


MODELS = {"mlp": (mlp, rows), "cnn": (cnn, images), "lstm": (lstm, words), "gru": (gru, words)}
OPTIMIZERS = ["sgd", "adam", "rmsprop", "adadelta", "adamw"]


def built(kind, rate=0.0, optimizer="adam", seed=3, **options):
    lk.utils.set_random_seed(seed)
    model = lk.Sequential(MODELS[kind][0](rate))
    loss = "sparse_categorical_crossentropy"
    model.compile(optimizer, loss, metrics=["accuracy"], **options)
    return model, *MODELS[kind][1]()


def close(one, two, most=2e-4):
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=most, rtol=most)


# ---- the numbers of a CPU -----------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", MODELS)
def test_fit_gives_the_numbers_of_the_cpu(kind, optimizer):
    (ours, x, y), (other, _, _) = built(kind, optimizer=optimizer), built(kind, optimizer=optimizer)
    options = {"epochs": 2, "batch_size": 20, "verbose": 0, "validation_split": 0.2}
    lk.utils.set_random_seed(5)
    here = ours.fit(x, y, **options).history
    lk.utils.set_random_seed(5)
    there = other.fit(x, y, **options, **CPU).history
    assert ours.weights[0].value.is_cuda and not other.weights[0].value.is_cuda
    for name, values in there.items():
        np.testing.assert_allclose(here[name], values, rtol=1e-3, atol=1e-3)
    close(ours, other)
    np.testing.assert_allclose(
        ours.predict(x, verbose=0), other.predict(x, verbose=0), atol=1e-3, rtol=1e-3
    )
    evaluated = [m.evaluate(x, y, verbose=0) for m in (ours, other)]
    np.testing.assert_allclose(*evaluated, atol=1e-3, rtol=1e-3)


def test_in_float64():
    lk.config.set_floatx("float64")
    try:
        (ours, x, y), (other, _, _) = built("mlp"), built("mlp")
        x = x.astype("float64")
        for model, flags in ((ours, {}), (other, CPU)):
            model.fit(x, y, epochs=3, batch_size=32, shuffle=False, verbose=0, **flags)
    finally:
        lk.config.set_floatx("float32")
    close(ours, other, 1e-9)


def test_nothing_touches_the_gpu_before_fit():
    code = """
import numpy as np, torch, lightkeras as lk
m = lk.Sequential([lk.Input((4,)), lk.layers.Dense(3), lk.layers.Dense(1)])
m.compile("adam", "mse"); m.summary(); m.predict(np.zeros((3, 4)), verbose=0)
assert not torch.cuda.is_initialized()
m.fit(np.zeros((8, 4)), np.zeros((8, 1)), verbose=0)
assert torch.cuda.is_initialized() and m.weights[0].value.is_cuda
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- no waiting ---------------------------------------------------------------------------------


@contextmanager
def counted_waits():
    """How often the CPU waits for the GPU inside."""
    found: list = []
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode("default")
    found.extend(w for w in caught if "called a synchroniz" in str(w.message))


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("method", ["fit", "evaluate"])
def test_no_step_waits_for_the_gpu(method, kind, jit, recorded):
    model, x, y = built(kind, jit_compile=jit)
    model.fit(x, y, batch_size=4, verbose=0)
    call = getattr(model, method)
    call(x[:80], y[:80], batch_size=4, verbose=0)
    counts = []
    for n in (40, 80):
        with counted_waits() as waits:
            call(x[:n], y[:n], batch_size=4, verbose=0)
        counts.append(Counter(f"{w.filename}:{w.lineno}" for w in waits))
    assert counts[0] == counts[1] != {}  # those before and after an epoch
    assert bool(replays(model)) == jit


@pytest.mark.parametrize("jit", [False, True])
def test_the_model_stays_where_it_was_trained(jit, recorded):
    model, x, y = built("mlp", jit_compile=jit)
    model.fit(x, y, verbose=0)
    places = [p.data_ptr() for p in model.parameters()]
    model.predict(x, verbose=0)
    model.evaluate(x, y, verbose=0)
    model.fit(x, y, verbose=0)
    assert [p.data_ptr() for p in model.parameters()] == places
    assert all(p.is_cuda for p in model.parameters())


def test_arrays_move_once():
    model, x, y = built("mlp")
    model.fit(x, y, verbose=0)
    moved = []
    for epochs in (1, 4):
        with torch.profiler.profile() as profile:
            model.fit(x, y, batch_size=32, epochs=epochs, shuffle=False, verbose=0)
        moved.append(sum("HtoD" in e.name for e in profile.events()))
    assert moved[1] <= moved[0]


# ---- precision ----------------------------------------------------------------------------------


class Noting(layers.Layer):
    """Notes in which dtype values pass."""

    def call(self, x):
        self.__dict__["seen"] = x.dtype
        return x


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        ("32-true", torch.float32),
        ("bf16-mixed", torch.bfloat16),
        ("16-mixed", torch.float16),
        ("bf16-true", torch.bfloat16),
    ],
)
def test_precision_is_one_flag(precision, dtype, jit, recorded):
    lk.utils.set_random_seed(0)
    noting = Noting()
    model = lk.Sequential([layers.Dense(64), noting, layers.ReLU(), layers.Dense(3)])
    loss = lk.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"], jit_compile=jit)
    x, y = rows(1024)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that Lightning takes the steps, with a scaler
        history = model.fit(x, y, epochs=15, verbose=0, precision=precision).history
    assert noting.seen == dtype
    assert history["accuracy"][-1] > 0.85
    assert np.isfinite(model.predict(x, verbose=0)).all()


def test_a_convolution_in_bf16_copies_nothing_between_layers():
    lk.utils.set_random_seed(0)
    model = lk.Sequential(
        [
            layers.Input((32, 32, 16)),
            *(layers.Conv2D(32, 3, padding="same", activation="relu") for _ in range(3)),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, "softmax"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    x = np.random.default_rng(0).random((64, 32, 32, 16), dtype="float32")
    y = np.zeros(64, "int64")
    model.fit(x, y, verbose=0, precision="bf16-mixed")
    with torch.profiler.profile() as profile:
        model.fit(x, y, verbose=0, precision="bf16-mixed")
    names = [e.name for e in profile.events() if e.device_type == torch.autograd.DeviceType.CUDA]
    assert not [n for n in names if "nchwToNhwc" in n or "nhwcToNchw" in n]


# ---- memory -------------------------------------------------------------------------------------


@contextmanager
def little_memory(gib):
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(gib * 2**30 / total)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def wide(last=1):
    lk.utils.set_random_seed(0)
    model = lk.Sequential([layers.Input((8,)), layers.Dense(20000, "relu"), layers.Dense(last)])
    model.compile("adam", "mse")
    return model


def told_and_forgotten(method, rows, jit=False):
    """A batch of so many rows is too large; then memory is as before, and a smaller one works."""
    model = wide()
    model.compile("adam", "mse", jit_compile=jit)
    x, y = np.zeros((rows, 8), "float32"), np.zeros((rows, 1), "float32")
    model.fit(x[:64], y[:64], batch_size=16, verbose=0)
    model.zero_grad()
    model._compiled.steps.clear()
    gc.collect()
    torch.cuda.empty_cache()
    base = torch.cuda.memory_allocated()
    data = (x,) if method == "predict" else (x, y)
    said = rf"batches of {rows} rows.*batch_size={rows // 2}"
    with little_memory(1):
        with pytest.raises(torch.OutOfMemoryError, match=said):
            getattr(model, method)(*data, batch_size=rows, verbose=0)
        assert torch.cuda.memory_allocated() <= 1.01 * base
        getattr(model, method)(*data, batch_size=500, verbose=0)


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_too_large_a_batch_is_told_and_forgotten(method, jit, recorded):
    told_and_forgotten(method, 40000, jit)


def test_a_model_that_does_not_fit_stays_where_it_is():
    model, x = wide(2000), np.zeros((4, 8), "float32")  # 152 MiB
    with little_memory(0.1):
        with pytest.raises(torch.OutOfMemoryError, match=r"cannot move the model to the GPU"):
            model.fit(x, np.zeros((4, 2000)), verbose=0)
        assert not any(p.is_cuda for p in model.parameters())
    model.fit(x, np.zeros((4, 2000)), verbose=0)


# ---- compiled steps -----------------------------------------------------------------------------


@pytest.fixture
def recorded(monkeypatch):
    """Steps are launched as they were recorded, by torch's kernels; compiling takes a minute."""

    def nothing(graph, arguments):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(_jit, "_compiled", nothing)


def replays(model):
    steps = model._compiled.steps.values()
    codes = [c for s in steps for c in s.made.values()]
    return [c for c in codes if isinstance(c, _replay.Replay) and c.graph is not None]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", MODELS)
def test_recorded_steps_are_replayed_with_the_same_numbers(kind, optimizer, recorded):
    check_replays(kind, optimizer)


@pytest.mark.parametrize("kind", MODELS)
def test_compiled_steps_are_replayed_with_the_same_numbers(kind):
    check_replays(kind, "adam")


def check_replays(kind, optimizer):
    made = []
    for jit in (True, False):
        model, x, y = built(kind, 0.3, optimizer, jit_compile=jit)
        lk.utils.set_random_seed(5)
        history = model.fit(x, y, epochs=3, batch_size=16, validation_split=0.2, verbose=0).history
        made.append((model, history, model.predict(x, batch_size=16, verbose=0)))
    (ours, here, outputs), (plain, there, expected) = made
    assert not ours._compiled.steps["train"].failed and replays(ours)
    for name, values in there.items():
        np.testing.assert_allclose(here[name], values, rtol=2e-3, atol=2e-3)
    close(ours, plain, 1e-3)
    np.testing.assert_allclose(outputs, expected, rtol=2e-3, atol=2e-3)


def test_a_replay_sees_what_changes_between_epochs(recorded):
    made = []
    for jit in (True, False):
        model, x, y = built("mlp", jit_compile=jit)
        start = model.get_weights()

        def change(epoch, logs, model=model, start=start):
            if epoch == 1:
                model.optimizer.learning_rate = 0.02
            elif epoch == 2:
                model.set_weights(start)
            elif epoch == 3:
                model.optimizer.learning_rate = 0.001

        callbacks = [lk.callbacks.LambdaCallback(on_epoch_end=change)]
        lk.utils.set_random_seed(5)
        options = {"batch_size": 16, "verbose": 0}
        history = model.fit(x, y, epochs=5, callbacks=callbacks, **options).history["loss"]
        model.layers[0].trainable = False
        model.compile("adam", model.loss, metrics=["accuracy"], jit_compile=jit)
        history += model.fit(x, y, epochs=2, **options).history["loss"]
        made.append(history)
        assert bool(replays(model)) == jit
    np.testing.assert_allclose(*made, rtol=1e-3)


# ---- files, restarts, strategies ---------------------------------------------------------------


def test_files_of_a_model_on_the_gpu(tmp_path):
    model, x, y = built("cnn")
    model.fit(x, y, verbose=0)
    expected = model.predict(x, verbose=0)
    model.save(tmp_path / "m.keras")
    model.save_weights(tmp_path / "m.weights.h5")
    loaded = lk.models.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(loaded.predict(x, verbose=0), expected, atol=1e-4)
    other, _, _ = built("cnn", seed=9)
    other.fit(x, y, verbose=0)
    other.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_allclose(other.predict(x, verbose=0), expected, atol=1e-4)
    loaded.fit(x, y, verbose=0)


class Stop(lk.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            raise InterruptedError


@pytest.mark.parametrize("jit", [False, True])
def test_a_restart_goes_on_with_the_same_numbers(tmp_path, jit, recorded):
    def run(folder, *callbacks):
        model, x, y = built("mlp", 0.3, jit_compile=jit)
        backup = lk.callbacks.BackupAndRestore(tmp_path / folder)
        options = {"epochs": 4, "batch_size": 16, "verbose": 0}
        return model, model.fit(x, y, callbacks=[backup, *callbacks], **options)

    model, history = run("whole")
    with pytest.raises(InterruptedError):
        run("broken", Stop())
    again, other = run("broken")
    close(model, again, 1e-5)
    np.testing.assert_allclose(other.history["loss"], history.history["loss"], rtol=1e-5)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_strategies_on_one_gpu(strategy, tmp_path):
    code = f"""
import numpy as np, torch, lightkeras as lk
def trained(**flags):
    lk.utils.set_random_seed(0)
    m = lk.Sequential([lk.Input((4,)), lk.layers.Dense(8, "relu"), lk.layers.Dense(1)])
    m.compile("adam", "mse")
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    h = m.fit(x, x[:, :1], epochs=3, verbose=0, shuffle=False, **flags)
    return m, h, m.predict(x, verbose=0)
one, h1, p1 = trained()
two, h2, p2 = trained(devices=1, strategy={strategy!r})
np.testing.assert_allclose(h1.history["loss"], h2.history["loss"], rtol=1e-4)
np.testing.assert_allclose(p1, p2, atol=1e-4)
assert two.weights[0].value.is_cuda
two.save("m.keras")
print("fine")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "fine" in done.stdout, done.stderr[-2000:]
