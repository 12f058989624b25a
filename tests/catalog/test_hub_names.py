"""How files of the hub are spelt, and what isn't taken for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from aquatint.catalog.hub_names import HubFile, parsed

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("source", "file"),
    [
        ("some/model/a.safetensors", HubFile("some/model", "a.safetensors")),
        ("some/model/inside/a-Q4_0.gguf", HubFile("some/model", "inside/a-Q4_0.gguf")),
        ("https://huggingface.co/some/model/blob/main/a.safetensors", HubFile("some/model", "a.safetensors")),
        ("huggingface.co/some/model/blob/v1/a.safetensors", HubFile("some/model", "a.safetensors", "v1")),
        (f"https://hf.co/some/model/resolve/{COMMIT}/a%20b.ckpt?download=true",
         HubFile("some/model", "a b.ckpt", COMMIT)),
        ("https://huggingface.co/some/model/blob/refs%2Fpr%2F1/a.gguf", HubFile("some/model", "a.gguf", "refs/pr/1")),
    ],
)  # fmt: skip
def test_what_is_named_comes_back_by_its_address(source: str, file: HubFile) -> None:
    assert parsed(source) == file
    assert parsed(file.address) == file


@pytest.mark.parametrize(
    "source",
    [
        "some/model", "some/model/model_index.json", "./some/model/a.safetensors", "../some/model/a.safetensors",
        "/some/model/a.safetensors", "some/model/../../a.safetensors", "some/model//a.safetensors",
        "https://huggingface.co/some/model/blob/..%2F..%2Fother/a.safetensors",
        "https://huggingface.co/some/model/blob/main/%2e%2e/a.safetensors",
        f"some/model/{'a' * 5000}.safetensors", "some/model/\0.safetensors",
        "https://example.org/some/model/blob/main/a.safetensors",
    ],
)  # fmt: skip
def test_what_names_no_file_of_the_hub(source: str) -> None:
    assert parsed(source) is None


def test_what_is_here_is_no_file_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "some").mkdir()
    assert parsed("some/model/a.safetensors") is None
