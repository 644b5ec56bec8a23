"""Training of one's own, as Keras's guides for torch write it: each program beside live Keras."""

import numpy as np
import pytest
import torch
from _beside import beside, seeded

import lightkeras as lk

RNG = np.random.RandomState(0)
X = RNG.rand(53, 4).astype("float32")
Y = (X.sum(1, keepdims=True) * 2).astype("float32")
W = RNG.rand(53).astype("float32")
HOW = {"batch_size": 16, "epochs": 2, "verbose": 0, "shuffle": False}
PROGRAMS = {}


def program(fn):
    PROGRAMS[fn.__name__] = fn
    return fn


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name):
    beside(PROGRAMS[name])


def ends(k):
    """Inputs and outputs of a small model."""
    x = k.Input((4,))
    return x, k.layers.Dense(1, name="head")(k.layers.Dense(5, activation="tanh", name="hid")(x))


def learn(model, loss, optimizer=None, weights=None):
    """One update, as the guides do it."""
    loss.backward()
    weights = weights or model.trainable_weights[:]
    gradients = [w.value.grad for w in weights]
    with torch.no_grad():
        (optimizer or model.optimizer).apply(gradients, weights)


def outcome(model, *histories):
    return [[named(h.history) for h in histories], model.get_weights()]


def named(values):
    """By name: logs that hold a dict of metrics are in another order in Keras."""
    return dict(sorted(values.items()))


# ---- train_step -------------------------------------------------------------------------------


def stepping(k):
    class Stepping(k.Model):
        def train_step(self, data):
            x, y = data[:2]  # from train_on_batch and test_on_batch Keras brings three
            self.zero_grad()
            y_pred = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred)
            learn(self, loss)
            for metric in self.metrics:
                if metric.name == "loss":
                    metric.update_state(loss)
                else:
                    metric.update_state(y, y_pred)
            return {m.name: m.result() for m in self.metrics}

    return seeded(Stepping(*ends(k)))


@program
def a_step_of_ones_own(k):
    model = stepping(k)
    model.compile("adam", "mse", metrics=["mae"])
    history = model.fit(X, Y, validation_data=(X[:20], Y[:20]), **HOW)
    return [*outcome(model, history), model.evaluate(X, Y, verbose=0, return_dict=True)]


@program
def fit_twice_and_later_epochs(k):
    model = stepping(k)
    model.compile("adam", "mse", metrics=["mae"])
    one = model.fit(X, Y, **HOW)
    first, epochs = named(one.history), [one.epoch[:]]
    two = model.fit(X, Y, **{**HOW, "initial_epoch": 2, "epochs": 5})
    steps = int(model.optimizer.iterations)
    return [first, epochs, named(two.history), two.epoch, steps, model.get_weights()]


@program
def metrics_made_by_hand(k):
    class Low(k.Model):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.loss_seen = k.metrics.Mean(name="loss")
            self.mae_seen = k.metrics.MeanAbsoluteError(name="mae")
            self.loss_fn = k.losses.MeanSquaredError()

        def train_step(self, data):
            x, y = data
            self.zero_grad()
            y_pred = self(x, training=True)
            loss = self.loss_fn(y, y_pred)
            learn(self, loss)
            self.loss_seen.update_state(loss)
            self.mae_seen.update_state(y, y_pred)
            return {"loss": self.loss_seen.result(), "mae": self.mae_seen.result()}

        @property
        def metrics(self):
            return [self.loss_seen, self.mae_seen]

    model = seeded(Low(*ends(k)))
    model.compile(optimizer="adam")
    names = [m.name for m in model.metrics]
    return [names, *outcome(model, model.fit(X, Y, **HOW), model.fit(X, Y, **HOW))]


@program
def weights_of_samples(k):
    class Weighted(k.Model):
        def train_step(self, data):
            x, y, w = k.utils.unpack_x_y_sample_weight(data)
            self.zero_grad()
            y_pred = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred, sample_weight=w)
            learn(self, loss)
            for metric in self.metrics:
                if metric.name == "loss":
                    metric.update_state(loss)
                else:
                    metric.update_state(y, y_pred, sample_weight=w)
            return {m.name: m.result() for m in self.metrics}

    model = seeded(Weighted(*ends(k)))
    model.compile("adam", "mse", metrics=["mae"])
    return outcome(model, model.fit(X, Y, sample_weight=W, **HOW), model.fit(X, Y, **HOW))


@program
def an_evaluation_of_ones_own(k):
    class Tested(k.Model):
        def test_step(self, data):
            x, y = data[:2]
            y_pred = self(x, training=False)
            loss = self.compute_loss(y=y, y_pred=y_pred)
            for metric in self.metrics:
                if metric.name == "loss":
                    metric.update_state(loss)
                else:
                    metric.update_state(y, y_pred)
            return {m.name: m.result() for m in self.metrics}

    model = seeded(Tested(*ends(k)))
    model.compile(loss="mse", metrics=["mae"])
    return [
        model.evaluate(X, Y, batch_size=16, verbose=0),
        named(model.evaluate(X, Y, batch_size=16, verbose=0, return_dict=True)),
        named(model.test_on_batch(X, Y, return_dict=True)),
    ]


