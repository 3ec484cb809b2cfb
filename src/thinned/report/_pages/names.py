"""Names cut to the room that a figure has."""

from collections.abc import Sequence


def shorten(path: str, length: int = 24) -> str:
    """Cut a long path in front, where paths are alike.

    Example:
        >>> shorten("model.encoder.layers.3.attention.dropout", 24)
        '…ers.3.attention.dropout'
    """
    return path if len(path) <= length else "…" + path[1 - length :]


def distinct(paths: Sequence[str], length: int = 24) -> list[str]:
    """Cut long paths so that they stay apart: what all begin with goes, then the middle.

    Example:
        >>> distinct([f"model.encoder.layers.{i}.attention.dropout" for i in (3, 12)])
        ['…3.attention.dropout', '…12.attention.dropout']
        >>> distinct(["model.layers.3.attention.dropout", "model.norm"])
        ['…layers.3.att…on.dropout', '…norm']
    """
    if all(len(path) <= length for path in paths):
        return list(paths)
    parts = [path.split(".") for path in paths]
    shared = 0
    while all(len(each) > shared + 1 for each in parts) and len({p[shared] for p in parts}) == 1:
        shared += 1
    names = ["…" * bool(shared) + ".".join(each[shared:]) for each in parts]
    head, tail = (length + 3) // 2, (length - 4) // 2
    names = [n if len(n) <= length else f"{n[:head]}…{n[-tail:]}" for n in names]
    return [n if names.count(n) == 1 else f"{n} ({i + 1})" for i, n in enumerate(names)]
