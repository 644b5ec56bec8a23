"""Connectionist temporal classification: labels that are not aligned with the steps.

Source: Graves et al., Connectionist Temporal Classification, 2006.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lightkeras._dtypes import result_type, torch_dtype
from lightkeras._registry import unknown
from lightkeras.ops._op import family

__all__ = ["ctc_decode", "ctc_loss"]

op = family("nn")


def _wide(x):
    return x.to(torch_dtype(result_type(x.dtype, "float32")))


@op("target", "output", "target_length", "output_length", keras="CTCLoss")
def ctc_loss(target, output, target_length, output_length, mask_index=0):
    """How unlikely the labels are, over all ways to align them with the steps.

    Args:
        target: Labels, filled up with anything.
        output: Logits of the labels at each step.
        target_length: How many labels count.
        output_length: How many steps count.
        mask_index: The label that means "none here".

    Shape: `(batch, labels)`, `(batch, time, classes)`, twice `(batch,)` -> `(batch,)`

    Raises:
        ValueError: the ranks are others.
    """
    if target.ndim != 2 or output.ndim != 3:
        raise ValueError(
            f"ctc_loss() got target of shape {tuple(target.shape)} and output of shape "
            f"{tuple(output.shape)}. Labels (batch, labels) and logits (batch, time, classes) are "
            "accepted. Use return_sequences=True in the last recurrent layer."
        )
    log_p = _wide(output).transpose(0, 1).log_softmax(-1)  # (time, batch, classes)
    lengths = output_length.long(), target_length.long()
    return F.ctc_loss(log_p, target.long(), *lengths, mask_index, reduction="none")


@op("inputs", "sequence_lengths", keras="CTCDecode")
def ctc_decode(
    inputs,
    sequence_lengths,
    strategy="greedy",
    beam_width=100,
    top_paths=1,
    merge_repeated=True,
    mask_index=0,
):
    """The likely labels: (labels, filled up with -1; how likely they are).

    Args:
        inputs: Logits of the labels at each step.
        sequence_lengths: How many steps count.
        strategy: "greedy", the likeliest label of each step, or "beam_search", the likeliest
            sequence of labels, as far as `beam_width` can see.
        beam_width: How many sequences are kept from step to step.
        top_paths: How many sequences come out of "beam_search".
        merge_repeated: Whether "greedy" takes the same label in neighbouring steps for one.
        mask_index: The label that means "none here"; None for the last one.

    Shape:
        `(batch, time, classes)`, `(batch,)` -> `(top_paths, batch, time)`, int32, and
        `(batch, top_paths)`: the sum of `-inputs` of "greedy", a log-probability of "beam_search"

    Raises:
        ValueError: nobody knows the strategy.

    >>> logits = [[[0.0, 9.0, 0.0], [0.0, 9.0, 0.0], [9.0, 0.0, 0.0], [0.0, 0.0, 9.0]]]
    >>> ctc_decode(logits, [4])[0].tolist()
    [[[1, 2, -1, -1]]]
    """
    if strategy not in ("greedy", "beam_search"):
        raise unknown("strategy of ctc_decode", strategy, ["greedy", "beam_search"])
    inputs, blank = _wide(inputs), mask_index
    blank = inputs.shape[-1] - 1 if blank is None else blank
    if strategy == "greedy":
        return _greedy(inputs, sequence_lengths, merge_repeated, blank)
    log_p, steps = inputs.detach().log_softmax(-1), inputs.shape[1]
    found = [
        _beam_search(rows[: max(length, 1)], blank, beam_width, top_paths)
        for rows, length in zip(log_p, sequence_lengths.tolist(), strict=True)
    ]
    none = [-1] * steps
    labels = [[[*p, *none][:steps] for p in paths] for paths, _ in found]  # (batch, top, time)
    labels = torch.tensor(labels, dtype=torch.int32, device=inputs.device)
    return labels.view(-1, top_paths, steps).transpose(0, 1), torch.stack([s for _, s in found])


def _greedy(inputs, lengths, merge_repeated, blank):
    scores, labels = inputs.max(-1)  # (batch, time)
    steps = torch.arange(inputs.shape[1], device=inputs.device)
    over = steps >= lengths[:, None]
    labels = labels.masked_fill(over, blank)
    none = labels == blank
    if merge_repeated:
        none[:, 1:] |= labels[:, 1:] == labels[:, :-1]
    order = torch.where(none, len(steps), steps).argsort(-1)  # the labels before the gaps
    labels = labels.masked_fill(none, -1).gather(-1, order).int()
    return labels[None], -scores.masked_fill(over, 0).sum(1, keepdim=True)


def _beam_search(log_p, blank, width, top_paths):
    """The likeliest sequences of labels for `log_p` (time, classes): ([tuple], their scores).

    A sequence has two chances, as its last step was a blank or a label: after a blank, the same
    label once more is a new one.
    """
    classes = log_p.shape[-1]
    paths, last = [()], torch.tensor([-1], device=log_p.device)
    ends = log_p.new_tensor([[0.0], [float("-inf")]])  # (blank or label, sequences)
    for x in log_p:
        total = torch.logaddexp(*ends)
        stays = torch.stack((total + x[blank], ends[1] + x[last]))
        again = last[:, None] == torch.arange(classes, device=x.device)
        grows = torch.where(again, ends[0][:, None], total[:, None]) + x  # (sequences, classes)
        grows[:, blank] = float("-inf")
        _merge(paths, stays, grows)
        both = torch.cat((torch.logaddexp(*stays), grows.flatten()))
        scores, best = both.topk(min(width, len(both)))
        best = best[scores > float("-inf")]
        old = [(i,) if i < len(paths) else divmod(i - len(paths), classes) for i in best.tolist()]
        ends = torch.cat((stays, grows.new_full((2, grows.numel()), float("-inf"))), 1)
        ends[1, len(paths) :] = grows.flatten()
        ends = ends[:, best]
        paths = [paths[i] + tuple(label) for i, *label in old]
        last = torch.tensor([p[-1] if p else -1 for p in paths], device=x.device)
    scores = torch.logaddexp(*ends)
    missing = max(top_paths - len(paths), 0)
    scores = F.pad(scores, (0, missing), value=float("-inf"))
    return (paths + [()] * missing)[:top_paths], scores[:top_paths]


def _merge(paths, stays, grows):
    """A sequence that grows into one that is there adds to its chance, in place."""
    index = {path: i for i, path in enumerate(paths)}
    pairs = [(i, index.get(path[:-1]), path[-1]) for i, path in enumerate(paths) if path]
    pairs = [pair for pair in pairs if pair[1] is not None]
    if pairs:
        into, parent, label = torch.tensor(pairs, device=grows.device).T
        stays[1, into] = torch.logaddexp(stays[1, into], grows[parent, label])
        grows[parent, label] = float("-inf")
