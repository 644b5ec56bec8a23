"""Every program in examples/ runs, shortened; says what it promises; uses the words it shows."""

import ast
import os
import re
import runpy
import subprocess
import sys

import pytest

from lightkeras.utils import load_img

# Program: (its shortened command line, what it prints, what it writes).
RUNS = {
    "airline_lstm": ("--max-epochs 2", [r"Off by [\d.]+ thousand"], ["passengers.png"]),
    "augmentation": (
        "--max-epochs 1 --limit 200",
        [r"without augmentation: 0\.\d+", r"with augmentation: 0\.\d+"],
        ["augmented.png"],
    ),
    "boston_regression": ("--max-epochs 20", [r"Test loss \d\d\.\d+"], ["loss.png"]),
    "cifar10_autoencoder": (
        "--max-epochs 2 --limit 500",
        [r"Validation loss 0\.6\d+"],
        ["in_and_out.png", "02.keras", "logs"],
    ),
    "cifar10_unet": (
        "--max-epochs 1 --limit 200",
        ["concatenate", r"Mean absolute error 0\.\d+"],
        ["coloured.png"],
    ),
    "custom_layer": ("--max-epochs 8", ["radial_basis", r"test accuracy 0\.[89]\d", "copy"], []),
    "custom_train_step": (
        "--max-epochs 8",
        [r"Model: test accuracy 0\.9", r"Robust: test accuracy 0\.9"],
        [],
    ),
    "diabetes_csv": ("--max-epochs 2", [r"accuracy: [67]\d\.\d+%"], []),
    "digits_gan": ("--max-epochs 1 --limit 128", ["Epoch 1: discriminator"], ["epoch_001.png"]),
    "imdb_lstm": ("--max-epochs 1 --limit 64", [r"Test loss 0\.\d+, test accuracy 0\.\d+"], []),
    "mnist_cnn": (
        "--max-epochs 1 --limit 1000",
        ["conv2d", "val_accuracy", r"test accuracy 0\.\d+"],
        [],
    ),
    "mnist_functional": ("--max-epochs 1 --limit 1000", ["the same weights"], []),
    "mnist_gan": ("--max-epochs 1 --limit 256", ["Epoch 1: discriminator"], ["epoch_1.png"]),
    "mnist_mlp": ("--max-epochs 2 --limit 5000", ["407,050", r"test accuracy 0\.[89]\d+"], []),
    "quickstart": (
        "--max-epochs 1",
        [r"test accuracy 0\.\d+"],
        ["learning_curve.png", "model.keras"],
    ),
    "transfer": (
        "--max-epochs 1 --limit 500",
        [r"without transfer: 0\.\d+", r"with transfer: 0\.\d+"],
        [],
    ),
}

# Programs whose data are in the package.
SHIPPED = {"custom_layer", "custom_train_step", "digits_gan", "quickstart"}

# What each program is there to show, in the words that Keras's users write.
WORDS = {
    "airline_lstm": ["LSTM(", ".csv", "validation_data=[", "plt.plot(predicted"],
    "augmentation": ["RandomRotation(", "RandomTranslation(", "RandomZoom("],
    "boston_regression": ["models.Model)", "super().__init__(x, y)", "mse", "val_loss"],
    "cifar10_autoencoder": [
        "== 1",
        "np.random.normal(",
        "Sequential()",
        "Conv2D(32, [3, 3], padding='same')",
        "MaxPooling2D([2, 2], padding='same')",
        "UpSampling2D(",
        "'adadelta'",
        "'binary_crossentropy'",
        "shuffle=True",
        "validation_data=",
        "TensorBoard(log_dir=",
        "histogram_freq=0, write_graph=True, write_images=True)",
        "ModelCheckpoint(filepath=",
        "verbose=0, period=2)",
        ".predict(",
    ],
    "cifar10_unet": ["Model(inputs, outputs", "Concatenate()([", "BatchNormalization()("],
    "custom_layer": ["add_weight(", "def build(", "def call(", "def get_config("],
    "custom_train_step": ["def train_step(self, data)", "import torch", "loss.backward()"],
    "diabetes_csv": [
        "numpy.loadtxt(",
        "Dense(12, input_dim=8, init='uniform', activation='relu')",
        "nb_epoch=150, batch_size=10",
        "model.metrics_names[1]",
        "scores[1]",
    ],
    "digits_gan": [
        "discriminator.trainable = True",
        "discriminator.trainable = False",
        "train_on_batch(",
        "Conv2DTranspose(",
        "LeakyReLU(",
    ],
    "imdb_lstm": [
        "pad_sequences(",
        "Embedding(",
        "LSTM(128, dropout=0.2, recurrent_dropout=0.2)",
        "epochs=3",
    ],
    "mnist_cnn": [
        "Conv2D(",
        "MaxPooling2D(",
        "Dropout(",
        "Flatten(",
        "validation_split=0.2",
        "(Sequential):",
        "self.add(",
        "self.compile(",
        "epochs=3",
    ],
    "mnist_functional": ["Input(", "Model(inputs=inputs, outputs=outputs)", "'sgd'"],
    "mnist_gan": [
        "discriminator.trainable = True",
        "discriminator.trainable = False",
        "train_on_batch(",
        "Conv2DTranspose(",
        "LeakyReLU(",
    ],
    "mnist_mlp": [
        "models.Sequential()",
        ".add(layers.Dense(512, activation='relu', input_shape=(28*28,)))",
        "optimizer='rmsprop', loss='categorical_crossentropy', metrics=['accuracy']",
        "to_categorical(",
        "print(network.summary())",
        "epochs=5, batch_size=128",
        "test_loss, test_acc = network.evaluate(",
    ],
    "transfer": ["base.trainable = False", "model.pop()", "model.add(", "model.compile("],
}


