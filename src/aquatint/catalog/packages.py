"""Packages that a pipeline needs beside those that are always installed, by the names under which they are imported.

What is known of pipelines' classes is in the catalog of pipelines; here is what their parts need
(`data/processors.json`, written by `scripts/make_processor_catalog.py`), and which torchvision is for which torch,
which is told from what they say of themselves. Whether a package is there is others' business. Nothing is imported.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from aquatint.catalog.pipelines import PipelineInfo

OF_PROCESSORS = "torchvision"
"""What many of transformers' processors need: of videos all, and those that have one of these as a part."""

_OF_OTHERS = {"ChatGLMTokenizer": "sentencepiece"}

EXTRAS = {"ftfy": "aquatint[video]"}
_PROJECTS = {"cv2": "opencv-python"}

_DATA = Path(__file__).parent / "data" / "processors.json"
_WHEELS = "https://download.pytorch.org/whl"
_LABEL = re.compile(r"(?:cu(?P<cuda>\d+)\d|(?P<cpu>cpu)|(?P<other>(?:rocm|xpu)[\w.]*))")
"""What a version has after its `+` that was built for a kind of device; a CUDA's last digit is its minor version."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """What is wrong with a package that is there and can't be imported here, and what to do."""

    message: str
    help: str


@cache
def processors() -> frozenset[str]:
    """Return the classes of transformers that can't be had without `OF_PROCESSORS`."""
    return frozenset(json.loads(_DATA.read_text(encoding="utf-8"))[OF_PROCESSORS])


def needed(info: PipelineInfo, classes: Iterable[str]) -> Mapping[str, str]:
    """Return the packages that a pipeline of these classes' parts needs, each with the class that needs it."""
    of_classes = dict.fromkeys(processors(), OF_PROCESSORS) | _OF_OTHERS
    # Of several that need the same the first is told.
    found = {of_classes[name]: name for name in sorted(classes, reverse=True) if name in of_classes}
    return {**found, **dict.fromkeys(info.packages, info.name)}


def installing(package: str) -> str:
    """Return the line that installs a package; of torchvision the one for the torch that is here."""
    if package == OF_PROCESSORS:
        return installing_torchvision(version("torch"))
    return f'pip install "{EXTRAS[package]}"' if package in EXTRAS else f"pip install {_PROJECTS.get(package, package)}"


def installing_torchvision(torch: str | None) -> str:
    """Return the line that installs the torchvision for a version of torch, such as `2.13.0+cpu`, None for unknown.

    Since 2.0 they are published together: torchvision's minor version is torch's and 15. What comes without an address
    is built for a CUDA on Linux, and for no other torch than that.
    """
    found = re.fullmatch(r"2\.(\d+)\.(\d+)(?:\+(.*))?", torch or "")
    if found is None:
        return f"pip install {OF_PROCESSORS}"
    line = f"pip install {OF_PROCESSORS}==0.{int(found[1]) + 15}.{found[2]}"
    is_known = found[3] is not None and _LABEL.fullmatch(found[3]) is not None
    return f"{line} --index-url {_WHEELS}/{found[3]}" if is_known else line


def misfit(package: str) -> Misfit | None:
    """Return what is wrong with an installed package, None if nothing that can be told without importing it.

    What has been imported already is right, whatever it says of itself; the engine keeps out what it couldn't import.
    """
    if package != OF_PROCESSORS:
        return None
    help = f"install one that fits: `{installing(package)}`"
    try:
        if package in sys.modules:
            known = sys.modules[package]
            return Misfit("which can't be imported here", help) if known is None else None
        torch, torchvision = version("torch"), version(package)
        wanted = importlib.metadata.requires(package) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    why = None if torch is None or torchvision is None else misfit_of_torchvision(torch, torchvision, wanted)
    return None if why is None else Misfit(why, help)


def misfit_of_torchvision(torch: str, torchvision: str, wanted: Iterable[str]) -> str | None:
    """Return why a torchvision of that version doesn't fit a torch, None if it does or isn't known not to.

    `wanted` is what its metadata says that it needs, as in `Requires-Dist`.
    """
    pinned = next((found[1] for each in wanted if (found := re.match(r"torch\s*\(?==\s*([\w.]+)", each))), None)
    # Their last numbers may differ: such builds fit, as a rule.
    if pinned is not None and pinned.split(".")[:2] != torch.split(".")[:2]:
        return f"and {torchvision} is for torch {pinned}, not {torch}"
    theirs, ours = (_LABEL.fullmatch(each.partition("+")[2]) for each in (torchvision, torch))
    # One that is built for CPUs alone runs with any torch, and of a build without a label nothing is known.
    if theirs is None or ours is None or theirs["cpu"] is not None or theirs.groups() == ours.groups():
        return None
    return f"and {torchvision} isn't built for torch {torch}"


def version(package: str) -> str | None:
    """Return the version of a package with what it is built for, None where it isn't installed.

    That is written in the package, and left out by its metadata where it comes from PyPI.
    """
    try:
        known = importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
    try:
        spec = importlib.util.find_spec(package)
        assert spec is not None and spec.origin is not None
        text = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    except (AssertionError, ImportError, OSError, ValueError):
        return known
    found = re.search(r"^__version__ = '([\w.+]+)'$", text, re.MULTILINE)
    return known if found is None else found[1]
