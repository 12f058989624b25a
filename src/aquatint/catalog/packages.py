"""Packages that a pipeline needs beside those that are always installed, by the names under which they are imported.

What is known of pipelines' classes is in the catalog of pipelines; here is what their processors need. Whether a
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

EXTRAS = {"ftfy": "aquatint[video]"}
_PROJECTS = {"cv2": "opencv-python"}


def needed(info: PipelineInfo, classes: Iterable[str]) -> Mapping[str, str]:
    """Return the packages that a pipeline of these classes' parts needs, each with the class that needs it."""
    processors = sorted(WITH_VIDEOS.intersection(classes))
    found = dict.fromkeys(info.packages, info.name)
    return {OF_VIDEO_PROCESSORS: processors[0], **found} if processors else found


def installing(package: str) -> str:
    """Return the line that installs a package."""
    return f'pip install "{EXTRAS[package]}"' if package in EXTRAS else f"pip install {_PROJECTS.get(package, package)}"
