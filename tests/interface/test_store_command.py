"""`aquatint store`: what is in it, whether it is whole, what is removed and why; and runs that use it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import msgspec
import pytest

import aquatint
from aquatint.interface.cli import main
from aquatint.runtime.store import Store
from aquatint.runtime.store.manifest import NAME
from support import tiny
from support.stores import about, keep

MADE = "(sdnq;weights-dtype=uint4, float16)"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with two entries, named in the environment: `unet`, used first, and `text_encoder`."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    folder = tmp_path / "store"
    store = Store(folder, minimum=0, reserve=0)
    for number, role in enumerate(("unet", "text_encoder")):
        keep(store, f"{number}" * 12, about(role))
        used = 1767225600 + 86400 * number
        os.utime(folder / "entries" / (f"{number}" * 12) / NAME, (used, used))
    monkeypatch.setenv("AQUATINT_STORE", str(folder))
    return folder


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["store", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def spoil(folder: Path, number: int) -> None:
    file = folder / "entries" / (f"{number}" * 12) / "model-00001-of-00002.safetensors"
    body = bytearray(file.read_bytes())
    body[7] ^= 1
    file.write_bytes(body)


def test_list(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "list", "--store-budget", "1.5G") == (0, f"""\
role          class                 source     dtype    quantizer                 size     last used
text_encoder  UNet2DConditionModel  models/sd  float16  sdnq;weights-dtype=uint4  4.0 MiB  2026-01-02 00:00
unet          UNet2DConditionModel  models/sd  float16  sdnq;weights-dtype=uint4  4.0 MiB  2026-01-01 00:00
8.0 MiB of 1.5 GiB used in {folder}
""", "")  # fmt: skip


def test_list_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "list", "--store", str(tmp_path / "none")) == (
        0, f"0 B of 20.0 GiB used in {tmp_path / 'none'}\n", "",
    )  # fmt: skip
    assert not (tmp_path / "none").exists()


def test_list_as_json(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = told(capsys, "list", "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["folder"], found["budget"]) == (str(folder), 20 << 30)
    assert found["bytes"] == sum(entry["bytes"] for entry in found["entries"])
    assert {name: value for name, value in found["entries"][0].items() if name != "bytes"} == {
        "address": "1" * 12, "used": 1767312000.0, "damage": None, "role": "text_encoder",
        "class_name": "UNet2DConditionModel", "source": "models/sd", "subfolder": "text_encoder", "dtype": "float16",
        "quantizer": "sdnq;weights-dtype=uint4",
    }  # fmt: skip


def test_verify_and_gc(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "verify") == (0, "2 components, all as they were written\n", "")
    spoil(folder, 0)
    reason = "its file `model-00001-of-00002.safetensors` has other content than was written"
    unet = "`unet` of `models/sd` (sdnq;weights-dtype=uint4, float16)"
    assert told(capsys, "verify") == (1, f"""\
{unet} is damaged: {reason}
1 of 2 components damaged; `aquatint store gc` removes them
""", "")  # fmt: skip
    (folder / "entries" / ("1" * 12) / NAME).write_text("{}")
    code, out, _ = told(capsys, "verify", "--json")
    assert code == 1
    assert [entry["damage"] for entry in json.loads(out)["entries"]] == ["its manifest can't be read", reason]
    (folder / "unfinished" / "left").mkdir()
    assert told(capsys, "gc") == (0, f"""\
removed {"1" * 12}: damaged: its manifest can't be read
removed {unet}: damaged: {reason}
removed 1 unfinished component
2 components removed, 8.0 MiB; 0 B of 20.0 GiB used in {folder}
""", "")  # fmt: skip


def test_gc_removes_what_other_versions_made_and_what_is_over_the_budget(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:

    store = Store(folder, minimum=0, reserve=0)
    keep(store, "2" * 12, about("vae", msgspec=msgspec.__version__, gone="1.0"))
    keep(store, "3" * 12, about("prior", made_by="0.0.1"))
    code, out, _ = told(capsys, "gc", "--store-budget", "5 MiB")
    assert (code, out) == (0, f"""\
