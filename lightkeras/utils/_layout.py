"""Places for the boxes of a diagram: in layers, with few crossings and straight long edges.

(Sugiyama et al., 1981.) Along the edges lies the axis `v`, across them `u`.
"""

from __future__ import annotations

import itertools

__all__ = ["arrange"]

_ALONG, _ACROSS = 30.0, 24.0  # gaps between boxes
_SWEEPS = 12
_PULLS = 60


def arrange(sizes, edges):
    """Centers of boxes, the corners of the edges, and the size of it all.

    Args:
        sizes: (across, along) of each box.
        edges: Pairs of places in `sizes`; no circles.

    Returns:
        [(u, v)] of the boxes, {edge: [(u, v)...]} of points that an edge passes on its way, and
        (across, along) of the whole.

    >>> centers, ways, size = arrange([(40, 20), (40, 20)], [(0, 1)])
    >>> centers, ways, size
    ([(20.0, 10.0), (20.0, 60.0)], {(0, 1): [(20.0, 20.0), (20.0, 50.0)]}, (40.0, 70.0))
    """
    count = len(sizes)
    ranks = _ranks(count, edges)
    sizes, pairs, chains = list(sizes), [], {}
    for a, b in edges:  # an edge over several ranks passes a point in each
        chain = [a]
        for rank in range(ranks[a] + 1, ranks[b]):
            chain.append(len(sizes))
            sizes.append((0.0, 0.0))
            ranks.append(rank)
        chain.append(b)
        chains[a, b] = chain[1:-1]
        pairs += itertools.pairwise(chain)
    rows = [[] for _ in range(max(ranks, default=0) + 1)]
    for number, rank in enumerate(ranks):
        rows[rank].append(number)
    above = {n: [a for a, b in pairs if b == n] for n in range(len(sizes))}
    below = {n: [b for a, b in pairs if a == n] for n in range(len(sizes))}
    rows = _untangled(rows, above, below)
    across = _straightened(rows, sizes, above, below)
    tops, end = [], 0.0
    for row in rows:
        tops.append(end)
        end += max(sizes[n][1] for n in row) + _ALONG
    bottoms = [top - _ALONG for top in [*tops[1:], end]]
    left = min(across[n] - sizes[n][0] / 2 for n in across)
    u = [across[n] - left for n in range(len(sizes))]
    ways = {}
    for (a, b), chain in chains.items():  # straight beside the boxes of a row, bent between rows
        ways[a, b] = [(u[a], bottoms[ranks[a]])]
        for n in chain:
            ways[a, b] += [(u[n], tops[ranks[n]]), (u[n], bottoms[ranks[n]])]
        ways[a, b].append((u[b], tops[ranks[b]]))
    width = max(u[n] + sizes[n][0] / 2 for n in across)
    middles = [(tops[rank] + bottoms[rank]) / 2 for rank in ranks[:count]]
    return list(zip(u, middles, strict=False)), ways, (width, end - _ALONG)


def _ranks(count, edges):
    """The row of each box: below all it depends on; a beginning right above its first use."""
    below = {n: [] for n in range(count)}
    waiting = [0] * count
    for a, b in edges:
        below[a].append(b)
        waiting[b] += 1
    ranks, ready = [0] * count, [n for n in range(count) if not waiting[n]]
    sources = list(ready)
    while ready:
        n = ready.pop()
        for m in below[n]:
            ranks[m] = max(ranks[m], ranks[n] + 1)
            waiting[m] -= 1
            if not waiting[m]:
                ready.append(m)
    for n in sources:
        ranks[n] = min((ranks[m] - 1 for m in below[n]), default=ranks[n])
    return ranks


def _untangled(rows, above, below):
    """Rows sorted by the mean place of neighbours, down and up in turns; the best order seen."""
    best, fewest = [list(row) for row in rows], _crossings(rows, below)
    for sweep in range(_SWEEPS):
        if not fewest:
            break
        down = sweep % 2 == 0
        for row in rows if down else reversed(rows):
            place = {n: i for r in rows for i, n in enumerate(r)}
            neighbours = above if down else below
            own = {n: place[n] for n in row}
            row.sort(key=lambda n: _mean([place[m] for m in neighbours[n]], own[n]))
        count = _crossings(rows, below)
        if count < fewest:
            best, fewest = [list(row) for row in rows], count
    return best


def _mean(values, default):
    return sum(values) / len(values) if values else default


def _crossings(rows, below):
    count = 0
    for upper, lower in itertools.pairwise(rows):
        place = {n: i for i, n in enumerate(lower)}
        ends = [place[m] for n in upper for m in sorted(below[n], key=place.get)]
        count += sum(a > b for i, a in enumerate(ends) for b in ends[i + 1 :])
    return count


def _straightened(rows, sizes, above, below):
    """{box: center} across: as near to the neighbours as the widths allow, columns straight."""
    across: dict[int, float] = {}
    for row in rows:
        _put(row, sizes, {n: 0.0 for n in row}, {n: 1.0 for n in row}, across)
    column = _columns(sizes, above, below)
    for pull in range(_PULLS):
        near = {n: above[n] + below[n] if pull >= _SWEEPS else above[n] for n in across}
        for row in rows if pull % 2 == 0 else reversed(rows):
            wanted, weights = {}, {}
            for n in row:
                straight = sum(across[m] for m in column[n]) / len(column[n])
                pulled = _mean([across[m] for m in near[n]], straight)
                share = min(1.0, pull / (_PULLS - _SWEEPS)) if len(column[n]) > 1 else 0.0
                wanted[n] = share * straight + (1 - share) * pulled
                weights[n] = float(len(column[n]))
            _put(row, sizes, wanted, weights, across)
    return across


def _columns(sizes, above, below):
    """{box: the boxes that should stand in line with it}: chains, and each long edge."""
    column = {n: [n] for n in above}
    for a in sorted(above):
        for b in below[a]:
            real = bool(sizes[a][0]), bool(sizes[b][0])
            only = [m for m in below[a] if sizes[m][0]] == [b]
            only = only and [m for m in above[b] if sizes[m][0]] == [a]
            if (real == (True, True) and only) or real == (False, False):
                joined = column[a] if column[a] is column[b] else column[a] + column[b]
                for n in joined:
                    column[n] = joined
    return column


def _put(row, sizes, wanted, weights, across):
    """Place a row in its order, nearest to what is wanted (pool adjacent violators)."""
    offsets, total = [], 0.0
    for i, n in enumerate(row):
        if i:
            total += (sizes[row[i - 1]][0] + sizes[n][0]) / 2 + _ACROSS
        offsets.append(total)
    blocks = []  # [mean, weight, members]
    for n, offset in zip(row, offsets, strict=True):
        blocks.append([wanted[n] - offset, weights[n], 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, weight, members = blocks.pop()
            last = blocks[-1]
            last[0] = (last[0] * last[1] + mean * weight) / (last[1] + weight)
            last[1] += weight
            last[2] += members
    starts = [mean for mean, _, members in blocks for _ in range(members)]
    across.update(zip(row, (s + o for s, o in zip(starts, offsets, strict=True)), strict=True))
