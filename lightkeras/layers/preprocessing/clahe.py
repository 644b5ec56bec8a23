"""`ContrastLimitedAdaptiveHistogramEqualization`: contrast that is raised part by part."""

from __future__ import annotations

import torch

from lightkeras.layers.preprocessing._image import ImageLayer, rescale, value_limits

__all__ = ["ContrastLimitedAdaptiveHistogramEqualization"]

_BYTES = (0, 255)


class ContrastLimitedAdaptiveHistogramEqualization(ImageLayer):
    """Raises the contrast of each part of an image, but not that of noise.

    Images are cut into tiles; each has a curve from old values to new ones, that would make all
    values equally frequent, up to a limit. Between tiles the curves are mixed. In training and in
    inference alike. The numbers are those of Keras on TensorFlow: on torch it rounds the limit off.

    Args:
        value_range: Smallest and largest value of a pixel.
        clip_limit: How much more frequent than the mean a value may count; 0 for no limit.
        tile_grid_size: Number of tiles, (rows, columns).
        data_format: "channels_last" or "channels_first".

    Raises:
        ValueError: the range or the number of tiles is none.

    Source: Zuiderveld, Contrast limited adaptive histogram equalization (1994).

    >>> layer = ContrastLimitedAdaptiveHistogramEqualization(tile_grid_size=(2, 2))
    >>> tuple(layer(torch.rand(2, 8, 8, 3) * 255).shape)
    (2, 8, 8, 3)
    """

    _keeps_ints = True

    def __init__(
        self,
        value_range=(0, 255),
        clip_limit=4.0,
        tile_grid_size=(8, 8),
        data_format=None,
        **kwargs,
    ):
        super().__init__(data_format=data_format, **kwargs)
        self.value_range, self.clip_limit = value_limits(self, value_range), clip_limit
        grid = tile_grid_size if isinstance(tile_grid_size, (tuple, list)) else ()
        if len(grid) != 2 or not all(type(n) is int and n > 0 for n in grid):
            raise ValueError(
                f"{type(self).__name__}(tile_grid_size={tile_grid_size!r}) is no number of tiles. "
                "Two whole numbers above zero are accepted. Type tile_grid_size=(8, 8)."
            )
        self.tile_grid_size = tuple(grid)

    def _augment(self, x, drawn, masks=False):
        return self._rest(x, masks)

    def _rest(self, x, masks=False):
        if masks:
            return x
        values = rescale(x.float(), self.value_range, _BYTES)
        sizes = [-(-n // tiles) for n, tiles in zip(x.shape[2:], self.tile_grid_size, strict=True)]
        bytes_ = _filled(values, sizes, self.tile_grid_size).clamp(0, 255).long()
        curves = self._curves(bytes_, sizes)
        y = _mixed(curves, bytes_, sizes, self.tile_grid_size)
        return rescale(y[:, :, : x.shape[2], : x.shape[3]], _BYTES, self.value_range)

    def _curves(self, x, sizes):
        """The new value of each byte in each tile: (batch, channels, rows, columns, 256)."""
        (rows, columns), area = self.tile_grid_size, sizes[0] * sizes[1]
        tiles = x.view(*x.shape[:2], rows, sizes[0], columns, sizes[1]).transpose(3, 4).flatten(4)
        counts = torch.zeros(*tiles.shape[:-1], 256, device=x.device)
        counts.scatter_add_(-1, tiles, torch.ones((), device=x.device).expand(tiles.shape))
        if self.clip_limit > 0:
            clipped = counts.clamp(max=self.clip_limit * area / 256)
            counts = clipped + (counts - clipped).sum(-1, keepdim=True) / 256
        below = counts.cumsum(-1)
        least = below[..., :1]
        span = area - least
        return ((below - least) * 255 / torch.where(span == 0, 1.0, span)).clamp(0, 255)


def _filled(x, sizes, grid):
    """Images mirrored at the right and the bottom, so that tiles fit in."""
    for axis, size, tiles in zip((2, 3), sizes, grid, strict=True):
        length = x.shape[axis]
        at = torch.arange(size * tiles, device=x.device) % (2 * length)
        x = x.index_select(axis, torch.minimum(at, 2 * length - 1 - at))
    return x


def _mixed(curves, x, sizes, grid):
    """Values by the curves of the four nearest tiles, those at the border repeated."""
    (y0, y1, down), (x0, x1, right) = (
        _between(n, size, tiles, curves.device)
        for n, size, tiles in zip(x.shape[2:], sizes, grid, strict=True)
    )
    batch, channels = x.shape[:2]
    flat = curves.reshape(batch * channels, -1)
    at = x.reshape(batch * channels, *x.shape[2:])

    def by(rows, columns):
        tile = (rows[:, None] * grid[1] + columns) * 256
        return flat.gather(1, (tile + at).flatten(1)).view(x.shape)

    top = by(y0, x0) * (1 - right) + by(y0, x1) * right
    bottom = by(y1, x0) * (1 - right) + by(y1, x1) * right
    return top * (1 - down[:, None]) + bottom * down[:, None]


def _between(length, size, tiles, device):
    """The tiles before and after each place, and how far it is to the second one."""
    at = (torch.arange(length, device=device) - size / 2) / size
    first = at.floor()
    ends = (first.long().clamp(0, tiles - 1), (first.long() + 1).clamp(0, tiles - 1))
    return *ends, at - first
