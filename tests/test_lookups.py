"""Layers with vocabularies and hashes: tables of arguments, data and what Keras makes of it.

Keras needs TensorFlow for these layers, so they cannot be compared live. The expected values are
what Keras documents, and were checked with Keras 3.15 on TensorFlow 2.21. Vectors are floats here,
as Keras documents them, where Keras gives whole numbers. One-hot vectors of texts of different
lengths, which are ragged there, are filled up with zeros.
"""

import numpy as np
import pytest
import torch

from lightkeras import layers
from lightkeras.layers.preprocessing._hashes import fingerprint64, siphash64

S = [["b", "a"], ["a", "c"], ["a", "q"]]
X_S = [["a", "z"], ["c", "a"]]
# (arguments, data to adapt to, input, expected, vocabulary)
STRINGLOOKUP = [
    (dict(), S, X_S, [[1, 0], [3, 1]], ["[UNK]", "a", "q", "c", "b"]),
    (dict(mask_token=""), S, X_S, [[2, 1], [4, 2]], ["", "[UNK]", "a", "q", "c", "b"]),
    (dict(mask_token="c"), S, X_S, [[2, 1], [0, 2]], ["c", "[UNK]", "a", "q", "b"]),
    (
        dict(num_oov_indices=0, vocabulary=["a", "c", "z"]),
        None,
        X_S,
        [[0, 2], [1, 0]],
        ["a", "c", "z"],
    ),
    (
        dict(num_oov_indices=3),
        S,
        X_S,
        [[3, 1], [5, 3]],
        ["[UNK]", "[UNK]", "[UNK]", "a", "q", "c", "b"],
    ),
    (
        dict(num_oov_indices=3, salt=9),
        S,
        X_S,
        [[3, 2], [5, 3]],
        ["[UNK]", "[UNK]", "[UNK]", "a", "q", "c", "b"],
    ),
    (
        dict(num_oov_indices=2, mask_token="a", salt=[1, 7]),
        S,
        X_S,
        [[0, 1], [4, 0]],
        ["a", "[UNK]", "[UNK]", "q", "c", "b"],
    ),
    (dict(max_tokens=3), S, X_S, [[1, 0], [0, 1]], ["[UNK]", "a", "q"]),
    (
        dict(output_mode="one_hot"),
        S,
        X_S,
        [[[0, 1, 0, 0, 0], [1, 0, 0, 0, 0]], [[0, 0, 0, 1, 0], [0, 1, 0, 0, 0]]],
        ["[UNK]", "a", "q", "c", "b"],
    ),
    (
        dict(output_mode="multi_hot"),
        S,
        X_S,
        [[1, 1, 0, 0, 0], [0, 1, 0, 1, 0]],
        ["[UNK]", "a", "q", "c", "b"],
    ),
    (
        dict(output_mode="count"),
        S,
        X_S,
        [[1, 1, 0, 0, 0], [0, 1, 0, 1, 0]],
        ["[UNK]", "a", "q", "c", "b"],
    ),
    (
        dict(output_mode="tf_idf"),
        S,
        X_S,
        [[0.827122, 0.559616, 0.0, 0.0, 0.0], [0.0, 0.559616, 0.0, 0.916291, 0.0]],
        ["[UNK]", "a", "q", "c", "b"],
    ),
    (
        dict(output_mode="multi_hot", mask_token="a"),
        S,
        X_S,
        [[1, 0, 0, 0], [0, 0, 1, 0]],
        ["[UNK]", "q", "c", "b"],
    ),
    (
        dict(output_mode="count", max_tokens=9, pad_to_max_tokens=True),
        S,
        X_S,
        [[1, 1, 0, 0, 0, 0, 0, 0, 0], [0, 1, 0, 1, 0, 0, 0, 0, 0]],
        ["[UNK]", "a", "q", "c", "b"],
    ),
    (
        dict(output_mode="tf_idf", max_tokens=9, pad_to_max_tokens=True),
        S,
        X_S,
        [
            [0.827122, 0.559616, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            [0.0, 0.559616, 0.0, 0.916291, 0.0, 0.0, 0.0, 0.0, 0.0],
        ],
        ["[UNK]", "a", "q", "c", "b"],
    ),
    (
        dict(output_mode="binary"),
        S,
        X_S,
        [[1, 1, 0, 0, 0], [0, 1, 0, 1, 0]],
        ["[UNK]", "a", "q", "c", "b"],
    ),
    (dict(vocabulary=["c", "a"]), None, X_S, [[2, 0], [1, 2]], ["[UNK]", "c", "a"]),
    (
        dict(vocabulary=["", "[UNK]", "c", "a"], mask_token=""),
        None,
        X_S,
        [[3, 1], [2, 3]],
        ["", "[UNK]", "c", "a"],
    ),
    (
        dict(vocabulary=["c", "a"], output_mode="tf_idf", idf_weights=[0.5, 0.25]),
        None,
        X_S,
        [[0.375, 0.0, 0.25], [0.0, 0.5, 0.25]],
        ["[UNK]", "c", "a"],
    ),
    (
        dict(vocabulary=["[UNK]", "c", "a"], output_mode="tf_idf", idf_weights=[0.9, 0.5, 0.25]),
        None,
        X_S,
        [[0.9, 0.0, 0.25], [0.0, 0.5, 0.25]],
        ["[UNK]", "c", "a"],
    ),
    (dict(oov_token="??"), S, X_S, [[1, 0], [3, 1]], ["??", "a", "q", "c", "b"]),
    (
        dict(vocabulary=["c", "a"], invert=True),
        None,
        [[0, 1], [2, 7]],
        [["[UNK]", "c"], ["a", "[UNK]"]],
        ["[UNK]", "c", "a"],
    ),
    (
        dict(vocabulary=["c", "a"], invert=True, mask_token="", num_oov_indices=2, oov_token="?"),
        None,
        [[0, 1], [2, 3], [4, 5]],
        [["", "?"], ["?", "c"], ["a", "?"]],
        ["", "?", "?", "c", "a"],
    ),
    (
        dict(output_mode="one_hot"),
        S,
        [["a"], ["z"]],
        [[0, 1, 0, 0, 0], [1, 0, 0, 0, 0]],
        ["[UNK]", "a", "q", "c", "b"],
    ),
    (dict(output_mode="multi_hot"), S, ["a", "z"], [1, 1, 0, 0, 0], ["[UNK]", "a", "q", "c", "b"]),
    (dict(), ["b", "a", "a"], "a", 1, ["[UNK]", "a", "b"]),
]

N = [[5, 3], [3, 7], [3, -2]]
X_N = [[3, 9], [7, -2]]
# (arguments, data to adapt to, input, expected, vocabulary)
INTEGERLOOKUP = [
    (dict(), N, X_N, [[1, 0], [2, 4]], [-1, 3, 7, 5, -2]),
    (dict(mask_token=0), N, X_N, [[2, 1], [3, 5]], [0, -1, 3, 7, 5, -2]),
    (dict(mask_token=7), N, X_N, [[2, 1], [0, 4]], [7, -1, 3, 5, -2]),
    (dict(num_oov_indices=3), N, X_N, [[3, 0], [4, 6]], [-1, -1, -1, 3, 7, 5, -2]),
    (
        dict(num_oov_indices=3, oov_method="farmhash"),
        N,
        X_N,
        [[3, 2], [4, 6]],
        [-1, -1, -1, 3, 7, 5, -2],
    ),
    (
        dict(num_oov_indices=3, oov_method="farmhash", salt=4),
        N,
        X_N,
        [[3, 2], [4, 6]],
        [-1, -1, -1, 3, 7, 5, -2],
    ),
    (dict(max_tokens=3), N, X_N, [[1, 0], [2, 0]], [-1, 3, 7]),
    (
        dict(output_mode="one_hot"),
        N,
        X_N,
        [[[0, 1, 0, 0, 0], [1, 0, 0, 0, 0]], [[0, 0, 1, 0, 0], [0, 0, 0, 0, 1]]],
        [-1, 3, 7, 5, -2],
    ),
    (dict(output_mode="multi_hot"), N, X_N, [[1, 1, 0, 0, 0], [0, 0, 1, 0, 1]], [-1, 3, 7, 5, -2]),
    (dict(output_mode="count", mask_token=3), N, X_N, [[1, 0, 0, 0], [0, 1, 0, 1]], [-1, 7, 5, -2]),
    (
        dict(output_mode="tf_idf"),
        N,
        X_N,
        [[0.827122, 0.559616, 0.0, 0.0, 0.0], [0.0, 0.0, 0.916291, 0.0, 0.916291]],
        [-1, 3, 7, 5, -2],
    ),
    (dict(vocabulary=[7, 3]), None, X_N, [[2, 0], [1, 0]], [-1, 7, 3]),
    (dict(vocabulary=[-1, 7, 3]), None, X_N, [[2, 0], [1, 0]], [-1, 7, 3]),
    (dict(vocabulary=[7, 3], invert=True), None, [[0, 1], [2, 5]], [[-1, 7], [3, -1]], [-1, 7, 3]),
    (
        dict(vocabulary=[7, 3], invert=True, mask_token=9),
        None,
        [[0, 1], [2, 3]],
        [[9, -1], [7, 3]],
        [9, -1, 7, 3],
    ),
]

T = ["Foo bar, foo!", "the  caté foo", "THE\tend (of it)"]
X_T = ["foo BAR caté.", "zzz", " the end of it all "]
# (arguments, data to adapt to, input, expected, vocabulary)
TEXTVECTORIZATION = [
    (
        dict(),
        T,
        X_T,
        [[2, 8, 7, 0, 0], [1, 0, 0, 0, 0], [3, 6, 4, 5, 1]],
        ["", "[UNK]", "foo", "the", "of", "it", "end", "caté", "bar"],
    ),
    (
        dict(output_mode="multi_hot"),
        T,
        X_T,
        [[0, 1, 0, 0, 0, 0, 1, 1], [1, 0, 0, 0, 0, 0, 0, 0], [1, 0, 1, 1, 1, 1, 0, 0]],
        ["[UNK]", "foo", "the", "of", "it", "end", "caté", "bar"],
    ),
    (
        dict(output_mode="count"),
        T,
        X_T,
        [[0, 1, 0, 0, 0, 0, 1, 1], [1, 0, 0, 0, 0, 0, 0, 0], [1, 0, 1, 1, 1, 1, 0, 0]],
        ["[UNK]", "foo", "the", "of", "it", "end", "caté", "bar"],
    ),
    (
        dict(output_mode="tf_idf"),
        T,
        X_T,
        [
            [0.0, 0.693147, 0.0, 0.0, 0.0, 0.0, 0.916291, 0.916291],
            [0.852535, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            [0.852535, 0.0, 0.693147, 0.916291, 0.916291, 0.916291, 0.0, 0.0],
        ],
        ["[UNK]", "foo", "the", "of", "it", "end", "caté", "bar"],
    ),
    (
        dict(output_mode="tf_idf", max_tokens=12, pad_to_max_tokens=True),
        T,
        X_T,
        [
            [0.0, 0.693147, 0.0, 0.0, 0.0, 0.0, 0.916291, 0.916291, 0.0, 0.0, 0.0, 0.0],
            [0.852535, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            [0.852535, 0.0, 0.693147, 0.916291, 0.916291, 0.916291, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        ],
        ["[UNK]", "foo", "the", "of", "it", "end", "caté", "bar"],
    ),
    (
        dict(ngrams=2),
        T,
        X_T,
        [[2, 15, 13, 9, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0, 0], [3, 11, 7, 8, 1, 4, 10, 6, 1]],
        [
            "",
            "[UNK]",
            "foo",
            "the",
            "the end",
            "the caté",
            "of it",
            "of",
            "it",
            "foo bar",
            "end of",
            "end",
            "caté foo",
            "caté",
            "bar foo",
            "bar",
        ],
    ),
    (
        dict(ngrams=[2, 3]),
        T,
        X_T,
        [[8, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0], [3, 10, 6, 1, 2, 9, 1]],
        [
            "",
            "[UNK]",
            "the end of",
            "the end",
            "the caté foo",
            "the caté",
            "of it",
            "foo bar foo",
            "foo bar",
            "end of it",
            "end of",
            "caté foo",
            "bar foo",
        ],
    ),
    (
        dict(ngrams=2, output_mode="multi_hot"),
        T,
        X_T,
        [
            [1, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1],
            [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            [1, 0, 1, 1, 0, 1, 1, 1, 0, 1, 1, 0, 0, 0, 0],
        ],
        [
            "[UNK]",
            "foo",
            "the",
            "the end",
            "the caté",
            "of it",
            "of",
            "it",
            "foo bar",
            "end of",
            "end",
            "caté foo",
            "caté",
            "bar foo",
            "bar",
        ],
    ),
    (
        dict(split="character"),
        T,
        X_T,
        [
            [5, 2, 2, 3, 15, 8, 10, 3, 14, 8, 4, 9, 0, 0, 0, 0, 0, 0, 0],
            [1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            [3, 4, 7, 6, 3, 6, 11, 13, 3, 2, 5, 3, 12, 4, 3, 8, 1, 1, 3],
        ],
        ["", "[UNK]", "o", " ", "t", "f", "e", "h", "a", "é", "r", "n", "i", "d", "c", "b", "\t"],
    ),
    (
        dict(split="character", ngrams=[2]),
        T,
        X_T,
        [
            [3, 2, 11, 26, 20, 22, 9, 25, 19, 21, 8, 0, 0, 0, 0, 0, 0, 0],
            [1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            [1, 4, 5, 16, 1, 15, 12, 18, 23, 10, 14, 24, 13, 1, 1, 1, 1, 1],
        ],
        [
            "",
            "[UNK]",
            "o o",
            "f o",
            "t h",
            "h e",
            "  f",
            "é  ",
            "t é",
            "r  ",
            "o f",
            "o  ",
            "n d",
            "i t",
            "f  ",
            "e n",
            "e  ",
            "e \t",
            "d  ",
            "c a",
            "b a",
            "a t",
            "a r",
            "  o",
            "  i",
            "  c",
            "  b",
            "   ",
            "\t e",
        ],
    ),
    (
        dict(standardize=None),
        T,
        X_T,
        [[5, 1, 1, 0, 0], [1, 0, 0, 0, 0], [2, 6, 1, 1, 1]],
        ["", "[UNK]", "the", "it)", "foo!", "foo", "end", "caté", "bar,", "THE", "Foo", "(of"],
    ),
    (
        dict(standardize="lower"),
        T,
        X_T,
        [[3, 1, 1, 0, 0], [1, 0, 0, 0, 0], [2, 6, 1, 1, 1]],
        ["", "[UNK]", "the", "foo", "it)", "foo!", "end", "caté", "bar,", "(of"],
    ),
    (
        dict(standardize="strip_punctuation"),
        T,
        X_T,
        [[2, 1, 7, 0, 0], [1, 0, 0, 0, 0], [3, 6, 4, 5, 1]],
        ["", "[UNK]", "foo", "the", "of", "it", "end", "caté", "bar", "THE", "Foo"],
    ),
    (
        dict(split=None),
        T,
        X_T,
        [1, 1, 1],
        ["", "[UNK]", "the  caté foo", "the\tend of it", "foo bar foo"],
    ),
    (
        dict(output_sequence_length=2),
        T,
        X_T,
        [[2, 8], [1, 0], [3, 6]],
        ["", "[UNK]", "foo", "the", "of", "it", "end", "caté", "bar"],
    ),
    (
        dict(output_sequence_length=7),
        T,
        X_T,
        [[2, 8, 7, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0], [3, 6, 4, 5, 1, 0, 0]],
        ["", "[UNK]", "foo", "the", "of", "it", "end", "caté", "bar"],
    ),
    (
        dict(max_tokens=5),
        T,
        X_T,
        [[2, 1, 1, 0, 0], [1, 0, 0, 0, 0], [3, 1, 4, 1, 1]],
        ["", "[UNK]", "foo", "the", "of"],
    ),
    (
        dict(max_tokens=5, output_mode="count"),
        T,
        X_T,
        [[2, 1, 0, 0, 0], [1, 0, 0, 0, 0], [2, 0, 1, 1, 1]],
        ["[UNK]", "foo", "the", "of", "it"],
    ),
    (
        dict(vocabulary=["foo", "the"]),
        None,
        X_T,
        [[2, 1, 1, 0, 0], [1, 0, 0, 0, 0], [3, 1, 1, 1, 1]],
        ["", "[UNK]", "foo", "the"],
    ),
    (
        dict(vocabulary=["", "[UNK]", "foo", "the"]),
        None,
        X_T,
        [[2, 1, 1, 0, 0], [1, 0, 0, 0, 0], [3, 1, 1, 1, 1]],
        ["", "[UNK]", "foo", "the"],
    ),
    (
        dict(vocabulary=["foo", "the"], output_mode="tf_idf", idf_weights=[0.5, 0.2]),
        None,
        X_T,
        [[0.7, 0.5, 0.0], [0.35, 0.0, 0.0], [1.4, 0.0, 0.2]],
        ["[UNK]", "foo", "the"],
    ),
    (
        dict(),
        T,
        [["foo"], ["the"]],
        [[2], [3]],
        ["", "[UNK]", "foo", "the", "of", "it", "end", "caté", "bar"],
    ),
    (
        dict(split=None, output_sequence_length=3),
        T,
        [["foo"], ["the"]],
        [[1, 0, 0], [1, 0, 0]],
        ["", "[UNK]", "the  caté foo", "the\tend of it", "foo bar foo"],
    ),
    (dict(), T, "foo the", [2, 3], ["", "[UNK]", "foo", "the", "of", "it", "end", "caté", "bar"]),
]

# (arguments, input, expected)
HASHING = [
    (
        dict(num_bins=3),
        [["A"], ["B"], ["a much longer string than the others, of more than sixty-four bytes, é"]],
        [[1], [0], [1]],
    ),
    (
        dict(num_bins=50),
        [["A"], ["B"], ["a much longer string than the others, of more than sixty-four bytes, é"]],
        [[14], [28], [25]],
    ),
    (
        dict(num_bins=50, salt=1337),
        [["A"], ["B"], ["a much longer string than the others, of more than sixty-four bytes, é"]],
        [[30], [27], [14]],
    ),
    (
        dict(num_bins=50, salt=[1, 2]),
        [["A"], ["B"], ["a much longer string than the others, of more than sixty-four bytes, é"]],
        [[0], [31], [26]],
    ),
    (
        dict(num_bins=5, mask_value="B"),
        [["A"], ["B"], ["a much longer string than the others, of more than sixty-four bytes, é"]],
        [[1], [0], [2]],
    ),
    (
        dict(num_bins=4, output_mode="one_hot"),
        [["A"], ["B"], ["a much longer string than the others, of more than sixty-four bytes, é"]],
        [[1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]],
    ),
    (
        dict(num_bins=4, output_mode="multi_hot"),
        [["A"], ["B"], ["a much longer string than the others, of more than sixty-four bytes, é"]],
        [[1.0, 0.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]],
    ),
    (
        dict(num_bins=4, output_mode="count", salt=3),
        [["A"], ["B"], ["a much longer string than the others, of more than sixty-four bytes, é"]],
        [[0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]],
    ),
    (dict(num_bins=50), [[1, 22], [-7, 1000000000000]], [[49, 40], [12, 12]]),
    (dict(num_bins=50, salt=3), [[1, 22], [-7, 1000000000000]], [[18, 4], [47, 39]]),
    (dict(num_bins=50, mask_value=-7), [[1, 22], [-7, 1000000000000]], [[34, 44], [0, 13]]),
    (
        dict(num_bins=4, output_mode="one_hot"),
        [[1, 22], [-7, 1000000000000]],
        [
            [[0.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]],
            [[0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]],
        ],
    ),
    (
        dict(num_bins=4, output_mode="count"),
        [[1, 22], [-7, 1000000000000]],
        [[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0]],
    ),
    (dict(num_bins=50), [[1.7, -2.5]], [[49, 5]]),
]


def made(name, kw, adapt):
    if isinstance(kw.get("ngrams"), list):
        kw = {**kw, "ngrams": tuple(kw["ngrams"])}
    layer = getattr(layers, name)(**kw)
    if adapt is not None:
        layer.adapt(adapt if name == "TextVectorization" else np.array(adapt))
    return layer


TABLE = [
    (name, *row)
    for name, rows in (
        ("StringLookup", STRINGLOOKUP),
        ("IntegerLookup", INTEGERLOOKUP),
        ("TextVectorization", TEXTVECTORIZATION),
    )
    for row in rows
]


@pytest.mark.parametrize("name, kw, adapt, x, expected, vocabulary", TABLE)
def test_lookups(name, kw, adapt, x, expected, vocabulary):
    layer = made(name, kw, adapt)
    assert layer.get_vocabulary() == vocabulary
    y = layer(np.array(x))
    if kw.get("invert") and name == "StringLookup":
        assert y.tolist() == expected
        return
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-5)
    vectors = kw.get("output_mode", "int") != "int"
    assert y.dtype is (torch.float32 if vectors else torch.int64)
    # the same from lists, from a config, and for the shape without numbers
    np.testing.assert_array_equal(layer(x).numpy(), y.numpy())
    again = type(layer).from_config(layer.get_config())
    if adapt is not None:
        again.set_vocabulary(layer.get_vocabulary(), None if not has_idf(layer) else idf(layer))
    np.testing.assert_array_equal(again(x).numpy(), y.numpy())
    if np.ndim(x):
        symbolic = layer(layers.Input(np.shape(x)[1:], dtype=kind(name)))
        assert symbolic.dtype == str(y.dtype).removeprefix("torch.")
        if np.ndim(x) > 1 or name == "TextVectorization":
            assert all(a in (None, b) for a, b in zip(symbolic.shape[1:], y.shape[1:], strict=True))


def kind(name):
    return "int64" if name == "IntegerLookup" else "string"


def has_idf(layer):
    return layer.output_mode == "tf_idf"


def idf(layer):
    inner = getattr(layer, "_lookup_layer", layer)
    return inner._idf.numpy()[: len(layer.get_vocabulary())]


@pytest.mark.parametrize("kw, x, expected", HASHING)
def test_hashing(kw, x, expected):
    layer = layers.Hashing(**kw)
    y = layer(np.array(x))
    np.testing.assert_array_equal(y.numpy(), expected)
    assert y.dtype is (torch.float32 if "output_mode" in kw else torch.int64)
    again = layers.Hashing.from_config(layer.get_config())
    np.testing.assert_array_equal(again(x).numpy(), expected)
    assert layer.compute_output_shape(np.shape(x)) == tuple(y.shape)


CROSSED = (["A", "B", "A", "B", "A"], [101, 101, 101, 102, -3])


@pytest.mark.parametrize(
    "features, bins, expected",
    [
        (CROSSED, 5, [1, 4, 1, 1, 0]),
        (CROSSED, 97, [87, 83, 87, 85, 24]),
        ((*CROSSED, CROSSED[0]), 97, [31, 40, 31, 50, 54]),
    ],
)
def test_hashed_crossing(features, bins, expected):
    features = [np.array(f) for f in features]
    layer = layers.HashedCrossing(num_bins=bins)
    assert layer(features).tolist() == expected
    columns = [f[:, None] for f in features]
    assert layer(columns).tolist() == [[n] for n in expected]
    vectors = layers.HashedCrossing(num_bins=bins, output_mode="one_hot")(columns)
    assert vectors.shape == (5, bins) and vectors.argmax(1).tolist() == expected
    inputs = [layers.Input((1,), dtype=d) for d in ("string", "int64", "string")[: len(features)]]
    assert layer(inputs).shape == (None, 1)


# (length of a string of letters, FarmHash, SipHash with the key (7, 2**40 + 3)) modulo 2**31 - 1
HASHES = [
    ("", 1699943623, 313311411),
    ("m", 997893289, 801540359),
    ("add", 61743735, 1065134050),
    ("hjtv", 1580804149, 2094013072),
    ("oyrfzni", 1193562581, 776150950),
    ("jutqtfpp", 1510975247, 1312960751),
    ("asdyrttto", 417108939, 79972518),
    ("rsecqdcknqhvjaks", 1394455221, 562196442),
    ("lxczcddsodursojbe", 1851539243, 1621042295),
    ("ubfzxbtvxtwwhjrjwatyeruvqdkbuee", 1336239121, 38606226),
    ("qqpknilugjpdtmsrkcbldmebrahyedfg", 1433179687, 739764391),
    ("dczibeayntjvfbhiwuhdvmdguhtafljth", 898921321, 1854100862),
    ("yvoabzvbezmismytdkhuoioddrxvvmnhpohtknsblsozfyyisclmliermrkqklc", 1023769261, 2095151423),
    ("kmrhqkczplotujdqangedtrqhylwciizgubyvetlfhwkwjttsxtzzfznpytmyvlz", 87365318, 411220391),
    ("aohabwpnwlpekvhklwarmlwpwucckeetmrqpggqjnyjvcjoyeuaknlcfhxrdpcqts", 468749416, 1182810276),
    (
        "aysgxmpxyqsnbwdghzuqycktcyagngzpfnjxtwynvncyjbnuazoehqjmreqqzqdiwcazgvwzreeczlkclmujdtgkqizfpfsaeafs",
        52384266,
        590681000,
    ),
    (
        "xbwtgqrfphelbyceklriadccnrmuhjxgwtyonaueaessdzpywcxbvkuijpnyptogfdlgdknrjoisdfxcottzfxmoqbxygdwboaljdoamuznottwrgpbnwlazwooeyfk",
        1128684100,
        349673253,
    ),
    (
        "deuuflnmhyfzkdcblqhruouqhsvwedrqjjcgxmqrixoyexjgiyrjzbeajowcfhssypgqsdrffcbyvkckcbalzlwhdriifabjeorreantzhgndebmtibbxwzydkiumnmy",
        1534486146,
        2047275552,
    ),
    (
        "cqzfxpwblggrlumeipftptcuymntbgqtepfwgkjwttvjkjnjbvxtacveiarxarhhwvqkwczsjsuzmpvkgvlsfvwwlrirvtcpqqjztamrpvgmrewoerqprapchncnsdbwu",
        467962388,
        1927674217,
    ),
    (
        "ilcnosqdahdxbvvxqddgarxgihsmgbiezfyszbtbomdyixjuhlmrdaaoltyltrezwwwbnbixpqgwlmdmdkmyclibteuttduhknzdsprsdjkswfxpwxnrlzcokdibhsmsxiatmjlkmkg",
        1310164196,
        393682665,
    ),
    (
        "wmhmujedymhnzsyzbcmvdrgmbivzpdtxwevvctifztmekzgsilkfvimjjylhbjgyxifoxqiolpiptspfhhwqtoczlpukvkjrzrqleekasmdqycliyfkjsmlgqegpvkkhwybazyuevmoubtfthoyjrrcochjllpvpwaijvefkcpgvwwrsdsfjcjstaakjvxd",
        5566986,
        593636761,
    ),
    (
        "ybswavuaviogscdwsoshygaiqlyqjjehhhaoodmskeofpvsnuiqqrmujkobtiidfymcmtpiqfialqqvfkolmzhhiqhpcurkghjkppsnwtkndjownnjzrfetzerjqraqvjefsqguouciozgxxwwpaxnvmkykljzmiqyhkouaalxfaxmcsaglwxsbjfednlmjlnxffuutjffzndtotwzckwhegeiaypyswdpwoksesovafeimmfjbxqpgccwasmpvz",
        228776576,
        91478361,
    ),
    ("é", 2146984076, 434745382),
    ("日本", 1328783519, 270854347),
]


def test_hashes_are_those_of_keras_for_every_branch_of_length():
    words, fast, strong = zip(*HASHES, strict=True)
    bins = np.uint64(2**31 - 1)
    assert (fingerprint64(words) % bins).tolist() == list(fast)
    assert (siphash64(words, (7, 2**40 + 3)) % bins).tolist() == list(strong)


def test_siphash_is_that_of_its_paper():
    key = (0x0706050403020100, 0x0F0E0D0C0B0A0908)
    word = "".join(map(chr, range(15)))
    assert siphash64([word], key).tolist() == [0xA129CA6149BE45E5]