@program
def training_and_evaluation_on_batches(k):
    model = stepping(k)
    model.compile("adam", "mse", metrics=["mae"])
    found = [model.train_on_batch(X[i : i + 10], Y[i : i + 10]) for i in (0, 10, 20)]
    return [found, named(model.train_on_batch(X, Y, return_dict=True)), model.test_on_batch(X, Y)]


@program
def predictions_of_ones_own(k):
    class Doubling(k.Model):
        def predict_step(self, data):
            y_pred = super().predict_step(data)
            return {"once": y_pred, "twice": 2 * y_pred}

    model = seeded(Doubling(*ends(k)))
    return [model.predict(X, batch_size=16, verbose=0), model.predict_on_batch(X[:3])]


@program
def around_the_usual_step(k):
    class Around(k.Model):
        def train_step(self, data):
            logs = super().train_step(data)
            return {**logs, "twice": 2 * logs["loss"]}

        def test_step(self, data):
            return {**super().test_step(data), "one": 1.0}

    model = seeded(Around(*ends(k)))
    model.compile("adam", "mse", metrics=["mae"])
    return outcome(model, model.fit(X, Y, validation_data=(X, Y), **HOW))


# ---- compute_loss, compute_metrics ------------------------------------------------------------


@program
def a_loss_of_ones_own(k):
    class Own(k.Model):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.loss_seen = k.metrics.Mean(name="loss")

        def compute_loss(self, x, y, y_pred, sample_weight, training=True):
            loss = k.ops.mean((y_pred - y) ** 2)
            loss = loss + k.ops.sum(self.losses) if self.losses else loss
            self.loss_seen.update_state(loss)
            return loss

        def reset_metrics(self):
            self.loss_seen.reset_state()

        @property
        def metrics(self):
            return [self.loss_seen]

    x = k.Input((4,))
    h = k.layers.ActivityRegularization(0.01)(k.layers.Dense(5, activation="tanh")(x))
    model = seeded(Own(x, k.layers.Dense(1, kernel_regularizer="l2")(h)))
    model.compile(optimizer="rmsprop")
    return [*outcome(model, model.fit(X, Y, **HOW)), model.evaluate(X, Y, verbose=0)]


