"""
The fault proxy: TCP connections and UDP datagrams that suffer on their way, both directions apart.

    async with proxy.serve(("127.0.0.1", 4159), down=proxy.Toxics(latency_s=0.2)) as between:
        ... connect to ("127.0.0.1", between.port) ...
        between.change({"reset_after": 1000}, proxy.Direction.DOWN)

Knows nothing of meters: it may stand before anything. `control` lets another process change it.
"""

from hes_simulators.proxy.serving import Proxy, serve
from hes_simulators.proxy.settings import CLEAN, Direction, ProxyError, Toxics

__all__ = ["CLEAN", "Direction", "Proxy", "ProxyError", "Toxics", "serve"]
