"""What the TensorBoard callback writes, as TensorBoard reads it."""

import json
import math
import os
import sys
import warnings

import numpy as np
import pytest
import torch

from lightkeras.callbacks import CallbackList, TensorBoard
from lightkeras.callbacks.tensorboard import _batches, _picture

pytest.importorskip("tensorboard")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.graph.keras_util import keras_model_to_graph_def


class Optimizer:
    learning_rate = 0.25
    iterations = 0


class Weight(torch.Tensor):
    path = ""

    def numpy(self):
        return self.detach().as_subclass(torch.Tensor).numpy()


def weight(path, *shape):
    values = torch.arange(math.prod(shape), dtype=torch.float32).reshape(shape)
    made = values.as_subclass(Weight)
    made.path = path
    return made


class Fake(torch.nn.Module):
    """A model, as far as the callback looks at it."""

    name = "fake"

    def __init__(self):
        super().__init__()
        self.optimizer = Optimizer()
        self.weights = [weight("dense/kernel", 3, 2), weight("dense/bias", 2)]
        self.layers = []
        self.inner = torch.nn.Linear(3, 2)

    def forward(self, x):
        return torch.relu(self.inner(x))


def train(board, model=None, epochs=2, steps=3, validate=True, stop=None):
    """The hooks of a `fit`; `stop` ends it by an error in that epoch."""
    model = model or Fake()
    group = CallbackList([board], model=model, epochs=epochs, steps=steps, verbose=0)
    group.on_train_begin()
    for epoch in range(epochs):
        group.on_epoch_begin(epoch)
        for batch in range(steps):
            if group.wants_train_batches:
                group.on_train_batch_begin(batch)
            model.optimizer.iterations += 1
            if group.wants_train_batches:
                group.on_train_batch_end(batch, {"loss": 10.0 * epoch + batch})
        if stop == epoch:
            return group._abort()
        logs = {"loss": 1.0 / (epoch + 1), "accuracy": epoch / 2}
        if validate:
            group.on_test_begin()
            group.on_test_end({"loss": 5.0 + epoch})
            logs |= {"val_loss": 5.0 + epoch}
        group.on_epoch_end(epoch, logs)
    group.on_train_end(logs)
    return model


def read(folder):
    events = EventAccumulator(
        str(folder), size_guidance={"images": 0, "scalars": 0, "histograms": 0}
    )
    return events.Reload()


def scalars(folder, tag):
    return [(event.step, event.value) for event in read(folder).Scalars(tag)]


def test_epochs_stand_in_the_folders_of_keras(tmp_path):
    train(TensorBoard(tmp_path / "logs", write_graph=False))
    assert sorted(os.listdir(tmp_path / "logs")) == ["train", "validation"]
    training, validation = tmp_path / "logs" / "train", tmp_path / "logs" / "validation"
    assert set(read(training).Tags()["scalars"]) == {
        "epoch_loss",
        "epoch_accuracy",
        "epoch_learning_rate",
    }
    assert scalars(training, "epoch_loss") == [(0, 1.0), (1, 0.5)]
    assert scalars(training, "epoch_learning_rate") == [(0, 0.25), (1, 0.25)]
    assert scalars(validation, "epoch_loss") == [(0, 5.0), (1, 6.0)]
    assert scalars(validation, "evaluation_loss_vs_iterations") == [(3, 5.0), (6, 6.0)]


def test_without_validation_there_is_no_folder_for_it(tmp_path):
    train(TensorBoard(tmp_path), validate=False)
    assert os.listdir(tmp_path) == ["train"]


@pytest.mark.parametrize(
    "freq, seen",
    [
        ("epoch", None),
        ("batch", [(1, 0), (2, 1), (3, 2), (4, 10), (5, 11), (6, 12)]),
        (4, [(4, 10)]),
    ],
)
def test_values_of_batches(tmp_path, freq, seen):
    train(TensorBoard(tmp_path, update_freq=freq))
    if seen is None:
        assert "batch_loss" not in read(tmp_path / "train").Tags()["scalars"]
    else:
        assert scalars(tmp_path / "train", "batch_loss") == seen