@program
def a_loss_without_training(k):
    class Old(k.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
            return 3 * super().compute_loss(x, y, y_pred, sample_weight)

    model = seeded(Old(*ends(k)))
    model.compile("sgd", "mse", metrics=["mae"])
    return [*outcome(model, model.fit(X, Y, **HOW)), model.evaluate(X, Y, verbose=0)]


@program
def a_loss_that_knows_whether_it_trains(k):
    class Knows(k.Model):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            loss = super().compute_loss(x, y, y_pred, sample_weight, training)
            return loss if training else 10 * loss

    model = seeded(Knows(*ends(k)))
    model.compile("sgd", "mse")
    return [
        *outcome(model, model.fit(X, Y, validation_data=(X, Y), **HOW)),
        model.evaluate(X, Y, verbose=0),
        model.test_on_batch(X, Y),
    ]


@program
def metrics_of_ones_own(k):
    class Measured(k.Model):
        def compute_metrics(self, x, y, y_pred, sample_weight=None):
            result = super().compute_metrics(x, y, y_pred, sample_weight)
            self.largest.update_state(k.ops.max(y_pred))
            return {**result, "largest": self.largest.result()}

    model = seeded(Measured(*ends(k)))
    model.largest = k.metrics.Mean(name="largest")
    model.compile("adam", "mse", metrics=["mae"])
    found = outcome(model, model.fit(X, Y, validation_data=(X, Y), **HOW))
    return [*found, model.evaluate(X, Y, verbose=0, return_dict=True)]


# ---- make_*_function --------------------------------------------------------------------------


def counting(k, kind):
    """A model whose functions count, made in one of the ways that scripts have."""

    class Counting(k.Model):
        def make_train_function(self, force=False):
            if self.train_function is not None and not force:
                return self.train_function
            super().make_train_function(force=force)
            usual = self.train_function

            def function(data):
                self.calls.append("train")
                return usual(data) if kind == "around" else self.train_step(data[0])

            self.train_function = function
            return self.train_function

        def make_test_function(self, force=False):
            def function(data):
                self.calls.append("test")
                return {**self.test_step(data[0]), "three": 3.0}

            self.test_function = function

        def make_predict_function(self, force=False):
            def function(data):
                self.calls.append("predict")
                return self.predict_step(data[0]) + 1

            self.predict_function = function

    model = seeded(Counting(*ends(k)))
    model.calls = []
    return model


def _functions(kind):
    def run(k):
        model = counting(k, kind)
        model.compile("adam", "mse", metrics=["mae"])
        found = outcome(model, model.fit(X, Y, validation_data=(X[:20], Y[:20]), **HOW))
        found += [model.evaluate(X, Y, verbose=0, return_dict=True), model.predict(X, verbose=0)]
        found += [model.train_on_batch(X, Y), model.test_on_batch(X, Y, return_dict=True)]
        found += [model.predict_on_batch(X[:2]), model.predict(X[:3], verbose=0)]
        return [*found, list(model.calls)]

    return run


PROGRAMS["functions around"] = _functions("around")
PROGRAMS["functions of their own"] = _functions("own")


@program
def functions_called_by_hand(k):
    model = seeded(k.Model(*ends(k)))
    model.compile("adam", "mse", metrics=["mae"])
    batch = (torch.from_numpy(X), torch.from_numpy(Y))
    model.make_train_function()
    logs = [{n: float(v) for n, v in model.train_function([batch]).items()}]
    model.make_test_function()
    logs.append({n: float(v) for n, v in model.test_function([batch]).items()})
    model.make_predict_function()
    outputs = model.predict_function([batch])
    history = model.fit(X, Y, **HOW)
    model.train_function = None  # as scripts do after they have frozen a layer
    return [logs, outputs, *outcome(model, history, model.fit(X, Y, **HOW))]


# ---- several optimizers -----------------------------------------------------------------------


def gan(k):
    """The GAN of the guides, small, on vectors instead of images."""

    class GAN(k.Model):
        def __init__(self, discriminator, generator, latent):
            super().__init__()
            self.discriminator, self.generator, self.latent = discriminator, generator, latent
            self.d_seen = k.metrics.Mean(name="d_loss")
            self.g_seen = k.metrics.Mean(name="g_loss")
            self.draw = np.random.RandomState(5)  # the numbers of a SeedGenerator differ
            self.built = True

        @property
        def metrics(self):
            return [self.d_seen, self.g_seen]

        def compile(self, d_optimizer, g_optimizer, loss_fn):
            super().compile()
            self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer
            self.loss_fn = loss_fn

        def noise(self, n):
            return torch.tensor(self.draw.normal(size=(n, self.latent)), dtype=torch.float32)

        def train_step(self, real):
            real = real[0] if isinstance(real, (tuple, list)) else real
            n = real.shape[0]
            noise = self.noise(n)
            both = torch.concat([self.generator(noise), real], axis=0)
            labels = torch.concat([torch.ones((n, 1)), torch.zeros((n, 1))], axis=0)
            self.zero_grad()
            d_loss = self.loss_fn(labels, self.discriminator(both))
            learn(self, d_loss, self.d_optimizer, self.discriminator.trainable_weights)
            noise = self.noise(n)
            self.zero_grad()
            g_loss = self.loss_fn(torch.zeros((n, 1)), self.discriminator(self.generator(noise)))
            learn(self, g_loss, self.g_optimizer, self.generator.trainable_weights)
            self.d_seen.update_state(d_loss)
            self.g_seen.update_state(g_loss)
            return {"d_loss": self.d_seen.result(), "g_loss": self.g_seen.result()}

    layers = k.layers
    discriminator = k.Sequential([k.Input((4,)), layers.Dense(6, activation="relu"),
                                  layers.Dense(1)])  # fmt: skip
    generator = k.Sequential([k.Input((3,)), layers.Dense(6, activation="relu"), layers.Dense(4)])
    model = GAN(seeded(discriminator, 1), seeded(generator, 2), 3)
    model.compile(
        d_optimizer=k.optimizers.Adam(0.003),
        g_optimizer=k.optimizers.Adam(0.001),
        loss_fn=k.losses.BinaryCrossentropy(from_logits=True),
    )
    return model


@program
def two_optimizers(k):
    model = gan(k)
    histories = [model.fit(X, **HOW), model.fit(X, **{**HOW, "initial_epoch": 2, "epochs": 4})]
    steps = [int(o.iterations) for o in (model.d_optimizer, model.g_optimizer)]
    return [
        [h.history for h in histories],
        steps,
        model.discriminator.get_weights(),
        model.generator.get_weights(),
    ]


# ---- accumulated gradients --------------------------------------------------------------------


@program
def gradients_added_up_by_the_optimizer(k):
    model = stepping(k)
    model.compile(k.optimizers.Adam(0.01, gradient_accumulation_steps=3), "mse", metrics=["mae"])
    return outcome(model, model.fit(X, Y, **HOW), model.fit(X, Y, **HOW))


@program
def gradients_added_up_by_hand(k):
    class Adding(k.Model):
        seen = 0

        def train_step(self, data):
            x, y = data
            y_pred = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=y_pred) / 2
            if self.seen % 2 == 0:
                self.zero_grad()
            self.seen += 1
            if self.seen % 2:
                loss.backward()
            else:
                learn(self, loss)
            for metric in self.metrics:
                if metric.name == "loss":
                    metric.update_state(2 * loss)
                else:
                    metric.update_state(y, y_pred)
            return {m.name: m.result() for m in self.metrics}

    model = seeded(Adding(*ends(k)))
    model.compile("sgd", "mse", metrics=["mae"])
    return outcome(model, model.fit(X, Y, **HOW), model.fit(X, Y, **HOW))


# ---- fit after load ---------------------------------------------------------------------------


@program
def fit_after_load(k):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        model = seeded(k.Model(*ends(k)))
        model.compile("adam", "mse", metrics=["mae"])
        first = dict(model.fit(X, Y, **HOW).history)
        model.save(f"{folder}/m.keras")
        again = k.saving.load_model(f"{folder}/m.keras")
        later = {**HOW, "initial_epoch": 2, "epochs": 4}
        one, two = model.fit(X, Y, **later), again.fit(X, Y, **later)
    same = [np.array_equal(a, b) for a, b in
            zip(model.get_weights(), again.get_weights(), strict=True)]  # fmt: skip
    steps = [int(m.optimizer.iterations) for m in (model, again)]
    return [first, one.history, two.history, two.epoch, steps, same, again.get_weights()]


