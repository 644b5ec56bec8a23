"""Sequences of different lengths into one array."""

from lightkeras.utils import pad_sequences

__all__ = ["pad_sequences"]
