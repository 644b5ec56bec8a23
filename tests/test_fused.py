"""Gradients that compiled steps compute in another way than torch's kernels: the same numbers."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from lightkeras.models._fused import REWRITTEN

POOLS = [  # size of the image, arguments of max_pool2d, whether it is written anew
    ((8, 6), {"kernel_size": 2}, True),
    ((6, 9), {"kernel_size": (2, 3), "stride": (2, 3)}, True),
    ((9, 9), {"kernel_size": 3}, True),
    ((7, 8), {"kernel_size": 2}, False),
    ((7, 8), {"kernel_size": 2, "ceil_mode": True}, False),
    ((8, 8), {"kernel_size": 3, "stride": 2}, False),
    ((8, 8), {"kernel_size": 2, "padding": 1}, False),
    ((8, 8), {"kernel_size": 2, "dilation": 2}, False),
    ((8, 8), {"kernel_size": 4}, False),
]
SIZES = [  # from, to, whether it is written anew
    ((4, 5), (8, 10), True),
    ((4, 5), (12, 15), True),
    ((4, 5), (8, 15), True),
    ((3, 3), (8, 8), False),
    ((4, 4), (2, 2), False),
    ((4, 5), (16, 20), False),
]
LAYOUTS = [torch.contiguous_format, torch.channels_last]


def graph_of(gradient, x):
    """(whether the graph of `gradient` has none of torch's kernels, what it gives)."""
    from torch.fx.experimental.proxy_tensor import make_fx

    graph = make_fx(gradient, REWRITTEN)(x)
    targets = {node.target for node in graph.graph.nodes}
    return targets.isdisjoint(REWRITTEN), graph(x)


@pytest.mark.parametrize("layout", LAYOUTS, ids=["rows", "channels_last"])
@pytest.mark.parametrize("size, arguments, anew", POOLS)
def test_pooling(size, arguments, anew, layout):
    def gradient(x):
        x = x.detach().requires_grad_()
        y = F.max_pool2d(x, **arguments)
        return torch.autograd.grad((y * torch.arange(1.0, y.numel() + 1).view(y.shape)).sum(), x)[0]

    torch.manual_seed(0)
    x = torch.randint(0, 3, (2, 5, *size)).float().to(memory_format=layout)  # with equal values
    changed, got = graph_of(gradient, x)
    wanted = gradient(x)
    assert changed == anew
    assert got.stride() == wanted.stride()
    torch.testing.assert_close(got, wanted, rtol=0, atol=0)


@pytest.mark.parametrize("layout", LAYOUTS, ids=["rows", "channels_last"])
@pytest.mark.parametrize("small, large, anew", SIZES)
def test_enlarging(small, large, anew, layout):
    weights = torch.randn(2, 5, *large).to(memory_format=layout)

    def gradient(x):
        x = x.detach().requires_grad_()
        y = F.interpolate(x, size=large, mode="nearest-exact")
        return torch.autograd.grad((y * weights).sum(), x)[0]

    x = torch.randn(2, 5, *small).to(memory_format=layout)
    changed, got = graph_of(gradient, x)
    wanted = gradient(x)
    assert changed == anew
    assert got.stride() == wanted.stride()
    torch.testing.assert_close(got, wanted, rtol=0, atol=0)


def test_numbers_are_held_where_nothing_changes_them():
    """A number that is changed through a view is used as it is then."""
    from torch.fx.experimental.proxy_tensor import make_fx

    from lightkeras.models._fused import keep_fused

    def step(x, count):
        power, other = 0.9**count, count * 2.0
        other.view(1).add_(1.0)
        return x * power, x + other, other

    x, count = torch.arange(20.0), torch.tensor(3.0, dtype=torch.float64)
    graph = make_fx(step)(x, count)
    keep_fused(graph)
    held = [n for n in graph.graph.nodes if n.target is torch.ops.aten.amax.default]
    assert len(held) == 1  # of the power
    for got, wanted in zip(graph(x, count), step(x, count), strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=0)
