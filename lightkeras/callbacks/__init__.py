"""What happens around epochs and batches: stopping, saving, logging, learning rates."""

from lightkeras._older import old_names
from lightkeras.callbacks._base import Callback, CallbackList
from lightkeras.callbacks.backup import BackupAndRestore
from lightkeras.callbacks.checkpoint import ModelCheckpoint
from lightkeras.callbacks.early_stopping import EarlyStopping, TerminateOnNaN
from lightkeras.callbacks.history import History
from lightkeras.callbacks.lambda_callback import LambdaCallback
from lightkeras.callbacks.learning_rate import LearningRateScheduler, ReduceLROnPlateau
from lightkeras.callbacks.loggers import CSVLogger, ProgbarLogger, RemoteMonitor
from lightkeras.callbacks.swap_ema import SwapEMAWeights
from lightkeras.callbacks.tensorboard import TensorBoard

__all__ = [
    "BackupAndRestore",
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
    "ModelCheckpoint",
    "ProgbarLogger",
    "ReduceLROnPlateau",
    "RemoteMonitor",
    "SwapEMAWeights",
    "TensorBoard",
    "TerminateOnNaN",
]

__getattr__ = old_names(__name__)
