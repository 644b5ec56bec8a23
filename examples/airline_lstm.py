"""How many people fly next month? An LSTM on the monthly passengers of the years 1949 to 1960.

It learns from the first two thirds of the series; its predictions for the last third are off by
13.8 thousand passengers on average (repeating last year's month: 37.4 thousand) after 200
epochs, which take 7 s on 2 cores. They are drawn over the truth.

    python examples/airline_lstm.py
    python examples/airline_lstm.py --data international-airline-passengers.csv --max-epochs 20
"""

import matplotlib.pyplot as plt
import numpy as np
from _common import command_line, table, written

import lightkeras as keras
from lightkeras import layers, models

D = 12  # months that a prediction is made from


def windows(series):
    """Pieces of D values, and the value that follows each."""
    X = np.lib.stride_tricks.sliding_window_view(series[:-1], D)
    return X[..., np.newaxis], series[D:]  # (n, D, 1), (n,)


def rnn():
    """One LSTM, and a number from its last state."""
    x = layers.Input((D, 1))
    y = layers.Dense(1)(layers.LSTM(32)(x))
    model = models.Model(x, y)
    model.compile(loss="mse", optimizer=keras.optimizers.Adam(0.005))
    return model


def main(argv=None):
    options, flags = command_line(__file__, argv)
    keras.utils.set_random_seed(1)
    path = table(options, "international-airline-passengers.csv")
    passengers = np.genfromtxt(path, delimiter=",", skip_header=1, usecols=1, max_rows=144)
    # Years grow and seasons swing in proportion, so the network sees by what factor each month
    # differs from the one before, as a logarithm.
    changes = np.diff(np.log(passengers))
    X, y = windows(changes / changes.std())
    split = len(X) * 2 // 3

    model = rnn()
    model.fit(
        X[:split],
        y[:split],
        epochs=200,
        batch_size=16,
        validation_data=[X[split:], y[split:]],
        verbose=2,
        **flags,
    )
    truth, before, year_before = passengers[D + 1 :], passengers[D:-1], passengers[1:-D]
    predicted = before * np.exp(model.predict(X, verbose=0)[:, 0] * changes.std())
    error = np.abs(predicted - truth)[split:].mean()
    simple = np.abs(year_before - truth)[split:].mean()
    print(f"Off by {error:.1f} thousand; by the numbers of a year before {simple:.1f} thousand")

    plt.figure(figsize=(9, 4))
    plt.plot(truth, label="truth")
    plt.plot(predicted, label="predicted")
    plt.axvline(split, color="grey", linestyle=":", label="end of the training data")
    plt.xlabel("month")
    plt.ylabel("passengers (thousands)")
    plt.legend()
    written(options, "passengers.png", plt.savefig)


if __name__ == "__main__":
    main()
