"""
What Redis (or Valkey) holds: never the only copy of anything, all of it with a time to live.

`client` is the way there, `keys` the names; `latest` the latest value of each channel, `feed` what
has been committed lately, `publication` how both are written and how far that is settled,
`limits` rate limits, `presence` who is there.
"""

from hes.storage.cache.client import Cache, CacheUnavailableError
from hes.storage.cache.feed import Feed, FeedEntry, FeedPage
from hes.storage.cache.latest import Held, HeldValue, LatestCache, Lease
from hes.storage.cache.limits import Rate, RateLimits
from hes.storage.cache.presence import DialledPresence, Presence
from hes.storage.cache.publication import Ledger, NewValue, State

__all__ = [
    "Cache",
    "CacheUnavailableError",
    "DialledPresence",
    "Feed",
    "FeedEntry",
    "FeedPage",
    "Held",
    "HeldValue",
    "LatestCache",
    "Lease",
    "Ledger",
    "NewValue",
    "Presence",
    "Rate",
    "RateLimits",
    "State",
]