# ---- the guide to callbacks -------------------------------------------------------------------


@program
def a_stop_at_the_smallest_loss(k):
    class AtTheMinimum(k.callbacks.Callback):
        def __init__(self, patience=0):
            super().__init__()
            self.patience, self.best_weights = patience, None

        def on_train_begin(self, logs=None):
            self.wait, self.stopped, self.best = 0, 0, np.inf

        def on_epoch_end(self, epoch, logs=None):
            if np.less(logs.get("loss"), self.best):
                self.best, self.wait = logs["loss"], 0
                self.best_weights = self.model.get_weights()
                return
            self.wait += 1
            if self.wait >= self.patience:
                self.stopped = epoch
                self.model.stop_training = True
                self.model.set_weights(self.best_weights)

    model, callback = seeded(k.Model(*ends(k))), AtTheMinimum(1)
    model.compile(k.optimizers.SGD(0.6), "mse", metrics=["mae"])
    history = model.fit(X, Y, **{**HOW, "epochs": 20}, callbacks=[callback])
    return [*outcome(model, history), callback.stopped, callback.wait, model.stop_training]


@program
def rates_of_a_table(k):
    table = {0: 0.05, 2: 0.01, 3: 0.005}
    rates = []

    class Rates(k.callbacks.Callback):
        def __init__(self, schedule):
            super().__init__()
            self.schedule = schedule

        def on_epoch_begin(self, epoch, logs=None):
            if not hasattr(self.model.optimizer, "learning_rate"):
                raise ValueError('Optimizer must have a "learning_rate" attribute.')
            now = self.model.optimizer.learning_rate
            self.model.optimizer.learning_rate = self.schedule(epoch, now)
            rates.append(float(self.model.optimizer.learning_rate))

    model = seeded(k.Model(*ends(k)))
    model.compile(k.optimizers.RMSprop(0.1), "mse")
    callback = Rates(lambda epoch, rate: table.get(epoch, rate))
    return [*outcome(model, model.fit(X, Y, **{**HOW, "epochs": 5}, callbacks=[callback])), rates]


@program
def losses_of_batches(k):
    seen = []

    class Losses(k.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(["train", batch, logs["loss"]])

        def on_test_batch_end(self, batch, logs=None):
            seen.append(["test", batch, logs["loss"]])

        def on_epoch_end(self, epoch, logs=None):
            seen.append(["epoch", epoch, logs["loss"], logs["mean_absolute_error"]])

    model = seeded(k.Model(*ends(k)))
    model.compile("rmsprop", "mse", metrics=["mean_absolute_error"])
    model.fit(X, Y, **HOW, callbacks=[Losses()])
    model.evaluate(X, Y, batch_size=16, verbose=0, callbacks=[Losses()])
    return seen


# ---- a VAE, losses added in call --------------------------------------------------------------


@program
def a_vae(k):
    """The VAE of the examples, on vectors."""

    class Sampling(k.layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.draw = np.random.RandomState(3)  # the numbers of a SeedGenerator differ

        def call(self, inputs):
            mean, log_var = inputs
            noise = self.draw.normal(size=(64, 2))[: k.ops.shape(mean)[0] or 64]
            noise = torch.tensor(noise, dtype=torch.float32, device=mean.device)
            return mean + k.ops.exp(0.5 * log_var) * noise

    class VAE(k.Model):
        def __init__(self, encoder, decoder, **kwargs):
            super().__init__(**kwargs)
            self.encoder, self.decoder, self.sample = encoder, decoder, Sampling()
            self.total_loss_tracker = k.metrics.Mean(name="total_loss")
            self.kl_loss_tracker = k.metrics.Mean(name="kl_loss")

        @property
        def metrics(self):
            return [self.total_loss_tracker, self.kl_loss_tracker]

        def call(self, x):
            return self.decoder(self.encoder(x)[0])

        def train_step(self, data):
            data = data[0] if isinstance(data, tuple) else data
            self.zero_grad()
            mean, log_var = self.encoder(data)
            again = self.decoder(self.sample([mean, log_var]))
            kl = -0.5 * (1 + log_var - k.ops.square(mean) - k.ops.exp(log_var))
            kl = k.ops.mean(k.ops.sum(kl, axis=1))
            loss = k.ops.mean(k.ops.sum(k.losses.mean_squared_error(data, again), axis=-1)) + kl
            learn(self, loss)
            self.total_loss_tracker.update_state(loss)
            self.kl_loss_tracker.update_state(kl)
            return {
                "loss": self.total_loss_tracker.result(),
                "kl_loss": self.kl_loss_tracker.result(),
            }

    x, z = k.Input((4,)), k.Input((2,))
    h = k.layers.Dense(5, activation="relu")(x)
    encoder = k.Model(x, [k.layers.Dense(2, name="mean")(h), k.layers.Dense(2, name="var")(h)])
    decoder = k.Model(z, k.layers.Dense(4, activation="sigmoid")(z))
    model = VAE(seeded(encoder, 1), seeded(decoder, 2))
    model.compile(optimizer=k.optimizers.Adam(0.01))
    history = model.fit(X, **HOW)
    names = [m.name for m in model.metrics]
    return [names, named(history.history), encoder.get_weights(), model.predict(X[:3], verbose=0)]


@program
def losses_added_in_call(k):
    class Activity(k.layers.Layer):
        def __init__(self, rate=0.1):
            super().__init__()
            self.rate = rate
            self.dense = k.layers.Dense(3, kernel_regularizer=k.regularizers.L2(0.01))

        def call(self, inputs):
            h = self.dense(inputs)
            self.add_loss(self.rate * k.ops.mean(k.ops.square(h)))
            return h

    class Outer(k.Model):
        def __init__(self):
            super().__init__()
            self.inner, self.head = Activity(), k.layers.Dense(1)

        def call(self, x, training=False):
            h = self.inner(x)
            if training:
                self.add_loss(0.2 * k.ops.mean(k.ops.abs(h)))
            return self.head(h)

    model = Outer()
    model(X[:2])
    seeded(model)
    counts = [len(model.losses)]
    model.compile("adam", "mse", metrics=["mae"])
    found = outcome(model, model.fit(X, Y, validation_data=(X, Y), **HOW))
    return [*found, model.evaluate(X, Y, verbose=0), model.train_on_batch(X, Y), counts]


@program
def a_loop_of_ones_own(k):
    """The guide to training loops in torch."""
    model = seeded(k.Model(*ends(k)))
    optimizer, loss_fn = k.optimizers.Adam(0.01), k.losses.MeanSquaredError()
    train, val = k.metrics.MeanAbsoluteError(), k.metrics.MeanAbsoluteError()
    batches = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(Y)), batch_size=16
    )
    seen = []
    for _ in range(2):
        for inputs, targets in batches:
            outputs = model(inputs)
            loss = loss_fn(targets, outputs)
            model.zero_grad()
            trainable_weights = list(model.trainable_weights)
            loss.backward()
            gradients = [v.value.grad for v in trainable_weights]
            with torch.no_grad():
                optimizer.apply(gradients, trainable_weights)
            train.update_state(targets, outputs)
            seen.append(float(loss))
        seen.append(float(train.result()))
        train.reset_state()
        for inputs, targets in batches:
            val.update_state(targets, model(inputs, training=False))
        seen.append(float(val.result()))
        val.reset_state()
    return [seen, model.get_weights(), int(optimizer.iterations)]


