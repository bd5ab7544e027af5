"""The attempt loop: an exchange goes to one backend after another while its failures allow.

Knows groups and the retry rule; whose fault a failure is was decided where it happened.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from wsproxy.backend.backend import Backend
from wsproxy.exchange import QUEUE, Exchange
from wsproxy.frontend.route import Route
from wsproxy.protection.retry import may_retry

_logger = logging.getLogger("wsproxy.forward")


async def forward(exchange: Exchange, route: Route) -> None:
    """Have `exchange` answered by a backend of `route`; `exchange.failure` is set if none could."""
    ended = begin(exchange, route)
    if ended is not None:
        await ended
    if ended is None or exchange.failure is not None:
        await see_through(exchange, route)


def begin(exchange: Exchange, route: Route) -> asyncio.Future[None] | None:
    """The usual first attempt, which is begun without a wait: what to await until it has ended.

    Unless it ended well, or with None, `see_through` goes on.
    """
    servers = route.group.healthy.snapshot()
    return None if servers is None or route.recall is not None else _submit(exchange, route, servers)


def _submit(exchange: Exchange, route: Route, servers: Sequence[Backend]) -> asyncio.Future[None] | None:
    """Have one of these take it, in the order that the route and the exchange prefer."""
    if route.affinity is None or (preference := exchange.preference) is None:
        return route.group.submit(exchange, route.policy, servers)
    candidates = route.affinity.narrow(preference, servers, exchange.tried)
    return route.group.submit(exchange, route.policy, candidates, preference.key)


async def see_through(exchange: Exchange, route: Route) -> None:
    """All but a first attempt that ends well: an attempt that has to wait before it begins, or follows another."""
    retries = route.settings.retries
    group = route.group
    while True:
        failure = exchange.failure
        if failure is not None:
            if failure.detail:
                _logger.info(
                    "%s %s: %s: %s", route.settings.name, exchange.backend_name, failure.message, failure.detail
                )
            again, costs = may_retry(failure, exchange, retries)
            if not again or (costs and not group.may_retry(exchange.client.loop.time())):
                return
            retries -= costs
            route.totals.retries += 1
            exchange.tried += (exchange.backend_name,)
            exchange.rewind()
        if route.recall is not None and exchange.preference is not None and not exchange.tried:
            await route.recall(exchange.preference, exchange.client.loop.time())
            if exchange.abandoned is not None:  # meanwhile, when nobody held it
                exchange.failure = exchange.abandoned
                return
        servers = group.healthy.snapshot()
        if servers is None:
            servers = await group.healthy.wait_snapshot()
            if exchange.abandoned is not None:  # meanwhile, when nobody held it
                exchange.failure = exchange.abandoned
                return
        ended = _submit(exchange, route, servers)
        if ended is None:
            return
        if exchange.attempts and exchange.stages is not None:
            exchange.stages.enter(QUEUE)
        await ended
        if exchange.failure is None:
            return