@pytest.fixture
def examples(root, monkeypatch):
    """The folder with the programs, importable as when one of them is started."""
    monkeypatch.syspath_prepend(root / "examples")
    return root / "examples"


@pytest.mark.filterwarnings("ignore:.*old Keras spelling")
@pytest.mark.parametrize("name", RUNS)
def test_runs(name, examples, request, tmp_path, capsys):
    if name not in SHIPPED:
        request.getfixturevalue("data_home")
    words, prints, files = RUNS[name]
    program = runpy.run_path(str(examples / f"{name}.py"))
    assert capsys.readouterr().out == "", "a program does nothing when it is imported"
    program["main"]([*words.split(), "--out", str(tmp_path / "out")])
    printed = capsys.readouterr().out
    for text in prints:
        assert re.search(text, printed), printed[-2000:]
    for file in files:
        assert (tmp_path / "out" / file).exists(), file
    for picture in (tmp_path / "out").glob("*.png"):
        assert str(picture) in printed
        assert len(load_img(picture).getcolors(1 << 20)) > 1, "the picture is blank"


def test_runs_on_two_processes(examples, tmp_path):
    flags = "--accelerator cpu --devices 2 --strategy ddp"
    run = subprocess.run(
        [sys.executable, examples / "custom_layer.py", *f"--max-epochs 1 {flags}".split()],
        capture_output=True,
        text=True,
        timeout=200,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("Test loss") == 1, "one process talks"


def test_no_example_is_left_out(examples):
    found = {path.stem for path in examples.glob("[!_]*.py")}
    assert found == set(RUNS)


@pytest.mark.parametrize("name", WORDS)
def test_uses_the_words_it_shows(name, examples):
    source = _plain((examples / f"{name}.py").read_text())
    for words in WORDS[name]:
        assert _plain(words) in source, words


@pytest.mark.parametrize("name", WORDS)
def test_docstring_tells_score_time_and_command(name, examples):
    text = ast.get_docstring(ast.parse((examples / f"{name}.py").read_text()))
    assert re.search(rf"python examples/{name}\.py$", text, re.MULTILINE)
    assert re.search(r"\b(s|min|minutes?)\b", text), "how long does it take?"
    if "gan" not in name:  # whose score is in the eye of the beholder
        assert re.search(r"\d\.\d", text), "what does it reach?"


def test_a_missing_table_is_told(examples, monkeypatch, tmp_path):
    monkeypatch.setitem(os.environ, "LIGHTKERAS_HOME", str(tmp_path))
    program = runpy.run_path(str(examples / "diabetes_csv.py"))
    with pytest.raises(SystemExit, match=r"is not there\. Pass --data FILE"):
        program["main"]([])


def _plain(code):
    """Code without blanks and line ends, and with one kind of quotes."""
    return re.sub(r",(?=[)\]])", "", re.sub(r"\s", "", code).replace("'", '"'))
