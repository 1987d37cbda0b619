"""The production processes: `hes api`, `hes collect dlms`, `hes schedule`."""

from __future__ import annotations

import signal

import click


@click.command()
def api() -> None:
    """Serve API and console until SIGTERM."""
    from hes import logs, wiring
    from hes.api.server import serve

    settings = wiring.settings()
    logs.configure(settings.log, "api")
    with (
        wiring.open_database(settings, application_name="hes api") as database,
        wiring.reading(database, settings) as reader,
    ):
        app = wiring.api(database, wiring.open_cache(settings), reader=reader)
        serve(app, settings.api.host, settings.api.port)


@click.group()
def collect() -> None:
    """Talk to meters."""


@collect.command("dlms")
def collect_dlms() -> None:
    """Read meters over DLMS/COSEM and take their pushes, until SIGTERM."""
    import trio
    from prometheus_client import CollectorRegistry

    from hes import logs, metrics, wiring
    from hes.pipeline.metrics import PipelineMetrics
    from hes.pipeline.replay import ReplayLoop
    from hes_collectors.dlms import run

    settings = wiring.settings()
    logs.configure(settings.log, "collect-dlms")
    registry = CollectorRegistry()

    async def main() -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(run, wiring.dlms_collector(database, sink, settings, registry))
                async for _ in signals:
                    nursery.cancel_scope.cancel()
                    return

    with (
        wiring.open_database(settings, application_name="hes collect dlms") as database,
        wiring.upkeep(settings) as roller,
        wiring.publishing(database, wiring.open_cache(settings)) as listeners,
        wiring.bus(settings, listeners) as sink,
        wiring.replays(database, settings, listeners) as replays,
        ReplayLoop(replays),
        metrics.served(registry),
    ):
        registry.register(PipelineMetrics(sink, roller))
        trio.run(main)


@click.command()
def schedule() -> None:
    """
    Make due work of plans, end what has expired, find gaps, until SIGTERM.

    Several may run; one of them leads, and another one seconds after it is gone.
    """
    import threading

    from prometheus_client import CollectorRegistry

    from hes import logs, metrics, wiring

    settings = wiring.settings()
    logs.configure(settings.log, "schedule")
    registry = CollectorRegistry()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with wiring.scheduler(settings, registry) as leader, metrics.served(registry):
        leader.run(stop)
