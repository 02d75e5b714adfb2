"""`simulate-gateway` and `simulate-master`: the fakes of the simulation on real sockets."""

from __future__ import annotations

import argparse

import trio

from simulation import gateway_serve, master_serve

gateway_arguments = gateway_serve.add_arguments
master_arguments = master_serve.add_arguments


def gateway(namespace: argparse.Namespace) -> int:
    return trio.run(gateway_serve.run, namespace)


def master(namespace: argparse.Namespace) -> int:
    return trio.run(master_serve.run, namespace)
