"""Packages that a pipeline needs beside those that are always installed, by the names under which they are imported.

What is known of pipelines' classes is in the catalog of pipelines; here is what their parts' classes need. Whether a
package is there is others' business.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aquatint.catalog.pipelines import PipelineInfo

OF_VIDEO_PROCESSORS = "torchvision"
"""What transformers' processors of videos need; they are part of the processors below, and loaded with them."""

WITH_VIDEOS = frozenset({
    "Gemma4Processor", "Glm46VProcessor", "Glm4vProcessor", "InternVLProcessor", "LlavaNextVideoProcessor",
    "LlavaOnevisionProcessor", "Qwen2VLProcessor", "Qwen2_5_VLProcessor", "Qwen3VLProcessor", "SmolVLMProcessor",
})  # fmt: skip
"""Classes of transformers that read the prompts and pictures of pipelines, and videos, which no pipeline gives them."""

_OF_OTHERS = {"PixtralProcessor": "torchvision", "ChatGLMTokenizer": "sentencepiece"}

EXTRAS = {"ftfy": "aquatint[video]"}
_PROJECTS = {"cv2": "opencv-python"}


def needed(info: PipelineInfo, classes: Iterable[str]) -> Mapping[str, str]:
    """Return the packages that a pipeline of these classes' parts needs, each with the class that needs it."""
    of_classes = dict.fromkeys(WITH_VIDEOS, OF_VIDEO_PROCESSORS) | _OF_OTHERS
    # Of several that need the same the first is told.
    found = {of_classes[name]: name for name in sorted(classes, reverse=True) if name in of_classes}
    return {**found, **dict.fromkeys(info.packages, info.name)}


def installing(package: str) -> str:
    """Return the line that installs a package."""
    return f'pip install "{EXTRAS[package]}"' if package in EXTRAS else f"pip install {_PROJECTS.get(package, package)}"
