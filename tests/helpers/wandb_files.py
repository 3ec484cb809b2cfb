"""Reads back what W&B wrote offline: its file is a LevelDB log of protobuf records."""

import json
import struct
import time
import warnings
from dataclasses import dataclass, field

BLOCK = 32768
HEADER = 7


@dataclass
class Offline:
    """What an offline run holds."""

    history: list = field(default_factory=list)
    summary: dict = field(default_factory=dict)
    config: dict = field(default_factory=dict)
    metrics: dict = field(default_factory=dict)
    alerts: list = field(default_factory=list)
    run_id: str = ""
    group: str = ""
    began: float = 0.0
    exit_code: int | None = None

    def values(self, key):
        """All logged values of one key."""
        return [row[key] for row in self.history if key in row]


def read_offline(root):
    """Read every offline run below a folder, in the order in which they began.

    W&B's own process writes the files, and may do so a moment after ``finish`` has returned.
    """
    for _ in range(100):
        files = sorted(root.rglob("run-*.wandb"), key=lambda file: file.parent.name)
        found = [_read(file.read_bytes()) for file in files]
        if all(run.exit_code is not None for run in found):
            return sorted(found, key=lambda run: run.began)
        time.sleep(0.1)
    raise TimeoutError(f"a run in {root} was not finished")


def _read(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from wandb.proto import wandb_internal_pb2 as proto
    found = Offline()
    for message in _messages(data):
        record = proto.Record()
        record.ParseFromString(message)
        kind = record.WhichOneof("record_type")
        if kind == "history":
            found.history.append(_items(record.history.item))
        elif kind == "summary":
            found.summary.update(_items(record.summary.update))
        elif kind == "config":
            found.config.update(_items(record.config.update))
        elif kind == "metric":
            name = record.metric.name or record.metric.glob_name
            found.metrics[name] = record.metric
        elif kind == "alert":
            found.alerts.append(record.alert.title)
        elif kind == "run":
            found.run_id, found.group = record.run.run_id, record.run.run_group
            found.began = record.run.start_time.ToMicroseconds()
            found.config.update(_items(record.run.config.update))
        elif kind == "exit":
            found.exit_code = record.exit.exit_code
    return found


def _items(items):
    """Turn key and value pairs, some of them nested, into a dict."""
    found = {}
    for item in items:
        path, value = list(item.nested_key) or [item.key], json.loads(item.value_json)
        place = found
        for key in path[:-1]:
            place = place.setdefault(key, {})
        place[path[-1]] = value
    return found


def _messages(data):
    """Join the fragments of LevelDB's log format (after W&B's own header of 7 bytes)."""
    place, message = HEADER, b""
    while place + HEADER <= len(data):
        left = BLOCK - place % BLOCK
        if left < HEADER:  # no room for a header: the block is padded
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + HEADER])
        message += data[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (1, 4):  # a whole message, or the last piece of one
            yield message
            message = b""
