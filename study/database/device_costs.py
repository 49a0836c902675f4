"""What devices measured, in and out of the database."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from study.analysis.on_devices import budget_on_devices
from study.database.connection import Connection
from study.database.schema import device_costs
from study.records import DEVICE_AXES, Budget, DeviceCost, Settings, device_axis
from study.space.toml import space_of


def add_device_costs(database: Connection, study: str, costs: Sequence[DeviceCost]) -> int:
    """Store measurements beside earlier ones; how many were not there already."""
    key = sa.tuple_(*device_costs.primary_key.columns)

    def add(connection: sa.Connection) -> int:
        wanted = {(cost.device, cost.variant, cost.measured_at_s): cost for cost in costs}
        query = sa.select(*device_costs.primary_key.columns).where(key.in_(list(wanted)))
        known = {tuple(row) for row in connection.execute(query)}
        new = [{"study": study, **asdict(cost)}
               for place, cost in wanted.items() if place not in known]
        if new:
            connection.execute(device_costs.insert(), new)
        return len(new)
    return database._write(add)


def newest_device_costs(database: Connection) -> list[dict[str, Any]]:
    """The newest measurement of each device and variant, devices in the order of their names."""
    rows = database.query("SELECT * FROM device_costs ORDER BY device, variant, measured_at_s")
    return list({(row["device"], row["variant"]): row for row in rows}.values())


def measured_variants(database: Connection) -> list[dict[str, Any]]:
    """The variants that a device has measured, with an entry for each of its axes."""
    rows = {row["key"]: row for row in database.query(
        "SELECT * FROM variants WHERE key IN (SELECT variant FROM device_costs) ORDER BY key")}
    for one in newest_device_costs(database):
        rows[one["variant"]] |= {device_axis(word, one["device"]): one[column]
                                 for word, column in DEVICE_AXES.items()}
    return list(rows.values())


def budget_of(database: Connection, settings: Settings) -> Budget:
    """The budget of a study, with what its database knows of the devices that the settings name.

    Raises:
        UserError: a device has measured nothing, or too little to predict the others.
    """
    if not settings.device_axes:
        return settings.budget
    reference = space_of(settings).reference
    return budget_on_devices(settings, reference, measured_variants(database), database.shown)
