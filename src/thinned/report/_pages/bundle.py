"""The drawing library inside the page: plotly.js, compressed, with what lets it run."""

import base64
import gzip
from functools import cache
from hashlib import sha256
from importlib.resources import files


@cache
def plotly() -> tuple[str, str]:
    """The plotly.js of the Python package: gzip in base64 for the page, and its CSP hash.

    The package carries the full bundle only, 4.8 MB; compressed a page has 2 MB, which counts
    where every run of a sweep writes one. Browsers unpack it themselves (DecompressionStream,
    in all of them since May 2023).
    """
    text = files("plotly.package_data").joinpath("plotly.min.js").read_text("utf-8")
    packed = gzip.compress(text.encode(), compresslevel=6, mtime=0)
    return base64.b64encode(packed).decode(), csp_hash(text)


def csp_hash(script: str) -> str:
    """What a Content-Security-Policy calls a script by."""
    return f"'sha256-{base64.b64encode(sha256(script.encode()).digest()).decode()}'"
