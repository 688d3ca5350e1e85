"""The parent process: starts and stops workers, sends them changes, replaces those that die, hang or ask for it."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping
from typing import Final

from gateway.accounts.rules.authority import Spending
from gateway.config import Config, Source, TlsFileError, load_certificate, read_pair
from gateway.telemetry.logs import announce, log_event
from gateway.workers.acceptor import Acceptor
from gateway.workers.assignment import Assignment
from gateway.workers.channel import DRAIN, RETIRE, STOP, STOP_NOW
from gateway.workers.gathering import Gathering
from gateway.workers.load import PULSE_SECONDS, Backoff
from gateway.workers.process import Phase, Worker, start_worker
from gateway.workers.quotas.parent import Quotas
from gateway.workers.talk import Answerer

# A worker needs a little longer than the grace period to end; after this time it is killed.
_FAREWELL_SECONDS: Final = 10.0
_FAREWELL_SECONDS_AT_ONCE: Final = 2.0
# Workers read commands every 0.1 s, and then report for the last time.
_LAST_REPORTS_SECONDS: Final = 0.2
# What a worker said before its end is read within this time.
_LAST_WORDS_SECONDS: Final = 1.0


class Supervisor:
    """Runs the configured number of workers."""

    def __init__(
        self,
        config: Config,
        key_sources: Mapping[str, Source],
        callers_base_url: str,
        listener: socket.socket,
        *,
        on_ready: Callable[[], None],
        spending: Spending | None = None,
    ) -> None:
        self._config = config
        self._key_sources = key_sources
        self._pair = None if config.server.tls is None else read_pair(config.server.tls)
        self._callers_base_url = callers_base_url
        self._on_ready = on_ready
        self._workers: list[Worker] = []
        self._acceptor = Acceptor(listener, self._workers)
        self._gathering = Gathering(self._workers)
        is_blind = config.accounts.on_ledger_failure == "serve"
        self._quotas = Quotas(self._workers, spending, serves_blindly=is_blind)
        self._backoffs: defaultdict[int, Backoff] = defaultdict(Backoff)
        self._line: asyncio.Queue[Worker] = asyncio.Queue()
        self._replaced_now: Worker | None = None
        self._watches: set[asyncio.Task[None]] = set()
        self._chores: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._is_forced = False
        self._is_draining = False

    async def run(self) -> bool:
        """Serve until a signal comes; returns whether the end was orderly."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._on_stop_signal, number)
        pulses = asyncio.create_task(self._watch_pulses())
        numbers = range(1, self._config.server.workers + 1)
        has_started = all(await asyncio.gather(*map(self._launch, numbers)))
        if has_started and not self._stopping.is_set():
            self._acceptor.open()
            self._do(self._replace_in_turn())
            self._on_ready()
            await self._stopping.wait()
        await self._end()
        pulses.cancel()
        return has_started and not self._is_forced

    def reload(self, config: Config, key_sources: Mapping[str, Source]) -> None:
        """Send this configuration to all workers, and use it for those that start later."""
        self._config, self._key_sources = config, key_sources
        if config.server.tls is not None:
            # The files were right a moment ago. Should they have changed since, they are read again soon.
            with contextlib.suppress(TlsFileError):
                pair = read_pair(config.server.tls)
                load_certificate(config.server.tls, pair)
                self._pair = pair
        for worker in self._workers:
            if worker.phase is not Phase.LEAVING and not self._tell(worker):
                # It does not read its commands: replace it. The replacement starts with the new configuration.
                self._line.put_nowait(worker)

    def _tell(self, worker: Worker) -> bool:
        try:
            file = self._assignment(worker.number).to_file()
        except OSError as error:
            log_event(logging.ERROR, "A worker could not be sent a message", worker=worker.number, why=error.strerror)
            return False
        try:
            return worker.channel.reload(file)
        finally:
            os.close(file)

    def _assignment(self, number: int) -> Assignment:
        return Assignment(
            number=number,
            config=self._config,
            callers_base_url=self._callers_base_url,
            key_sources=self._key_sources,
            pair=self._pair,
        )

    # Starting and ending

    async def _launch(self, number: int) -> bool:
        """Start a worker; returns whether it became ready."""
        assignment = self._assignment(number)
        try:
            worker = await start_worker(assignment, self._answerers)
        except OSError as error:
            log_event(logging.ERROR, "A worker could not be started", worker=number, why=error.strerror)
            return False
        self._workers.append(worker)
        if assignment.config is not self._config:
            self._tell(worker)
        asyncio.get_running_loop().add_reader(worker.channel, self._hear, worker)
        self._keep(self._watches, self._watch(worker))
        if self._is_draining:
            worker.channel.command(DRAIN)
        if self._stopping.is_set():
            worker.leave(STOP)
        return await worker.is_ready

    def _answerers(self, worker: Worker) -> Mapping[str, Answerer]:
        """What a worker may ask and tell."""
        return {**self._gathering.answerers(worker), **self._quotas.answerers(worker)}

    def _hear(self, worker: Worker) -> None:
        """Read a worker's reports; the first means that it is ready."""
        try:
            reports = worker.channel.receive()
        except EOFError:  # `_watch` notices the end of its process
            asyncio.get_running_loop().remove_reader(worker.channel)
            return
        for report in reports:
            worker.load.hear(report)
            if report.wants_to_be_replaced:
                self._line.put_nowait(worker)
        if reports and not worker.is_ready.done():
            worker.is_ready.set_result(True)
            if worker.phase is Phase.STARTING:
                worker.phase = Phase.SERVING
            log_event(logging.INFO, "A worker is ready", worker=worker.number, pid=worker.process.pid)
        self._acceptor.go_on()

    async def _watch(self, worker: Worker) -> None:
        """Wait for a worker's end, and replace it unless it was told to end."""
        code = await worker.process.wait()
        await worker.end_talk(_LAST_WORDS_SECONDS)
        self._gathering.forget(worker)
        self._quotas.forget(worker)
        asyncio.get_running_loop().remove_reader(worker.channel)
        worker.channel.close()
        self._workers.remove(worker)
        if not worker.is_ready.done():
            worker.is_ready.set_result(False)
        about = {"worker": worker.number, "pid": worker.process.pid, "exit_code": code}
        if worker.phase is Phase.LEAVING:
            log_event(logging.WARNING if code else logging.INFO, "A worker has ended", **about)
            return
        log_event(logging.WARNING, "A worker has died", **about)
        if worker.phase is Phase.SERVING and worker is not self._replaced_now:
            self._do(self._refill(worker.number))

    async def _watch_pulses(self) -> None:
        """End workers whose event loop is stuck, including leaving ones; a starting worker has no time limit."""
        looked_at = time.monotonic()
        while True:
            await asyncio.sleep(PULSE_SECONDS)
            elapsed_seconds, looked_at = time.monotonic() - looked_at, time.monotonic()
            for worker in self._workers:
                if worker.is_ready.done():
                    worker.load.look(elapsed_seconds)
                if worker.load.silent_seconds >= self._config.server.worker_silence_seconds:
                    self._give_up(worker)
            self._replace_the_cut_off()

    def _replace_the_cut_off(self) -> None:
        """Replace workers that live but cannot ask any more: what rules allow they would refuse."""
        for worker in self._workers:
            if worker.is_cut_off and worker.phase is Phase.SERVING and worker.process.returncode is None:
                log_event(logging.ERROR, "A worker cannot ask its parent and is being replaced", worker=worker.number)
                worker.is_cut_off = False
                self._line.put_nowait(worker)

    def _give_up(self, worker: Worker) -> None:
        if worker.is_given_up:
            return
        log_event(
            logging.WARNING,
            "A worker is stuck and is being ended",
            worker=worker.number,
            pid=worker.process.pid,
            silent_seconds=round(worker.load.silent_seconds, 1),
            state=worker.state,
            requests=worker.load.requests,
        )
        worker.give_up()

    async def _refill(self, number: int) -> None:
        """Start workers in place of a dead one until one becomes ready."""
        while not self._stopping.is_set():
            await asyncio.sleep(self._backoffs[number].delay_seconds(time.monotonic()))
            if await self._launch(number):
                return

    # Replacing

    async def _replace_in_turn(self) -> None:
        while True:
            worker = await self._line.get()
            # The worker can be in this queue twice, still be starting, or have died.
            if await worker.is_ready and worker.phase is Phase.SERVING and worker in self._workers:
                self._replaced_now = worker
                await self._replace(worker)
                self._replaced_now = None

    async def _replace(self, old: Worker) -> None:
        """Start a replacement, and end the old worker once that is ready; without one the old worker stays."""
        if await self._launch(old.number):
            old.leave(RETIRE)
        elif old not in self._workers:
            self._do(self._refill(old.number))
        else:
            log_event(
                logging.ERROR, "The replacement of a worker did not start, the old worker stays", worker=old.number
            )

    # Stopping

    def _on_stop_signal(self, number: int) -> None:
        drains = number == signal.SIGTERM and not self._stopping.is_set() and self._config.server.drain_seconds > 0
        if drains and not self._is_draining:
            self._drain(self._config.server.drain_seconds)
        elif not (drains or self._stopping.is_set()):
            self._stop_by(number)
        elif number == signal.SIGINT:
            self._is_forced = True
            self._command_all(STOP_NOW)
            asyncio.get_running_loop().call_later(_FAREWELL_SECONDS_AT_ONCE, self._kill_all)
        else:
            for worker in self._workers:
                if worker.load.is_quiet:
                    self._give_up(worker)

    def _drain(self, seconds: float) -> None:
        """Go on serving for this time, while the workers say that requests should go elsewhere."""
        self._is_draining = True
        for worker in self._workers:
            worker.channel.command(DRAIN)
        log_event(logging.INFO, "Draining: requests are still served, /readyz refuses", seconds=seconds)
        asyncio.get_running_loop().call_later(seconds, self._stop_by, signal.SIGTERM)

    def _stop_by(self, number: int) -> None:
        if not self._stopping.is_set():
            self._stop()
            asyncio.get_running_loop().call_later(_LAST_REPORTS_SECONDS, self._say_what_is_waited_for, number)

    def _say_what_is_waited_for(self, number: int) -> None:
        grace = f"at most {self._config.server.shutdown_grace_seconds:g} s"
        patience = "Ctrl-C again stops at once" if number == signal.SIGINT else grace
        if count := sum(worker.load.requests for worker in self._workers):
            said = f"Stopping: {count} open requests may finish ({patience})."
            announce(logging.INFO, said, f"\n{said}", open_requests=count)

    def _stop(self) -> None:
        self._stopping.set()
        self._acceptor.close()
        self._command_all(STOP)

    def _command_all(self, command: bytes) -> None:
        for worker in self._workers:
            worker.leave(command)

    def _kill_all(self) -> None:
        for worker in self._workers:
            worker.kill()

    async def _end(self) -> None:
        """Wait until all workers have ended, including those that a task was about to start."""
        if not self._stopping.is_set():
            self._stop()
        for chore in self._chores:
            chore.cancel()
        if self._watches:
            patience = self._config.server.shutdown_grace_seconds + _FAREWELL_SECONDS
            timer = asyncio.get_running_loop().call_later(patience, self._kill_all)
            await asyncio.wait(self._watches)
            timer.cancel()

    def _do(self, chore: Coroutine[object, object, None]) -> None:
        self._keep(self._chores, chore)

    def _keep(self, tasks: set[asyncio.Task[None]], work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
