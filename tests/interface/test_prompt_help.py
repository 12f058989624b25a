"""`--prompt-upscaler-help` and `--prompt-weighter-help`: the plugins that there are, and all their options."""

from __future__ import annotations

import pytest

from aquatint.catalog.prompt_plugins import KINDS, PromptPlugin, prompt_plugins
from aquatint.catalog.settings import Schema, Setting
from aquatint.interface.cli import main
from aquatint.interface.prompt_help import documentation, listing
from aquatint.interface.repl.topics import about, topics

MADE = PromptPlugin(
    kind="upscaler",
    name="made",
    help="Made for a test. It rewrites nothing.",
    schema=Schema("made", (
        Setting("max_length", "int", "How long.", default=8, minimum=1, maximum=2**63 - 1, aliases=("length",)),
        Setting("top_p", "float", "How likely.", above=0, maximum=1),
        Setting("part", "str", "Which.", "both", choices=("both", "positive")),
        Setting("llm_quantizer", "quantizer", "The quantizer of the language model."),
    )),
    aliases=("made_up",),
)  # fmt: skip

DOCUMENTATION = """\
made, also made_up
    Made for a test. It rewrites nothing.

Options of a URI, as in `made;max-length=8`. A block of a script has `: ` for
`=`; `_` and `-` are the same in both.

  max-length=N from 1 up to 9223372036854775807
      default 8; also length
      How long.

  top-p=X above 0 up to 1
      default none
      How likely.

  part=both | positive
      default both
      Which.

  llm-quantizer=QUANTIZER
      default none
      The quantizer of the language model.
"""


def test_a_plugin_is_documented_with_every_option() -> None:
    assert documentation(MADE, 80) == DOCUMENTATION


def test_the_listing_and_a_plugin_stand_where_any_command_may(capsys: pytest.CaptureFixture[str]) -> None:
    for kind in KINDS:
        for line in ([f"--prompt-{kind}-help"], ["run", f"--prompt_{kind}_help"]):
            with pytest.raises(SystemExit) as stopped:
                main(line)
            assert stopped.value.code == 0
            assert capsys.readouterr().out == listing(kind, 80)
        for plugin in prompt_plugins(kind):
            with pytest.raises(SystemExit) as stopped:
                main(["generate", f"--prompt-{kind}-help", plugin.name])
            assert stopped.value.code == 0
            assert capsys.readouterr().out == documentation(plugin, 80)


def test_an_unknown_plugin(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["--prompt-upscaler-help", "magicpromt", "magicprompt"])
    assert stopped.value.code == 2
    said = capsys.readouterr()
    assert (said.out, said.err) == (
        "", "error[unknown-plugin]: there is no upscaler plugin `magicpromt`\n  help: did you mean `magicprompt`?\n"
    )  # fmt: skip


def test_the_session_helps_with_plugins_too() -> None:
    for kind in KINDS:
        for plugin in prompt_plugins(kind):
            assert plugin.name in topics()
            assert about(plugin.name) == documentation(plugin, 100)
