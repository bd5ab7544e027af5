"""The attempt loop: an exchange goes to one backend after another while its failures allow.

Knows groups and the retry rule; whose fault a failure is was decided where it happened.
"""

from __future__ import annotations

import logging

from wsproxy.exchange import QUEUE, Exchange
from wsproxy.frontend.route import Route
from wsproxy.protection.retry import may_retry

_logger = logging.getLogger("wsproxy.forward")


async def forward(exchange: Exchange, route: Route) -> None:
    """Have `exchange` answered by a backend of `route`; `exchange.failure` is set if none could."""
    retries = route.settings.retries
    group = route.group
    while True:
        servers = group.healthy.snapshot()
        if servers is None:
            servers = await group.healthy.wait_snapshot()
            if exchange.abandoned is not None:  # meanwhile, when nobody held it
                exchange.failure = exchange.abandoned
                return
        if route.affinity is None or (preference := exchange.preference) is None:
            ended = group.submit(exchange, route.policy, servers)
        else:
            candidates = route.affinity.narrow(preference, servers, exchange.tried)
            ended = group.submit(exchange, route.policy, candidates, preference.key)
        if ended is None:
            return
        if exchange.attempts and exchange.stages is not None:
            exchange.stages.enter(QUEUE)
        await ended
        failure = exchange.failure
        if failure is None:
            return
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