# ---- compile ----------------------------------------------------------------------------------


@program
def distillation(k):
    """`compile` with arguments of one's own, a teacher that is not trained."""

    class Distiller(k.Model):
        def __init__(self, student, teacher):
            super().__init__()
            self.student, self.teacher = student, teacher

        def compile(self, optimizer, metrics, student_loss_fn, alpha=0.1, temperature=3):
            super().compile(optimizer=optimizer, metrics=metrics)
            self.student_loss_fn = student_loss_fn
            self.alpha, self.temperature = alpha, temperature

        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, allow_empty=False):
            taught = self.teacher(x, training=False)
            loss = k.ops.mean(k.ops.square(taught - y_pred)) / self.temperature
            return self.alpha * self.student_loss_fn(y, y_pred) + (1 - self.alpha) * loss

        def call(self, x):
            return self.student(x)

    student, teacher = k.Model(*ends(k)), seeded(k.Model(*ends(k)), 3)
    model = Distiller(seeded(student, 1), teacher)
    model.compile(
        optimizer=k.optimizers.Adam(0.01),
        metrics=["mae"],
        student_loss_fn=k.losses.MeanSquaredError(),
        alpha=0.3,
    )
    before = teacher.get_weights()
    history = model.fit(X, Y, validation_data=(X[:20], Y[:20]), **HOW)
    untouched = [np.array_equal(a, b) for a, b in zip(before, teacher.get_weights(), strict=True)]
    return [named(history.history), student.get_weights(), untouched]


@program
def a_compile_of_ones_own_in_a_file(k):
    import tempfile

    @k.saving.register_keras_serializable("mine")
    class Scaled(k.Model):
        def __init__(self, units=3, **kwargs):
            super().__init__(**kwargs)
            self.units = units
            self.hid, self.head = k.layers.Dense(units, activation="tanh"), k.layers.Dense(1)

        def call(self, x):
            return self.head(self.hid(x))

        def get_config(self):
            return {**super().get_config(), "units": self.units}

        def compile(self, optimizer, loss, factor=1.0, **kwargs):
            super().compile(optimizer=optimizer, loss=loss, **kwargs)
            self.factor = factor

        def get_compile_config(self):
            return {"optimizer": self.optimizer, "loss": self.loss, "factor": self.factor}

        def compile_from_config(self, config):
            config = k.saving.deserialize_keras_object(config)
            self.compile(**config)
            if hasattr(self, "optimizer") and self.built:
                self.optimizer.build(self.trainable_variables)

        def train_step(self, data):
            x, y = data
            self.zero_grad()
            loss = self.factor * self.compute_loss(y=y, y_pred=self(x, training=True))
            learn(self, loss)
            return {"loss": loss, "factor": self.factor}

    model = Scaled()
    model(X[:2])
    seeded(model)
    model.compile("adam", "mse", factor=2.0)
    first = dict(model.fit(X, Y, **HOW).history)
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/m.keras")
        again = k.saving.load_model(f"{folder}/m.keras")
    steps = [again.factor, type(again.optimizer).__name__, int(again.optimizer.iterations)]
    history = again.fit(X, Y, **HOW).history
    return [first, steps, dict(history), again.get_weights()]


