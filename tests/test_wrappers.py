"""Models as estimators of scikit-learn: in its searches and pipelines, and beside Keras's."""

import subprocess
import sys

import keras
import numpy as np
import pytest

import lightkeras as lk
from lightkeras import wrappers

sklearn = pytest.importorskip("sklearn", reason="scikit-learn is an optional package")
from sklearn.base import clone, is_classifier, is_regressor  # noqa: E402
from sklearn.exceptions import NotFittedError  # noqa: E402
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

from lightkeras.wrappers import scikit_learn as old  # noqa: E402

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)).astype("float32")
KIND = np.array(["low", "mid", "top"])[np.digitize(X[:, 0] + 0.2 * X[:, 1], [-0.5, 0.5])]
SIZE = (X[:, 0] * 2 - X[:, 1]).astype("float32")


def made(module, loss, activation=None, rate=0.1):
    def build(X, y, units=8):
        outputs = y.shape[1] if y.ndim > 1 else 1
        model = module.Sequential(
            [
                module.Input((X.shape[1],)),
                module.layers.Dense(units, activation="tanh", kernel_initializer="identity"),
                module.layers.Dense(outputs, activation=activation, kernel_initializer="identity"),
            ]
        )
        model.compile(module.optimizers.SGD(rate, momentum=0.9), loss)
        return model

    return build


def classifier(module=lk, **options):
    build = made(module, "categorical_crossentropy", "softmax")
    return module.wrappers.SKLearnClassifier(
        build, fit_kwargs={"epochs": 20, "verbose": 0, "shuffle": False}, **options
    )


def regressor(module=lk, **options):
    fit = {"epochs": 25, "verbose": 0, "shuffle": False}
    return module.wrappers.SKLearnRegressor(made(module, "mse"), fit_kwargs=fit, **options)


def test_the_same_as_keras():
    for make, y in ((classifier, KIND), (regressor, SIZE)):
        ours, theirs = (make(k).fit(X, y, epochs=3) for k in (lk, keras))
        mine, other = ours.predict(X), theirs.predict(X)
        assert (mine.shape, mine.dtype.kind) == (
            np.asarray(other).reshape(y.shape).shape,
            other.dtype.kind,
        )
        if make is classifier:
            assert list(ours.classes_) == list(theirs.classes_)
            assert (mine == other.reshape(-1)).mean() > 0.98
            np.testing.assert_allclose(
                ours.decision_function(X), theirs.decision_function(X), atol=1e-3
            )
        else:
            np.testing.assert_allclose(mine, other.reshape(y.shape), atol=1e-3)
        assert ours.score(X, y) == pytest.approx(theirs.score(X, y), abs=0.02)
        assert len(ours.history_["loss"]) == 3
        assert make().fit(X, y).score(X, y) > 0.8


def test_in_scikit_learn():
    assert is_classifier(classifier()) and is_regressor(regressor())
    chain = make_pipeline(StandardScaler(), classifier())
    assert chain.fit(X, KIND).score(X, KIND) > 0.8
    assert cross_val_score(regressor(), X, SIZE, cv=KFold(2)).min() > 0.5
    grid = {"model_kwargs": [{"units": 4}, {"units": 6}]}
    search = GridSearchCV(classifier(), grid, cv=2).fit(X, KIND)
    assert search.best_estimator_.model_.layers[0].units in (4, 6)
    copied = clone(classifier(model_kwargs={"units": 5}))
    assert copied.model_kwargs == {"units": 5} and copied.fit_kwargs["epochs"] == 20
    assert classifier().get_params(deep=False).keys() == {
        "model",
        "warm_start",
        "model_kwargs",
        "fit_kwargs",
    }


def test_a_model_in_place_of_a_function():
    model = made(lk, "mse")(X, SIZE)
    before = model.get_weights()
    given = wrappers.SKLearnRegressor(model, fit_kwargs={"epochs": 2, "verbose": 0})
    given.fit(X, SIZE)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert given.model_ is not model
    warm = wrappers.SKLearnRegressor(model, warm_start=True)
    warm.fit(X, SIZE, epochs=1, verbose=0).fit(X, SIZE, epochs=1, verbose=0)
    assert warm.model_ is model and int(model.optimizer.iterations) == 4
    assert clone(given).model is not model


