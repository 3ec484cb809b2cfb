"""Run records for tests: written row by row, as a training would."""

from thinned.report import RecordWriter, process_mark


def write_run(
    folder,
    losses=(1.0, 0.5, 0.6),
    *,
    end="finished",
    error=None,
    metric="val_loss",
    more=None,
    rates=True,
    sites=("a", "b"),
    group="all",
    process=None,
    **header,
):
    """Write a run with one validation an epoch; return its folder.

    Args:
        folder: where.
        losses: the metric at each epoch.
        end: how it ended; None for not at all.
        error: the error it ended with.
        metric: name of the metric.
        more: further metrics, each a list with one value an epoch.
        rates: whether to write rates.
        sites: paths of the sites; their rates rise by 0.1 from one to the next, up to 0.9.
        group: name of their group.
        process: the process of the header; without it one that is gone.
        header: further fields of the header.
    """
    writer = RecordWriter(folder)
    gone = {**process_mark(), "pid": 2**22 + 1}
    fields = {"name": folder.name, "monitor": metric, "mode": "min", **header}
    writer.write("header", version=1, process=process or gone, **fields)
    site = {"kind": "dropout", "class": "Dropout", "rate": 0.1, "live": None, "group": group}
    writer.write("sites", sites=[{"path": path, **site} for path in sites])
    held = {path: min(9, i + 1) / 10 for i, path in enumerate(sites)}
    for epoch, loss in enumerate(losses):
        step = 10 * (epoch + 1)
        if rates:
            moment = {"step": step, "epoch": epoch, "progress": epoch / len(losses)}
            writer.write("rates", **moment, groups={group: 0.1}, sites=held)
        values = {metric: loss, **{key: column[epoch] for key, column in (more or {}).items()}}
        writer.write("metrics", step=step, epoch=epoch, values=values)
    if end is not None:
        writer.write("end", status=end, error=error, seconds=1.5)
    return folder


def write_sweep(root, arms, key="schedule"):
    """Write a sweep: ``arms`` maps a value of the setting to its best loss by seed."""
    for value, losses in arms.items():
        for seed, loss in losses.items():
            write_run(
                root / f"{value}-{seed}",
                (1.0, loss, loss + 0.1),
                seed=seed,
                overrides=[f"{key}={value}", f"seed={seed}"],
                config={key: value, "seed": seed},
                rates=False,
            )
    return root


def overfitted(epochs=12):
    """Metrics of a run that overfits: validation rises while the probe goes on falling."""
    losses = [0.5 + 0.02 * epoch for epoch in range(epochs)]
    probe = [0.4 * 0.8**epoch for epoch in range(epochs)]
    more = {
        "overfit/probe/val_loss": probe,
        "overfit/gap/val_loss": [v - p for v, p in zip(losses, probe, strict=True)],
        "overfit/inflation/val_loss": [0.05] * epochs,
        "train_loss": [p + 0.05 for p in probe],
    }
    return losses, more