def test_steps_per_second(tmp_path):
    train(TensorBoard(tmp_path, write_steps_per_second=True, update_freq=2))
    for tag, count in (("epoch_steps_per_second", 2), ("batch_steps_per_second", 3)):
        values = scalars(tmp_path / "train", tag)
        assert len(values) == count and all(value > 0 for _, value in values)


def test_histograms_and_images(tmp_path):
    train(TensorBoard(tmp_path, histogram_freq=2, write_images=True), epochs=3)
    events = read(tmp_path / "train")
    assert events.Tags()["histograms"] == ["dense/kernel/histogram", "dense/bias/histogram"]
    assert [h.step for h in events.Histograms("dense/kernel/histogram")] == [0, 2]
    first = events.Histograms("dense/kernel/histogram")[0].histogram_value
    assert (first.min, first.max, first.num) == (0.0, 5.0, 6)
    image = events.Images("dense/kernel/image")[0]
    assert (image.height, image.width) == (2, 3)  # the longer side lies


def test_images_come_with_histograms_only(tmp_path):
    train(TensorBoard(tmp_path, histogram_freq=0, write_images=True))
    assert read(tmp_path / "train").Tags()["images"] == []


def test_weights_that_are_not_finite_do_not_stop_training(tmp_path):
    model = Fake()
    model.weights[0][0, 0] = math.nan
    model.weights[1].fill_(math.inf)
    train(TensorBoard(tmp_path, histogram_freq=1, write_images=True), model)
    events = read(tmp_path / "train")
    assert events.Tags()["histograms"] == ["dense/kernel/histogram"]
    assert events.Tags()["images"] == []


@pytest.mark.parametrize(
    "shape, picture",
    [
        ((7,), (1, 7)),
        ((3, 5), (3, 5)),
        ((5, 3), (3, 5)),
        ((3, 3, 1, 8), (3, 24)),
        ((3, 3, 4, 8), (12, 24)),
        ((3, 3, 3, 8), (3, 24, 3)),
        ((3, 4, 5), None),
        ((2, 2, 2, 2, 2), None),
        ((0,), None),
        ((4096, 2048), None),
    ],
)
def test_shapes_of_pictures(shape, picture):
    made = _picture(np.zeros(shape, np.float32))
    assert (None if made is None else made.shape) == picture


def test_a_filter_is_seen_as_it_is():
    kernel = np.random.default_rng(0).uniform(size=(3, 3, 2, 4)).astype(np.float32)
    low, high = kernel.min(), kernel.max()
    picture = _picture(kernel) * (high - low) + low
    np.testing.assert_allclose(picture[3:6, 6:9], kernel[:, :, 1, 2], rtol=1e-5)


def test_the_graph_is_one_that_tensorboard_draws(tmp_path):
    keras = pytest.importorskip("keras")
    x = keras.Input((4,), name="x")
    h = keras.layers.Dense(3, name="h")(x)
    described = keras.Model(x, keras.layers.Activation("relu", name="end")(h), name="net")
    model = Fake()
    model.to_json = described.to_json
    train(TensorBoard(tmp_path), model)
    events = read(tmp_path / "train")
    assert events.PluginTagToContent("graph_keras_model") == {"keras": b"1"}
    text = events.Tensors("keras")[0].tensor_proto.string_val[0].decode()
    nodes = {n.name: list(n.input) for n in keras_model_to_graph_def(json.loads(text)).node}
    assert nodes == {"net/x": [], "net/h": ["net/x"], "net/end": ["net/h"]}


