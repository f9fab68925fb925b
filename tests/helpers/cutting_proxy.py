"""A proxy on loopback that cuts connections in the middle of an answer, as a bad network does."""

import asyncio
from asyncio import StreamReader, StreamWriter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Thread

SEGMENT = 1448  # bytes that arrive together or not at all, with TCP on Ethernet


@dataclass
class Proxy:
    """Where the proxy is asked, how many pieces of answers came through, and how many connections it cut."""

    port: int = 0
    passed: int = 0
    cut: int = 0


@contextmanager
def cutting_proxy(server: int, every: int) -> Iterator[Proxy]:
    """A proxy of a server of this machine, which cuts every so many pieces short, and the connection with them."""
    proxy, loop = Proxy(), asyncio.new_event_loop()

    async def take(reader: StreamReader, writer: StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", server)
        await asyncio.gather(_pass(reader, back), _pass_or_cut(there, writer, proxy, every))

    listening = loop.run_until_complete(asyncio.start_server(take, "127.0.0.1", 0))
    proxy.port = listening.sockets[0].getsockname()[1]
    thread = Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()


async def _pass(reader: StreamReader, writer: StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
    writer.close()


async def _pass_or_cut(reader: StreamReader, writer: StreamWriter, proxy: Proxy, every: int) -> None:
    with suppress(ConnectionError):
        while piece := await reader.read(1 << 16):
            proxy.passed += 1
            cut = proxy.passed % every == 0
            writer.write(piece[: len(piece) // 2 // SEGMENT * SEGMENT] if cut else piece)
            await writer.drain()
            if cut:
                proxy.cut += 1
                break
    writer.close()