# ---- other steps of the examples --------------------------------------------------------------


@program
def a_siamese_model(k):
    class Siamese(k.Model):
        def __init__(self, network, margin=0.5):
            super().__init__()
            self.network, self.margin = network, margin
            self.loss_tracker = k.metrics.Mean(name="loss")

        def call(self, inputs):
            return [self.network(part) for part in inputs]

        def _loss(self, data):
            a, p, n = (self.network(part) for part in data)
            near, far = (k.ops.sum(k.ops.square(a - b), -1) for b in (p, n))
            return k.ops.mean(k.ops.maximum(near - far + self.margin, 0.0))

        def train_step(self, data):
            self.zero_grad()
            loss = self._loss(data[0])
            learn(self, loss, weights=self.network.trainable_weights)
            self.loss_tracker.update_state(loss)
            return {"loss": self.loss_tracker.result()}

        def test_step(self, data):
            self.loss_tracker.update_state(self._loss(data[0]))
            return {"loss": self.loss_tracker.result()}

        @property
        def metrics(self):
            return [self.loss_tracker]

    network = seeded(k.Model(*ends(k)))
    model = Siamese(network)
    model.compile(optimizer=k.optimizers.SGD(0.01))
    triple = (X, X[::-1].copy(), np.roll(X, 7, 0))
    one = model.fit(x=triple, y=None, **HOW)
    value = model.evaluate(x=triple, y=None, verbose=0)
    return [one.history, value, network.get_weights()]


@program
def adversarial_weights_clipped(k):
    """A WGAN: many steps of a critic for each of the generator."""

    class WGAN(k.Model):
        def __init__(self, critic, generator):
            super().__init__()
            self.critic, self.generator = critic, generator
            self.draw = np.random.RandomState(5)
            self.built = True

        def compile(self, d_optimizer, g_optimizer):
            super().compile()
            self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer

        def make(self, n):
            return self.generator(torch.tensor(self.draw.normal(size=(n, 3)), dtype=torch.float32))

        def train_step(self, real):
            real = real[0] if isinstance(real, tuple) else real
            for _ in range(3):
                self.zero_grad()
                made = self.make(len(real)).detach()
                d_loss = k.ops.mean(self.critic(made)) - k.ops.mean(self.critic(real))
                learn(self, d_loss, self.d_optimizer, self.critic.trainable_weights)
                for w in self.critic.trainable_weights:
                    w.assign(k.ops.clip(w, -0.3, 0.3))
            self.zero_grad()
            g_loss = -k.ops.mean(self.critic(self.make(len(real))))
            learn(self, g_loss, self.g_optimizer, self.generator.trainable_weights)
            return {"d_loss": d_loss, "g_loss": g_loss}

    layers = k.layers
    critic = k.Sequential([k.Input((4,)), layers.Dense(6, activation="relu"), layers.Dense(1)])
    generator = k.Sequential([k.Input((3,)), layers.Dense(4)])
    model = WGAN(seeded(critic, 1), seeded(generator, 2))
    model.compile(k.optimizers.RMSprop(0.003), k.optimizers.RMSprop(0.002))
    history = model.fit(X, **HOW)
    return [history.history, critic.get_weights(), generator.get_weights()]


@program
def gradients_looked_at_and_clipped(k):
    class Clipped(k.Model):
        def train_step(self, data):
            x, y, w = k.utils.unpack_x_y_sample_weight(data)
            self.optimizer.zero_grad() if hasattr(self.optimizer, "zero_grad") else None
            self.zero_grad()
            y_pred = self(x, training=True)
            loss = self.compute_loss(x, y, y_pred, w)
            loss.backward()
            norm = torch.nn.utils.clip_grad_norm_(self.parameters(), 0.5)
            weights = self.trainable_variables
            with torch.no_grad():
                self.optimizer.apply_gradients([(v.value.grad, v) for v in weights])
            self._loss_tracker.update_state(loss) if hasattr(self, "_loss_tracker") else None
            return {**self.compute_metrics(x, y, y_pred, w), "norm": norm, "loss": loss}

    model = seeded(Clipped(*ends(k)))
    model.compile("adam", "mse", metrics=["mae"])
    return outcome(model, model.fit(X, Y, **HOW))


@program
def what_metrics_say_at_the_end(k):
    """A step returns the values of its batch, under the names of metrics that it has moved."""

    class Batches(k.Model):
        def _values(self, data, learns):
            x, y = data[:2]
            self.zero_grad()
            y_pred = self(x, training=learns)
            loss = self.compute_loss(y=y, y_pred=y_pred)
            if learns:
                learn(self, loss)
            for metric in self.metrics:
                metric.update_state(*([loss] if metric.name == "loss" else [y, y_pred]))
            return {"loss": loss, "mae": k.ops.mean(k.ops.abs(y - y_pred))}

        def train_step(self, data):
            return self._values(data, True)

        def test_step(self, data):
            return self._values(data, False)

    seen = []
    note = k.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(dict(sorted(logs.items()))),
        on_test_batch_end=lambda batch, logs: seen.append(dict(sorted(logs.items()))),
    )
    model = seeded(Batches(*ends(k)))
    model.compile("sgd", "mse", metrics=["mae"])
    found = outcome(model, model.fit(X, Y, validation_data=(X, Y), callbacks=[note], **HOW))
    return [*found, seen, model.evaluate(X, Y, verbose=0)]


