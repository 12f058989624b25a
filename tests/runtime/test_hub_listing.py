"""What is said of a fetch before its first byte."""

from __future__ import annotations

import pytest

from aquatint.catalog.checkpoints import CheckpointError
from aquatint.catalog.hub_files import Request
from aquatint.runtime.hub import Listing, is_offline
from aquatint.runtime.hub.cache import RemoteFile, cache_folder
from aquatint.runtime.hub.listing import require_room


def test_more_than_the_disk_has_room_for_is_refused() -> None:
    file = RemoteFile("unet/model.safetensors", 3 << 60, "0" * 64)
    listing = Listing(Request("a/b"), "0" * 40, (file,), (file,), kept=1 << 60)
    with pytest.raises(CheckpointError) as raised:
        require_room([listing])
    assert raised.value.code == "too-little-disk"
    assert raised.value.message.startswith(
        f"2147483648.0 GiB are to be fetched, and the disk of `{cache_folder()}` has "
    )
    require_room([Listing(Request("a/b"), "0" * 40, (file,), (), 0)])


@pytest.mark.parametrize(
    ("environment", "offline"),
    [
        ({}, False),
        ({"HF_HUB_OFFLINE": "0"}, False),
        ({"HF_HUB_OFFLINE": "true"}, True),
        ({"TRANSFORMERS_OFFLINE": "1"}, True),
    ],
)
def test_the_environment_may_forbid_the_network(environment: dict[str, str], offline: bool) -> None:
    assert is_offline(environment) is offline
