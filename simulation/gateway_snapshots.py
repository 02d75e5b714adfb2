"""The simulated MDM's commands on snapshots, and on the trees that they share with a volume."""

from __future__ import annotations

from typing import Final

import attrs

from simulation import gateway_fields as fields
from simulation.gateway_changes import Changes, check_name, found
from simulation.gateway_fields import Body, MalformedError, MdmRefusalError
from simulation.gateway_model import Volume

REMOVE_MODES: Final = ("ONLY_ME", "INCLUDING_DESCENDANTS", "DESCENDANTS_ONLY", "WHOLE_VTREE")


@attrs.define(kw_only=True)
class Snapshots(Changes):
    def snapshot_volumes(self, body: Body) -> dict[str, object]:
        """All in one consistency group; all or none."""
        listed = body.get("snapshotDefs")
        asked = [i for i in listed if isinstance(i, dict)] if isinstance(listed, list) else []
        if not asked:
            raise MalformedError("Request message is not valid: snapshotDefs is required")
        volumes = [
            found(self.state.volumes, fields.text(i, "volumeId"), 79, "volume") for i in asked
        ]
        names = [fields.optional(item, "snapshotName") for item in asked]
        taken = {v.name for v in self.state.volumes.values() if v.name}
        for name in names:
            if name is not None:
                check_name(name)
            if name in taken:
                raise MdmRefusalError(
                    99, "Volume name already in use. Please use a different name."
                )
            taken |= {name} if name else set()
        for volume in volumes:
            self.limits.check_tree(self.state, volume.vtree_id, len(volumes))
        group = self.ids.next("SnapshotGroup")
        made = [self._snapshot(of, name, group) for of, name in zip(volumes, names, strict=True)]
        return {"volumeIdList": made, "snapshotGroupId": group}

    def remove_snapshot_group(self, body: Body) -> dict[str, object]:
        group = fields.text(body, "snapGroupId")
        gone = [v for v in self.state.volumes.values() if v.group_id == group]
        if not gone:
            raise MdmRefusalError(3, "Could not find the consistency group")
        self._remove_all(gone)
        return {"numberOfVolumes": len(gone)}

    def remove_volume(self, volume: Volume, body: Body) -> None:
        mode = fields.optional(body, "removeMode") or "ONLY_ME"
        if mode not in REMOVE_MODES:
            raise MalformedError("Request message is not valid: removeMode")
        below = self._descendants(volume)
        self._remove_all(
            {
                "ONLY_ME": [volume],
                "INCLUDING_DESCENDANTS": [volume, *below],
                "DESCENDANTS_ONLY": below,
                "WHOLE_VTREE": self.state.volumes_of_vtree(volume.vtree_id),
            }[mode]
        )

    def _snapshot(self, of: Volume, name: str | None, group: str) -> str:
        made = Volume(
            id=self.ids.next("Volume"),
            name=name,
            pool_id=of.pool_id,
            vtree_id=of.vtree_id,
            size_kb=of.size_kb,
            thick=False,
            created_at=int(self.clock()),
            snapshot=True,
            ancestor_id=of.id,
            group_id=group,
        )
        self.state.volumes[made.id] = made
        self.emit("volume-created", {"id": made.id, "name": name, "size_kb": made.size_kb})
        return made.id

    def _descendants(self, volume: Volume) -> list[Volume]:
        below: list[Volume] = []
        above = {volume.id}
        for one in self.state.volumes_of_vtree(volume.vtree_id):  # in the order of their making
            if one.ancestor_id in above:
                above.add(one.id)
                below.append(one)
        return below

    def _remove_all(self, gone: list[Volume]) -> None:
        """What was taken of a volume that goes is from then on its ancestor's."""
        if any(v.mapped for v in gone):
            raise MdmRefusalError(104, "The volume is mapped to at least one SDC")
        for volume in gone:
            for child in self.state.volumes_of_vtree(volume.vtree_id):
                if child.ancestor_id == volume.id:
                    child.ancestor_id = volume.ancestor_id
            del self.state.volumes[volume.id]
            self.emit("volume-removed", {"id": volume.id, "name": volume.name})
            pool = self.state.pools[volume.pool_id]
            if not any(v.snapshot for v in self.state.volumes_of_pool(pool.id)):
                pool.snap_kb = pool.snap_occupied_kb = 0