@program
def a_gradient_penalty(k):
    """A WGAN-GP: gradients of gradients, and calls of the model's own after each epoch."""

    class WGAN(k.Model):
        def __init__(self, discriminator, generator, gp_weight=10.0):
            super().__init__()
            self.discriminator, self.generator = discriminator, generator
            self.gp_weight, self.draw, self.built = gp_weight, np.random.RandomState(5), True

        def compile(self, d_optimizer, g_optimizer, d_loss_fn, g_loss_fn):
            super().compile()
            self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer
            self.d_loss_fn, self.g_loss_fn = d_loss_fn, g_loss_fn

        def normal(self, *shape):
            return torch.tensor(self.draw.normal(size=shape), dtype=torch.float32)

        def gradient_penalty(self, real, made):
            between = (made + self.normal(len(real), 1) * (real - made)).detach()
            between.requires_grad_(True)
            outputs = self.discriminator(between, training=True)
            (slopes,) = torch.autograd.grad(outputs.sum(), between, create_graph=True)
            norm = k.ops.sqrt(k.ops.sum(k.ops.square(slopes), axis=1))
            return k.ops.mean((norm - 1.0) ** 2)

        def train_step(self, real):
            real = real[0] if isinstance(real, tuple) else real
            made = self.generator(self.normal(len(real), 3)).detach()
            self.zero_grad()
            cost = self.d_loss_fn(self.discriminator(real), self.discriminator(made))
            d_loss = cost + self.gp_weight * self.gradient_penalty(real, made)
            learn(self, d_loss, self.d_optimizer, self.discriminator.trainable_weights)
            self.zero_grad()
            outputs = self.discriminator(self.generator(self.normal(len(real), 3)))
            g_loss = self.g_loss_fn(outputs)
            learn(self, g_loss, self.g_optimizer, self.generator.trainable_weights)
            return {"d_loss": d_loss, "g_loss": g_loss}

    seen = []

    class Monitor(k.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            noise = torch.tensor(np.ones((2, 3)), dtype=torch.float32)
            seen.append(self.model.generator(noise).detach())

    dense = k.layers.Dense
    d = k.Sequential([k.Input((4,)), dense(6, activation="tanh"), dense(1)])
    g = k.Sequential([k.Input((3,)), dense(4)])
    model = WGAN(seeded(d, 1), seeded(g, 2))
    model.compile(
        d_optimizer=k.optimizers.Adam(0.002, beta_1=0.5, beta_2=0.9),
        g_optimizer=k.optimizers.Adam(0.002, beta_1=0.5, beta_2=0.9),
        d_loss_fn=lambda real, made: k.ops.mean(made) - k.ops.mean(real),
        g_loss_fn=lambda made: -k.ops.mean(made),
    )
    history = model.fit(X, callbacks=[Monitor()], **HOW)
    return [history.history, d.get_weights(), g.get_weights(), seen]


@program
def a_diffusion_model(k):
    """The DDIM of the examples: a normalizer, a network and its average, a test_step."""

    class Diffusion(k.Model):
        def __init__(self, network, ema_network):
            super().__init__()
            self.normalizer = k.layers.Normalization()
            self.network, self.ema_network = network, ema_network
            self.draw = np.random.RandomState(5)

        def compile(self, **kwargs):
            super().compile(**kwargs)
            self.noise_loss_tracker = k.metrics.Mean(name="n_loss")
            self.image_loss_tracker = k.metrics.Mean(name="i_loss")

        @property
        def metrics(self):
            return [self.noise_loss_tracker, self.image_loss_tracker]

        def call(self, x):
            return self.network(self.normalizer(x))

        def mixed(self, x):
            x = self.normalizer(x[0] if isinstance(x, (tuple, list)) else x, training=True)
            noise = torch.tensor(self.draw.normal(size=x.shape), dtype=torch.float32)
            return x, noise, 0.8 * x + 0.6 * noise

        def losses_of(self, network, x, training):
            x, noise, mixed = self.mixed(x)
            predicted = network(mixed, training=training)
            image = (mixed - 0.6 * predicted) / 0.8
            return self.loss(noise, predicted), self.loss(x, image)

        def note(self, noise_loss, image_loss):
            self.noise_loss_tracker.update_state(noise_loss)
            self.image_loss_tracker.update_state(image_loss)
            return {m.name: m.result() for m in self.metrics}

        def train_step(self, x):
            self.zero_grad()
            found = self.losses_of(self.network, x, True)
            learn(self, found[0], weights=self.network.trainable_weights)
            for weight, slow in zip(self.network.weights, self.ema_network.weights, strict=True):
                slow.assign(0.9 * slow + 0.1 * weight)
            return self.note(*found)

        def test_step(self, x):
            return self.note(*self.losses_of(self.ema_network, x, False))

    dense = k.layers.Dense
    network = seeded(k.Sequential([k.Input((4,)), dense(6, activation="tanh"), dense(4)]))
    slow = k.models.clone_model(network)
    slow.set_weights(network.get_weights())
    model = Diffusion(network, slow)
    model.normalizer.adapt(X)
    model.compile(
        optimizer=k.optimizers.AdamW(learning_rate=0.01, weight_decay=0.01),
        loss=k.losses.MeanAbsoluteError(),
    )
    history = model.fit(X, X, validation_data=(X[:20], X[:20]), **HOW)
    return [named(history.history), network.get_weights(), slow.get_weights()]


@program
def contrasts_and_a_probe(k):
    """Two optimizers of one encoder, a queue of features, data of two kinds."""

    class Contrasting(k.Model):
        def __init__(self):
            super().__init__()
            dense = k.layers.Dense
            self.encoder = k.Sequential([k.Input((4,)), dense(6, activation="relu")])
            self.head = k.Sequential([k.Input((6,)), dense(3)])
            self.probe = k.Sequential([k.Input((6,)), dense(2)])
            for n, part in enumerate((self.encoder, self.head, self.probe)):
                seeded(part, n)
            self.temperature, self.built = 0.5, True

        def compile(self, contrastive_optimizer, probe_optimizer, **kwargs):
            super().compile(**kwargs)
            self.contrastive_optimizer = contrastive_optimizer
            self.probe_optimizer = probe_optimizer
            self.probe_loss = k.losses.SparseCategoricalCrossentropy(from_logits=True)
            self.contrastive_loss_tracker = k.metrics.Mean(name="c_loss")
            self.probe_accuracy = k.metrics.SparseCategoricalAccuracy(name="p_acc")

        @property
        def metrics(self):
            return [self.contrastive_loss_tracker, self.probe_accuracy]

        def contrastive_loss(self, one, two):
            one, two = k.ops.normalize(one, axis=1), k.ops.normalize(two, axis=1)
            likeness = k.ops.matmul(one, k.ops.transpose(two)) / self.temperature
            labels = k.ops.arange(len(one))
            loss = k.losses.sparse_categorical_crossentropy(labels, likeness, from_logits=True)
            return k.ops.mean(loss)

        def train_step(self, data):
            (x, x2), y = data
            self.zero_grad()
            loss = self.contrastive_loss(self.head(self.encoder(x)), self.head(self.encoder(x2)))
            weights = self.encoder.trainable_weights + self.head.trainable_weights
            learn(self, loss, self.contrastive_optimizer, weights)
            self.contrastive_loss_tracker.update_state(loss)
            self.zero_grad()
            logits = self.probe(self.encoder(x, training=False).detach())
            loss = self.probe_loss(y, logits)
            learn(self, loss, self.probe_optimizer, self.probe.trainable_weights)
            self.probe_accuracy.update_state(y, logits)
            return {m.name: m.result() for m in self.metrics}

        def test_step(self, data):
            (x, _), y = data
            self.probe_accuracy.update_state(y, self.probe(self.encoder(x)))
            return {"p_acc": self.probe_accuracy.result()}

    model = Contrasting()
    model.compile(
        contrastive_optimizer=k.optimizers.Adam(0.01), probe_optimizer=k.optimizers.Adam(0.02)
    )
    labels = (Y[:, 0] > 4).astype("int64")
    pairs = (X, np.roll(X, 1, axis=1))
    val = ((X[:20], X[:20]), labels[:20])
    history = model.fit(x=pairs, y=labels, validation_data=val, **HOW)
    parts = [part.get_weights() for part in (model.encoder, model.head, model.probe)]
    return [named(history.history), parts, len(model.trainable_weights)]


@program
def frozen_and_unfrozen(k):
    """A step of one's own sees `trainable_weights` as they are; the same optimizer goes on."""
    model = stepping(k)
    model.compile("adam", "mse", metrics=["mae"])
    found = [named(model.fit(X, Y, **HOW).history)]
    model.get_layer("hid").trainable = False
    model.compile(k.optimizers.Adam(0.01), "mse", metrics=["mae"])
    found += [named(model.fit(X, Y, **HOW).history), len(model.trainable_weights)]
    return [*found, model.get_weights()]


@program
def one_step_for_several_batches(k):
    """The usual step wrapped: every batch twice, and a loss of a regularizer looked at."""

    class Twice(k.Model):
        def train_step(self, data):
            super().train_step(data)
            logs = super().train_step(data)
            logs["penalty"] = sum(self.losses)
            return logs

    x = k.Input((4,))
    model = seeded(Twice(x, k.layers.Dense(1, kernel_regularizer="l1")(x)))
    model.compile("sgd", "mse", metrics=["mae"])
    found = outcome(model, model.fit(X, Y, **HOW))
    return [*found, int(model.optimizer.iterations)]


def test_a_loss_that_no_metric_has_seen_is_that_of_the_last_step():
    """Keras shows 0.0 here, the mean of nothing."""

    class Silent(lk.Model):
        def train_step(self, data):
            x, y = data
            self.zero_grad()
            loss = self.compute_loss(y=y, y_pred=self(x, training=True))
            learn(self, loss)
            self.last = float(loss.detach())
            return {"loss": loss}

    model = seeded(Silent(*ends(lk)))
    model.compile("sgd", "mse")
    assert model.fit(X, Y, **HOW).history["loss"][-1] == pytest.approx(model.last)
