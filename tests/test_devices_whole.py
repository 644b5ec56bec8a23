"""Losses and metrics that are no sums over rows: several processes give what one does."""

import copy
import pickle

import numpy as np
import pytest
import torch
from _group import on_group

import lightkeras as lk
from lightkeras import layers, losses, metrics
from lightkeras._training import _whole

K = lk.ops


def root(y, p):
    return torch.sqrt(torch.mean((y - p) ** 2))


def total(y, p):
    return K.sum(K.square(y - p))


def overlap(y, p):
    return 1 - (2 * torch.sum(y * p) + 1) / (torch.sum(y) + torch.sum(p) + 1)


def centred(y, p):
    return torch.mean(torch.abs((y - y.mean(0)) - (p - p.mean(0))), dim=-1)


def columns(y, p):
    return torch.mean(torch.abs(y - p), dim=0)


def largest(y, p):
    return p.max()


def f1(y, p):
    p = torch.round(p)
    return 2 * (y * p).sum() / (y.sum() + p.sum() + 1e-7)


def plain_mean(y, p):
    return torch.mean(torch.abs(y - p))


def plain_rows(y, p):
    return torch.abs(y - p).sum(-1)


class Relative(losses.Loss):
    """Compares the rows of a batch with each other."""

    def call(self, y_true, y_pred):
        return (y_pred / y_pred.sum(0) - y_true / (y_true.sum(0) + 1)).abs()


class OverBatches(metrics.Metric):
    """A mean over batches, as users write it."""

    def __init__(self, name="over_batches"):
        super().__init__(name=name)
        self.total = self.add_weight(name="total", initializer="zeros")
        self.batches = self.add_weight(name="batches", initializer="zeros")

    def update_state(self, y_true, y_pred, sample_weight=None):
        values = (
            f1(y_true, y_pred) if sample_weight is None else (y_pred * sample_weight[:, None]).max()
        )
        self.total.assign_add(values)
        self.batches.assign_add(1.0)

    def result(self):
        return self.total / self.batches


class InPython(metrics.Metric):
    """Keeps all outputs in a list."""

    def __init__(self, name="in_python"):
        super().__init__(name=name)
        self.seen = []

    def update_state(self, y_true, y_pred, sample_weight=None):
        self.seen.append(y_pred.detach().flatten())

    def result(self):
        return torch.cat(self.seen).median() if self.seen else torch.zeros(())

    def reset_state(self):
        self.seen = []


def all_metrics():
    found = [root, total, columns, largest, f1, centred, plain_mean, OverBatches(), InPython()]
    found += [losses.Dice(axis=0), losses.Tversky(), losses.Dice("sum", axis=0, name="dice_sum")]
    found += [metrics.MeanMetricWrapper(losses.dice, name="dices", axis=0)]
    found += [metrics.CosineSimilarity(axis=0), metrics.PearsonCorrelation(axis=0)]
    found += [losses.MeanSquaredError("sum", name="squares"), metrics.Precision([0.3, 0.5])]
    return found


class Own(lk.Sequential):
    def train_step(self, data):
        x, y, w = lk.utils.unpack_x_y_sample_weight(data)
        y_pred = self(x, training=True)
        loss = self.compute_loss(x, y, y_pred, w)
        self.zero_grad()
        loss.backward()
        with torch.no_grad():
            self.optimizer.apply([v.value.grad for v in self.trainable_weights])
        return self.compute_metrics(x, y, y_pred, w)


CASES = {
    "root": {"loss": root, "all": True},
    "sum": {"loss": total, "rate": 0.01},
    "overlap": {"loss": overlap},
    "rows compared": {"loss": centred},
    "rows compared, weights": {"loss": centred, "weighted": True},
    "rows compared, sum": {"loss": Relative(reduction="sum"), "rate": 0.05},
    "rows compared, few rows": {"loss": centred, "n": 17, "weighted": True},
    "fewer rows than processes": {"loss": root, "n": 7, "batch": 2, "all": True},
    "shared batch statistics": {"loss": root, "n": 17, "normalize": True},
    "means": {"loss": plain_mean, "weighted": True},
    "train_step": {"loss": root, "kind": Own, "all": True},
    "masks": {"loss": centred, "masked": True, "metrics": [centred, "mse"]},
    "masks, a mean": {"loss": plain_mean, "masked": True},
    "embeddings": {"loss": losses.Circle(gamma=2), "classes": True,
                   "metrics": [losses.Circle(gamma=2, name="of_metric")]},
    "metrics of weights": {"loss": "mse", "weighted": True, "metrics": [root]},
    "a part of a root": {"loss": [root, "mse"], "heads": 2, "metrics": [[root], ["mae", f1]]},
}  # fmt: skip


def stand_ins(model):
    judges = [(p.loss, *p.metrics, *p.weighted_metrics) for p in model._compiled.parts]
    return [judge for judge in sum(judges, ()) if isinstance(judge, _whole._OfWhole)]


