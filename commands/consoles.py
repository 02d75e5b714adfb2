"""What an operator would do at the console of a simulated host, while a simulation is served."""

from __future__ import annotations

import attrs
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from commands.plants import right_kernel
from simulation.world import World

WORDS = {"kernel": "make the distribution's kernel the default, and boot it"}


@attrs.frozen
class Consoles:
    world: World

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/", self.listed, methods=["GET"]),
                Route("/{host}/{word}", self.told, methods=["POST"]),
            ]
        )

    async def listed(self, request: Request) -> PlainTextResponse:
        del request
        hosts = "\n".join(f"{name}  {host.kernel}" for name, host in self.world.hosts.items())
        words = "\n".join(f"POST /HOST/{word}: {says}" for word, says in WORDS.items())
        return PlainTextResponse(f"{hosts}\n\n{words}\n")

    async def told(self, request: Request) -> PlainTextResponse:
        host, word = request.path_params["host"], request.path_params["word"]
        if host not in self.world.hosts:
            return PlainTextResponse(f"there is no host {host}: see /\n", status_code=404)
        if word not in WORDS:
            told = f"there is no word {word}: one of {', '.join(WORDS)}\n"
            return PlainTextResponse(told, status_code=404)
        return PlainTextResponse(f"{right_kernel(self.world, host)}\n")
