"""What lies beside a component's weights is found whole before anything is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from aquatint.catalog.checkpoints import CheckpointError, component_files


def found(folder: Path, text: str) -> str:
    """Return what is said of a scheduler whose configuration is `text`, empty if it is taken."""
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text(text, encoding="utf-8")
    try:
        files = component_files(folder, "scheduler", None, has_weights=False)
    except CheckpointError as error:
        return f"{error.code}: {error.message.rpartition('/')[2]}"
    assert [file.name for file in files] == ["scheduler_config.json"]
    return ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"beta_start": 0.001}', ""),
        # As Python writes numbers that JSON doesn't have: PixArt's published schedulers have one.
        ('{"lambda_min_clipped": -Infinity, "x": NaN}', ""),
        ("[1, 2]", ""),
        ('{"beta_start": 0.0', "damaged-checkpoint: scheduler_config.json` is damaged: it is cut short or not JSON"),
        ('{"x": -Infin', "damaged-checkpoint: scheduler_config.json` is damaged: it is cut short or not JSON"),
        (
            '{"x": ' + "[" * 100_000,
            "damaged-checkpoint: scheduler_config.json` is damaged: it is cut short or not JSON",
        ),
    ],
)
def test_a_configuration_is_whole(tmp_path: Path, text: str, said: str) -> None:
    assert found(tmp_path, text) == said
