"""Where the Hydra configuration lies."""

from pathlib import Path

MAIN = "train"


def groups() -> dict[str, list[str]]:
    """Return the groups of the configuration, each with its options."""
    folders = sorted(each for each in conf_dir().iterdir() if each.is_dir())
    return {each.name: sorted(file.stem for file in each.glob("*.yaml")) for each in folders}


def conf_dir() -> Path:
    """Return the folder of ``train.yaml``: in the installed package, or at the repository's top.

    The source tree has one copy, at the top, which the wheel carries as ``thinned/conf``. What
    counts is where this very module lies: an editable install may leave a stale copy elsewhere.

    Raises:
        FileNotFoundError: if neither holds ``train.yaml``.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parents[1] / "conf"):
        if (folder / f"{MAIN}.yaml").is_file():
            return folder
    msg = (
        f"Expected the configuration in {package / 'conf'}, found none. "
        "Install again with: pip install --force-reinstall thinned."
    )
    raise FileNotFoundError(msg)
