"""Whole numbers from shares: the largest-remainder method."""

from collections.abc import Sequence
from fractions import Fraction


def apportion(total: int, weights: Sequence[Fraction]) -> list[int]:
    """Divide `total` in proportion to `weights` (not negative, not all 0 unless `total` is 0); the parts add up to it exactly.

    Every part is its exact share rounded down, or one more; what rounding down leaves over goes to the largest
    remainders, the earlier weight first when they are equal. A weight of 0 gets 0.
    """
    weight_sum = sum(weights, Fraction(0))
    if total == 0:
        return [0] * len(weights)
    if total < 0 or weight_sum <= 0 or any(weight < 0 for weight in weights):
        raise ValueError(f"cannot divide {total} by weights that add to {weight_sum}")
    exact = [total * weight / weight_sum for weight in weights]
    parts = [int(share) for share in exact]
    by_remainder = sorted(range(len(exact)), key=lambda i: (parts[i] - exact[i], i))
    for i in by_remainder[: total - sum(parts)]:
        parts[i] += 1
    return parts
