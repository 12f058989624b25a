"""What of A1111's form becomes settings of a script, beyond what `test_picture_commands` shows of a whole one."""

from __future__ import annotations

import pytest

from aquatint.interface.infotext_recipe import of_infotext
from aquatint.runtime.infotext import Infotext


@pytest.mark.parametrize(
    ("prompt", "negative", "fields", "weighter"),
    [
        ("a red cat", "", {}, None),
        (r"a \(red\) cat", "", {}, None),
        ("a (red:1.2) cat", "", {}, "a1111"),
        ("a cat", "[dog]", {}, "a1111"),
        ("a cat BREAK a dog", "", {}, "a1111"),
        ("a (red:1.2) cat <lora:x:1>", "", {}, None),
        ("a (red:1.2) cat", "", {"Version": "aquatint 0.1.0"}, None),
        ("a (red:1.2) cat", "", {"Version": "v1.9.4"}, "a1111"),
    ],
)
def test_words_with_weights_get_a_weighter(
    prompt: str, negative: str, fields: dict[str, str], weighter: str | None
) -> None:
    recipe, _ = of_infotext(Infotext(prompt, negative, fields))
    assert recipe.arguments.get("weighter") == weighter
    assert recipe.arguments["prompt"] == prompt
