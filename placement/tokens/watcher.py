"""Keeps a gateway's table of tokens fresh by long polls at placement's leader, and knows how fresh it is.

Only the leader answers, after it has made sure that it leads. So each answer says that the table held all changes that were
answered before the poll was sent: `age_s` counts from there, on a clock that runs through suspends. A poll also says which
table is in use here: a revocation is answered when every gateway that polls has said that it has it. When nobody answers the
last table is kept and `age_s` grows; to stop trusting it is the business of whoever asks it.
"""

import asyncio
import random

import msgspec

from placement.leader import LeaderGuess
from placement.tokens.check import NO_TOKENS, TokenIndex, index_of
from process.backoff import Backoff
from process.clock import Clock, Sleep, boottime
from process.tasks import start_task, stop_task
from wire.errors import RpcError
from wire.methods import WATCH_TOKENS
from wire.rpc import Connect
from wire.token_messages import TokenTable, WatchTokensRequest


class TokenPace(msgspec.Struct, frozen=True, kw_only=True):
    """Pace of a TokenWatcher, in seconds. In health `age_s` stays under `wait_s` and the way there and back.

    Attributes:
        wait_s: how long the leader may hold a poll.
        slack_s: how much later than that the answer may come before the leader is given up.
        pause_first_s: bound of the pause after one failure; it doubles from there.
        pause_max_s: bound of every pause.
    """

    wait_s: float = 0.4
    slack_s: float = 0.6
    pause_first_s: float = 0.01
    pause_max_s: float = 0.2


class TokenWatcher:
    """Watches the tokens.

    Args:
        guess: who leads placement.
        connect: gives the shared channel to an address.
        rng: source of the jitter.
        pace: the pace.
        clock: seconds; it must run through suspends.
        sleep: `asyncio.sleep`.
    """

    def __init__(
        self,
        guess: LeaderGuess,
        connect: Connect,
        rng: random.Random,
        *,
        pace: TokenPace = TokenPace(),  # noqa: B008 - frozen
        clock: Clock = boottime,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.index: TokenIndex = NO_TOKENS
        self.table = TokenTable()
        self._guess = guess
        self._connect = connect
        self._pace = pace
        self._clock = clock
        self._sleep = sleep
        self._id = rng.getrandbits(63) | 1
        self._backoff = Backoff(pace.pause_first_s, pace.pause_max_s, rng)
        self._confirmed_at = -float("inf")
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def age_s(self) -> float:
        """How long ago the table was certainly the newest; infinite before the first answer."""
        return self._clock() - self._confirmed_at

    def start(self) -> None:
        """Begin to watch, on the running loop."""
        if self._task is None:
            self._task = start_task(self._run(), "token-watcher")

    async def close(self) -> None:
        """Stop."""
        task, self._task = self._task, None
        if task is not None:
            await stop_task(task)

    async def reached(self, revision: int) -> None:
        """Wait until the table has this revision or a later one."""
        while self.table.revision < revision:
            await self._news.wait()

    async def _run(self) -> None:
        while True:
            asked_at = self._clock()
            try:
                quick = not await self._poll(asked_at)
            except RpcError as error:
                self._guess.correct(error.failure)
                quick = True
            if quick:
                await self._sleep(self._backoff.next_s())
            else:
                self._backoff.reset()

    async def _poll(self, asked_at: float) -> bool:
        """Ask once; False when the answer is not worth asking for another one at once."""
        pace, known = self._pace, self.table.revision
        request = WatchTokensRequest(known, int(pace.wait_s * 1000), self._id)
        table = await self._connect(self._guess.address).call(WATCH_TOKENS, request, pace.wait_s + pace.slack_s)
        if table.revision < known:
            return False  # placement has lost what it knew: what was revoked there must not come back here
        self._confirmed_at = asked_at
        if table.revision == known:
            return self._clock() - asked_at >= pace.wait_s / 2
        self.table, self.index = table, index_of(table)
        news, self._news = self._news, asyncio.Event()
        news.set()
        return True
