"""A TCP proxy on loopback that cuts and stalls what passes through it: the network between devices and Mosquitto."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")
_CHUNK = 1 << 16


class FaultProxy:
    """Forwards a port of its own (`port`) to `target` while it is open. Its methods may be called from any thread."""

    def __init__(self, host: str, target: int) -> None:
        self.port = 0
        self._host = host
        self._target = target
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._refusing = False
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        self._server: asyncio.Server = self._call(asyncio.start_server, self._accept, self._host, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._end)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Reset every connection, and take no new one until `mend`."""
        self._call(self._cut)

    def stall(self) -> None:
        """Let nothing through until `mend`; the connections stay, as when a cable is pulled."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def mend(self) -> None:
        """All is well again."""
        self._refusing = False
        self._loop.call_soon_threadsafe(self._flowing.set)

    def _call(self, work: Callable[..., Coroutine[Any, Any, T]], *arguments: Any) -> T:
        return asyncio.run_coroutine_threadsafe(work(*arguments), self._loop).result(10)

    async def _cut(self) -> None:
        self._refusing = True
        for writer in list(self._open):
            writer.transport.abort()

    async def _end(self) -> None:
        self._server.close()
        await self._cut()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        try:
            there_reader, there_writer = await asyncio.open_connection(self._host, self._target)
        except OSError:  # the broker is away, and so are we
            writer.transport.abort()
            return
        self._open |= {writer, there_writer}
        try:
            await asyncio.gather(self._pump(reader, there_writer), self._pump(there_reader, writer))
        finally:
            self._open -= {writer, there_writer}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # One side's end is the other's: a device sees that the broker is gone.
        with suppress(ConnectionError):
            while data := await reader.read(_CHUNK):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