def test_a_model_that_is_no_graph_is_traced_on_a_sample(tmp_path):
    model = Fake()
    model._sample_input = torch.zeros(1, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        train(TensorBoard(tmp_path), model)
    graph = read(tmp_path / "train").Graph()
    assert any("relu" in node.op for node in graph.node)


def test_a_graph_that_cannot_be_written_costs_a_warning(tmp_path):
    model = Fake()
    model._sample_input = torch.zeros(1, 99)
    with pytest.warns(UserWarning, match="graph of the model is left out"):
        train(TensorBoard(tmp_path), model)
    train(TensorBoard(tmp_path / "no_graph", write_graph=False), model)
    assert scalars(tmp_path / "train", "epoch_loss")


def test_a_trace_of_some_batches(tmp_path):
    board = TensorBoard(tmp_path, profile_batch=(2, 3))
    group = CallbackList([board])
    assert group.wants_train_batches
    train(board)
    assert not group.wants_train_batches  # nothing left to trace: many steps at a time again
    (name,) = [f for f in os.listdir(tmp_path / "train") if f.endswith(".pt.trace.json")]
    with open(tmp_path / "train" / name) as file:
        assert json.load(file)["traceEvents"]


def test_embeddings(tmp_path):
    class Embedding:
        name = "words"

        def get_weights(self):
            return [np.arange(6.0).reshape(3, 2)]

    model = Fake()
    model.layers = [Embedding()]
    train(TensorBoard(tmp_path, embeddings_freq=1, embeddings_metadata={"words": "w.tsv"}), model)
    np.testing.assert_array_equal(
        np.loadtxt(tmp_path / "train" / "words.tsv"), model.layers[0].get_weights()[0]
    )
    config = (tmp_path / "projector_config.pbtxt").read_text()
    assert 'metadata_path: "w.tsv"' in config and 'tensor_path: "train/words.tsv"' in config
    board = TensorBoard(tmp_path, embeddings_freq=1, embeddings_metadata={"wrds": "w.tsv"})
    with pytest.raises(ValueError, match=r"'wrds'. Did you mean 'words'"):
        train(board, model)


def test_evaluate_alone(tmp_path):
    group = CallbackList([TensorBoard(tmp_path)], model=Fake())
    group.on_test_begin()
    group.on_test_end({"loss": 2.0})
    assert group.callbacks[0]._writers == {}
    assert scalars(tmp_path / "validation", "evaluation_loss_vs_iterations") == [(0, 2.0)]


def test_an_error_leaves_files_closed(tmp_path):
    board = TensorBoard(tmp_path, update_freq=1, profile_batch=(2, 1000))
    train(board, stop=0)
    assert board._writers == {} and board._profiler is None
    assert len(scalars(tmp_path / "train", "batch_loss")) == 3


def test_only_the_first_process_writes(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    everything = {"histogram_freq": 1, "update_freq": 1, "profile_batch": 1, "embeddings_freq": 1}
    train(TensorBoard(tmp_path / "logs", **everything))
    assert os.listdir(tmp_path) == []


def test_without_tensorboard(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match="Type pip install tensorboard"):
        train(TensorBoard(tmp_path))


def test_old_arguments_do_nothing():
    with pytest.warns(UserWarning, match="'write_grads' of older Keras does nothing"):
        TensorBoard("logs", write_grads=True)
    with pytest.raises(TypeError, match="Did you mean 'log_dir'"):
        TensorBoard(logdir="logs")


@pytest.mark.parametrize(
    "arguments, text",
    [
        ({"update_freq": "epochs"}, "Did you mean 'epoch'"),
        ({"update_freq": 0}, "update_freq=0"),
        ({"histogram_freq": -1}, "histogram_freq=-1"),
        ({"profile_batch": (5, 2)}, "profile_batch="),
        ({"profile_batch": "a"}, "profile_batch='a'"),
        ({"profile_batch": -1}, "profile_batch=-1"),
    ],
)
def test_refused_when_made(arguments, text):
    with pytest.raises(ValueError, match=text):
        TensorBoard("logs", **arguments)


@pytest.mark.parametrize(
    "given, batches", [(0, (0, 0)), (3, (3, 3)), ([2, 5], (2, 5)), ("500,520", (500, 520))]
)
def test_batches_to_profile(given, batches):
    assert _batches(given) == batches


def test_a_training_with_all_of_it(tmp_path):
    import lightkeras as lk

    layers, r = lk.layers, np.random.RandomState(0)
    x = r.rand(60, 12).astype("float32")
    stack = [lk.Input((12,)), layers.Embedding(20, 5, name="emb"), layers.Flatten()]
    model = lk.Sequential([*stack, layers.Dense(2, activation="softmax", name="head")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    board = TensorBoard(tmp_path, 1, update_freq="batch", write_images=True, profile_batch=(2, 3),
                        embeddings_freq=1, write_steps_per_second=True)  # fmt: skip
    y = (x.sum(1) > 6).astype("int64")
    how = {"batch_size": 10, "validation_split": 0.2, "verbose": 0}
    history = model.fit(x, y, epochs=2, callbacks=[board], **how).history
    train, val = (read(tmp_path / name) for name in ("train", "validation"))
    for events, prefix in ((train, ""), (val, "val_")):
        for name in ("loss", "accuracy"):
            seen = [(e.step, e.value) for e in events.Scalars(f"epoch_{name}")]
            assert seen == [(n, pytest.approx(v)) for n, v in enumerate(history[prefix + name])]
    assert [e.step for e in train.Scalars("batch_loss")] == list(range(1, 11))
    kernel = [e for e in train.Tags()["histograms"] if "head/kernel" in e]
    assert [e.step for e in train.Histograms(kernel[0])] == [0, 1]
    assert train.Tags()["images"] and "keras" in train.Tags()["tensors"]
    assert list((tmp_path / "train").glob("*.pt.trace.json"))
    assert np.loadtxt(tmp_path / "train" / "emb.tsv").shape == (20, 5)


def test_batches_and_speed_go_on_after_a_restart(tmp_path):
    import lightkeras as lk

    x = np.random.RandomState(0).rand(40, 4).astype("float32")
    lives = [7, 99]  # batches that a run comes through

    def run():
        left = lives.pop(0)

        def count(batch, logs):
            nonlocal left
            left -= 1
            if left == 0:
                raise KeyboardInterrupt

        model = lk.Sequential([lk.Input((4,)), lk.layers.Dense(1)])
        model.compile("sgd", "mse")
        board = TensorBoard(tmp_path / "logs", update_freq=1, write_steps_per_second=True)
        backup = lk.callbacks.BackupAndRestore(tmp_path / "backup", save_freq=6)
        dies = lk.callbacks.LambdaCallback(on_train_batch_end=count)
        model.fit(x, x[:, :1], epochs=3, batch_size=10, verbose=0,
                  callbacks=[backup, board, dies])  # fmt: skip
        return model

    with pytest.raises(KeyboardInterrupt):
        run()
    assert run().optimizer.iterations == 12
    assert [step for step, _ in scalars(tmp_path / "logs/train", "batch_loss")] == [
        *range(1, 8), *range(7, 13)  # the seventh batch was taken twice
    ]  # fmt: skip
    assert [step for step, _ in scalars(tmp_path / "logs/train", "epoch_loss")] == [0, 1, 2]


def test_rates_of_several_optimizers(tmp_path):
    import lightkeras as lk

    lk.utils.clear_session(free_memory=False)
    x = np.ones((4, 2), "float32")
    model = lk.Sequential([lk.Input((2,)), lk.layers.Dense(1)])
    shares = lk.optimizers.OptimizerMap(
        lk.optimizers.SGD(0.5), {".*bias": lk.optimizers.Adam(0.25)}
    )
    model.compile(lk.optimizers.MultiOptimizer(shares), "mse")
    model.fit(x, x[:, :1], callbacks=[TensorBoard(tmp_path)], verbose=0)
    for name, rate in (("sgd", 0.5), ("adam", 0.25)):
        assert scalars(tmp_path / "train", f"epoch_learning_rate_{name}") == [(0, rate)]