removed `prior` of `models/sd` {MADE}: made with aquatint 0.0.1, and now there is {aquatint.__version__}
removed `vae` of `models/sd` (sdnq;weights-dtype=uint4, float16): made with gone 1.0, and now there is none
removed `unet` of `models/sd` (sdnq;weights-dtype=uint4, float16): over the budget
3 components removed, 12.0 MiB; 4.0 MiB of 5.0 MiB used in {folder}
""")  # fmt: skip


def test_embeddings_have_a_store_of_their_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(folder / "embeddings", minimum=0, reserve=0)
    keep(store, "4" * 12, about("text_encoder"))
    spoil(folder / "embeddings", 4)
    assert told(capsys, "verify", "--embeddings")[:2] == (
        1,
        f"""\
`text_encoder` of `models/sd` {MADE} is damaged: its file `model-00001-of-00002.safetensors` has other content than \
was written
1 of 1 embedding damaged; `aquatint store gc` removes them
""",
    )
    assert told(capsys, "clear", "--embeddings", "--embeddings-budget", "1G") == (0, f"""\
removed `text_encoder` of `models/sd` {MADE}: cleared
1 embedding removed, 4.0 MiB; 0 B of 1.0 GiB used in {folder / "embeddings"}
""", "")  # fmt: skip
    assert len(Store(folder).entries()) == 2


def test_clear(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Store(folder).reading("0" * 12):
        code, out, _ = told(capsys, "clear", "--json")
        assert code == 0
        assert [(entry["role"], entry["reason"]) for entry in json.loads(out)["removed"]] == [
            ("text_encoder", "cleared")
        ]
    assert told(capsys, "clear") == (0, f"""\
removed `unet` of `models/sd` (sdnq;weights-dtype=uint4, float16): cleared
1 component removed, 4.0 MiB; 0 B of 20.0 GiB used in {folder}
""", "")  # fmt: skip


def test_what_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    assert told(capsys, "list", "--store", str(tmp_path / "file")) == (
        2, "", f"error[no-store]: can't use the store in `{tmp_path / 'file'}`: not a directory\n",
    )  # fmt: skip
    assert told(capsys, "gc", "--store-budget", "much") == (2, "", """\
error[bad-command-line]: `much` is no size
  help: write the store's budget as in `20G` or `500 MiB`
""")  # fmt: skip
    monkeypatch.setenv("AQUATINT_STORE", "off")
    assert told(capsys, "verify") == (2, "", """\
error[no-store]: there is no store: it is off, or this system can't lock files
  help: give `--store DIR`
""")  # fmt: skip


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.build("sd", tmp_path_factory.mktemp("tiny") / "sd")


def test_runs_use_it(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    script = tmp_path / "a.aqt"
    script.write_text(f"""\
model sd {{ source: "{checkpoint}", dtype: "float32", quantizer: "sdnq;type=uint4" }}
generate sd {{ prompt: "a cat", seed: 1, num_inference_steps: 1, width: 64, height: 64, output: "out.png" }}
""")

    def run(*options: str) -> tuple[list[bool], int, int, bytes]:
        assert main(["run", str(script), "--json", "--threads", "1", "--existing", "number", *options]) == 0
        events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        loads = [each["from_store"] for each in events if each["event"] == "load_finished" and each["quantized_layers"]]
        totals = events[-1]
        return loads, totals["quantizations"], totals["restored"], Path(totals["written"][0]).read_bytes()

    first = run("--store", "kept")
    assert first[:3] == ([False, False], 2, 0)
    second = run("--store", "kept")
    assert second == ([True, True], 0, 2, first[3])
    assert run("--store", "kept", "--no-store") == first
    # Off in the environment of the tests, and small besides.
    assert run() == first