def test_several_targets():
    fitted = regressor().fit(X, np.c_[SIZE, -SIZE])
    assert fitted.predict(X).shape == (60, 2) and fitted.score(X, np.c_[SIZE, -SIZE]) > 0.8


def test_transformer():
    build = made(lk, "mse")
    step = wrappers.SKLearnTransformer(build, fit_kwargs={"epochs": 1, "verbose": 0})
    features = step.fit(X, np.c_[SIZE, SIZE]).transform(X)
    assert features.shape == (60, 2)
    assert step.fit_transform(X, np.c_[SIZE, SIZE]).shape == (60, 2)


def test_refusals():
    bare = lk.Sequential([lk.Input((4,)), lk.layers.Dense(1)])
    for call, error, text in (
        (lambda: classifier().predict(X), NotFittedError, "not fitted"),
        (lambda: wrappers.SKLearnRegressor(bare).fit(X, SIZE), RuntimeError, "model.compile"),
        (lambda: classifier().fit(X, np.zeros(60, int)), ValueError, "only one class in y"),
        (lambda: classifier().fit(X, SIZE), ValueError, "label type"),
        (lambda: classifier().fit(X, np.eye(3)[np.arange(60) % 3]), ValueError, "label|argmax"),
        (lambda: regressor().fit(X, SIZE).predict(X[:, :2]), ValueError, "4 features"),
        (lambda: wrappers.SKLearnClasifier, AttributeError, "SKLearnClasifier"),
    ):
        with pytest.raises(error, match=text):
            call()


def test_without_scikit_learn():
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "import lightkeras as lk\n"
        "from lightkeras.wrappers import scikit_learn\n"
        "for make in (lambda: lk.wrappers.SKLearnRegressor(None), scikit_learn.KerasRegressor):\n"
        "    try: make()\n"
        "    except ImportError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.count("Type pip install scikit-learn.") == 2


# ---- Keras 1 and 2 ------------------------------------------------------------------------------


def binary(units=6, activation="sigmoid"):
    model = lk.Sequential([lk.Input((4,)), lk.layers.Dense(units, activation="tanh")])
    model.add(lk.layers.Dense(1, activation=activation))
    loss = "binary_crossentropy" if activation == "sigmoid" else "mse"
    model.compile(lk.optimizers.Adam(0.05), loss)
    return model


def one_hot(units=6):
    model = lk.Sequential([lk.Input((4,)), lk.layers.Dense(3, activation="softmax")])
    model.compile(lk.optimizers.Adam(0.2), "categorical_crossentropy")
    return model


def test_old_classifier():
    lk.utils.set_random_seed(0)
    sign = np.where(X[:, 0] > 0, "yes", "no")
    made = old.KerasClassifier(build_fn=binary, units=5, epochs=40, batch_size=20, verbose=0)
    history = made.fit(X, sign)
    assert len(history.history["loss"]) == 40
    assert made.model.layers[0].units == 5
    assert set(made.predict(X)) == {"yes", "no"} and made.score(X, sign) > 0.9
    assert made.predict_proba(X).shape == (60, 2)
    np.testing.assert_allclose(made.predict_proba(X, batch_size=7).sum(1), 1, rtol=1e-6)
    several = old.KerasClassifier(one_hot, epochs=30, verbose=0)
    several.fit(X, KIND)
    assert several.score(X, KIND) > 0.8
    assert several.fit(X, np.eye(3)[np.arange(60) % 3], epochs=1) is not None
    assert set(several.predict(X)) <= {0, 1, 2}


def test_old_regressor_in_a_search():
    lk.utils.set_random_seed(0)
    made = old.KerasRegressor(binary, activation=None, epochs=30, verbose=0)
    search = GridSearchCV(made, {"units": [3, 8], "batch_size": [10]}, cv=2)
    search.fit(X, SIZE)
    assert search.best_params_["batch_size"] == 10
    assert search.best_estimator_.predict(X).shape == (60,)
    assert search.best_score_ > 0.5
    assert clone(made).get_params() == made.get_params()
    assert made.set_params(units=4).get_params()["units"] == 4


def test_old_refusals():
    with pytest.raises(TypeError, match="Did you mean 'epochs'"):
        old.KerasRegressor(binary, epoch=3)
    with pytest.raises(TypeError, match="Did you mean 'units'"):
        old.KerasRegressor(binary).set_params(unit=3)
    with pytest.raises(NotFittedError):
        old.KerasRegressor(binary).predict(X)
