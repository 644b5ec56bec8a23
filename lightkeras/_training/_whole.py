"""Losses and metrics of a batch as a whole, where each process has a part of it.

What is a mean or a sum over rows needs no more than the part. The root of a mean, a maximum, a
correlation along the batch need the whole: they are given targets, outputs and weights of all
processes. Which of them do is tried out on a few rows before the first step.
"""

from __future__ import annotations

import copy
import math

import torch
import torch.distributed as dist

from lightkeras import _ranks
from lightkeras._ranks import gather, rank, sharing, world
from lightkeras._tree import flatten
from lightkeras.losses import circle
from lightkeras.metrics import MeanMetricWrapper, TorchMetric

__all__ = ["Whole"]

_ROWS, _CUT = 16, 5  # of a trial, and where it is divided
_MINE = "lightkeras."


class Whole:
    """The losses and metrics of a model that are given whole batches, though it trains on parts.

    Args:
        model: A compiled model, whose losses and metrics may not have been made yet.
        weighted: Whether there are sample weights.
    """

    def __init__(self, model, weighted):
        self.compiled, self.weighted = model._compiled, weighted
        self.metrics = []  # each process adds the same to them
        self.joined = {}  # id of a tensor -> itself, and that of all processes
        self.changed = []
        self.compiled.on_bound = self._look
        if self.compiled.parts is not None:
            self._look()

    def _look(self):
        """Put what gives whole batches in the place of the losses and metrics that need them."""
        compiled = self.compiled
        _, y, y_pred = compiled.bound_to
        targets = compiled.outputs.aligned(y, "y")
        outputs = zip(compiled.parts, targets, flatten(y_pred), compiled.masked, strict=True)
        for part, true, pred, masked in outputs:
            judges = [part.loss, *part.metrics, *part.weighted_metrics]
            weighted = [self.weighted and judge not in part.metrics for judge in judges]
            needs = [_needs_whole(j, true, pred, w) for j, w in zip(judges, weighted, strict=True)]
            needs[0] |= masked and not _is_ours(part.loss, is_metric=False)  # one number, masked
            needs = [any(found) for found in zip(*gather(needs), strict=True)]
            self.changed.append((part, part.loss, part.metrics, part.weighted_metrics))
            put = [_OfWhole(j, self) if n else j for j, n in zip(judges, needs, strict=True)]
            plain = 1 + len(part.metrics)
            part.loss, part.metrics, part.weighted_metrics = put[0], put[1:plain], put[plain:]
            self.metrics += [j for j, n in zip(judges[1:], needs[1:], strict=True) if n]

    def end(self):
        """Put all back as it was."""
        self.compiled.on_bound = None
        for part, *given in self.changed:
            part.loss, part.metrics, part.weighted_metrics = given
        self.changed, self.joined = [], {}

    def begin_batch(self):
        """What has been joined was of another batch."""
        self.joined.clear()

    def join(self, tensor):
        """A tensor of the rows of all processes, in their order."""
        if not isinstance(tensor, torch.Tensor) or tensor.ndim == 0:
            return tensor
        if id(tensor) not in self.joined:
            whole, mask = _joined(tensor), getattr(tensor, "_keras_mask", None)
            if mask is not None and not getattr(mask, "_beside", False):
                whole._keras_mask = _joined(mask)
            self.joined[id(tensor)] = tensor, whole
        return self.joined[id(tensor)][1]


class _OfWhole:
    """A loss or metric that is given whole batches; in a copy or a file it is the one inside."""

    def __init__(self, judge, whole):
        self.judge, self.whole = judge, whole

    def __call__(self, *args):
        return self._on_all(self.judge, args)

    def update_state(self, *args):
        self._on_all(self.judge.update_state, args)

    def _on_all(self, function, args):
        if _ranks.share is None:  # a batch of this process alone
            return function(*args)
        args = [self.whole.join(tensor) for tensor in args]
        with sharing(None):
            return function(*args)

    def __getattr__(self, name):
        return getattr(self.judge, name)

    def __reduce__(self):
        return _itself, (self.judge,)


def _itself(judge):
    return judge


# ---- all rows -----------------------------------------------------------------------------------


def _joined(tensor):
    """The rows of all processes; what is derived from them leads back to those of this one."""
    mine = tensor if _ranks.share else tensor[:0]  # rows may be borrowed
    parts = _exchanged(mine.detach())
    # The engine weighs gradients by rows, and each process has that of its own rows alone.
    parts[rank()] = _Times.apply(mine, 1 / (_ranks.share or 1.0))
    return torch.cat(parts)