class Copies(lk.callbacks.Callback):
    """In copies and files a model is what it is for one process."""

    def on_epoch_end(self, epoch, logs=None):
        assert not stand_ins(copy.deepcopy(self.model))
        assert not stand_ins(pickle.loads(pickle.dumps(self.model)))


def stack(case):
    new = [lk.Input((4,)), layers.Dense(5, activation="tanh")]
    new += [layers.BatchNormalization()] if case.get("normalize") else []
    if case.get("masked"):
        new = [lk.Input((4, 1)), layers.Masking()]
    new += [layers.Dense(2, activation="sigmoid")]
    new += [layers.UnitNormalization()] if case.get("classes") else []
    if case.get("heads"):
        x = lk.Input((4,))
        return lk.Model(x, [layers.Dense(2, activation="sigmoid")(x) for _ in range(2)])
    return case.get("kind", lk.Sequential)(new)


def trained(case):
    lk.utils.clear_session(free_memory=False)
    lk.config.set_floatx("float64")
    lk.utils.set_random_seed(1)
    r, n = np.random.RandomState(0), case.get("n", 53)
    x, y, w = r.randn(n, 4), r.randint(2, size=(n, 2)).astype("float64"), r.rand(n)
    w = w if case.get("weighted") else None
    model = stack(case)
    model.compile(
        lk.optimizers.SGD(case.get("rate", 0.1), momentum=0.9),
        case["loss"],
        metrics=all_metrics() if case.get("all") else case.get("metrics", ["mse"]),
        weighted_metrics=None if w is None else [OverBatches(), metrics.MeanAbsoluteError()],
    )
    y = y[:, 0].astype("int64") if case.get("classes") else y
    if case.get("masked"):  # each row is a sequence
        x, y = (x * (r.rand(n, 4) > 0.3))[..., None], np.repeat(y[:, None], 4, 1)
    y = [y, 1 - y] if case.get("heads") else y
    shared = {"sync_batchnorm": True} if case.get("normalize") else {}
    flags = {"verbose": 0, "accelerator": "cpu", "batch_size": case.get("batch", 16), **shared}
    histories = []
    for epochs in (2, 1) if case.get("all") else (2,):
        fitted = model.fit(x, y, sample_weight=w, epochs=epochs, callbacks=[Copies()], **flags)
        histories.append(fitted.history)
    assert not stand_ins(model)  # what was put in the place of others is gone
    return histories, [np.asarray(v) for v in model.get_weights()]


def all_trained():
    return {name: trained(case) for name, case in CASES.items()}


@pytest.fixture(scope="module")
def alone():
    floatx = lk.config.floatx()
    try:
        return all_trained()
    finally:
        lk.config.set_floatx(floatx)


@pytest.mark.parametrize("world", [2, 3])
def test_whole_batches_walk_the_path_of_one_process(world, alone):
    for found in on_group(world, all_trained):
        for name, (histories, weights) in alone.items():
            for mine, wanted in zip(found[name][0], histories, strict=True):
                assert mine.keys() == wanted.keys()
                for key in wanted:
                    np.testing.assert_allclose(
                        mine[key], wanted[key], rtol=1e-6, atol=1e-6, err_msg=f"{name}, {key}"
                    )
            for a, b in zip(found[name][1], weights, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6, err_msg=name)


def exchanges():
    """How many tensors are exchanged in a training, by metrics of parts and of whole batches."""
    found, exchanged = [], _whole._exchanged
    for given in (ordinary(), all_metrics()):
        sent = []
        _whole._exchanged = lambda tensor, sent=sent: sent.append(1) or exchanged(tensor)
        trained({"loss": "mse", "metrics": given, "n": 64})
        found.append(len(sent))
    return found


def ordinary():
    found = ["accuracy", "mse", metrics.AUC(), metrics.CosineSimilarity(), plain_mean, plain_rows]
    return [*found, losses.MeanSquaredError(), losses.Dice(axis=-1), metrics.R2Score(), InOne()]


class InOne(metrics.Mean):
    """One of the user's own that adds up."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        super().update_state((y_true - y_pred).abs(), sample_weight)


def test_what_adds_up_by_rows_costs_nothing():
    for found in on_group(2, exchanges):
        assert found == [0, 2 * 4 * 2]  # targets and outputs, once in each of eight steps


def elsewhere():
    model = lk.Sequential([lk.Input((4,)), layers.Dense(1)])
    model.compile("sgd", "mse", metrics=[InPython()])
    with pytest.warns(UserWarning, match="'in_python' keeps its numbers outside of add_weight"):
        model.evaluate(np.ones((9, 4)), np.ones((9, 1)), batch_size=4, verbose=0)
    return True


def test_a_metric_that_cannot_be_combined_is_told_of():
    assert on_group(2, elsewhere) == [True, True]
