"""What a decision about an agent may ask for. The actor stores first, then performs, in order."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class Launch:
    """Post a want for this task; its record is stored already."""

    task_id: str
    step: str
    agent_id: str


@attrs.frozen(kw_only=True)
class Withdraw:
    """Give the want back if it was not sent. `dead`: and forget the task, its agent is no more."""

    task_id: str
    dead: bool = False


@attrs.frozen(kw_only=True)
class Track:
    """A task that the master may know of: reconcile it until it is heard of or dead."""

    task_id: str
    agent_id: str


@attrs.frozen(kw_only=True)
class Acknowledge:
    task_id: str
    agent_id: str
    uuid: str


@attrs.frozen(kw_only=True)
class Kill:
    task_id: str
    agent_id: str


@attrs.frozen(kw_only=True)
class ReadOutput:
    task_id: str
    agent_id: str
    with_stderr: bool


@attrs.frozen(kw_only=True)
class AskSlot:
    pass


@attrs.frozen(kw_only=True)
class FreeSlot:
    pass


@attrs.frozen(kw_only=True)
class AskReboot:
    """For the place of a host whose storage goes down. `boots` False: only its SDS restarts."""

    provides_storage: bool
    boots: bool = True


@attrs.frozen(kw_only=True)
class FreeReboot:
    """Give the reboot's place back. `keep`: only the wish; the place is held until it is whole."""

    keep: bool = False


@attrs.frozen(kw_only=True)
class AskRestart:
    """For the turn to change the Mesos agent's settings. `begun`: its host watches one already."""

    begun: bool = False


@attrs.frozen(kw_only=True)
class FreeRestart:
    """Give the turn back. `outcome`: "", kept, undone (nobody else begins), forgiven (they may)."""

    outcome: str = ""


@attrs.frozen(kw_only=True)
class AskStorage:
    """join, probe-map, probe-clean or leave…, with what the agent knows; StorageAnswer follows."""

    request: str
    volume_id: str = ""


Effect = (
    Launch
    | Withdraw
    | Track
    | Acknowledge
    | Kill
    | ReadOutput
    | AskSlot
    | FreeSlot
    | AskReboot
    | FreeReboot
    | AskRestart
    | FreeRestart
    | AskStorage
)