def _exchanged(mine):
    """The tensors of all processes, which differ in their number of rows."""
    counts = [torch.zeros(1, dtype=torch.int64, device=mine.device) for _ in range(world())]
    dist.all_gather(counts, torch.tensor([len(mine)], device=mine.device))
    counts = [int(count) for count in counts]
    row = mine.element_size() * math.prod(mine.shape[1:])  # in bytes, so that any dtype can be sent
    sent = torch.zeros(max(counts) * row, dtype=torch.uint8, device=mine.device)
    sent[: len(mine) * row] = mine.reshape(-1).clone().view(torch.uint8)
    parts = [torch.empty_like(sent) for _ in counts]
    dist.all_gather(parts, sent)
    return [
        part[: count * row].view(mine.dtype).reshape(count, *mine.shape[1:])
        for part, count in zip(parts, counts, strict=True)
    ]


class _Times(torch.autograd.Function):
    """A tensor as it is, with a factor for its gradient."""

    @staticmethod
    def forward(ctx, tensor, factor):
        ctx.factor = factor
        return tensor.view_as(tensor)

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.factor, None


# ---- who needs them -----------------------------------------------------------------------------


def _needs_whole(judge, y, y_pred, weighted):
    """Whether a loss or metric of parts of a batch does not lead to that of the batch."""
    if judge is None:
        return False
    is_metric = hasattr(judge, "update_state")
    if isinstance(judge, TorchMetric) or _is_ours(judge, is_metric):
        return False  # these know of parts
    if y is None or getattr(judge, "fn", None) is circle:
        return True
    differs = _metric_differs if is_metric else _loss_differs
    before = torch.get_rng_state()
    try:
        with torch.no_grad():
            told = [differs(judge, *rows) for rows in _trials(y, y_pred, weighted)]
    finally:
        torch.set_rng_state(before)
    return any(told) or all(answer is None for answer in told)


def _is_ours(judge, is_metric):
    """Whether it is made of nothing but ours, which is right for parts of batches."""
    if is_metric:
        return type(judge).__module__.startswith(_MINE) and not isinstance(judge, MeanMetricWrapper)
    made_of = (type(judge), getattr(judge, "fn", type(judge)))
    return circle not in made_of and all(
        (getattr(one, "__module__", None) or "").startswith(_MINE) for one in made_of
    )


def _trials(y, y_pred, weighted):
    """Targets, outputs and weights of a few rows: yes and no, rates, numbers of any sign."""
    generator = torch.Generator("cpu").manual_seed(1)

    def rows(like, draw):
        values = draw(_ROWS, *like.shape[1:], generator=generator, device="cpu")
        return values.to(like.device, like.dtype)

    def yes_or_no(*shape, **options):
        return torch.rand(*shape, **options).round()

    pairs = [(yes_or_no, torch.rand), (yes_or_no, torch.randn)]
    if y.is_floating_point():
        pairs += [(torch.rand, torch.rand), (torch.randn, torch.randn)]
    for draw_y, draw_pred in pairs:
        yield rows(y, draw_y), rows(y_pred, draw_pred)
        if weighted:
            yield rows(y, draw_y), rows(y_pred, draw_pred), rows(y_pred.flatten()[:1], torch.rand)


def _parts(rows):
    """(part of the whole, its rows) of two parts."""
    cut = zip(*(tensor.split([_CUT, _ROWS - _CUT]) for tensor in rows), strict=True)
    return [(len(part[0]) / _ROWS, part) for part in cut]


def _loss_differs(loss, *rows):
    """Whether a mean of parts is not the loss of the whole; None where there is no telling."""
    try:
        whole = loss(*rows)
    except Exception:
        return None
    try:
        total = 0.0
        for share, part in _parts(rows):
            with sharing(share):
                total = total + share * loss(*part)
    except Exception:
        return True
    return _differ([whole], [total])


def _metric_differs(metric, *rows):
    """Whether sums of parts are not those of the whole; None where there is no telling."""
    try:
        whole, *others = [copy.deepcopy(metric) for _ in range(3)]
        for one in (whole, *others):
            one.reset_state()
        whole.update_state(*rows)
    except Exception:
        return None
    try:
        for one, (share, part) in zip(others, _parts(rows), strict=True):
            with sharing(share):
                one.update_state(*part)
        others[0]._merge([one._local_state() for one in others])
    except Exception:
        return True
    return not whole.variables or _differ(whole.variables, others[0].variables)


def _differ(whole, parts):
    """Whether numbers differ by more than rounding; None where none of them is finite."""
    whole, parts = ([torch.as_tensor(v).double().flatten() for v in vs] for vs in (whole, parts))
    if [len(v) for v in whole] != [len(v) for v in parts]:
        return True
    whole, parts = torch.cat(whole), torch.cat(parts)
    finite = whole.isfinite() & parts.isfinite()
    if not finite.any():
        return None
    return not torch.allclose(whole[finite], parts[finite], rtol=1e-4, atol=1e-6)
