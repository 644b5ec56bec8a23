"""The names under which Keras 2.11 to 2.15 kept its older optimizers: they are those of today.

Keras 3 has only an error there. The older classes followed the same formulas, and `lr` and
`decay` are understood everywhere.
"""

from lightkeras._older import old_names
from lightkeras.optimizers._adam import Adam, Adamax, Nadam
from lightkeras.optimizers._adaptive import Adadelta, Adagrad, Ftrl, RMSprop
from lightkeras.optimizers._optimizer import Optimizer
from lightkeras.optimizers._sgd import SGD

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "Adamax",
    "Ftrl",
    "Nadam",
    "Optimizer",
    "RMSprop",
]

__getattr__ = old_names(__name__)
