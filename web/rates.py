"""How often one address may ask: token buckets with a bound on how many are kept. No clock here."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import attrs

ADDRESSES_MAX: Final = 4096  # the longest unheard of is forgotten: it begins with a full bucket


@attrs.define
class Bucket:
    left: float
    at: float


@attrs.define
class Rate:
    """`per_s` requests a second in the long run, `burst` at once. `per_s` 0: no bound."""

    per_s: float
    burst: float
    _buckets: OrderedDict[str, Bucket] = attrs.field(factory=OrderedDict)

    def wait_s(self, address: str, now: float) -> float:
        """0 if it may ask now, which counts; else for how long it should wait."""
        if not self.per_s:
            return 0.0
        bucket = self._buckets.pop(address, None) or Bucket(self.burst, now)
        bucket.left = min(self.burst, bucket.left + (now - bucket.at) * self.per_s)
        bucket.at = now
        self._buckets[address] = bucket
        if len(self._buckets) > ADDRESSES_MAX:
            self._buckets.popitem(last=False)
        if bucket.left >= 1:
            bucket.left -= 1
            return 0.0
        return (1 - bucket.left) / self.per_s
