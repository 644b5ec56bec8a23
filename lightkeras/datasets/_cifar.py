"""CIFAR-10 and CIFAR-100: pickled batches in the folder that torchvision uses."""

from __future__ import annotations

import hashlib

import numpy as np

from lightkeras import config
from lightkeras.datasets._files import damaged, find_all, roots, unpickle
from lightkeras.utils._archive import extract
from lightkeras.utils._download import fetch, locked

__all__ = ["find", "load"]


def find(folder, md5s, url, digest):
    """Folder with all batches, fetched and unpacked if need be."""
    found = find_all(folder, md5s)
    if found is None:
        archive = fetch(url, roots()[0] / url.rpartition("/")[2], ("sha256", digest))
        with locked(roots()[0] / folder):
            found = find_all(folder, md5s)  # another process may have been faster
            if found is None:
                extract(archive, roots()[0], ("tar",))
                found = roots()[0] / folder
    return found


def load(folder, md5s, label_key):
    """Images and labels of the batches `md5s`, joined.

    Shape:
        images `(n, 32, 32, 3)`, or `(n, 3, 32, 32)` where channels come first; labels `(n, 1)`.
    """
    batches = [_read(folder / name, md5, label_key) for name, md5 in md5s.items()]
    images = np.concatenate([images for images, _ in batches])  # (n, 3, 32, 32)
    labels = np.concatenate([labels for _, labels in batches])  # (n,)
    if config.image_data_format() == "channels_last":
        images = np.ascontiguousarray(images.transpose(0, 2, 3, 1))  # (n, 32, 32, 3)
    return images, labels[:, None]


def _read(path, md5, label_key):
    # The bytes that were checked are the bytes that are read. A pickle has no checksum, and
    # torchvision's reader, after the same check, would build whatever the pickle names.
    raw = path.read_bytes()
    found = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    if found != md5:
        raise damaged(path, f"its MD5 is {found}, that of the published file {md5}")
    try:
        batch = unpickle(raw)
        images = batch[b"data"].reshape(-1, 3, 32, 32)
        labels = np.array(batch[label_key.encode()])
        if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
            raise ValueError(f"{len(images)} images, {labels.size} labels")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise damaged(path, error) from error
    return images, labels
